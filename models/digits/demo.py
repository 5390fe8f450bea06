"""`make demo`: deploy app.py to an emulated AWS and let it read handwritten digits; then ask its
Cloud Run service, run here, for the same.

Everything that it starts ends with it: on success, on failure, on Ctrl-C.
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cdk_inference.local import (
    WORK_FOLDER,
    Emulator,
    LocalError,
    Reply,
    deploy,
    invoke,
    running,
    running_service,
)
from cdk_inference.local.processes import end_on_signals
from cdk_inference.local.progress import step
from rich.console import Console
from rich.table import Table

STACK = "DigitsStack"
URL = f"{STACK}.DigitsHttpApiUrl"
CLOUD_RUN_STACK = "CloudRunStack"
CLOUD_RUN_SERVICE = "Digits"
SAMPLES = Path(__file__).with_name("samples.json")
SHOWN = 5
SHADES = " ░▒▓█"
WHITE = 16  # the largest value of a pixel


def main() -> int:
    """Run the demo; the exit code is 0 if every digit was read right."""
    console = Console(highlight=False)
    end_on_signals()
    try:
        with running(WORK_FOLDER / "demo") as emulator:
            deploy(emulator, console=console)
            answers = read_digits(emulator, console)
        compare_with_cloud_run(answers, console)
    except LocalError as error:
        console.print(f"\nThe demo failed. {error}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted. Nothing is left running.")
        return 130
    tell_next_steps(console)
    return 0


def read_digits(emulator: Emulator, console: Console) -> dict[str, Any]:
    """Post each digit twice and show the answer; raise `LocalError` for a wrong one.

    Returns:
        The answers, by their requests.
    """
    answers = {}
    for number, sample in enumerate(samples()[:SHOWN]):
        body = request(sample)
        first, second = answer(emulator, body), answer(emulator, body)
        times = [f"{reply.seconds * 1000:.0f} ms" for reply in (first, second)]
        reply = answers[body] = first.json()
        label = reply["predictions"]["label"]
        row = Table.grid(padding=(0, 3))
        row.add_row(
            drawing(sample["pixels"]),
            f"\nThis is a [bold]{label}[/bold], with probability"
            f" {reply['predictions']['probabilities'][str(label)]:.4f}\n"
            f"{'[green]✓ right[/green]' if label == sample['label'] else '[red]✗ wrong[/red]'}\n\n"
            f"[dim]model version {reply['model_version']}\n"
            + ("cold call {}, warm call {}" if number == 0 else "warm calls {} and {}").format(
                *times
            )
            + "[/dim]",
        )
        console.print(row, "")
        if label != sample["label"]:
            raise LocalError(f"The model read a {sample['label']} as a {label}.")
    return answers


def compare_with_cloud_run(answers: dict[str, Any], console: Console) -> None:
    """Ask app.py's Cloud Run service for the same; raise `LocalError` for another answer."""
    with ExitStack() as stack:
        with step(console, "Starting the app's Cloud Run service, as its Terraform describes it"):
            service = stack.enter_context(running_service(CLOUD_RUN_STACK, CLOUD_RUN_SERVICE))
        replies = [service.post("/predict", body.encode()) for body in answers]
    if [reply.json() for reply in replies] != list(answers.values()):
        raise LocalError("The Cloud Run service answers otherwise than the function on Lambda.")
    times = sorted(reply.seconds * 1000 for reply in replies)
    console.print(
        f"    The same {len(replies)} digits through Cloud Run: every answer equal to Lambda's, bit"
        f" for bit\n    [dim]ready after {service.start_seconds:.1f} s, calls"
        f" {times[0]:.0f} to {times[-1]:.0f} ms[/dim]\n",
        soft_wrap=True,
    )


def samples() -> list[dict[str, Any]]:
    """Held-out digits: ``pixels``, 64 numbers from 0 to 16, and ``label``, what was written."""
    loaded: list[dict[str, Any]] = json.loads(SAMPLES.read_text())
    return loaded


def request(sample: dict[str, Any]) -> str:
    """The body that asks for one digit."""
    return json.dumps(
        {"features": [int(pixel) for pixel in sample["pixels"]]}, separators=(",", ":")
    )


def answer(emulator: Emulator, body: str) -> Reply:
    """Post one request to the deployed API; raise `LocalError` for anything but an answer."""
    reply = invoke(emulator, URL, body.encode())
    if not reply.ok:
        raise LocalError(f"The API answered {reply.status}: {reply.body.decode()}")
    return reply


def drawing(pixels: list[float]) -> str:
    """Eight rows of eight pixels; a pixel is two characters, as a character is tall."""
    shades = [SHADES[round(pixel / WHITE * (len(SHADES) - 1))] * 2 for pixel in pixels]
    return "\n".join("".join(shades[start : start + 8]) for start in range(0, len(shades), 8))


def tell_next_steps(console: Console) -> None:
    """Say how the same app gets into a real account."""
    console.print(
        f"""\
The same app in an AWS account of yours (its API is public: anyone may call it):

  . .venv/bin/activate
  cdk bootstrap
  cdk deploy {STACK}
  curl --data '{request(samples()[0])}' URL
  cdk destroy {STACK}

URL is what `cdk deploy` prints as {URL}….

And in a Google Cloud project of yours, with Docker and Terraform on your machine:

  python3 app.py
  export GOOGLE_CLOUD_PROJECT=PROJECT
  terraform -chdir=cdktf.out/stacks/{CLOUD_RUN_STACK} init
  terraform -chdir=cdktf.out/stacks/{CLOUD_RUN_STACK} apply
  terraform -chdir=cdktf.out/stacks/{CLOUD_RUN_STACK} destroy""",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
