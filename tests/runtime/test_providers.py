"""Execution providers: what is used of those that are asked for, and when nothing is served.

No GPU is needed here: sessions are made by what stands in for onnxruntime. ``test_gpu.py`` has the
real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.engine import selection
from inference_runtime.engine.providers import Providers
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import InvalidSettings, ModelNotLoaded
from inference_runtime.settings import GPU_PROVIDERS, Settings

from tests.runtime import onnx_models
from tests.runtime.conftest import ReadLog, Start

ORT_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
ALL = frozenset(ORT_NAMES)


class Fake:
    """Stands in for onnxruntime.

    Args:
        silent: providers that it goes on without.
        failing: providers that no session can be made with.
        idle: providers that have no kernel for the model.
        error: that those of ``failing`` raise.
    """

    def __init__(
        self,
        silent: frozenset[str] = frozenset(),
        failing: frozenset[str] = frozenset(),
        idle: frozenset[str] = frozenset(),
        error: Exception | None = None,
    ) -> None:
        self._idle = {ORT_NAMES[name] for name in idle}
        self._silent = {ORT_NAMES[name] for name in silent}
        self._failing = {ORT_NAMES[name] for name in failing}
        self._error = error or RuntimeError("no driver")
        self.made: list[dict[str, Mapping[str, str]]] = []
        self.config: Mapping[str, str] = {}

    def __call__(
        self, chosen: Sequence[tuple[str, Mapping[str, str]]], config: Mapping[str, str]
    ) -> Fake:
        self.made.append(dict(chosen))
        self.config = config
        if self._failing & dict(chosen).keys():
            raise self._error
        return self

    def get_providers(self) -> list[str]:
        used = [name for name in self.made[-1] if name not in self._silent]
        return [*used, *({ORT_NAMES["cpu"]} - set(used))]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Two nodes for each provider."""
        return [
            SimpleNamespace(ep_name=name, get_nodes=lambda: [None, None])
            for name in self.get_providers()
            if name not in self._idle
        ]


def opened(
    fake: Fake, *names: str, available: frozenset[str] = ALL, require_gpu: bool = False,
    path: str = "model.onnx", cache: str = "",
) -> list[str]:  # fmt: skip
    """What the session that is made has, by the names of the settings."""
    providers = Providers(names, require_gpu=require_gpu, tensorrt_cache_dir=cache)
    providers.open_session(path, 3, [ORT_NAMES[name] for name in available], fake)
    return [name for name in names if ORT_NAMES[name] in fake.get_providers()]


def test_all_that_can_be_used_are_in_the_order_given(read_log: ReadLog) -> None:
    assert opened(Fake(), "tensorrt", "cuda", "cpu") == ["tensorrt", "cuda", "cpu"]
    (line,) = read_log()
    assert (line["level"], line["message"]) == ("INFO", "execution providers")
    assert line["nodes"] == {"tensorrt": 2, "cuda": 2, "cpu": 2}


@pytest.mark.parametrize(
    ("fake", "available", "reason"),
    [
        (Fake(), frozenset({"cpu"}), "this onnxruntime has CPUExecutionProvider only"),
        (Fake(silent=frozenset({"cuda"})), ALL, "onnxruntime could not load it"),
        (Fake(failing=frozenset({"cuda"})), ALL, "no driver"),
    ],
    ids=["not built in", "not loaded", "failed"],
)
def test_what_cannot_be_used_is_left_out_and_the_log_says_why(
    read_log: ReadLog, fake: Fake, available: frozenset[str], reason: str
) -> None:
    assert opened(fake, "cuda", "cpu", available=available) == ["cpu"]
    warning, used = read_log()
    assert (warning["level"], warning["provider"]) == ("WARNING", "cuda")
    assert warning["reason"].startswith(reason)
    assert used["nodes"] == {"cpu": 2}


def test_a_gpu_that_is_required_and_cannot_be_used_is_an_error_with_every_reason() -> None:
    fake = Fake(silent=frozenset({"cuda"}), failing=frozenset({"tensorrt"}))
    with pytest.raises(ModelNotLoaded) as raised:
        opened(fake, "tensorrt", "cuda", "cpu", require_gpu=True)
    assert str(raised.value).startswith(
        "model.onnx is not served without its execution providers (tensorrt: no driver; cuda:"
        " onnxruntime could not load it"
    )
    assert "INFERENCE_REQUIRE_GPU is on: give this process a GPU" in str(raised.value)


def test_a_gpu_that_would_have_nothing_to_do_is_no_gpu() -> None:
    fake = Fake(idle=frozenset({"cuda"}))
    assert opened(fake, "cuda", "cpu") == ["cuda", "cpu"]
    with pytest.raises(ModelNotLoaded, match="cuda: it has no kernel for any node of the model"):
        opened(fake, "cuda", "cpu", require_gpu=True)


def test_one_gpu_provider_is_enough() -> None:
    fake = Fake(failing=frozenset({"tensorrt"}))
    assert opened(fake, "tensorrt", "cuda", "cpu", require_gpu=True) == ["cuda", "cpu"]


def test_without_cpu_no_node_may_run_there() -> None:
    fake = Fake()
    opened(fake, "cuda")
    assert fake.config["session.disable_cpu_ep_fallback"] == "1"
    opened(fake, "cuda", "cpu")
    assert "session.disable_cpu_ep_fallback" not in fake.config


