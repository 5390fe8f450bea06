"""Every setting of the runtime, and the only reader of the environment.

``VARIABLES`` is the one table: documentation and tests are made from it. Settings are read once,
at start; every bad value is refused there, all in one error.
"""

from __future__ import annotations

import os

from inference_runtime.errors import InvalidSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final


class Variable:
    """One environment variable.

    Attributes:
        name: of the environment variable.
        attribute: of ``Settings``.
        parse: from text to the value; raises ``ValueError`` for what is not allowed.
        default: the text that is parsed when the variable is not set; ``None`` where it must be.
        allowed: what it takes, as shown in errors.
        purpose: what it does, with units and why the default is what it is.
    """

    __slots__ = ("allowed", "attribute", "default", "name", "parse", "purpose")

    def __init__(
        self,
        name: str,
        attribute: str,
        parse: Callable[[str], Any],
        default: str | None,
        allowed: str,
        purpose: str,
    ) -> None:
        self.name = name
        self.attribute = attribute
        self.parse = parse
        self.default = default
        self.allowed = allowed
        self.purpose = purpose


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _model_uri(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if not text.strip() or (separator and (scheme not in MODEL_SCHEMES or not rest)):
        raise ValueError
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _auto_or_positive(text: str) -> int | None:
    return None if text == "auto" else _positive(text)


def _path(text: str) -> str:
    if not text.startswith("/") or text != text.strip() or len(text) < 2:
        raise ValueError
    return text


def _reference(text: str) -> str:
    module, separator, name = text.partition(":")
    if text and not (separator and name.isidentifier() and module.replace(".", "a").isidentifier()):
        raise ValueError
    return text


def _response_cache(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if text not in ("", "memory") and (scheme not in ("redis", "rediss", "dynamodb") or not rest):
        raise ValueError
    return text


def _predict_path(text: str) -> str:
    if text == "/health" or text == "/v2" or text.startswith("/v2/"):
        raise ValueError
    return _path(text)


def _optional_path(text: str) -> str:
    return _path(text) if text else ""


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdecimal()):
        raise ValueError
    return text


def _results(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if text and not (separator and rest and scheme in ("s3", "https", "http")):
        raise ValueError
    return text


def _folder(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and (scheme != "gs" or not rest.endswith("/") or rest.startswith("/")):
        raise ValueError
    return text


def _is_on(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError
    return text == "on"


def _optional_positive(text: str) -> int | None:
    return _positive(text) if text else None


def _port(text: str) -> int | None:
    if not text:
        return None
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    if not all(origin == "*" or _is_origin(origin) for origin in origins):
        raise ValueError
    return origins


def _is_origin(text: str) -> bool:
    """Whether a browser could send it: a scheme and a host, without even a closing slash."""
    scheme, _, host = text.partition("://")
    return scheme in ("http", "https") and host != "" and "/" not in host


def _digest(text: str) -> str:
    if text and (len(text) != 64 or not set(text) <= set("0123456789abcdef")):
        raise ValueError
    return text


def _some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(part.strip() for part in text.split(",") if part.strip())
        if not set(chosen) <= set(choices):
            raise ValueError
        return chosen

    return parse


def _providers(text: str) -> tuple[str, ...]:
    chosen = _some_of(CPU, *GPU_PROVIDERS, OPENVINO)(text)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError
    return chosen


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return parse


DEFAULT_MODEL_NAME: Final = "model"
MODEL_SCHEMES: Final = ("file", "s3", "gs", "az", "https", "http")
DEFAULT_PORT: Final = 8080
# Execution providers of onnxruntime.
CPU: Final = "cpu"
TENSORRT: Final = "tensorrt"
OPENVINO: Final = "openvino"
GPU_PROVIDERS: Final = frozenset({"cuda", TENSORRT})
_PORTS: Final = "a port from 0 to 65535"
# Values of AWS_LAMBDA_INITIALIZATION_TYPE.
ON_DEMAND: Final = "on-demand"
SNAP_START: Final = "snap-start"
PROVISIONED: Final = "provisioned-concurrency"
_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"
_SMOKE_TEST_TARGET: Final = "SMOKE_TEST_TARGET"
# Where AWS's own tools look for the trace of the invocation at hand.
TRACE_ID: Final = "_X_AMZN_TRACE_ID"

VARIABLES: Final = (
    Variable(
        "MODEL_URI", "model_uri", _model_uri, None,
        "a path, or a file://, s3://, gs://, az:// or https:// URI",
        "The ONNX model, or a folder of models laid out as <model>/<version>/model.onnx; a URI of"
        " a folder ends with a /. A relative path is looked for in the working directory and then"
        " in each entry of sys.path, so that a model in a Lambda layer is found wherever the host"
        " unpacks layers.",
    ),
    Variable(
        "MODEL_NAME", "model_name", _text, DEFAULT_MODEL_NAME, "any name",
        "The model's name in answers and logs. Of a folder of models, the one that a request"
        " without a name means; the first by name unless it is set.",
    ),
    Variable(
        "MODEL_VERSION", "model_version", _text, "1", "any text",
        "The model's version in answers and logs. In a folder of models, versions are those of the"
        " layout, and the highest is the default.",
    ),
    Variable(
        "MODEL_SHA256", "model_sha256", _digest, "", "64 hexadecimal digits",
        "The model's digest: checked at load, told in the log, and with it a cached copy needs no"
        " request. With external data, as InferenceModel.sha256 has it.",
    ),
    Variable(
        "INFERENCE_CACHE_DIR", "cache_dir", _path, "/tmp", "a path that starts with /",  # noqa: S108
        "Where fetched models are kept, in a folder of this user's. The default is what a Lambda"
        " function may write.",
    ),
    Variable(
        "INFERENCE_DISK_CACHE_BYTES", "disk_cache_bytes", _optional_positive, "",
        "a whole number of bytes from 1",
        "Fetched models on disk, together; beyond, those go that are longest unused and not in"
        " use. Empty: as much as the file system holds.",
    ),
    Variable(
        "INFERENCE_MEMORY_CACHE_BYTES", "memory_cache_bytes", _optional_positive, "",
        "a whole number of bytes from 1",
        "Models in memory, together, by the size of their files; beyond, those go that are longest"
        " unused, and come back at their next request. Then only the default model is loaded at"
        " start. Empty: no limit.",
    ),
    Variable(
        "INFERENCE_FETCH_CONNECTIONS", "fetch_connections", _positive, "8",
        "a whole number from 1",
        "Connections that fetch one file at the same time, in ranges of 8 MB. One of Amazon S3's"
        " gives 85 to 90 MB/s"
        " (https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html).",
    ),
    Variable(
        "INFERENCE_FETCH_TIMEOUT_SECONDS", "fetch_timeout_seconds", _seconds, "10",
        "a number of seconds above 0",
        "A request for a model is tried again when no byte came for this long, four times at most."
        " Lambda's INIT phase ends after 10 s, whatever is set here.",
    ),
    Variable(
        "INFERENCE_PREDICT_PATH", "predict_path", _predict_path, "/predict",
        "a path that starts with /, other than /health and those below /v2",
        "Where the simple form is served.",
    ),
    Variable(
        "INFERENCE_ENGINE", "engine", _one_of("auto", "capi", "stock"), "auto",
        "auto, capi or stock",
        "What runs the model. capi: onnxruntime's C library, for models of tensors, which starts"
        " in a fraction of the time; stock: its Python package, for every model; auto: capi where"
        " it can, else stock, and the log says why.",
    ),
    Variable(
        "INFERENCE_PROVIDERS", "providers", _providers, CPU,
        "cpu, cuda, tensorrt and openvino, each once at most, separated by commas",
        "onnxruntime's execution providers, the preferred one first. What is not there or cannot"
        " run the model is left out, and the log says why. Where cpu is not named, the model is"
        " served only if every node of it runs on the others. Others than cpu need the engine stock"
        " and a build of onnxruntime that has them, and serve the original of an optimised model.",
    ),
    Variable(
        "INFERENCE_REQUIRE_GPU", "require_gpu", _is_on, "off", "on or off",
        "Whether the start fails where neither cuda nor tensorrt can be used, instead of serving on"
        " the CPU.",
    ),
    Variable(
        "INFERENCE_TENSORRT_CACHE_DIR", "tensorrt_cache_dir", _optional_path, "",
        "a path that starts with /",
        "Where TensorRT keeps the engines that it builds, which takes minutes, for the next start:"
        " a folder for each model and version of onnxruntime. Empty: nowhere.",
    ),
    Variable(
        "INFERENCE_THREADS", "threads", _auto_or_positive, "auto", "auto, or a whole number from 1",
        "Threads of one run. auto: as many as the vCPUs, rounded, that the platform really gives.",
    ),
    Variable(
        "INFERENCE_PROFILE", "profile", _one_of("auto", "cold", "throughput", "memory"), "auto",
        "auto, cold, throughput or memory",
        "What loading a model weighs most. cold: the first answer, with no run before it, and for a"
        " compiled model packed weights only afterwards; throughput: every answer; memory: weights"
        " stay in the mapped file, neither packed nor laid out for the processor, no memory is kept"
        " between runs, and what a load leaves goes back to the system. auto: cold where a caller"
        " waits for the start, on AWS Lambda, Google Cloud and Azure Functions, if the model runs"
        " on the CPU; else throughput.",
    ),
    Variable(
        "INFERENCE_PACK_AFTERWARDS", "pack_afterwards", _is_on, "on", "on or off",
        "With the profile cold: whether weights are packed in the background after the first"
        " answer, where that was measured to make answers faster and there is memory for both."
        " Later answers may differ from the first in their last bits.",
    ),
    Variable(
        "INFERENCE_PIPELINE", "pipeline", _reference, "", "package.module:Class",
        "Your own code around the model, in place of the simple form: a class with preprocess and"
        " postprocess. It works on numpy arrays, so it brings numpy's import into the start.",
    ),
    Variable(
        "INFERENCE_BATCHING", "batching", _one_of("off", "exact", "on"), "off",
        "off, exact or on",
        "Whether requests that come while the model runs share its next run. exact: only if a probe"
        " at load finds that rows run together have the same bits as rows run alone; on: whatever"
        " the probe would find. It serves hosts that run requests concurrently, and models whose"
        " run takes a millisecond or more.",
    ),
    Variable(
        "INFERENCE_BATCH_ROWS", "batch_rows", _positive, "32", "a whole number from 1",
        "Rows of one shared run, at most. The records of an SQS, Kinesis or S3 event and the items"
        " of Step Functions share runs whatever INFERENCE_BATCHING says, and so do the lines of a"
        " batch's input; 1 keeps them apart, for models whose first dimension is no batch.",
    ),
    Variable(
        "INFERENCE_RESPONSE_CACHE", "response_cache", _response_cache, "",
        "memory, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or dynamodb://TABLE",
        "Where answers are kept for requests with the very same input. memory: in this process; the"
        " others are shared by all instances, need MODEL_SHA256, and the extra redis or aws.",
    ),
    Variable(
        "INFERENCE_RESPONSE_CACHE_BYTES", "response_cache_bytes", _positive, "67108864",
        "a whole number of bytes from 1",
        "Answers kept in memory, together; beyond, the longest unused go. The default, 64 MiB, is"
        " half of Lambda's smallest function.",
    ),
    Variable(
        "INFERENCE_RESPONSE_CACHE_SECONDS", "response_cache_seconds", _positive, "86400",
        "a whole number of seconds from 1",
        "How long a shared cache keeps an answer. The default is a day.",
    ),
    Variable(
        "INFERENCE_MAX_REQUEST_BYTES", "max_request_bytes", _positive, "6291456",
        "a whole number of bytes from 1",
        "The largest body that is read; more is answered with 413. The default is the 6 MB that"
        " Lambda's synchronous invocation allows"
        " (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).",
    ),
    Variable(
        "INFERENCE_NON_FINITE", "non_finite", _one_of("string", "null"), "string",
        "string or null",
        'How NaN and infinities are written in JSON. string: "NaN", "Infinity" and "-Infinity", as'
        " ProtoJSON has them; null: null, for clients that read numbers only.",
    ),
    Variable(
        "INFERENCE_MODEL_CONTROL", "model_control", _one_of("none", "explicit"), "none",
        "none or explicit",
        "Whether callers may load and unload models. none: those requests are refused with 403.",
    ),
    Variable(
        "INFERENCE_REQUEST_LOG", "request_log", _one_of("all", "errors"), "all",
        "all or errors",
        "Which requests leave a line in the log: every prediction and every error, or errors only.",
    ),
    Variable(
        "INFERENCE_METRICS", "metrics", _some_of("prometheus", "emf"), "",
        "prometheus, emf, or both separated by a comma",
        "Metrics. prometheus: GET /metrics, which needs the extra prometheus; emf: CloudWatch's"
        " embedded metric format in the log lines.",
    ),
    Variable(
        "INFERENCE_TRACES", "traces", _one_of("none", "otlp"), "none", "none or otlp",
        "Traces. otlp: OpenTelemetry over OTLP/HTTP, configured by its own OTEL_EXPORTER_OTLP_…"
        " variables; needs the extra otlp.",
    ),
    Variable(
        "INFERENCE_HOST", "host", _text, "127.0.0.1", "an address or a host name",
        "Where the HTTP server listens. The default is this machine alone; in a container it is"
        " 0.0.0.0, or :: for IPv6 too.",
    ),
    Variable(
        "INFERENCE_PORT", "own_port", _port, "", _PORTS,
        "The HTTP server's port, before any that a platform names. 0 picks a free one; without"
        " any of them it is 8080, which Amazon SageMaker and Vertex AI expect.",
    ),
    Variable(
        "INFERENCE_TLS_CERTIFICATE", "tls_certificate", _optional_path, "",
        "a path that starts with /",
        "The HTTP server's certificate, with those that it needs, in PEM; with it, the server"
        " speaks TLS 1.2 or newer, and nothing else. Empty: plain HTTP, as platforms send it.",
    ),
    Variable(
        "INFERENCE_TLS_KEY", "tls_key", _optional_path, "", "a path that starts with /",
        "The private key of INFERENCE_TLS_CERTIFICATE, in PEM. Empty: it is in the same file.",
    ),
    Variable("PORT", "cloud_run_port", _port, "", _PORTS, "The port, set by Google Cloud Run."),
    Variable(
        "FUNCTIONS_CUSTOMHANDLER_PORT", "azure_functions_port", _port, "", _PORTS,
        "The port, set by Azure Functions for a custom handler; with it, its requests are read in"
        " both of their forms.",
    ),
    Variable("AIP_HTTP_PORT", "vertex_port", _port, "", _PORTS, "The port, set by Vertex AI."),
    Variable(
        "SAGEMAKER_BIND_TO_PORT", "sagemaker_port", _port, "", _PORTS,
        "The port, set by Amazon SageMaker for several containers on one endpoint.",
    ),
    Variable(
        "AIP_PREDICT_ROUTE", "vertex_predict_path", _optional_path, "", "a path that starts with /",
        "Where Vertex AI posts its predictions, set by it.",
    ),
    Variable(
        "AIP_HEALTH_ROUTE", "vertex_health_path", _optional_path, "", "a path that starts with /",
        "Where Vertex AI asks whether the model is ready, set by it.",
    ),
    Variable(
        "INFERENCE_CONCURRENCY", "concurrency", _auto_or_positive, "auto",
        "auto, or a whole number from 1",
        "Runs of the HTTP server at the same time, each on its thread, or inputs of a batch. auto:"
        " one more than the whole vCPUs, so that one request is decoded while others run; with"
        " INFERENCE_BATCHING, the server has as many as INFERENCE_BATCH_ROWS if that is more.",
    ),
    Variable(
        "INFERENCE_MAX_QUEUE", "max_queue", _whole, "256", "a whole number from 0",
        "Requests to the HTTP server that may wait for a run, and as many more whose bodies may be"
        " on their way; beyond, the answer is 429. The default is three times the requests that"
        " Cloud Run sends an instance by default, and bounds their bodies to 3 GB.",
    ),
    Variable(
        "INFERENCE_TIMEOUT_SECONDS", "timeout_seconds", _seconds, "60",
        "a number of seconds above 0",
        "After this, waiting included, the HTTP server ends a run and answers 504. The default is"
        " what common proxies wait for: AWS's load balancers and nginx give up after 60 s. Cloud"
        " Run's own limit, 300 s by default, comes on top.",
    ),
    Variable(
        "INFERENCE_READ_TIMEOUT_SECONDS", "read_timeout_seconds", _seconds, "30",
        "a number of seconds above 0",
        "The HTTP server drops a connection whose request is not whole after this. The default"
        " lets 6 MB come at 1.7 Mbit/s.",
    ),
    Variable(
        "INFERENCE_KEEP_ALIVE_SECONDS", "keep_alive_seconds", _positive, "75",
        "a whole number of seconds from 1",
        "The HTTP server closes a connection that is idle for this long. The default outlasts the"
        " 60 s of AWS's load balancers: a server that closes first makes them answer 502"
        " (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html#connection-idle-timeout).",
    ),
    Variable(
        "INFERENCE_CORS_ORIGINS", "cors_origins", _origins, "",
        "origins such as https://example.org separated by commas, or *",
        "Browser origins that may call; empty sends no CORS header.",
    ),
    Variable(
        "INFERENCE_INVOKE_MODE", "invoke_mode", _one_of("BUFFERED", "RESPONSE_STREAM"), "BUFFERED",
        "BUFFERED or RESPONSE_STREAM",
        "How AWS Lambda is invoked, as the function URL or API says it. RESPONSE_STREAM: the"
        " Runtime API loop streams its answers over HTTP, up to 200 MB; BUFFERED: an answer above"
        " 6 MB is refused with 413.",
    ),
    Variable(
        "INFERENCE_RESULTS", "results", _results, "",
        "s3://BUCKET/PREFIX, or the https:// URL of an SQS queue",
        "Where AWS Lambda sends the answers to events that nobody waits for: S3 objects of JSON"
        " lines, or SQS messages. Empty: answers to SQS and Kinesis go to the log, and the others"
        " are what the function returns. Needs boto3, which the managed runtimes have.",
    ),
    Variable(
        "INFERENCE_BATCH_INPUT", "batch_input", _folder, "",
        "a path, or gs://BUCKET/FOLDER/ with a / at its end",
        "The folder of requests that `inference-runtime batch` answers.",
    ),
    Variable(
        "INFERENCE_BATCH_OUTPUT", "batch_output", _folder, "",
        "a path, or gs://BUCKET/FOLDER/ with a / at its end",
        "Where their answers and the manifest go. Empty: beside the input, in a folder of its name"
        " with -results at its end.",
    ),
    Variable(
        "CLOUD_RUN_TASK_INDEX", "task_index", _whole, "0", "a whole number from 0",
        "Which of the tasks of a batch this is, set by Cloud Run.",
    ),
    Variable(
        "CLOUD_RUN_TASK_COUNT", "task_count", _positive, "1", "a whole number from 1",
        "The tasks that share the inputs of a batch, set by Cloud Run.",
    ),
    Variable(
        "CLOUD_RUN_TASK_ATTEMPT", "task_attempt", _whole, "0", "a whole number from 0",
        "How often this task was tried before, set by Cloud Run. From the first time on, the inputs"
        " that come next are left to the end, since the task may have died of one.",
    ),
    Variable(
        "CLOUD_RUN_EXECUTION", "execution", str, "", "set by Cloud Run",
        "Which execution of a job the task belongs to: the manifest is written when all of one have"
        " ended.",
    ),
    Variable(
        _RUNTIME_API, "lambda_runtime_api", _address, "", "host:port, set by AWS Lambda",
        "Where the Runtime API loop takes its events from.",
    ),
    Variable(
        "AWS_LAMBDA_MAX_CONCURRENCY", "lambda_concurrency", _positive, "1", "set by AWS Lambda",
        "Invocations at the same time in one process, on Lambda Managed Instances: the Runtime API"
        " loop answers them on as many threads over one model.",
    ),
    Variable(
        "AWS_LAMBDA_INITIALIZATION_TYPE", "lambda_initialization", str, "", "set by AWS Lambda",
        "snap-start: the process is snapshotted before its first event. provisioned-concurrency: no"
        " caller waits for the start, so none is a cold start in the log.",
    ),
    Variable(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "lambda_memory_mb", _optional_positive, "",
        "set by AWS Lambda",
        "The function's memory in MB, from which its vCPUs follow.",
    ),
)  # fmt: skip


# What the platforms and their SDKs call their own, read for credentials and endpoints; each is
# documented where its platform is. Empty where it is not set.
PLATFORM_VARIABLES: Final = (
    "HOME",
    "K_SERVICE",
    # https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    # https://cloud.google.com/docs/authentication/application-default-credentials
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "STORAGE_EMULATOR_HOST",
    # https://learn.microsoft.com/python/api/overview/azure/identity-readme
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_STORAGE_SERVICE_ENDPOINT",
    "AZURE_TENANT_ID",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
)


class Settings:
    """The settings of one process, read-only by convention.

    Each attribute is described by the row of ``VARIABLES`` that names it; ``platform`` holds
    ``PLATFORM_VARIABLES``, and ``loads_models`` is whether this process makes sessions of what it
    fetches, and so must have the memory for that.

    Example:
        >>> Settings.read({"MODEL_URI": "digits.onnx"}).max_request_bytes
        6291456
    """

    model_uri: str
    model_name: str
    model_version: str
    model_sha256: str
    cache_dir: str
    disk_cache_bytes: int | None
    memory_cache_bytes: int | None
    fetch_connections: int
    fetch_timeout_seconds: float
    predict_path: str
    engine: str
    providers: tuple[str, ...]
    require_gpu: bool
    tensorrt_cache_dir: str
    threads: int | None
    profile: str
    pack_afterwards: bool
    pipeline: str
    batching: str
    batch_rows: int
    response_cache: str
    response_cache_bytes: int
    response_cache_seconds: int
    max_request_bytes: int
    non_finite: str
    model_control: str
    request_log: str
    metrics: tuple[str, ...]
    traces: str
    host: str
    own_port: int | None
    tls_certificate: str
    tls_key: str
    cloud_run_port: int | None
    azure_functions_port: int | None
    vertex_port: int | None
    sagemaker_port: int | None
    vertex_predict_path: str
    vertex_health_path: str
    concurrency: int | None
    max_queue: int
    timeout_seconds: float
    read_timeout_seconds: float
    keep_alive_seconds: int
    cors_origins: tuple[str, ...]
    invoke_mode: str
    results: str
    batch_input: str
    batch_output: str
    task_index: int
    task_count: int
    task_attempt: int
    execution: str
    lambda_runtime_api: str
    lambda_concurrency: int
    lambda_initialization: str
    lambda_memory_mb: int | None
    platform: Mapping[str, str]
    loads_models: bool = True

    @property
    def port(self) -> int:
        """Where the HTTP server listens: ``own_port``, else the platform's, else 8080."""
        ports = (
            self.own_port, self.cloud_run_port, self.azure_functions_port, self.vertex_port,
            self.sagemaker_port,
        )  # fmt: skip
        return next((port for port in ports if port is not None), DEFAULT_PORT)

    @property
    def on_cpu(self) -> bool:
        """Whether models run on onnxruntime's own execution provider alone, that of the CPU."""
        return self.providers == (CPU,)

    @property
    def starts_for_a_caller(self) -> bool:
        """Whether a caller waits while this process starts: where the platform starts processes on
        demand, unless it did so in advance.
        """
        on_lambda = self.lambda_memory_mb is not None or self.lambda_runtime_api != ""
        if on_lambda:
            return self.lambda_initialization in ("", ON_DEMAND)
        return bool(self.platform["K_SERVICE"]) or self.azure_functions_port is not None

    @classmethod
    def read(
        cls, environ: Mapping[str, str] = os.environ, arguments: Mapping[str, str] | None = None
    ) -> Settings:
        """Read ``VARIABLES``.

        Args:
            environ: the environment.
            arguments: what was said on the command line, by the variables' names; before
                ``environ``.

        Raises:
            InvalidSettings: naming each variable at fault, what was given and what is allowed.
        """
        given = {**environ, **(arguments or {})}
        settings = cls()
        problems = []
        for variable in VARIABLES:
            text = given.get(variable.name, variable.default)
            if text is None:
                problems.append(f"{variable.name} is not set; it takes {variable.allowed}")
                continue
            try:
                setattr(settings, variable.attribute, variable.parse(text))
            except ValueError:
                problems.append(f"{variable.name} is {text!r}; it takes {variable.allowed}")
        if not problems and settings.require_gpu and GPU_PROVIDERS.isdisjoint(settings.providers):
            problems.append(
                f"INFERENCE_REQUIRE_GPU is on, but INFERENCE_PROVIDERS is"
                f" {','.join(settings.providers)!r}: name cuda or tensorrt there, or turn it off"
            )
        if problems:
            raise InvalidSettings("; ".join(problems))
        settings.platform = platform_variables(given)
        return settings


def platform_variables(environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """``PLATFORM_VARIABLES`` by name."""
    return {name: environ.get(name, "") for name in PLATFORM_VARIABLES}


def level_name(environ: Mapping[str, str] = os.environ) -> str:
    """What the level of a log line is called where this process runs: Cloud Run, of its services
    and of its jobs, reads ``severity``.
    """
    return "severity" if environ.get("K_SERVICE") or environ.get("CLOUD_RUN_JOB") else "level"


def runtime_api_address(environ: Mapping[str, str] = os.environ) -> str:
    """Where Lambda's Runtime API is, as ``host:port``, however bad the other settings are: that is
    what has to be reported there.

    Raises:
        InvalidSettings: there is none.
    """
    if not environ.get(_RUNTIME_API):
        raise InvalidSettings(
            f"{_RUNTIME_API} is not set: start this on AWS Lambda or under its emulator, or serve"
            " over HTTP"
        )
    return environ[_RUNTIME_API]


def smoke_test_target(environ: Mapping[str, str] = os.environ) -> str:
    """The ARN of the version that a hook of AWS CodeDeploy asks; such a process serves nothing.

    Raises:
        InvalidSettings: there is none.
    """
    if not environ.get(_SMOKE_TEST_TARGET):
        raise InvalidSettings(f"{_SMOKE_TEST_TARGET} is not set: it takes the ARN of a version")
    return environ[_SMOKE_TEST_TARGET]


def invocation_trace(environ: Mapping[str, str] = os.environ) -> str:
    """AWS X-Ray's header of the invocation at hand; empty where there is none."""
    return environ.get(TRACE_ID, "")
