"""The two ways to read and write JSON, held to each other: which one works is nobody's concern."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from inference_runtime import jsonio
from inference_runtime.errors import MalformedBody

from tests.runtime import onnx_models
from tests.runtime.manifests import write

WITHOUT_ORJSON = jsonio.BYTES_BEFORE_ORJSON
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v) | st.tuples(v) | st.dictionaries(st.text(), v), max_leaves=20
)
# Near JSON, so that many are: pieces in any order.
PIECES = st.lists(
    st.sampled_from(
        (
            *'{}[],:-+.eE"\\ \t\n\r\x0c\x00\x1f\x7f\xa0\ufeff',
            *("true", "false", "null", "NaN", "Infinity", "-Infinity", "0", "1", "-0", "01"),
            *("1e400", "1e-400", "18446744073709551615", "18446744073709551616"),
            *("-9223372036854775809", "\\u00e9", "\\ud800", "\\udc00", '"é"', '{"a":1}', "[1,2.5]"),
        )
    ),
    max_size=12,
).map(lambda pieces: "".join(pieces).encode())


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test as in a process that has not imported orjson yet."""
    left = jsonio._left
    yield
    jsonio._left = left


def outcome(function: Callable[[Any], object], argument: object, left: int) -> object:
    """What ``function`` returns, or the error it raises, after a start of so many bytes."""
    jsonio._left = left
    try:
        return described(function(argument))
    except (MalformedBody, TypeError) as error:
        return type(error), str(error)


def described(value: object) -> object:
    """``value`` with types, to tell 1 from 1.0 and -0.0 from 0.0, and NaN equal to itself."""
    if isinstance(value, dict):
        return {key: described(element) for key, element in value.items()}
    if isinstance(value, list):
        return [described(element) for element in value]
    return type(value), repr(value)


class TestReading:
    @given(st.binary() | PIECES | VALUES.map(lambda v: json.dumps(v).encode()))
    @example(b"")
    @example(b"[" * 800 + b"]" * 800)
    @example(b"[" * 1025 + b"]" * 1025)
    @example(b"9" * 5000)
    @example(b"1.7976931348623159e308")
    @example(b'{"a": 1, "a": 2}')
    def test_any_bytes(self, body: bytes) -> None:
        alone = outcome(jsonio.loads, body, WITHOUT_ORJSON)
        assert alone == outcome(jsonio.loads, body, 0)

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer(self, kind: type) -> None:
        jsonio._left = WITHOUT_ORJSON
        assert jsonio.loads(kind(b'{"a": [1]}')) == {"a": [1]}

    @pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "[1] x", "'a'", "\ufeff1"])
    def test_what_is_no_json_is_refused(self, text: str) -> None:
        jsonio._left = WITHOUT_ORJSON
        with pytest.raises(MalformedBody, match="the body is not JSON"):
            jsonio.loads(text.encode())


class TestWriting:
    @given(VALUES | st.dictionaries(st.integers(), st.none()) | st.binary() | st.sets(st.none()))
    @example([[[[]]]] * 3)
    @example({"a": "\ud800"})
    @example([1 << 64])
    @example(float("nan"))
    def test_any_value(self, value: object) -> None:
        def dumps(value: object) -> object:
            return json.loads(jsonio.dumps(value))

        assert outcome(dumps, value, WITHOUT_ORJSON) == outcome(dumps, value, 0)

    def test_what_is_nested_too_deeply_is_refused(self) -> None:
        value: list[Any] = []
        for _ in range(300):
            value = [value]
        assert outcome(jsonio.dumps, value, WITHOUT_ORJSON) == outcome(jsonio.dumps, value, 0)

    @given(VALUES)
    def test_it_is_utf_8_without_spaces(self, value: object) -> None:
        jsonio._left = WITHOUT_ORJSON
        try:
            written = jsonio.dumps({"é": value})
        except TypeError:
            return
        assert written.startswith(b'{"\xc3\xa9":')


def modules(code: str) -> set[str]:
    """What a fresh interpreter has imported after ``code``."""
    program = f"from inference_runtime import jsonio\n{code}\nimport sys; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_the_first_bodies_need_neither_orjson_nor_json() -> None:
    loaded = modules("jsonio.dumps(jsonio.loads(b'[1.5, \"a\"]'))")
    assert not {"orjson", "json", "re"} & loaded


@pytest.mark.parametrize("text", ["[1,", "[1 2]", "x", '{"a" 1}', '"\t"', "1 1", "-", "NaN"])
def test_what_is_no_json_is_refused_where_nobody_has_imported_json(text: str) -> None:
    refused = f"""
from inference_runtime.errors import MalformedBody
try:
    jsonio.loads({text.encode()!r})
except MalformedBody as error:
    assert str(error).startswith("the body is not JSON: "), error
else:
    raise AssertionError
"""
    assert "orjson" in modules(refused)


@pytest.mark.parametrize(
    "code",
    [
        f"jsonio.loads(b'[' + b'1,' * {WITHOUT_ORJSON} + b'1]')",
        f"jsonio.dumps([1.5] * {WITHOUT_ORJSON})",
        f"for _ in range(40): jsonio.loads(b'\"' + b'a' * {WITHOUT_ORJSON // 32} + b'\"')",
        "jsonio.import_orjson()",
    ],
)
def test_orjson_comes_with_a_large_body_or_with_many_small_ones(code: str) -> None:
    assert "orjson" in modules(code)


def test_a_number_that_is_none_is_null_in_both() -> None:
    jsonio._left = WITHOUT_ORJSON
    assert jsonio.dumps([float("nan")]) == orjson.dumps([float("nan")]) == b"[null]"


class TestExpecting:
    @pytest.mark.parametrize(("numbers", "imports"), [(150_528, True), (256, False), (0, False)])
    def test_only_a_large_request_is_worth_the_import(self, numbers: int, imports: bool) -> None:
        code = (
            "from inference_runtime import jsonio;"
            " jsonio.start_new_thread = lambda function, _: print(function.__name__);"
            f" jsonio.expect({numbers})"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert ran.stdout.decode().split() == ["import_orjson"] * imports

    def test_an_answer_and_its_envelope_do_without(self) -> None:
        """Numbers take the time, and they are in the envelope as text that is copied."""
        code = """
import sys
from inference_runtime import jsonio
body = jsonio.dumps({"outputs": [[0.12345678901234567] * 768] * 16}).decode()
envelope = jsonio.dumps({"statusCode": 200, "body": body})
print(len(body) + len(envelope) > jsonio.BYTES_BEFORE_ORJSON, "orjson" in sys.modules)
jsonio.dumps({"body": body * 8})
print("orjson" in sys.modules)
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert ran.stdout.decode().split() == ["True", "False", "True"]

    def test_it_comes_while_the_model_loads(self, tmp_path: Path) -> None:
        onnx.save(onnx_models.scaled(), tmp_path / "model.onnx")
        load = {"optimize_graph": True, "prepack": True, "unpacked_start": True}
        write(tmp_path, "model.onnx", load={**load, "request_elements": 150_528})
        code = (
            "import sys, time; from inference_runtime.serving import start; start();"
            " [time.sleep(0.01) for _ in range(500) if 'orjson.orjson' not in sys.modules];"
            " print('orjson' in sys.modules)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], env={"MODEL_URI": str(tmp_path / "model.onnx")},
            capture_output=True, check=True,
        )  # fmt: skip
        assert ran.stdout.decode().splitlines()[-1] == "True"
