"""How models are loaded by what a process weighs most, and what comes after the first answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from queue import Empty, Queue
from threading import Event, get_ident
from typing import Any

import onnx
import pytest
from inference_runtime import serving
from inference_runtime.dataplane import DataPlane
from inference_runtime.engine import Cancellation, packing
from inference_runtime.engine.options import DEFAULT_OPTIONS, LoadOptions
from inference_runtime.engine.packing import PackAfterwards
from inference_runtime.engine.profiles import profile_of
from inference_runtime.errors import DeadlineExceeded, ModelNotLoaded
from inference_runtime.loading import Loader
from inference_runtime.manifest import Served
from inference_runtime.messages import Request
from inference_runtime.models import memory
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format
from inference_runtime.settings import Settings
from inference_runtime.signature import Signature

from bench import models as bench
from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog, Start
from tests.runtime.manifests import write

PLAIN = Served("model.onnx")
COMPILED = LoadOptions(optimize_graph=False)
PACKED_IS_FASTER = Served("model.onnx", "optimized.ort", COMPILED, unpacked_start=True)
UNPACKED_IS_LATER = Served("model.onnx", "optimized.ort", COMPILED)
PACKED_IS_NOT = Served("model.onnx", "optimized.ort", LoadOptions(prepack=False))
ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"}


def settings(**environ: str) -> Settings:
    return Settings.read({"MODEL_URI": "model.onnx", **environ})


class TestChoice:
    @pytest.mark.parametrize(
        ("environ", "warms_up"),
        [
            ({}, True),
            (ON_LAMBDA, False),
            ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, False),
            ({**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, False),
            ({**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}, True),
            ({**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}, True),
            ({**ON_LAMBDA, "INFERENCE_PROFILE": "throughput"}, True),
            ({"INFERENCE_PROFILE": "cold"}, False),
            ({"K_SERVICE": "digits"}, False),
            ({"FUNCTIONS_CUSTOMHANDLER_PORT": "7071"}, False),
            ({"K_SERVICE": "digits", "INFERENCE_PROVIDERS": "cuda,cpu"}, True),
        ],
    )
    def test_by_setting_else_by_whether_a_caller_waits(
        self, environ: dict[str, str], warms_up: bool
    ) -> None:
        assert profile_of(settings(**environ)).warms_up is warms_up

    @pytest.mark.parametrize(
        ("environ", "served", "first", "later"),
        [
            ({"INFERENCE_PROFILE": "throughput"}, PLAIN, True, None),
            ({"INFERENCE_PROFILE": "throughput"}, PACKED_IS_FASTER, True, None),
            ({"INFERENCE_PROFILE": "throughput"}, PACKED_IS_NOT, False, None),
            ({"INFERENCE_PROFILE": "memory"}, PLAIN, False, None),
            ({"INFERENCE_PROFILE": "memory"}, PACKED_IS_FASTER, False, None),
            ({"INFERENCE_PROFILE": "cold"}, PLAIN, True, None),
            ({"INFERENCE_PROFILE": "cold"}, PACKED_IS_FASTER, False, True),
            ({"INFERENCE_PROFILE": "cold"}, UNPACKED_IS_LATER, True, None),
            ({"INFERENCE_PROFILE": "cold"}, PACKED_IS_NOT, False, None),
            ({"INFERENCE_PROFILE": "cold", "INFERENCE_PACK_AFTERWARDS": "off"},
             PACKED_IS_FASTER, False, None),
            ({"INFERENCE_PROFILE": "cold", "INFERENCE_BATCHING": "exact"},
             PACKED_IS_FASTER, True, None),
        ],
    )  # fmt: skip
    def test_when_weights_are_packed(
        self, environ: dict[str, str], served: Served, first: bool, later: bool | None
    ) -> None:
        at_load, afterwards = profile_of(settings(**environ)).options(served)
        assert at_load.prepack is first
        assert (afterwards and afterwards.prepack) is later
        assert at_load.optimize_graph is served.options.optimize_graph

    def test_memory_is_kept_between_runs_unless_it_counts_most(self) -> None:
        keeps = {
            name: profile_of(settings(INFERENCE_PROFILE=name)).options(PLAIN)[0].arena
            for name in ("cold", "throughput", "memory")
        }
        assert keeps == {"cold": True, "throughput": True, "memory": False}

    @pytest.mark.parametrize(("name", "level"), [("cold", 99), ("throughput", 99), ("memory", 2)])
    def test_how_far_a_graph_is_optimised_at_load(self, name: str, level: int) -> None:
        """All levels, or those whose graph takes no more memory."""
        profile = profile_of(settings(INFERENCE_PROFILE=name))
        assert profile.options(PLAIN)[0].graph_level == level
        for options in profile.options(PACKED_IS_FASTER):
            assert options is None or options.graph_level == 0, "it was optimised before"

    @pytest.mark.parametrize("name", ["cold", "throughput", "memory"])
    def test_threads_are_those_of_the_processor_unless_set(self, name: str, digits: Path) -> None:
        model = {"MODEL_URI": str(digits / "digits.onnx"), "INFERENCE_PROFILE": name}
        on_lambda = {**model, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "5307"}
        assert Loader(settings(**on_lambda)).threads == 3
        assert Loader(settings(**on_lambda, INFERENCE_THREADS="2")).threads == 2

    def test_options_are_changed_in_a_copy(self) -> None:
        changed = DEFAULT_OPTIONS.replace(prepack=False)
        assert (changed.prepack, changed.optimize_graph, changed.arena) == (False, True, True)
        assert DEFAULT_OPTIONS.prepack


class Fake:
    """Stands for an engine; its answers tell who gave them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signature = Signature([], [])

    def run(self, *_: Any) -> dict[str, Any]:
        return {"by": self.name}


