"""Which engine runs a model, and what is said where it is not the first choice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from inference_runtime.engine.capi import library
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.selection import AUTO, CAPI, STOCK, load
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import ModelNotLoaded

from tests.runtime import onnx_models


@pytest.fixture(params=["FP32", "BYTES"])
def tensors(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return onnx_models.save(onnx_models.identity(request.param), tmp_path / "tensors.onnx")


@pytest.fixture
def maps(tmp_path: Path) -> str:
    return onnx_models.save(onnx_models.zipmap_classifier(), tmp_path / "maps.onnx")


@pytest.mark.parametrize(("choice", "expected"), [(AUTO, CapiEngine), (CAPI, CapiEngine),
                                                  (STOCK, StockEngine)])  # fmt: skip
def test_a_model_of_tensors(tensors: str, choice: str, expected: type) -> None:
    assert type(load(tensors, 1, choice)) is expected


def test_nothing_is_said_of_the_first_choice(
    tensors: str, capsys: pytest.CaptureFixture[str]
) -> None:
    load(tensors, 1)
    assert capsys.readouterr().out == ""


def test_stock_takes_what_capi_cannot(maps: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert type(load(maps, 1)) is StockEngine
    line = json.loads(capsys.readouterr().out)
    assert line["level"] == "WARNING"
    assert "'probabilities' is no tensor of numbers, booleans or strings" in line["message"]


def test_capi_alone_refuses_what_it_cannot(maps: str) -> None:
    with pytest.raises(ModelNotLoaded, match="served by capi: 'probabilities' is no tensor"):
        load(maps, 1, CAPI)


def test_an_untested_version_of_the_library(
    tensors: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "TESTED_MINORS", range(4, 6))
    monkeypatch.setattr(library, "_loaded", None)
    assert type(load(tensors, 1)) is StockEngine
    assert "this engine is tested with 1.4 to 1.5" in capsys.readouterr().out
    with pytest.raises(ModelNotLoaded, match=r"tested with 1\.4 to 1\.5"):
        load(tensors, 1, CAPI)


def test_a_broken_model_is_not_tried_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelNotLoaded, match="Protobuf parsing failed"):
        load(str(path), 1)
    assert capsys.readouterr().out == ""


def test_stock_is_needed_but_not_installed(maps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "inference_runtime.engine.stock")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelNotLoaded, match="the packages onnxruntime and numpy are not"):
        load(maps, 1)
