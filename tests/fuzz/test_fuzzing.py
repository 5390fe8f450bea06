"""A little of the coverage-guided fuzzing, so that it is known to work; run more by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from inference_runtime.messages import Reply

from tests.fuzz.targets import TARGETS, check

ROOT = Path(__file__).resolve().parents[2]
RUNS = 4_000


def fuzz(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="atheris has wheels for Linux alone")
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks(name: str, tmp_path: Path) -> None:
    prefix = f"-artifact_prefix={tmp_path}/"
    done = fuzz(tmp_path, name, f"-runs={RUNS}", "-seed=1", "-rss_limit_mb=1024", prefix)
    assert done.returncode == 0, done.stderr[-4000:]
    seen = re.search(rf"#{RUNS}\s+DONE\s+cov: (\d+)", done.stderr)
    assert seen, done.stderr[-4000:]
    assert int(seen[1]) > 0, "guided by what the runtime's own code covers"


def test_a_target_that_is_not_there_is_refused_with_the_ones_that_are(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "nothing")
    assert done.returncode == 1
    assert "TARGET is one of simple, open_inference," in done.stderr


def test_a_failure_of_ours_is_found() -> None:
    check(Reply(400, {"content-type": "application/json"}, b"{}"))
    with pytest.raises(AssertionError, match="500"):
        check(Reply(500, {}, b""))
    with pytest.raises(ValueError, match="Expecting"):
        check(Reply(200, {"content-type": "application/json"}, b"{"))
