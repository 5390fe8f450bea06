"""What is imported before the first answer is a budget: each module in it delays every cold start.

A module that this test finds new either belongs to the first prediction, and then to the list, or
is imported where it is needed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httptools
import pytest
from inference_runtime.engine.capi.library import find_library

from tests.runtime import onnx_models

RUNTIME = Path(__file__).parents[2] / "runtime"
# What these bring along is their affair, and other in each version of Python.
PACKAGES = "import ctypes, functools, threading"
SERVE_ONE_REQUEST = """
from inference_runtime.adapters.aws_lambda import handler

class Context:
    aws_request_id = "id"
    get_remaining_time_in_millis = staticmethod(lambda: 30_000)

http = {"method": "POST"}
event = {"requestContext": {"http": http}, "rawPath": "/predict", "body": %r}
assert handler(event, Context)["statusCode"] == 200
"""
HANDLER = (
    f"{PACKAGES}; from inference_runtime import assembly, serving;"
    " from inference_runtime.adapters import lambda_function"
)
LOOP = (
    f"{HANDLER}; import inference_runtime.adapters.lambda_host;"
    " from inference_runtime.adapters.lambda_connection import Connection"
)
PRINT_MODULES = "import sys; print('\\n' + ' '.join(sys.modules))"

STANDARD_LIBRARY = {
    "__future__", "_json", "array", "atexit", "binascii", "collections.abc", "gc", "math", "mmap",
}  # fmt: skip
OWN = {
    "", "adapters", "adapters.aws_lambda", "adapters.lambda_function", "adapters.lambda_http",
    "adapters.watchdog", "assembly", "bundle",
    "codecs", "codecs.nested", "codecs.open_inference", "codecs.simple", "content_encoding",
    "dataplane", "endpoints", "endpoints.open_inference", "endpoints.simple", "engine",
    "engine.ahead", "engine.capi", "engine.capi.library", "engine.capi.mapping",
    "engine.capi.prepared", "engine.capi.session", "engine.capi.values",
    "engine.failures", "engine.labels", "engine.options",
    "engine.profiles", "engine.selection", "engine.threads",
    "errors", "exchange", "heap", "jsonio", "loading", "manifest", "messages", "models",
    "models.files", "models.local", "models.memory", "models.onnx_file", "observers",
    "observers.request_log",
    "readahead",
    "repository", "routing", "service", "serving", "settings", "signature", "statistics",
    "telemetry", "tensor",
}  # fmt: skip


def interpreter(version: str) -> str:
    """This one, one of pyenv's, or one on the path."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = str(of_pyenv[-1]) if of_pyenv else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"there is no Python {version} on this machine")
    return found


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """All that a model of tensors needs of onnxruntime: the same for every version of Python."""
    library = Path(find_library())
    folder = tmp_path / "onnxruntime" / "capi"
    folder.mkdir(parents=True)
    (folder / library.name).symlink_to(library)
    return tmp_path


def loaded(python: str, code: str, **environ: str) -> set[str]:
    """The modules of a fresh interpreter after ``code``."""
    result = subprocess.run(
        [python, "-S", "-c", f"{code}\n{PRINT_MODULES}"],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_first_answer_loads_these_modules_and_no_other(
    version: str, digits: Path, packages: Path
) -> None:
    pixels = json.loads((digits / "samples.json").read_text())[0]["pixels"]
    assert_within_budget(interpreter(version), str(digits / "digits.onnx"), packages, pixels)


def test_a_model_of_strings_needs_no_more(packages: Path, tmp_path: Path) -> None:
    path = onnx_models.save(onnx_models.shout(), tmp_path / "shout.onnx")
    assert_within_budget(sys.executable, path, packages, ["hello", "world"])


def assert_within_budget(python: str, model: str, packages: Path, features: list[object]) -> None:
    code = SERVE_ONE_REQUEST % json.dumps({"features": features})
    environ = {
        "MODEL_URI": model, "PYTHONPATH": f"{RUNTIME}:{packages}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    }  # fmt: skip
    extra = loaded(python, code, **environ) - loaded(python, PACKAGES)
    own = {name for name in extra if name.partition(".")[0] == "inference_runtime"}
    assert {name.removeprefix("inference_runtime").removeprefix(".") for name in own} == OWN
    assert extra - own == STANDARD_LIBRARY


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_lambda_loop_adds_no_more_than_the_module_of_sockets(version: str) -> None:
    python = interpreter(version)
    path = {"PYTHONPATH": str(RUNTIME)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"{LOOP}; Connection('127.0.0.1:{port}')"
        added = loaded(python, code, **path) - loaded(python, HANDLER, **path)
    theirs = {name for name in added if not name.startswith("inference_runtime.")}
    assert theirs == {"_socket"}


def test_the_http_host_adds_its_parser_sockets_and_little_else() -> None:
    path = {"PYTHONPATH": f"{RUNTIME}:{Path(httptools.__file__).parents[1]}"}
    base = f"{HANDLER}; import socket, httptools"
    host = "from inference_runtime.adapters.http import server, start"
    added = loaded(sys.executable, f"{base}; {host}", **path) - loaded(sys.executable, base, **path)
    theirs = {name for name in added if not name.startswith("inference_runtime.")}
    assert theirs == {"_heapq", "_queue", "signal"}
