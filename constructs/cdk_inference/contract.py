"""What the constructs and the runtime they ship agree on.

The constructs never import the runtime, so the names stand here once; the test
``tests/contract/test_runtime_contract.py`` holds the runtime to them.
"""

from enum import StrEnum
from typing import Final

MODEL_URI: Final = "MODEL_URI"
MODEL_NAME: Final = "MODEL_NAME"
MODEL_VERSION: Final = "MODEL_VERSION"
MODEL_SHA256: Final = "MODEL_SHA256"
PREDICT_PATH: Final = "INFERENCE_PREDICT_PATH"
BATCH_INPUT: Final = "INFERENCE_BATCH_INPUT"
BATCH_OUTPUT: Final = "INFERENCE_BATCH_OUTPUT"
CACHE_DIR: Final = "INFERENCE_CACHE_DIR"
CORS_ORIGINS: Final = "INFERENCE_CORS_ORIGINS"
INVOKE_MODE: Final = "INFERENCE_INVOKE_MODE"
ENGINE: Final = "INFERENCE_ENGINE"
PIPELINE: Final = "INFERENCE_PIPELINE"
PORT: Final = "INFERENCE_PORT"
MAX_QUEUE: Final = "INFERENCE_MAX_QUEUE"
MAX_REQUEST_BYTES: Final = "INFERENCE_MAX_REQUEST_BYTES"
PROVIDERS: Final = "INFERENCE_PROVIDERS"
RESPONSE_CACHE: Final = "INFERENCE_RESPONSE_CACHE"
REQUEST_LOG: Final = "INFERENCE_REQUEST_LOG"
REQUIRE_GPU: Final = "INFERENCE_REQUIRE_GPU"
TENSORRT_CACHE_DIR: Final = "INFERENCE_TENSORRT_CACHE_DIR"
TIMEOUT_SECONDS: Final = "INFERENCE_TIMEOUT_SECONDS"
TLS_CERTIFICATE: Final = "INFERENCE_TLS_CERTIFICATE"
TLS_KEY: Final = "INFERENCE_TLS_KEY"
TRACES: Final = "INFERENCE_TRACES"
OTLP: Final = "otlp"

# Set by Lambda, and what it says there of a function with SnapStart.
INITIALIZATION_TYPE: Final = "AWS_LAMBDA_INITIALIZATION_TYPE"
SNAP_START: Final = "snap-start"

# Environment variables that constructs set, and that users therefore may not.
RESERVED_ENVIRONMENT: Final = frozenset({MODEL_URI, MODEL_NAME, MODEL_VERSION, PREDICT_PATH})

DEFAULT_PREDICT_PATH: Final = "/predict"
HEALTH_PATH: Final = "/health"
READY_PATH: Final = "/v2/health/ready"
LIVE_PATH: Final = "/v2/health/live"

# The value of ENGINE for onnxruntime's Python package, which comes with numpy; and the tensors that
# the other engine serves, without either: all of the Open Inference Protocol's.
STOCK_ENGINE: Final = "stock"
TENSOR_DATATYPES: Final = frozenset(
    {
        *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
        *("FP16", "BF16", "FP32", "FP64", "BYTES"),
    }
)

RUNTIME_PACKAGE: Final = "inference_runtime"
AWS_LAMBDA_HANDLER: Final = "inference_runtime.adapters.aws_lambda.handler"
AWS_LAMBDA_COMMAND: Final = (
    "python",
    "-c",
    "from inference_runtime.adapters.aws_lambda_runtime import main; main()",
)
GOOGLE_FUNCTIONS_MODULE: Final = "inference_runtime.adapters.google_functions"
# Where a batch's answers are, in its output.
BATCH_RESULTS: Final = "results/"
BATCH_COMMAND: Final = ("python", "-m", "inference_runtime.cli", "batch")
SERVE_COMMAND: Final = ("python", "-m", "inference_runtime.cli", "serve")
# Has the model in the cache, and then listens on its port for whoever waits for that.
FETCH_COMMAND: Final = ("python", "-m", "inference_runtime.cli", "fetch", "--stay")