class Failing(Fake):
    """Fails every run."""

    def run(self, *_: Any) -> dict[str, Any]:
        raise DeadlineExceeded("too slow")


def answering(engine: Any) -> Any:
    answer: dict[str, Any] = engine.run({}, [], None)
    return answer["by"]


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> Queue[dict[str, Any]]:
    """What packing logs, as it comes from its thread, and without its delay."""
    lines: Queue[dict[str, Any]] = Queue()
    monkeypatch.setattr(packing, "DELAY_SECONDS", 0)
    monkeypatch.setattr(
        packing, "log", lambda level, message, **more: lines.put({"message": message, **more})
    )
    return lines


class TestPackAfterwards:
    def test_the_first_answer_does_not_wait_and_later_ones_come_from_the_packed_engine(
        self, packed: Queue[dict[str, Any]]
    ) -> None:
        may_end, threads = Event(), []

        def load_packed() -> Any:
            threads.append(get_ident())
            may_end.wait(10)
            return Fake("packed")

        engine = PackAfterwards(Fake("unpacked"), load_packed)  # type: ignore[arg-type]
        assert [answering(engine) for _ in range(3)] == ["unpacked"] * 3
        may_end.set()
        line = packed.get(timeout=10)
        assert line["message"] == "weights packed"
        assert line["pack_ms"] > 0
        assert [answering(engine) for _ in range(3)] == ["packed"] * 3
        assert len(threads) == 1
        assert threads[0] != get_ident()

    def test_it_goes_on_where_packing_fails(self, packed: Queue[dict[str, Any]]) -> None:
        def load_packed() -> Any:
            raise ModelNotLoaded("no room")

        engine = PackAfterwards(Fake("unpacked"), load_packed)  # type: ignore[arg-type]
        assert answering(engine) == "unpacked"
        line = packed.get(timeout=10)
        assert line == {"message": "weights stay unpacked", "detail": "no room"}
        assert answering(engine) == "unpacked"

    def test_a_run_that_fails_is_no_answer(self, packed: Queue[dict[str, Any]]) -> None:
        engine = PackAfterwards(Failing("unpacked"), lambda: Fake("packed"))  # type: ignore
        with pytest.raises(DeadlineExceeded):
            engine.run({}, [], Cancellation())
        with pytest.raises(Empty):
            packed.get(timeout=0.05)


def predict(plane: DataPlane, columns: int = 2) -> Any:
    """The prediction for a row of ones."""
    body = json.dumps({"features": [1] * columns}).encode()
    return json.loads(plane.handle(Request("POST", "/predict", {}, body, "id")).body)["predictions"]


