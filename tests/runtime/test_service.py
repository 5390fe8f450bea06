from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.codecs.nested import decode, encode
from inference_runtime.errors import InvalidInput
from inference_runtime.service import InferenceService
from inference_runtime.tensor import DATATYPES, FP32, FP64

from tests.runtime import onnx_models as models


@pytest.fixture
def service(tmp_path: Path) -> InferenceService:
    return InferenceService(models.load(models.sum_and_product(), tmp_path))


def test_all_outputs_come_in_the_models_order(service: InferenceService) -> None:
    row = decode([[1, 2]], FP32, "a")
    assert list(service.infer({"b": row, "a": row})) == ["sum", "product"]


def test_only_the_outputs_that_are_asked_for_come(service: InferenceService) -> None:
    row = decode([[3, 4]], FP32, "a")
    outputs = service.infer({"a": row, "b": row}, ["product"])
    assert {name: encode(t, "string") for name, t in outputs.items()} == {"product": [[9.0, 16.0]]}


def test_what_does_not_fit_never_reaches_the_engine(service: InferenceService) -> None:
    row = decode([[1, 2]], FP32, "a")
    with pytest.raises(InvalidInput, match="missing input 'b'"):
        service.infer({"a": row})
    with pytest.raises(InvalidInput, match="got datatype FP64"):
        service.infer({"a": row, "b": decode([[1, 2]], FP64, "b")})
    with pytest.raises(InvalidInput, match="dimension 'N' is 1 in input 'a' and 2 in input 'b'"):
        service.infer({"a": row, "b": decode([[1, 2], [3, 4]], FP32, "b")})
    with pytest.raises(InvalidInput, match="unknown output 'mean'"):
        service.infer({"a": row, "b": row}, ["mean"])


@pytest.mark.parametrize("datatype", DATATYPES)
def test_warm_up_runs_every_datatype(datatype: str, tmp_path: Path) -> None:
    InferenceService(models.load(models.identity(datatype, ["N", None, 2]), tmp_path)).warm_up()


def test_warm_up_leaves_defaults_alone(tmp_path: Path) -> None:
    InferenceService(models.load(models.scaled(), tmp_path)).warm_up()
