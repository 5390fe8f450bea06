from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import redis
from cdk_inference.local import emulator
from fakeredis import TcpFakeServer
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.engine import Cancellation, caching
from inference_runtime.engine.caching import CachingEngine, create_store, decode, encode
from inference_runtime.errors import InvalidInput, InvalidSettings
from inference_runtime.responses.memory import MemoryStore
from inference_runtime.settings import Settings
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import BYTES, FP32, INT64, Tensor, pack_elements

from tests.runtime import onnx_models
from tests.runtime.planes import answer, send, serving

if TYPE_CHECKING:
    from inference_runtime.engine.caching import Store

SHA256 = "ab" * 32
ROW = Tensor(FP32, [1, 2], bytes(8))


class Counting:
    """Gives back its input, and counts its runs."""

    def __init__(self) -> None:
        self.signature = Signature(
            [TensorSpec("x", FP32, ["N", 2])], [TensorSpec("y", FP32, ["N"])]
        )
        self.runs = 0

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        self.runs += 1
        if inputs["x"].shape == (0, 2):
            raise InvalidInput("no rows")
        return dict.fromkeys(outputs, inputs["x"])


def settings(**environ: str) -> Settings:
    return Settings.read({"MODEL_URI": "unused", **environ})


# Answers


def test_an_answer_comes_back_from_its_bytes() -> None:
    original = {
        "scores": Tensor(FP32, [1, 2], b"12345678", ["no", "yes"]),
        "label": Tensor(BYTES, [2], pack_elements([b"a\0", b"\xff"])),
        "none": Tensor(INT64, [0, 3], b""),
    }
    again = decode(encode(original))
    assert list(again) == list(original)
    for name, tensor in original.items():
        assert again[name].datatype is tensor.datatype
        assert again[name].shape == tensor.shape
        assert bytes(again[name].buffer) == bytes(tensor.buffer)
        assert again[name].labels == tensor.labels


def test_the_same_input_runs_once() -> None:
    inner = Counting()
    engine = CachingEngine(inner, MemoryStore(1000), "")
    for _ in range(3):
        assert bytes(engine.run({"x": ROW}, ["y"])["y"].buffer) == bytes(8)
    assert inner.runs == 1


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": Tensor(FP32, [1, 2], b"\1" + bytes(7))}, ["y"]),
        ({"x": Tensor(FP32, [2, 1], bytes(8))}, ["y"]),
        ({"x": Tensor(INT64, [1], bytes(8))}, ["y"]),
        ({"x": ROW}, ["y", "z"]),
    ],
)
def test_another_input_or_output_runs_again(inputs: dict[str, Tensor], outputs: list[str]) -> None:
    inner = Counting()
    engine = CachingEngine(inner, MemoryStore(1000), "")
    engine.run({"x": ROW}, ["y"])
    engine.run(inputs, outputs)
    assert inner.runs == 2


def test_models_that_share_a_store_do_not_share_answers() -> None:
    store, first, second = MemoryStore(1000), Counting(), Counting()
    CachingEngine(first, store, "a").run({"x": ROW}, ["y"])
    CachingEngine(second, store, "b").run({"x": ROW}, ["y"])
    assert (first.runs, second.runs) == (1, 1)


def test_errors_are_not_kept() -> None:
    inner = Counting()
    engine = CachingEngine(inner, MemoryStore(1000), "")
    for _ in range(2):
        with pytest.raises(InvalidInput):
            engine.run({"x": Tensor(FP32, [0, 2], b"")}, ["y"])
    assert inner.runs == 2


def test_a_store_that_fails_fails_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def get(self, key: str) -> bytes | None:
            raise ConnectionError("gone")

        def put(self, key: str, answer: bytes) -> None:
            raise ConnectionError("gone")

    engine = CachingEngine(Counting(), Broken(), "")
    assert engine.run({"x": ROW}, ["y"])["y"].shape == (1, 2)
    assert '"detail":"ConnectionError: gone"' in capsys.readouterr().out