def test_a_cold_start_runs_nothing_before_the_first_request(
    start: Start, read_log: ReadLog
) -> None:
    plane = start(models.scaled(), INFERENCE_PROFILE="cold")
    (ready,) = read_log()
    assert "warm_up_ms" not in ready
    assert predict(plane) == [10.0, 10.0]


def test_the_profile_memory_gives_back_what_the_load_left(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = []
    monkeypatch.setattr("inference_runtime.assembly.give_back", lambda: given_back.append(1))
    start(models.scaled())
    assert given_back == []
    plane = start(models.scaled(), INFERENCE_PROFILE="memory")
    assert given_back == [1]
    assert predict(plane) == [10.0, 10.0]


@pytest.fixture
def compiled(tmp_path: Path) -> str:
    """A model's path, with a compiled form beside it whose packed weights answer faster."""
    onnx.save(bench.perceptron(), tmp_path / "model.onnx")
    to_ort_format(str(tmp_path / "model.onnx"), str(tmp_path / "optimized.ort"))
    write(
        tmp_path,
        "optimized.ort",
        load={"optimize_graph": False, "prepack": True, "unpacked_start": True},
    )
    return str(tmp_path / "model.onnx")


def test_a_compiled_model_is_packed_behind_the_first_answer(
    compiled: str, packed: Queue[dict[str, Any]]
) -> None:
    plane = serving.start(settings(MODEL_URI=compiled, INFERENCE_PROFILE="cold"))
    first = predict(plane, 256)
    assert packed.get(timeout=10)["message"] == "weights packed"
    assert predict(plane, 256) == pytest.approx(first, rel=1e-5)


def test_it_is_not_packed_where_memory_has_no_room_for_both(
    compiled: str, packed: Queue[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = serving.start(settings(MODEL_URI=compiled, INFERENCE_PROFILE="cold"))
    monkeypatch.setattr(memory, "_limit", lambda _: (1 << 20, "this machine's memory"))
    first = predict(plane, 256)
    line = packed.get(timeout=10)
    assert line["message"] == "weights stay unpacked"
    assert "1 MiB is this machine's memory" in line["detail"]
    assert predict(plane, 256) == first


ANONYMOUS_MEMORY = """
import sys
from inference_runtime.serving import start
from inference_runtime.messages import Request

def anonymous():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0]) * 1024

plane = start()
body = sys.argv[1].encode()
assert plane.handle(Request("POST", "/predict", {}, body, "id")).status == 200
print(anonymous())
"""


def anonymous_bytes(folder: Path, row: object) -> int:
    """What a process holds that serves the model in ``folder`` and has answered ``row``."""
    ended = subprocess.run(
        [sys.executable, "-c", ANONYMOUS_MEMORY, json.dumps({"features": row})],
        env={"MODEL_URI": str(folder / "model.onnx"), "INFERENCE_PROFILE": "memory"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("form", ["external data", "ORT format"])
def test_large_weights_are_used_where_their_file_is_mapped(tmp_path: Path, form: str) -> None:
    """In the profile that packs nothing, as `cold` does up to the first answer."""
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, inner in ((small, 8), (large, 16 << 10)):
        folder.mkdir()
        path = folder / "model.onnx"
        if form == "external data":
            onnx.save(bench.perceptron((2048, inner, 10)), path, save_as_external_data=True)
        else:
            onnx.save(bench.perceptron((2048, inner, 10)), path)
            to_ort_format(str(path), str(folder / "optimized.ort"))
            write(folder, "optimized.ort", load={
                "optimize_graph": False, "prepack": True, "unpacked_start": True,
            })  # fmt: skip
    taken = [anonymous_bytes(folder, [0.5] * 2048) for folder in (small, large)]
    weights = 4 * 16 * 1024 * 2048
    assert taken[1] - taken[0] < weights / 10


def test_so_are_those_of_convolutions_where_memory_counts_most(tmp_path: Path) -> None:
    """Laid out for this processor they would be copied."""
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, widths in ((small, (8, 8, 8, 8)), (large, (64, 128, 256, 512))):
        folder.mkdir()
        made = bench.resnet(widths, image=32)
        onnx.save(made, folder / "model.onnx", save_as_external_data=True, location="weights")
    row = [[[0.5] * 32] * 32] * 3
    taken = [anonymous_bytes(folder, row) for folder in (small, large)]
    assert taken[1] - taken[0] < (large / "weights").stat().st_size / 10
