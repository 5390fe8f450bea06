"""``inference-runtime serve``: what it takes, and how it says what is wrong."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from inference_runtime.cli.main import main

from tests.runtime.http_server import HOST, SERVE, launched
from tests.runtime.planes import DIGITS

MODEL = ["--model", str(DIGITS)]


def refusal(*arguments: str, **environ: str) -> str:
    """The one line that standard error has, with exit code 1."""
    run = subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, env=environ, check=False
    )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    return line


def test_what_is_said_comes_before_the_environment(tmp_path: Path) -> None:
    environ = {"MODEL_URI": "missing.onnx", "MODEL_NAME": "a", "INFERENCE_PORT": "1", "PORT": "2"}
    arguments = [*SERVE, *MODEL, "--name", "b", "--version", "7", "--host", HOST, "--port", "0"]
    with launched(tmp_path, arguments, environ) as server:
        server.port = server.wait_for("listening")["port"]
        server.wait_for("ready")
        assert server.ask("GET", "/health").json == {
            "status": "ok", "model": "b", "model_version": "7",
        }  # fmt: skip


def test_a_bad_setting_is_refused_in_a_sentence() -> None:
    assert refusal(*MODEL, "--port", "http") == (
        "inference-runtime: INFERENCE_PORT is 'http'; it takes a port from 0 to 65535"
    )
    assert "MODEL_URI is not set" in refusal()


def test_an_address_that_cannot_be_bound_is_refused_in_a_sentence() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(*MODEL, "--port", port)
    assert line.startswith(f"inference-runtime: cannot listen on {HOST} port {port}: Address alr")
    assert line.endswith("name another with --host and --port")
    assert "cannot listen on nowhere.invalid" in refusal(*MODEL, "--host", "nowhere.invalid")


def test_the_help_tells_each_options_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = capsys.readouterr().out
    for variable in ("MODEL_URI", "MODEL_NAME", "MODEL_VERSION", "INFERENCE_HOST",
                     "INFERENCE_PORT"):  # fmt: skip
        assert f"${variable}" in told
