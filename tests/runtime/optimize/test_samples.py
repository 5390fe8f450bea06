"""Samples from every form of file that a user may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_runtime.optimize import samples
from inference_runtime.optimize.arrays import to_array
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import BYTES, FP32, INT64

PIXELS = Signature([TensorSpec("pixels", FP32, ["N", 3])], [])
TOKENS = Signature(
    [TensorSpec("ids", INT64, ["batch", "length"]), TensorSpec("mask", INT64, ["batch", "length"])],
    [],
)
FIXED = Signature([TensorSpec("x", FP32, [2, 3])], [])
TEXT = Signature([TensorSpec("text", BYTES, ["N", 1])], [])
ROWS = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def from_json(folder: Path, document: Any, signature: Signature) -> samples.Samples:
    path = folder / "samples.json"
    path.write_text(json.dumps(document))
    return samples.read(str(path), signature)


def from_npz(folder: Path, signature: Signature, **arrays: Any) -> samples.Samples:
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return samples.read(str(path), signature)


@pytest.mark.parametrize(
    "document",
    [
        {"features": ROWS},
        {"inputs": {"pixels": ROWS}},
        [{"features": ROWS[0]}, {"features": ROWS[1]}],
        [{"pixels": ROWS[0], "label": 7}, {"pixels": ROWS[1], "label": 8}],
    ],
)
def test_every_json_form_gives_the_same_rows(tmp_path: Path, document: Any) -> None:
    read = from_json(tmp_path, document, PIXELS)
    assert [request["pixels"].tolist() for request in read.requests] == [[ROWS[0]], [ROWS[1]]]
    assert read.given
    assert read.batchable


def test_an_archive_is_cast_to_the_model_s_type_where_nothing_but_precision_is_lost(
    tmp_path: Path,
) -> None:
    read = from_npz(tmp_path, PIXELS, pixels=np.array(ROWS, np.float64))
    assert read.requests[0]["pixels"].dtype == np.float32


def test_texts_are_read(tmp_path: Path) -> None:
    read = from_npz(tmp_path, TEXT, text=np.array([["a"], ["bc"]]))
    assert [to_array(run["text"]).tolist() for run in read.runs()] == [[["a"], ["bc"]]]


def test_a_batch_repeats_the_samples_in_order(tmp_path: Path) -> None:
    batch = from_json(tmp_path, {"features": ROWS}, PIXELS).batch(5)["pixels"]
    assert to_array(batch).tolist() == [ROWS[0], ROWS[1], ROWS[0], ROWS[1], ROWS[0]]


def test_samples_of_different_lengths_run_apart_and_the_longest_makes_batches(
    tmp_path: Path,
) -> None:
    texts = [[1, 2], [3, 4], [5, 6, 7]]
    read = from_json(tmp_path, [{"ids": text, "mask": text} for text in texts], TOKENS)
    assert [run["ids"].shape for run in read.runs()] == [(2, 2), (1, 3)]
    assert to_array(read.batch(2)["ids"]).tolist() == [[5, 6, 7], [5, 6, 7]]


def test_a_fixed_first_dimension_is_cut_along_and_never_batched(tmp_path: Path) -> None:
    read = from_npz(tmp_path, FIXED, x=np.arange(12, dtype=np.float32).reshape(4, 3))
    assert not read.batchable
    assert [request["x"].shape for request in read.requests] == [(2, 3), (2, 3)]
    assert read.batch(8)["x"].shape == (2, 3)


def test_made_up_input_fits_any_signature() -> None:
    for signature in (PIXELS, TOKENS, FIXED, TEXT):
        made = samples.made_up(signature)
        assert not made.given
        for run in made.runs():
            signature.check_inputs(run)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"features": [[1.0, 2.0]]}, "takes FP32"),
        ({"features": [["a", "b", "c"]]}, "takes numbers"),
        ({"inputs": {"wrong": ROWS}}, "unknown input 'wrong'"),
        ({"nothing": 1}, "missing input 'pixels'"),
        ([], "no sample"),
        (5, "the body is a number"),
    ],
)
def test_a_json_file_that_does_not_fit_is_refused_with_its_name(
    tmp_path: Path, document: Any, message: str
) -> None:
    with pytest.raises(NotOptimized, match=message) as raised:
        from_json(tmp_path, document, PIXELS)
    assert "samples.json" in str(raised.value)


def test_an_archive_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotOptimized, match=r"holds 'wrong', but the model's inputs are 'pixels'"):
        from_npz(tmp_path, PIXELS, wrong=np.zeros((2, 3)))
    with pytest.raises(NotOptimized, match=r"holds <U1, but the model takes FP32"):
        from_npz(tmp_path, PIXELS, pixels=np.array([["a", "b", "c"]]))
    with pytest.raises(NotOptimized, match="same number of rows, got 'ids' 2, 'mask' 3"):
        from_npz(tmp_path, TOKENS, ids=np.zeros((2, 4), int), mask=np.zeros((3, 4), int))


def test_a_file_that_is_none_of_these_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotOptimized, match="no such file"):
        samples.read(str(tmp_path / "absent.npz"), PIXELS)
    (tmp_path / "a.csv").write_text("1,2,3")
    with pytest.raises(NotOptimized, match=r"from a \.npz or a \.json"):
        samples.read(str(tmp_path / "a.csv"), PIXELS)
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(NotOptimized, match="cannot be used"):
        samples.read(str(tmp_path / "a.npz"), PIXELS)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(NotOptimized, match="cannot be used"):
        samples.read(str(tmp_path / "a.json"), PIXELS)
