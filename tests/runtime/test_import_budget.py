"""What is imported before the first answer is a budget: each module in it delays every cold start.

A module that this test finds new either belongs to the first prediction, and then to the list, or
is imported where it is needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# What the engine and the JSON codec bring along is their affair.
PACKAGES = "import ctypes, orjson; orjson.dumps(0)"
SERVE_ONE_REQUEST = """
from inference_runtime.adapters.aws_lambda import handler

class Context:
    aws_request_id = "id"
    get_remaining_time_in_millis = staticmethod(lambda: 30_000)

http = {"method": "POST"}
event = {"requestContext": {"http": http}, "rawPath": "/predict", "body": %r}
assert handler(event, Context)["statusCode"] == 200
"""
PRINT_MODULES = "import sys; print('\\n' + ' '.join(sys.modules))"

STANDARD_LIBRARY = {"__future__", "array", "binascii", "mmap", "threading"}
OWN = {
    "", "adapters", "adapters.aws_lambda", "adapters.lambda_function", "adapters.lambda_http",
    "adapters.watchdog", "assembly",
    "codecs", "codecs.nested", "codecs.open_inference", "codecs.simple", "content_encoding",
    "dataplane", "endpoints", "endpoints.open_inference", "endpoints.simple", "engine",
    "engine.ahead", "engine.capi", "engine.capi.library", "engine.capi.session", "engine.failures",
    "engine.labels", "engine.options", "engine.selection", "engine.threads",
    "errors", "exchange", "jsonio", "manifest", "messages", "models",
    "models.files", "models.local", "models.memory", "models.onnx_file", "observers",
    "observers.request_log",
    "repository", "routing", "service", "serving", "settings", "signature", "statistics",
    "telemetry", "tensor",
}  # fmt: skip


def loaded(code: str, **environ: str) -> set[str]:
    """The modules of a fresh interpreter after ``code``."""
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PRINT_MODULES}"],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(result.stdout.splitlines()[-1].split())


def test_the_first_answer_loads_these_modules_and_no_other(digits: Path) -> None:
    pixels = json.loads((digits / "samples.json").read_text())[0]["pixels"]
    code = SERVE_ONE_REQUEST % json.dumps({"features": pixels})
    extra = loaded(code, MODEL_URI=str(digits / "digits.onnx")) - loaded(PACKAGES)
    own = {name for name in extra if name.partition(".")[0] == "inference_runtime"}
    assert {name.removeprefix("inference_runtime").removeprefix(".") for name in own} == OWN
    assert extra - own == STANDARD_LIBRARY
