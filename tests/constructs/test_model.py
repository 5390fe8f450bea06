from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from cdk_inference.limits import ONNXRUNTIME_IR_VERSION, ONNXRUNTIME_OPSETS
from cdk_inference.model import InferenceModel, TensorSpec
from cdk_inference.validation import ConfigurationError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from tests.constructs.onnx_models import save, save_external, scale_model

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        InferenceModel.from_file(path, **options)
    return str(caught.value)


def test_the_digits_model_declares_itself() -> None:
    model = InferenceModel.from_file(DIGITS)
    assert model.name == "digits"
    assert model.inputs == (TensorSpec("pixels", "FP32", (None, 64)),)
    assert model.outputs == (
        TensorSpec("label", "INT64", (None,)),
        TensorSpec("probabilities", "FP32", (None, 10)),
    )
    assert model.opsets["ai.onnx"] == 18
    assert model.size_bytes == DIGITS.stat().st_size


def test_a_single_file_has_its_own_sha256_and_the_version_comes_from_it(tmp_path: Path) -> None:
    path = save(scale_model(), tmp_path / "scale.onnx")
    model = InferenceModel.from_file(path)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.version == model.sha256[:12]


def test_name_and_version_can_be_given(tmp_path: Path) -> None:
    path = save(scale_model(), tmp_path / "my scale.onnx")
    model = InferenceModel.from_file(str(path), name="scale", version="2026.1")
    assert (model.name, model.version) == ("scale", "2026.1")


def test_external_data_counts_in_size_files_and_digest(tmp_path: Path) -> None:
    path = save_external(scale_model(size=1000), tmp_path / "scale.onnx")
    weights = tmp_path / "weights.bin"
    model = InferenceModel.from_file(path)
    assert dict(model.files) == {"model.onnx": path, "weights.bin": weights}
    assert model.size_bytes == path.stat().st_size + weights.stat().st_size

    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    assert InferenceModel.from_file(path).sha256 != model.sha256


def test_the_digest_depends_on_neither_folder_nor_file_name(tmp_path: Path) -> None:
    for folder, name in (("a", "one.onnx"), ("b", "two.onnx")):
        (tmp_path / folder).mkdir()
        save_external(scale_model(), tmp_path / folder / name)
    first, second = (InferenceModel.from_file(p) for p in sorted(tmp_path.rglob("*.onnx")))
    assert first.sha256 == second.sha256


def test_external_data_is_found_in_subgraphs_and_attributes(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones(300, np.float32), "c")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [300])
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=constant)], "branch", [], [output]
    )
    condition = helper.make_tensor_value_info("choice", TensorProto.BOOL, [])
    node = helper.make_node("If", ["choice"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node], "g", [condition], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "branches.onnx"
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location="w",
        size_threshold=0,
        convert_attribute=True,
    )
    assert "w" in InferenceModel.from_file(path).files


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "sub/../../weights.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = save_external(scale_model(), folder / "scale.onnx")
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(proto.SerializeToString())
    assert "must be beside the model" in refusal(path)


def test_external_data_that_a_link_takes_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = save_external(scale_model(), folder / "scale.onnx")
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    assert "must be beside the model" in refusal(path)


def test_a_model_whose_files_are_all_links_into_one_folder_is_read(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    save_external(scale_model(), blobs / "scale.onnx")
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(blob)
    assert set(InferenceModel.from_file(snapshot / "scale.onnx").files) == {
        "model.onnx",
        "weights.bin",
    }


def test_missing_external_data_is_refused(tmp_path: Path) -> None:
    path = save_external(scale_model(), tmp_path / "scale.onnx")
    (tmp_path / "weights.bin").unlink()
    assert "there is no file" in refusal(path)


def test_external_data_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = save_external(scale_model(), tmp_path / "scale.onnx")
    (tmp_path / "weights.bin").write_bytes(b"123")
    assert "has 3 bytes; the model needs at least 16" in refusal(path)


def test_external_data_with_the_name_of_the_packaged_model_is_refused(tmp_path: Path) -> None:
    path = save_external(scale_model(), tmp_path / "scale.onnx", location="model.onnx")
    assert "in an artifact that name is the ONNX file's own" in refusal(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere.onnx")
    assert "no such file" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"{}", b"\x00" * 100])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "not a complete ONNX model" in refusal(path)