def test_a_store_that_times_out_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(caching, "monotonic", lambda: now[0])

    class Slow(MemoryStore):
        asked = 0

        def get(self, key: str) -> bytes | None:
            self.asked += 1
            now[0] += 0.25
            raise TimeoutError

    store = Slow(1000)
    engine = CachingEngine(Counting(), store, "")
    for pause, asked in ((0, 1), (0, 1), (4.9, 1), (0.2, 2)):
        now[0] += pause
        engine.run({"x": ROW}, ["y"])
        assert store.asked == asked


@pytest.mark.parametrize("kept", [b"", b"\x05\0\0\0[1]", b"\x02\0\0\0[}", bytes(100)])
def test_what_is_no_answer_in_the_store_fails_no_request(
    kept: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    class Foreign(MemoryStore):
        def get(self, key: str) -> bytes | None:
            return kept

    engine = CachingEngine(Counting(), Foreign(1000), "")
    assert engine.run({"x": ROW}, ["y"])["y"].shape == (1, 2)
    assert "response cache failed" in capsys.readouterr().out


# Stores


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 12))), st.integers(1, 30))
def test_memory_holds_the_latest_used_that_fit(puts: list[tuple[str, int]], limit: int) -> None:
    store = MemoryStore(limit)
    expected: dict[str, int] = {}
    for key, size in puts:
        store.put(key, bytes(size))
        if size <= limit:
            expected.pop(key, None)
            expected[key] = size
        while sum(expected.values()) > limit:
            del expected[next(iter(expected))]
    kept = {key: store.get(key) for key in "abcde"}
    assert {k: len(v) for k, v in kept.items() if v is not None} == expected


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()


def check(store: Store) -> None:
    assert store.get("unknown") is None
    store.put("key", b"\0answer\xff")
    assert store.get("key") == b"\0answer\xff"


def test_redis_keeps_answers(redis_url: str) -> None:
    store = create_store(
        settings(
            INFERENCE_RESPONSE_CACHE=redis_url, MODEL_SHA256=SHA256,
            INFERENCE_RESPONSE_CACHE_SECONDS="60",
        )
    )  # fmt: skip
    check(store)
    assert 0 < redis.Redis.from_url(redis_url).ttl("key") <= 60


def test_a_redis_that_is_not_there_fails_no_request() -> None:
    store = create_store(
        settings(INFERENCE_RESPONSE_CACHE="redis://127.0.0.1:1/0", MODEL_SHA256=SHA256)
    )
    assert CachingEngine(Counting(), store, "").run({"x": ROW}, ["y"])["y"].shape == (1, 2)


DYNAMODB = """
import time, boto3
from inference_runtime.responses import dynamodb
boto3.client("dynamodb").create_table(
    TableName="answers", BillingMode="PAY_PER_REQUEST",
    AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
    KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
)
store = dynamodb.DynamoDbStore("answers", 60)
assert store.get("unknown") is None
store.put("key", b"\\0answer\\xff")
assert store.get("key") == b"\\0answer\\xff"
store.put("large", bytes(dynamodb.LARGEST_ITEM_BYTES))
assert store.get("large") is None
expired = dynamodb.DynamoDbStore("answers", -1)
expired.put("old", b"answer")
assert expired.get("old") is None
"""


def test_dynamodb_keeps_answers(tmp_path: Path) -> None:
    with emulator.running(tmp_path) as running:
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": running.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        subprocess.run([sys.executable, "-c", DYNAMODB], env=environ, check=True)


def test_a_shared_store_needs_the_models_digest() -> None:
    with pytest.raises(InvalidSettings, match="MODEL_SHA256 must be set"):
        create_store(settings(INFERENCE_RESPONSE_CACHE="dynamodb://answers"))


# Served


def test_a_prediction_is_answered_from_memory() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_RESPONSE_CACHE="memory") as plane:
        replies = [send(plane, "POST", "/predict", {"features": [1, 2, 3]}) for _ in range(2)]
    assert [answer(reply)["predictions"] for reply in replies] == [[1, 2, 3]] * 2
