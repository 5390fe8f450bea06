"""Sets up the checkout: `make setup` runs it.  It needs Python >= 3.11 and the package registry.

    .tools/   uv, from PyPI, pinned with hashes in tools/uv-requirements.txt
    .venv/    everything in uv.lock: the project, its tools, Node, the AWS CDK CLI, the emulator
    tests/clients/kserve/.venv   KServe's client, for a test, where it knows this Python
    .cache/   setup.log: what the last step printed

It also builds the Lambda layers of the tests in the cache of `cdk_inference.cache`, so that the
tests need no network.

Standard library only, and syntax that Python 3.6 parses, so that an old Python gets one sentence
and no SyntaxError.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
if sys.version_info < OLDEST:
    sys.exit(
        f"This project needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and {sys.executable} is"
        f" {sys.version_info[0]}.{sys.version_info[1]}:"
        " install one and name it, as in `make setup PYTHON=python3.12`."
    )

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
LOG = ROOT / ".cache" / "setup.log"
UV_REQUIREMENTS = ROOT / "tools" / "uv-requirements.txt"
UV_INSTALLED = TOOLS / UV_REQUIREMENTS.name
KSERVE_CLIENT = ROOT / "tests" / "clients" / "kserve"
TOO_NEW_FOR_KSERVE = (3, 14)
DISK_GB = 4  # .venv takes 2.0 GB with its bytecode, the rest 1.3 GB

AGAIN = "then run `make setup` again."
CAUSES = (
    (
        r"No space left on device|os error 28\b",
        f"The disk is full: free {DISK_GB} GB, {AGAIN}",
    ),
    (
        r"Permission denied|Read-only file system|os error (13|30)\b",
        f"A file cannot be written: make {ROOT} and your cache folder writable, {AGAIN}",
    ),
    (
        r"certificate verify failed|UnknownIssuer|invalid peer certificate",
        "The package registry's certificate is not trusted: name your network's certificates in"
        f" SSL_CERT_FILE, {AGAIN}",
    ),
    (
        r"name resolution|Name or service not known|nodename nor servname|dns error"
        r"|failed to lookup address|NewConnectionError|Failed to establish a new connection"
        r"|error sending request|[Cc]onnection refused|Network is unreachable|[Tt]imed out"
        r"|ProxyError|tunnel error",
        "The package registry cannot be reached: check the network and, behind a proxy,"
        f" HTTPS_PROXY, {AGAIN}",
    ),
)


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do."""


def main() -> None:
    """Run every step that is not done yet."""
    check_machine()
    if not uv_is_installed():
        python = TOOLS / "bin" / "python"
        step("Making a virtual environment for uv", sys.executable, "-m", "venv", "--clear", TOOLS)
        step(
            "Installing uv",
            *(python, "-m", "pip", "install", "--disable-pip-version-check", "--retries", "1"),
            *("--require-hashes", "--only-binary", ":all:", "--requirement", UV_REQUIREMENTS),
        )
        shutil.copyfile(str(UV_REQUIREMENTS), str(UV_INSTALLED))
    step(
        "Installing the locked packages (1.8 GB unpacked)",
        *(TOOLS / "bin" / "uv", "sync", "--locked", "--python", sys.executable),
    )
    if sys.version_info < TOO_NEW_FOR_KSERVE:
        step(
            "Installing KServe's client for a test (0.3 GB unpacked)",
            *(TOOLS / "bin" / "uv", "sync", "--locked", "--python", sys.executable),
            *("--project", KSERVE_CLIENT),
        )
    step(
        "Fetching the wheels for Lambda layers",
        *(ROOT / ".venv" / "bin" / "cdk-inference", "prefetch"),
    )


def check_machine() -> None:
    """Raise `SetupError` for what would fail later, and less clearly."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            "This Python has no venv module: install it (on Debian and Ubuntu,"
            f" `sudo apt install python3-venv`), {AGAIN}"
        )
    free_gb = shutil.disk_usage(str(ROOT)).free / 1e9
    if not (ROOT / ".venv").exists() and free_gb < DISK_GB:
        raise SetupError(
            f"The set-up needs {DISK_GB} GB and {ROOT} has {free_gb:.1f} GB free:"
            f" free some space, {AGAIN}"
        )


def uv_is_installed() -> bool:
    """Whether .tools holds the pinned uv: the copy is written after a whole installation."""
    return UV_INSTALLED.exists() and UV_INSTALLED.read_bytes() == UV_REQUIREMENTS.read_bytes()


def step(title: str, *command: object) -> None:
    """Run ``command`` and show how long it has been running; raise `SetupError` if it fails."""
    LOG.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    with LOG.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the commands above
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=str(ROOT),
            env=environment(),
        )
    try:
        while process.poll() is None:
            show(title, time.monotonic() - started)
            wait(process)
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise SetupError(explain(title))
    show(title, time.monotonic() - started, done=True)


def environment() -> "dict[str, str]":
    """The caller's, but for settings that would put packages or a Python elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    kept.update(UV_PYTHON_DOWNLOADS="never", UV_PROJECT_ENVIRONMENT=".venv")
    return kept


def wait(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the process ends, or it is time to show progress again."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.2 if sys.stdout.isatty() else 5)


def show(title: str, seconds: float, *, done: bool = False) -> None:
    """Show a step: on one line that changes where that is possible, else on a line each time."""
    line = f"{'✓' if done else '…'} {title} {seconds:.0f} s"
    if sys.stdout.isatty():
        print("\r" + line, end="\n" if done else "", flush=True)
    else:
        print(line, flush=True)


def explain(title: str) -> str:
    """Why the last step failed, from its log."""
    log = LOG.read_text(errors="replace")
    for pattern, sentence in CAUSES:
        if re.search(pattern, log):
            return sentence
    last = "\n".join(log.strip().splitlines()[-5:])
    return f"{title} failed. Its last lines:\n{last}\nThe whole log is {LOG}."


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except SetupError as error:
        sys.exit(f"\n{error}")
    except OSError as error:
        sys.exit(f"\nThe set-up cannot write or run a file: {error}. Mend that, {AGAIN}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: run `make setup` to go on.")