@given(st.data())
def test_a_model_cut_short_anywhere_before_its_metadata_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = scale_model().SerializeToString()
    path = tmp_path_factory.mktemp("cut") / "scale.onnx"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert "not a complete ONNX model" in refusal(path)


def test_versions_newer_than_onnxruntime_are_refused_together(tmp_path: Path) -> None:
    path = save(scale_model(opset=27, ml_opset=6, ir_version=14), tmp_path / "new.onnx")
    message = refusal(path)
    assert "IR version is 14; the packaged onnxruntime supports up to 13" in message
    assert "opset of ai.onnx version is 27; the packaged onnxruntime supports up to 26" in message
    assert "opset of ai.onnx.ml version is 6; the packaged onnxruntime supports up to 5" in message


def test_the_table_of_supported_versions_is_that_of_the_installed_onnxruntime() -> None:
    opset, ml_opset = ONNXRUNTIME_OPSETS["ai.onnx"], ONNXRUNTIME_OPSETS["ai.onnx.ml"]
    newest = {"opset": opset, "ml_opset": ml_opset, "ir_version": ONNXRUNTIME_IR_VERSION}
    onnxruntime.InferenceSession(scale_model(**newest).SerializeToString())
    for what, version in newest.items():
        newer = scale_model(**newest | {what: version + 1})
        with pytest.raises(Exception, match=r"(?i)opset|IR_VERSION|IR version"):
            onnxruntime.InferenceSession(newer.SerializeToString())


@pytest.mark.parametrize("name", ["", "a/b", "..", "my model", "x" * 65, "-x", "ümlaut"])
def test_a_name_that_fits_no_path_and_no_url_is_refused(name: str) -> None:
    assert "the model's name is" in refusal(DIGITS, name=name)
    assert "the model's version is" in refusal(DIGITS, version=name)


def test_outputs_that_are_no_tensors_are_accepted_and_told(tmp_path: Path) -> None:
    rows, labels = np.eye(4, dtype=np.float32), [0, 1, 0, 1]
    classifier = LogisticRegression().fit(rows, labels)
    path = save(to_onnx(classifier, rows), tmp_path / "zipmap.onnx")
    assert InferenceModel.from_file(path).outputs == (
        TensorSpec("output_label", "INT64", (None,)),
        TensorSpec("output_probability", "seq(map(int64,tensor(float)))", None),
    )


def test_inputs_with_a_default_are_left_out(tmp_path: Path) -> None:
    model = scale_model()
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [4]))
    path = save(model, tmp_path / "scale.onnx")
    assert [spec.name for spec in InferenceModel.from_file(path).inputs] == ["x"]


@pytest.mark.parametrize(
    ("element", "datatype"),
    [
        (TensorProto.STRING, "BYTES"),
        (TensorProto.BFLOAT16, "BF16"),
        (TensorProto.COMPLEX64, "tensor(complex64)"),
    ],
)
def test_datatypes_have_the_protocols_names(tmp_path: Path, element: int, datatype: str) -> None:
    x = helper.make_tensor_value_info("x", element, [1, -1, "N"])
    y = helper.make_tensor_value_info("y", element, None)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = save(proto, tmp_path / "identity.onnx")
    model = InferenceModel.from_file(path)
    assert model.inputs == (TensorSpec("x", datatype, (1, None, None)),)
    assert model.outputs == (TensorSpec("y", datatype, None),)


def test_onnx_is_imported_only_to_read_a_file() -> None:
    code = "import sys, cdk_inference.model; sys.exit('onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
