"""Every row of ``VARIABLES``: what it reads and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from inference_runtime.errors import InvalidSettings
from inference_runtime.settings import PLATFORM_VARIABLES, VARIABLES, Settings, Variable

REQUIRED = {"MODEL_URI": "model.onnx"}
PORTS = (
    "INFERENCE_PORT", "PORT", "FUNCTIONS_CUSTOMHANDLER_PORT", "AIP_HTTP_PORT",
    "SAGEMAKER_BIND_TO_PORT",
)  # fmt: skip
GOOD: dict[str, list[tuple[str, Any]]] = {
    "MODEL_URI": [
        ("models/a/model.onnx", "models/a/model.onnx"),
        ("file:///a.onnx",) * 2,
        ("s3://b/k.onnx",) * 2,
    ],
    "MODEL_NAME": [("digits", "digits")],
    "MODEL_VERSION": [("2026-11-22", "2026-11-22")],
    "MODEL_SHA256": [("", ""), ("0f" * 32, "0f" * 32)],
    "INFERENCE_CACHE_DIR": [("/mnt/cache", "/mnt/cache")],
    "INFERENCE_DISK_CACHE_BYTES": [("", None), ("1", 1)],
    "INFERENCE_MEMORY_CACHE_BYTES": [("", None), ("1", 1)],
    "INFERENCE_FETCH_CONNECTIONS": [("1", 1), ("32", 32)],
    "INFERENCE_FETCH_TIMEOUT_SECONDS": [("0.5", 0.5)],
    "INFERENCE_PREDICT_PATH": [("/v1/predict", "/v1/predict")],
    "INFERENCE_ENGINE": [("auto", "auto"), ("capi", "capi"), ("stock", "stock")],
    "INFERENCE_PROVIDERS": [("cpu", ("cpu",)), ("tensorrt, cuda,cpu", ("tensorrt", "cuda", "cpu"))],
    "INFERENCE_REQUIRE_GPU": [("off", False)],
    "INFERENCE_TENSORRT_CACHE_DIR": [("", ""), ("/mnt/engines", "/mnt/engines")],
    "INFERENCE_THREADS": [("auto", None), ("3", 3)],
    "INFERENCE_PROFILE": [(name, name) for name in ("auto", "cold", "throughput", "memory")],
    "INFERENCE_PACK_AFTERWARDS": [("on", True), ("off", False)],
    "INFERENCE_PIPELINE": [("", ""), ("package.module:Class", "package.module:Class")],
    "INFERENCE_BATCHING": [("off", "off"), ("exact", "exact"), ("on", "on")],
    "INFERENCE_BATCH_ROWS": [("8", 8)],
    "INFERENCE_RESPONSE_CACHE": [
        ("", ""),
        ("memory", "memory"),
        ("redis://cache:6379/0",) * 2,
        ("dynamodb://answers",) * 2,
    ],
    "INFERENCE_RESPONSE_CACHE_BYTES": [("1", 1)],
    "INFERENCE_RESPONSE_CACHE_SECONDS": [("60", 60)],
    "INFERENCE_MAX_REQUEST_BYTES": [("1", 1), ("1048576", 1048576)],
    "INFERENCE_NON_FINITE": [("string", "string"), ("null", "null")],
    "INFERENCE_MODEL_CONTROL": [("none", "none"), ("explicit", "explicit")],
    "INFERENCE_REQUEST_LOG": [("all", "all"), ("errors", "errors")],
    "INFERENCE_METRICS": [("", ()), ("emf, prometheus", ("emf", "prometheus"))],
    "INFERENCE_TRACES": [("none", "none"), ("otlp", "otlp")],
    "INFERENCE_HOST": [("::", "::")],
    **{name: [("", None), ("0", 0), ("65535", 65535)] for name in PORTS},
    "AIP_PREDICT_ROUTE": [("", ""), ("/v1/models/m:predict", "/v1/models/m:predict")],
    "AIP_HEALTH_ROUTE": [("", ""), ("/ready", "/ready")],
    "INFERENCE_TLS_CERTIFICATE": [("", ""), ("/ready", "/ready")],
    "INFERENCE_TLS_KEY": [("", ""), ("/ready", "/ready")],
    "INFERENCE_CONCURRENCY": [("auto", None), ("3", 3)],
    "INFERENCE_MAX_QUEUE": [("0", 0), ("7", 7)],
    "INFERENCE_TIMEOUT_SECONDS": [("60", 60.0), ("0.5", 0.5)],
    "INFERENCE_READ_TIMEOUT_SECONDS": [("5", 5.0)],
    "INFERENCE_KEEP_ALIVE_SECONDS": [("620", 620)],
    "INFERENCE_CORS_ORIGINS": [
        ("", ()),
        ("*", ("*",)),
        ("https://a.org, http://localhost:3000", ("https://a.org", "http://localhost:3000")),
    ],
    "INFERENCE_INVOKE_MODE": [("BUFFERED", "BUFFERED"), ("RESPONSE_STREAM", "RESPONSE_STREAM")],
    "INFERENCE_RESULTS": [
        ("", ""),
        ("s3://b/p", "s3://b/p"),
        ("https://sqs.eu-west-1.amazonaws.com/0/q", "https://sqs.eu-west-1.amazonaws.com/0/q"),
    ],
    "INFERENCE_BATCH_INPUT": [("", ""), ("requests", "requests"), ("gs://b/f/",) * 2],
    "INFERENCE_BATCH_OUTPUT": [("", ""), ("/tmp/answers/",) * 2, ("gs://b/",) * 2],
    "CLOUD_RUN_TASK_INDEX": [("0", 0), ("7", 7)],
    "CLOUD_RUN_TASK_COUNT": [("8", 8)],
    "CLOUD_RUN_TASK_ATTEMPT": [("0", 0), ("3", 3)],
    "CLOUD_RUN_EXECUTION": [("", ""), ("digits-x7k2p", "digits-x7k2p")],
    "AWS_LAMBDA_RUNTIME_API": [("", ""), ("127.0.0.1:9001", "127.0.0.1:9001")],
    "AWS_LAMBDA_MAX_CONCURRENCY": [("8", 8)],
    "AWS_LAMBDA_INITIALIZATION_TYPE": [("snap-start", "snap-start"), ("", "")],
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": [("", None), ("1769", 1769)],
}
BAD: dict[str, list[str]] = {
    "MODEL_URI": ["", "  ", "ftp://host/m.onnx", "s3://", "://m.onnx"],
    "MODEL_NAME": ["", "  "],
    "MODEL_VERSION": ["", "  "],
    "MODEL_SHA256": ["0f", "0F" * 32, "x" * 64],
    "INFERENCE_CACHE_DIR": ["", "cache", "/"],
    "INFERENCE_DISK_CACHE_BYTES": ["0", "1GB"],
    "INFERENCE_MEMORY_CACHE_BYTES": ["0", "1GB"],
    "INFERENCE_FETCH_CONNECTIONS": ["", "0", "many"],
    "INFERENCE_FETCH_TIMEOUT_SECONDS": ["", "0", "inf"],
    "INFERENCE_PREDICT_PATH": [
        "", "/", "predict", " /predict", "/predict ", "/health", "/v2/predict",
    ],
    "INFERENCE_ENGINE": ["", "Capi", "onnxruntime"],
    "INFERENCE_PIPELINE": ["module", "module:", ":Class", "a b:Class"],
    "INFERENCE_BATCHING": ["", "true"],
    "INFERENCE_BATCH_ROWS": ["0", "many"],
    "INFERENCE_RESPONSE_CACHE": ["redis", "redis://", "memcached://host", "dynamodb://"],
    "INFERENCE_RESPONSE_CACHE_BYTES": ["0", "1GB"],
    "INFERENCE_RESPONSE_CACHE_SECONDS": ["0", "a day"],
    "INFERENCE_PROVIDERS": ["", ",", "CUDA", "gpu", "cuda,cuda"],
    "INFERENCE_REQUIRE_GPU": ["", "yes", "true"],
    "INFERENCE_TENSORRT_CACHE_DIR": ["engines", "/"],
    "INFERENCE_THREADS": ["", "0", "-1", "1.5", "all", "AUTO"],
    "INFERENCE_PROFILE": ["", "warm", "COLD"],
    "INFERENCE_PACK_AFTERWARDS": ["", "yes", "true", "ON"],
    "INFERENCE_MAX_REQUEST_BYTES": ["", "0", "-1", "6MB", "1e6"],
    "INFERENCE_NON_FINITE": ["", "NULL", "nan"],
    "INFERENCE_MODEL_CONTROL": ["", "yes", "Explicit"],
    "INFERENCE_REQUEST_LOG": ["", "none"],
    "INFERENCE_METRICS": ["statsd", "emf,statsd"],
    "INFERENCE_TRACES": ["", "zipkin"],
    "INFERENCE_HOST": ["", "  "],
    **{name: ["-1", "65536", "http"] for name in PORTS},
    "AIP_PREDICT_ROUTE": ["/", "predict"],
    "AIP_HEALTH_ROUTE": ["/", "health"],
    "INFERENCE_TLS_CERTIFICATE": ["/", "health"],
    "INFERENCE_TLS_KEY": ["/", "health"],
    "INFERENCE_CONCURRENCY": ["", "0", "all"],
    "INFERENCE_MAX_QUEUE": ["", "-1", "1.5"],
    "INFERENCE_TIMEOUT_SECONDS": ["", "0", "-1", "inf", "nan", "1m"],
    "INFERENCE_READ_TIMEOUT_SECONDS": ["", "0", "inf"],
    "INFERENCE_KEEP_ALIVE_SECONDS": ["", "0", "1.5"],
    "INFERENCE_CORS_ORIGINS": [
        "example.org", "https://", "https://a.org/", "https://a.org/app", "https://a.org,b",
        "ftp://a.org",
    ],
    "INFERENCE_INVOKE_MODE": ["", "buffered"],
    "INFERENCE_RESULTS": ["queue", "s3://", "arn:aws:sqs:eu-west-1:0:q"],
    "INFERENCE_BATCH_INPUT": ["gs://b/f", "s3://b/f/", "gs:///"],
    "INFERENCE_BATCH_OUTPUT": ["gs://b", "file:///f/"],
    "CLOUD_RUN_TASK_INDEX": ["", "-1"],
    "CLOUD_RUN_TASK_COUNT": ["", "0"],
    "CLOUD_RUN_TASK_ATTEMPT": ["", "-1"],
    "CLOUD_RUN_EXECUTION": [],
    "AWS_LAMBDA_RUNTIME_API": ["127.0.0.1", ":9001", "host:port"],
    "AWS_LAMBDA_MAX_CONCURRENCY": ["", "0", "many"],
    "AWS_LAMBDA_INITIALIZATION_TYPE": [],
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": ["0", "1 GB"],
}  # fmt: skip
BY_NAME = {variable.name: variable for variable in VARIABLES}


def test_every_variable_is_tested_here() -> None:
    assert GOOD.keys() == BAD.keys() == BY_NAME.keys()
    assert len({variable.attribute for variable in VARIABLES}) == len(VARIABLES)


def test_defaults_are_read_like_any_value() -> None:
    settings = Settings.read(REQUIRED)
    for variable in VARIABLES:
        if variable.default is not None:
            assert getattr(settings, variable.attribute) == variable.parse(variable.default)


@pytest.mark.parametrize(
    ("name", "text", "value"), [(name, *case) for name, cases in GOOD.items() for case in cases]
)
def test_good_values_are_read(name: str, text: str, value: Any) -> None:
    settings = Settings.read({**REQUIRED, name: text})
    assert getattr(settings, BY_NAME[name].attribute) == value


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_a_bad_value_is_refused_with_its_name_and_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.read({**REQUIRED, name: text})
    assert str(raised.value) == f"{name} is {text!r}; it takes {BY_NAME[name].allowed}"


@pytest.mark.parametrize(
    "variable", [v for v in VARIABLES if v.default is None], ids=lambda v: v.name
)
def test_a_required_variable_must_be_set(variable: Variable) -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.read({})
    assert str(raised.value) == f"{variable.name} is not set; it takes {variable.allowed}"


def test_the_platforms_variables_are_read_as_they_are() -> None:
    settings = Settings.read({**REQUIRED, "AWS_REGION": "eu-west-1", "PATH": "/bin"})
    assert settings.platform["AWS_REGION"] == "eu-west-1"
    assert settings.platform["AWS_PROFILE"] == ""
    assert settings.platform.keys() == set(PLATFORM_VARIABLES)


def test_all_problems_are_in_one_error() -> None:
    given = {name: texts[0] for name, texts in BAD.items() if texts}
    with pytest.raises(InvalidSettings) as raised:
        Settings.read(given)
    assert str(raised.value).split("; it takes ")[0].startswith("MODEL_URI is ''")
    assert all(f"{name} is {text!r}; it takes" in str(raised.value) for name, text in given.items())


@pytest.mark.parametrize("first", range(len(PORTS) + 1))
def test_the_first_port_that_is_set_counts(first: int) -> None:
    given = {name: str(9000 + index) for index, name in enumerate(PORTS)}
    settings = Settings.read({**REQUIRED, **{name: given[name] for name in PORTS[first:]}})
    assert settings.port == (9000 + first if first < len(PORTS) else 8080)


def test_an_argument_comes_before_the_environment() -> None:
    environ = {**REQUIRED, "INFERENCE_PORT": "1", "MODEL_NAME": "environment"}
    settings = Settings.read(environ, {"INFERENCE_PORT": "2"})
    assert (settings.port, settings.model_name) == (2, "environment")