AWS_CLOUDFORMATION_HANDLER: Final = "inference_runtime.adapters.aws_cloudformation.handler"
AWS_CODEDEPLOY_HANDLER: Final = "inference_runtime.adapters.aws_codedeploy.handler"

# What the hook of AWS CodeDeploy asks, and whom.
SMOKE_TESTS_FILE: Final = "smoke_tests.json"
SMOKE_TEST_TARGET: Final = "SMOKE_TEST_TARGET"

# An extension's name is that of its file; this one's starts the program beside it in the package.
MODEL_CACHE_EXTENSION: Final = "inference-model-cache"
MODEL_CACHE_LAUNCHER: Final = f"{RUNTIME_PACKAGE}/adapters/model_cache_extension.sh"

# How long, at most, a warm-up call keeps an environment busy.
WARM_UP_HOLD_LIMIT_MS: Final = 10_000

# The runtime's log: what `message` says in the lines that are counted here.
LOG_READY: Final = "ready"
LOG_REQUEST: Final = "request"
LOG_TRACEBACK: Final = "request failed"


class LogField(StrEnum):
    """A field of those lines."""

    MESSAGE = "message"
    IMPORTS_MS = "imports_ms"
    LOAD_MS = "load_ms"
    WARM_UP_MS = "warm_up_ms"
    REQUEST_ID = "request_id"
    STATUS = "status"
    COLD_START = "cold_start"
    QUEUE_MS = "queue_ms"
    DECODE_MS = "decode_ms"
    RUN_MS = "run_ms"
    ENCODE_MS = "encode_ms"
    FAILED_MS = "failed_ms"
    MODEL = "model"
    MODEL_VERSION = "model_version"
    BATCH_SIZE = "batch_size"
    ERROR = "error"
    FAULT = "fault"
    DETAIL = "detail"
    TRACEBACK = "traceback"


# With `INFERENCE_METRICS=emf` the lines of requests are CloudWatch metrics too, each to be paid for
# with each combination of the dimensions: so both are few.
EMF_NAMESPACE: Final = "InferenceRuntime"
EMF_DIMENSIONS: Final = (LogField.MODEL, LogField.MODEL_VERSION)
EMF_METRICS: Final = (
    LogField.QUEUE_MS,
    LogField.DECODE_MS,
    LogField.RUN_MS,
    LogField.ENCODE_MS,
    LogField.FAILED_MS,
    LogField.BATCH_SIZE,
)

MODELS_FOLDER: Final = "models"
MODEL_FILE: Final = "model.onnx"
# What `inference-runtime optimize` writes beside a model; it names what serves in its place.
MANIFEST_FILE: Final = "manifest.json"


def model_uri(name: str) -> str:
    """The ``MODEL_URI`` of the model ``name`` in an artifact, relative as the runtime expects."""
    return f"{MODELS_FOLDER}/{name}/{MODEL_FILE}"


def stored_path(name: str, version: str) -> str:
    """Where a model's ONNX file is in a store, from its root; the other files are beside it."""
    return f"{name}/{version}/{MODEL_FILE}"


def predict_path(name: str) -> str:
    """Where the simple form is served for the model ``name``, beside the default path."""
    return f"/models/{name}/predict"


def infer_path(name: str) -> str:
    """Where the Open Inference Protocol has inferences of the model ``name``."""
    return f"{metadata_path(name)}/infer"


def ready_path(name: str) -> str:
    """Where the Open Inference Protocol tells whether the model ``name`` answers."""
    return f"{metadata_path(name)}/ready"


def metadata_path(name: str) -> str:
    """Where the Open Inference Protocol tells the signature of the model ``name``."""
    return f"/v2/models/{name}"


def warm_up_event(hold_ms: int) -> dict[str, object]:
    """The event that has the Lambda runtime be busy for ``hold_ms`` and run nothing."""
    return {"warmup": True, "hold_ms": hold_ms}
