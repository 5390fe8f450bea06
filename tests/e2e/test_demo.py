"""`make demo` as a newcomer runs it: what it prints, how it ends, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "CDK_INFERENCE_TEST_RUN"
DYING_SECONDS = 5  # what was killed may be seen a moment longer
# What the demo uses of app.py: the whole, which the other end-to-end tests deploy, takes several
# times as long to synthesize.
AWS = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import aws_cdk as cdk
from stacks.digits import DigitsStack
aws = cdk.App()
DigitsStack(aws, "DigitsStack")
aws.synth()
"""
GOOGLE_CLOUD = """
import cdktn
from stacks.cloud_run import CloudRunStack
google_cloud = cdktn.App()
CloudRunStack(google_cloud, "CloudRunStack")
google_cloud.synth()
"""


@dataclass(frozen=True)
class Demo:
    """A run of the demo in a folder of its own."""

    process: subprocess.Popen[str]
    folder: Path
    mark: str

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        seen = ""
        for line in self.process.stdout:
            seen += line
            if text in line:
                return seen
        raise AssertionError(f"the demo ended without {text!r}:\n{seen}")

    def survivors(self) -> list[str]:
        """Processes that descend from the demo, by their environment or their folder."""
        return [
            (process / "cmdline").read_text().replace("\0", " ")
            for process in Path("/proc").glob("[0-9]*")
            if self._owns(process)
        ]

    def _owns(self, process: Path) -> bool:
        try:
            what = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            return False
        return self.mark.encode() in what or str(self.folder).encode() in what

    def survivors_of_the_end(self) -> list[str]:
        deadline = time.monotonic() + DYING_SECONDS
        while (survivors := self.survivors()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return survivors


@contextmanager
def run_demo(folder: Path, app: str) -> Iterator[Demo]:
    (folder / "small_app.py").write_text(app)
    config = json.loads((ROOT / "cdk.json").read_text())
    (folder / "cdk.json").write_text(json.dumps({**config, "app": "python3 small_app.py"}))
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, str(ROOT / "models" / "digits" / "demo.py")],
        cwd=folder,
        env={**os.environ, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield Demo(process, folder, mark)
        process.kill()


def test_it_reads_digits_and_leaves_no_process(tmp_path: Path) -> None:
    with run_demo(tmp_path, AWS + GOOGLE_CLOUD) as demo:
        output, _ = demo.process.communicate(timeout=240)

    assert demo.process.returncode == 0, output
    assert output.count("✓ right") == 5
    assert "This is a 3, with probability 0.9" in output
    assert "cold call" in output
    assert "The same 5 digits through Cloud Run: every answer equal to Lambda's" in output
    assert "cdk deploy DigitsStack" in output
    assert demo.survivors_of_the_end() == []


@pytest.mark.parametrize(
    ("moment", "signal_number", "app"),
    [
        ("Synthesizing", signal.SIGINT, AWS),
        ("Deploying", signal.SIGTERM, AWS),
        ("Starting the app's", signal.SIGINT, AWS + GOOGLE_CLOUD),
    ],
    ids=["synthesis", "deployment", "service"],
)
def test_interrupted_it_leaves_no_process(
    tmp_path: Path, moment: str, signal_number: signal.Signals, app: str
) -> None:
    with run_demo(tmp_path, app) as demo:
        demo.read_until(moment)
        assert demo.survivors(), "the search for survivors finds what runs"

        demo.process.send_signal(signal_number)
        demo.process.communicate(timeout=20)

    assert demo.process.returncode in (130, 143)
    assert demo.survivors_of_the_end() == []
    assert not (demo.folder / ".cdk-inference" / "demo" / "scratch").exists()


def test_failing_it_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    with run_demo(tmp_path, AWS) as demo:
        demo.read_until("Preparing")
        for template in demo.folder.rglob("DigitsStack.template.json"):
            template.write_text('{"Resources": {"Wrong": {"Type": "AWS::No::Such"}}}')
        output, _ = demo.process.communicate(timeout=60)

    assert demo.process.returncode == 1
    assert "The demo failed. `cdk deploy` failed" in output
    assert "AWS::No::Such" in output
    assert "Traceback" not in output
    assert demo.survivors_of_the_end() == []
