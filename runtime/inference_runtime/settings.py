"""Every setting of the runtime, and the only reader of the environment.

``VARIABLES`` is the one table: documentation and tests are made from it. Settings are read once,
at start; every bad value is refused there, all in one error.
"""

from __future__ import annotations

import os

from inference_runtime.codecs.nested import NON_FINITE_POLICIES
from inference_runtime.errors import InvalidSettings
from inference_runtime.observers.request_log import REQUEST_LOG_LEVELS

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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _threads(text: str) -> int | None:
    return None if text == "auto" else _positive(text)


def _path(text: str) -> str:
    if not text.startswith("/") or text != text.strip() or len(text) < 2:
        raise ValueError
    return text


def _memory(text: str) -> int | None:
    return _positive(text) if text else None


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


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return parse


VARIABLES: Final = (
    Variable(
        "MODEL_URI", "model_uri", _text, None, "a path or a file:// URI",
        "The ONNX model. A relative path is looked for in the working directory and then in each"
        " entry of sys.path, so that a model in a Lambda layer is found wherever the host unpacks"
        " layers.",
    ),
    Variable(
        "MODEL_NAME", "model_name", _text, "model", "any name",
        "The model's name in answers and logs.",
    ),
    Variable(
        "MODEL_VERSION", "model_version", _text, "1", "any text",
        "The model's version in answers and logs.",
    ),
    Variable(
        "MODEL_SHA256", "model_sha256", _digest, "", "64 hexadecimal digits",
        "The model's digest, told in the log.",
    ),
    Variable(
        "INFERENCE_PREDICT_PATH", "predict_path", _path, "/predict", "a path that starts with /",
        "Where the simple form is served.",
    ),
    Variable(
        "INFERENCE_THREADS", "threads", _threads, "auto", "auto, or a whole number from 1",
        "Threads of one run. auto: one below two vCPUs, else one for each whole vCPU that the"
        " platform really gives.",
    ),
    Variable(
        "INFERENCE_MAX_REQUEST_BYTES", "max_request_bytes", _positive, "6291456",
        "a whole number of bytes from 1",
        "The largest body that is read; more is answered with 413. The default is the 6 MB that"
        " Lambda's synchronous invocation allows"
        " (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).",
    ),
    Variable(
        "INFERENCE_NON_FINITE", "non_finite", _one_of(*NON_FINITE_POLICIES), "string",
        " or ".join(NON_FINITE_POLICIES),
        'How NaN and infinities are written in JSON. string: "NaN", "Infinity" and "-Infinity", as'
        " ProtoJSON has them; null: null, for clients that read numbers only.",
    ),
    Variable(
        "INFERENCE_MODEL_CONTROL", "model_control", _one_of("none", "explicit"), "none",
        "none or explicit",
        "Whether callers may load and unload models. none: those requests are refused with 403.",
    ),
    Variable(
        "INFERENCE_REQUEST_LOG", "request_log", _one_of(*REQUEST_LOG_LEVELS), "all",
        " or ".join(REQUEST_LOG_LEVELS),
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
        "INFERENCE_CORS_ORIGINS", "cors_origins", _origins, "",
        "origins such as https://example.org separated by commas, or *",
        "Browser origins that may call; empty sends no CORS header.",
    ),
    Variable(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "lambda_memory_mb", _memory, "", "set by AWS Lambda",
        "The function's memory in MB, from which its vCPUs follow.",
    ),
)  # fmt: skip


class Settings:
    """The settings of one process, read-only by convention.

    Each attribute is described by the row of ``VARIABLES`` that names it.

    Example:
        >>> Settings.read({"MODEL_URI": "digits.onnx"}).max_request_bytes
        6291456
    """

    model_uri: str
    model_name: str
    model_version: str
    model_sha256: str
    predict_path: str
    threads: int | None
    max_request_bytes: int
    non_finite: str
    model_control: str
    request_log: str
    metrics: tuple[str, ...]
    traces: str
    cors_origins: tuple[str, ...]
    lambda_memory_mb: int | None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read ``VARIABLES`` from ``environ``.

        Raises:
            InvalidSettings: naming each variable at fault, what was given and what is allowed.
        """
        settings = cls()
        problems = []
        for variable in VARIABLES:
            text = environ.get(variable.name, variable.default)
            if text is None:
                problems.append(f"{variable.name} is not set; it takes {variable.allowed}")
                continue
            try:
                setattr(settings, variable.attribute, variable.parse(text))
            except ValueError:
                problems.append(f"{variable.name} is {text!r}; it takes {variable.allowed}")
        if problems:
            raise InvalidSettings("; ".join(problems))
        return settings
