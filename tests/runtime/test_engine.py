"""What every engine does alike, and what the stock one does with onnxruntime's options."""

from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from inference_runtime.codecs.nested import decode, encode
from inference_runtime.engine import Cancellation
from inference_runtime.engine.selection import AUTO, STOCK, load
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import DeadlineExceeded, InvalidInput, ModelFailed, ModelNotLoaded
from inference_runtime.tensor import BF16, BYTES, DATATYPES, FP32, Tensor
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression

from tests.runtime import onnx_models as models

VALUES = {
    "bool": [True, False, True],
    "int": [0, 1, 2],
    "float": [0, 0.5, -2],
    "bytes": ["", "a", "é"],
}


def infer(engine: StockEngine, **inputs: Any) -> dict[str, Any]:
    """Every output as a nested list."""
    signature = engine.signature
    tensors = {
        name: decode(value, signature.inputs[name].datatype, name) for name, value in inputs.items()
    }
    outputs = engine.run(tensors, list(signature.outputs))
    return {name: encode(tensor, "string") for name, tensor in outputs.items()}


# Datatypes and shapes


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_passes_through(datatype: str, tmp_path: Path) -> None:
    engine = models.load(models.identity(datatype), tmp_path)
    assert str(engine.signature.inputs["x"]) == f"{datatype}[N, 3]"
    row = VALUES[DATATYPES[datatype].kind]
    assert infer(engine, x=[row, row[::-1]]) == {"y": [row, row[::-1]]}


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 0, 3)])
def test_empty_tensors_pass_through(datatype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    engine = models.load(models.identity(datatype, [None] * len(shape)), tmp_path)
    output = engine.run({"x": Tensor(DATATYPES[datatype], shape, b"")}, ["y"])["y"]
    assert output.shape == shape
    assert output.buffer.nbytes == 0


@pytest.mark.parametrize("datatype", DATATYPES)
def test_scalars_pass_through(datatype: str, tmp_path: Path) -> None:
    engine = models.load(models.identity(datatype, []), tmp_path)
    value = VALUES[DATATYPES[datatype].kind][1]
    assert infer(engine, x=value) == {"y": value}


def test_bfloat16_keeps_its_bits(tmp_path: Path) -> None:
    bits = np.arange(0, 2**16, dtype="<u2")
    engine = models.load(models.identity("BF16", ["N"]), tmp_path)
    output = engine.run({"x": Tensor(BF16, bits.shape, bits.tobytes())}, ["y"])["y"]
    assert bytes(output.buffer) == bits.tobytes()


def test_several_inputs_and_outputs_go_by_name(tmp_path: Path) -> None:
    engine = models.load(models.sum_and_product(), tmp_path)
    assert infer(engine, b=[[10, 20]], a=[[1, 2]]) == {
        "sum": [[11.0, 22.0]],
        "product": [[10.0, 40.0]],
    }
    tensor = decode([[3, 3]], FP32, "a")
    assert list(engine.run({"a": tensor, "b": tensor}, ["product"])) == ["product"]


def test_an_input_with_a_default_may_be_left_out(tmp_path: Path) -> None:
    engine = models.load(models.scaled(factor=10), tmp_path)
    assert [spec.optional for spec in engine.signature.inputs.values()] == [False, True]
    assert infer(engine, x=[[1, 2]]) == {"y": [[10.0, 20.0]]}
    assert infer(engine, x=[[1, 2]], factor=[3]) == {"y": [[3.0, 6.0]]}


def test_strings_are_computed_with(tmp_path: Path) -> None:
    engine = models.load(models.shout(), tmp_path)
    assert infer(engine, text=[["hé", ""]]) == {"shouted": [["hé!", "!"]]}


def test_strings_that_are_no_text_are_refused(tmp_path: Path) -> None:
    engine = models.load(models.identity("BYTES", ["N"]), tmp_path)
    with pytest.raises(InvalidInput, match="UTF-8"):
        engine.run({"x": Tensor(BYTES, [1], b"\x01\x00\x00\x00\xff")}, ["y"])


# Classifiers


FLOWERS = ["rose", "tulip", "violet"]


def train(labels: list[Any]) -> LogisticRegression:
    centres = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    return LogisticRegression().fit(centres, np.repeat(labels, 10))


def export(classifier: LogisticRegression, zipmap: Any) -> onnx.ModelProto:
    return to_onnx(
        classifier,
        initial_types=[("petals", FloatTensorType([None, 3]))],
        options={id(classifier): {"zipmap": zipmap}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )


def probabilities(engine: StockEngine) -> tuple[Tensor, Any]:
    row = decode([[1, 0, 0], [0, 0, 1]], FP32, "petals")
    outputs = list(engine.signature.outputs)
    label, scores = engine.run({"petals": row}, outputs).values()
    return scores, encode(label, "string")


@pytest.mark.parametrize("labels", [FLOWERS, [10, 20, 30]], ids=["strings", "integers"])
@pytest.mark.parametrize("zipmap", [True, False], ids=["zipmap", "metadata"])
def test_a_classifiers_labels_name_its_probabilities(
    labels: list[Any], zipmap: bool, tmp_path: Path
) -> None:
    classifier = train(labels)
    model = export(classifier, zipmap)
    if not zipmap:
        onnx.helper.set_model_props(model, {"class_labels": json.dumps(labels)})
    scores, predicted = probabilities(models.load(model, tmp_path))
    assert predicted == [labels[0], labels[2]]
    assert list(scores.labels or ()) == labels
    expected = classifier.predict_proba([[1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(
        np.frombuffer(scores.buffer, "<f4").reshape(2, 3), expected, rtol=1e-5
    )


def test_a_classifier_without_labels_has_plain_columns(tmp_path: Path) -> None:
    scores, predicted = probabilities(models.load(export(train(FLOWERS), zipmap=False), tmp_path))
    assert scores.labels is None
    assert scores.shape == (2, 3)
    assert predicted == ["rose", "violet"]


def test_labels_that_do_not_match_the_columns_are_not_used(tmp_path: Path) -> None:
    model = export(train(FLOWERS), zipmap=False)
    onnx.helper.set_model_props(model, {"class_labels": '["rose", "tulip"]'})
    assert probabilities(models.load(model, tmp_path))[0].labels is None


def test_a_zipmap_without_rows_is_empty(tmp_path: Path) -> None:
    engine = models.load(models.zipmap_classifier(), tmp_path)
    outputs = engine.run({"x": Tensor(FP32, (0, 2), b"")}, ["label", "probabilities"])
    assert {name: encode(tensor, "string") for name, tensor in outputs.items()} == {
        "label": [],
        "probabilities": [],
    }


# What cannot be served


@pytest.mark.parametrize("text", ["rose", '{"0": "rose"}', "[1.5]", "[null]"])
def test_class_labels_must_be_a_list_of_strings_or_integers(text: str, tmp_path: Path) -> None:
    model = models.identity("FP32")
    onnx.helper.set_model_props(model, {"class_labels": text})
    with pytest.raises(ModelNotLoaded) as raised:
        models.load(model, tmp_path)
    assert f"'class_labels' is {text!r}; it must be a JSON list" in str(raised.value)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (models.sequence_of_tensors(), "'y' is a seq(tensor(float))"),
        (models.sequence_input(), "'x' is a seq(tensor(float))"),
        (models.optional_input(), "'x' is a optional(tensor(float))"),
    ],
    ids=["sequence out", "sequence in", "optional in"],
)
@pytest.mark.parametrize("choice", [AUTO, STOCK])
def test_a_model_of_other_than_tensors_is_refused_with_the_reason(
    model: onnx.ModelProto, reason: str, choice: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotLoaded) as raised:
        load(models.save(model, tmp_path / "model.onnx"), 1, choice)
    assert reason in str(raised.value)


def test_an_element_type_outside_the_protocol_is_refused(tmp_path: Path) -> None:
    model = models.identity("INT8")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT8E4M3FN
    with pytest.raises(ModelNotLoaded, match=r"'x' is a tensor\(float8e4m3fn\)"):
        models.load(model, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model"], ids=["empty", "text"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelNotLoaded, match=r"model\.onnx cannot be loaded: "):
        StockEngine(str(path), 1)


def test_missing_external_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(
        models.lookup(), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    assert StockEngine(str(path), 1).signature.inputs
    (tmp_path / "weights").unlink()
    with pytest.raises(ModelNotLoaded, match="weights"):
        StockEngine(str(path), 1)


# Whose fault


def test_an_index_out_of_bounds_is_the_callers_mistake(tmp_path: Path) -> None:
    engine = models.load(models.lookup(), tmp_path)
    assert infer(engine, index=[2]) == {"row": [[20.0, 21.0]]}
    with pytest.raises(InvalidInput, match=r"the model refuses this input: .*idx=7"):
        infer(engine, index=[7])


def test_memory_that_runs_out_is_ours(tmp_path: Path) -> None:
    engine = models.load(models.zeros(), tmp_path)
    assert infer(engine, count=[2]) == {"zeros": [0.0, 0.0]}
    with pytest.raises(ModelFailed, match="out of memory"):
        infer(engine, count=[1 << 50])


# Threads


def test_runs_from_several_threads_do_not_mix(tmp_path: Path) -> None:
    engine = models.load(models.scaled(factor=2), tmp_path, threads=2)
    rows = [[float(n), -float(n)] for n in range(400)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: infer(engine, x=[row])["y"], rows))
    assert answers == [[[2 * first, 2 * second]] for first, second in rows]


def test_a_cancelled_run_ends(tmp_path: Path) -> None:
    engine = models.load(models.scaled(), tmp_path)
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(DeadlineExceeded):
        engine.run({"x": decode([[1, 2]], FP32, "x")}, ["y"], cancellation)
    assert infer(engine, x=[[1, 2]]) == {"y": [[10.0, 20.0]]}


def live_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_gets_the_threads_that_were_asked_for(threads: int, tmp_path: Path) -> None:
    path = models.save(models.identity("FP32"), tmp_path / "model.onnx")
    gc.collect()  # Sessions of other tests take their threads with them.
    before = live_threads()
    engine = StockEngine(path, threads)
    # The caller's own thread is the first.
    assert live_threads() - before == threads - 1
    assert engine.signature.inputs


def test_threads_do_not_spin_after_a_run(tmp_path: Path) -> None:
    engine = models.load(models.identity("FP32"), tmp_path, threads=2)
    options = engine._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    assert options.inter_op_num_threads == 1