def test_without_cpu_nothing_is_left_where_the_others_fail() -> None:
    with pytest.raises(ModelNotLoaded, match="INFERENCE_PROVIDERS names no other"):
        opened(Fake(failing=frozenset({"openvino"})), "openvino")


def test_a_broken_model_is_tried_once(read_log: ReadLog) -> None:
    fake = Fake(failing=ALL, error=type("InvalidProtobuf", (Exception,), {})("no model"))
    with pytest.raises(Exception, match="no model"):
        opened(fake, "cuda", "cpu")
    assert len(fake.made) == 1
    assert read_log() == []


@given(
    names=st.lists(st.sampled_from(sorted(ALL)), unique=True, min_size=1),
    available=st.sets(st.sampled_from(sorted(ALL - {"cpu"}))),
    silent=st.sets(st.sampled_from(sorted(ALL - {"cpu"}))),
    failing=st.sets(st.sampled_from(sorted(ALL - {"cpu"}))),
    require_gpu=st.booleans(),
)
def test_what_serves_is_asked_for_and_works_and_is_a_gpu_where_one_must_be(
    names: list[str],
    available: set[str],
    silent: set[str],
    failing: set[str],
    require_gpu: bool,
) -> None:
    fake = Fake(frozenset(silent), frozenset(failing))
    try:
        used = opened(
            fake, *names, available=frozenset(available | {"cpu"}), require_gpu=require_gpu
        )
    except ModelNotLoaded:
        # The first goes whichever it is that fails, so what works is left behind the last of those.
        there = [name for name in names if name in available | {"cpu"}]
        behind = there[max((i + 1 for i, n in enumerate(there) if n in failing), default=0) :]
        working = [name for name in behind if name not in silent]
        assert not working or (require_gpu and GPU_PROVIDERS.isdisjoint(working))
    else:
        assert used
        assert set(used) <= set(names) & (available | {"cpu"}) - silent - failing
        assert not require_gpu or not GPU_PROVIDERS.isdisjoint(used)


def test_openvino_has_the_threads_of_a_run() -> None:
    fake = Fake()
    opened(fake, "openvino", "cpu")
    assert fake.made == [{ORT_NAMES["openvino"]: {"num_of_threads": "3"}, ORT_NAMES["cpu"]: {}}]


# The engines that TensorRT builds


@pytest.fixture
def tensors(tmp_path: Path) -> str:
    return onnx_models.save(onnx_models.identity("FP32"), tmp_path / "tensors.onnx")


def engines(cache: Path, path: str) -> Mapping[str, str]:
    fake = Fake()
    opened(fake, "tensorrt", "cpu", path=path, cache=str(cache))
    assert fake.made[-1][ORT_NAMES["cpu"]] == {}
    return fake.made[-1][ORT_NAMES["tensorrt"]]


def test_engines_are_kept_for_each_model(tmp_path: Path, tensors: str) -> None:
    options = engines(tmp_path / "engines", tensors)
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_dir()
    assert folder.parent == tmp_path / "engines"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert engines(tmp_path / "engines", tensors) == options

    other = onnx_models.save(onnx_models.identity("FP64"), tmp_path / "other.onnx")
    assert engines(tmp_path / "engines", other) != options


def test_without_a_folder_no_engine_is_kept(tensors: str) -> None:
    fake = Fake()
    opened(fake, "tensorrt", path=tensors)
    assert fake.made == [{ORT_NAMES["tensorrt"]: {}}]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, tensors: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotLoaded, match="where no engine can be kept"):
        engines(tmp_path / "file", tensors)


# With the onnxruntime that is installed, which has no GPU's providers


def test_the_stock_engine_serves_on_what_is_left(start: Start, read_log: ReadLog) -> None:
    plane = start(onnx_models.scaled(), INFERENCE_PROVIDERS="cuda,cpu")
    assert [line["message"] for line in read_log()] == [
        "execution provider left out", "execution providers", "ready",
    ]  # fmt: skip
    assert plane.repository.ready


def test_a_start_that_requires_a_gpu_fails_without(tensors: str) -> None:
    environ = {
        "MODEL_URI": tensors, "INFERENCE_PROVIDERS": "cuda,cpu", "INFERENCE_REQUIRE_GPU": "on",
        "PYTHONPATH": ":".join(sys.path), "INFERENCE_PORT": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "inference_runtime.cli", "serve"],
        env=environ,
        stdout=subprocess.PIPE,
        check=False,
        text=True,
        timeout=60,
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode != 0
    assert lines[-1]["error"] == "MODEL_NOT_LOADED"
    assert "INFERENCE_REQUIRE_GPU is on" in lines[-1]["detail"]


def test_the_engine_is_stock_without_a_word_about_it(tensors: str, read_log: ReadLog) -> None:
    assert type(selection.load(tensors, 1, providers=Providers(("cuda", "cpu")))) is StockEngine
    assert "the stock engine" not in json.dumps(read_log())


def test_capi_has_no_other_provider_than_the_cpus(tensors: str) -> None:
    with pytest.raises(ModelNotLoaded, match="'capi', which runs on the CPU alone"):
        selection.load(tensors, 1, selection.CAPI, providers=Providers(("cuda", "cpu")))


def test_a_gpu_cannot_be_required_where_none_is_named() -> None:
    with pytest.raises(InvalidSettings, match="but INFERENCE_PROVIDERS is 'openvino,cpu': name"):
        Settings.read(
            {
                "MODEL_URI": "model.onnx",
                "INFERENCE_PROVIDERS": "openvino,cpu",
                "INFERENCE_REQUIRE_GPU": "on",
            }
        )
