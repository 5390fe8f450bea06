"""Exports: a scikit-learn estimator and a torch module, named as Python names them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_runtime.optimize import model_file, source
from inference_runtime.optimize.errors import NotOptimized

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "onnxscript"))
needs_torch = pytest.mark.skipif(
    not HAS_TORCH, reason="torch and onnxscript are not installed; the project does not need them"
)

SKLEARN = """
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows, labels = load_iris(return_X_y=True)
names = ["setosa", "versicolor", "virginica"]
classifier = make_pipeline(StandardScaler(), LogisticRegression())
classifier.fit(rows, [names[label] for label in labels])
unfitted = LogisticRegression()
clusters = KMeans(3, n_init=1).fit(rows)
pairs = [[label, label > 0] for label in labels]
several = MultiOutputClassifier(LogisticRegression(max_iter=1000)).fit(rows, pairs)
scaler = StandardScaler().fit(rows)

def regression():
    return LinearRegression().fit(rows[:, :3], rows[:, 3])

class Holder:
    classifier = classifier

number = 5
"""

TORCH = """
import torch

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, 3)
)

class Pair(torch.nn.Module):
    def forward(self, a, b):
        return a + b, a * b

class BrokenForLarge(torch.nn.Module):
    def forward(self, x):
        return torch.where(x > 2, x * torch.rand(1), x)

class Nested(torch.nn.Module):
    def forward(self, x):
        return {"sum": x + 1, "rest": (x * 2, None, [x * 3])}

class Broken(torch.nn.Module):
    def forward(self, x):
        return x * torch.rand(1)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the user's modules, which no other test sees."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_sklearn.py").write_text(SKLEARN)
    (tmp_path / "users_torch.py").write_text(TORCH)
    (tmp_path / "users_broken.py").write_text("1 / 0")
    rows = np.random.default_rng(1).random((6, 4)) * 5
    np.savez(tmp_path / "rows.npz", features=rows)
    np.savez(tmp_path / "three.npz", features=rows[:, :3])
    np.savez(tmp_path / "pair.npz", a=rows.astype(np.float32), b=rows.astype(np.float32))
    for name in ("users_sklearn", "users_torch", "users_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def export(
    reference: str, samples: str = "rows.npz", opset: int = 18, **axes: list[str]
) -> onnx.ModelProto:
    return model_file.read(source.to_onnx(reference, samples, ".", opset, axes))


def shapes(model: onnx.ModelProto) -> dict[str, str]:
    signature = model_file.signature(model)
    return {name: str(spec) for name, spec in (signature.inputs | signature.outputs).items()}


def test_a_classifier_keeps_its_labels_and_gives_plain_tensors() -> None:
    model = export("users_sklearn:classifier")
    found = shapes(model)
    assert found["features"] == "FP32[?, 4]"
    assert found["probabilities"] == "FP32[?, 3]"
    labels = model_file.metadata(model)["class_labels"]
    assert json.loads(labels) == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(
    "reference", ["users_sklearn:Holder.classifier", "users_sklearn:regression"]
)
def test_an_attribute_and_a_function_are_exported_too(reference: str) -> None:
    samples = "three.npz" if "regression" in reference else "rows.npz"
    model = export(reference, samples, opset=17)
    assert {opset.domain: opset.version for opset in model.opset_import}[""] <= 17


@pytest.mark.parametrize("name", ["clusters", "several", "scaler"])
def test_estimators_of_every_kind_are_checked_in_the_type_of_the_samples(name: str) -> None:
    assert shapes(export(f"users_sklearn:{name}"))["features"] == "FP32[?, 4]"


def test_a_json_request_names_and_types_the_input() -> None:
    Path("rows.json").write_text(json.dumps({"features": [[5.1, 3.5, 1.4, 0.2]]}))
    assert shapes(export("users_sklearn:classifier", "rows.json"))["features"] == "FP32[?, 4]"


@pytest.mark.parametrize(
    ("reference", "samples", "message"),
    [
        ("users_sklearn:classifier", "", "give --samples"),
        ("users_sklearn:absent", "rows.npz", "has no attribute 'absent'"),
        ("users_absent:model", "rows.npz", "No module named 'users_absent'"),
        ("users_broken:model", "rows.npz", "ZeroDivisionError"),
        ("users_sklearn:number", "rows.npz", "is a int; a torch.nn.Module, a scikit-learn"),
        ("users_sklearn:unfitted", "rows.npz", "skl2onnx cannot convert it"),
        (
            "users_sklearn:classifier",
            "pair.npz",
            "takes one array of rows, but pair.npz holds a, b",
        ),
        ("users_sklearn:classifier", "absent.npz", "absent.npz cannot be used for an export"),
        ("absent.onnx", "", "there is no file absent.onnx"),
    ],
)
def test_what_cannot_be_exported_is_said(reference: str, samples: str, message: str) -> None:
    with pytest.raises(NotOptimized, match=message.replace("(", r"\(")):
        export(reference, samples)


def test_without_skl2onnx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(NotOptimized, match="pip install skl2onnx"):
        export("users_sklearn:classifier")


def test_an_export_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.pipeline import Pipeline

    monkeypatch.setattr(Pipeline, "predict", lambda self, rows: np.full(len(rows), "virginica"))
    np.savez("rows.npz", features=np.array([[5.1, 3.5, 1.4, 0.2]]))
    with pytest.raises(NotOptimized, match="differs from the source's on the samples"):
        export("users_sklearn:classifier")


def test_probabilities_that_differ_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(
        LogisticRegression, "predict_proba", lambda self, rows: np.ones((len(rows), 3)) / 3
    )
    with pytest.raises(NotOptimized, match=r"output 'probabilities' differs .* in 18 of 18"):
        export("users_sklearn:classifier")


def test_an_estimator_that_fails_on_the_samples_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.pipeline import Pipeline

    monkeypatch.setattr(Pipeline, "predict", lambda self, rows: 1 / 0)
    with pytest.raises(NotOptimized, match="does not answer the samples: ZeroDivisionError"):
        export("users_sklearn:classifier")


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed here")
def test_without_torch_the_user_s_module_says_so() -> None:
    with pytest.raises(NotOptimized, match="No module named 'torch'"):
        export("users_torch:net")


@needs_torch
def test_a_torch_module_has_a_dynamic_batch_and_no_dropout() -> None:
    np.savez("rows.npz", features=np.ones((1, 4), np.float32))
    model = export("users_torch:net")
    assert shapes(model)["features"] == "FP32[batch, 4]"
    assert all(node.op_type != "Dropout" for node in model.graph.node)


@needs_torch
def test_axes_are_named_by_input() -> None:
    model = export("users_torch:Pair", "pair.npz", a=["rows", "columns"], b=["rows", "columns"])
    assert shapes(model)["a"] == "FP32[rows, columns]"


@needs_torch
def test_a_fixed_axis_keeps_the_sample_s_size() -> None:
    model = export("users_torch:Pair", "pair.npz", a=["-"], b=["-"])
    assert shapes(model)["a"] == "FP32[6, 4]"


@needs_torch
@pytest.mark.parametrize(
    ("reference", "axes", "message"),
    [
        ("users_torch:Broken", {}, "differs from the source's"),
        ("users_torch:net", {"pixels": ["batch"]}, "names 'pixels', but the samples hold features"),
        ("users_torch:net", {"features": ["a", "b", "c"]}, "names 3 axes of 'features'"),
    ],
)
def test_what_torch_cannot_export_is_said(
    reference: str, axes: dict[str, list[str]], message: str
) -> None:
    np.savez("rows.npz", features=np.ones((3, 4), np.float32))
    with pytest.raises(NotOptimized, match=message):
        export(reference, **axes)


@needs_torch
def test_answers_in_answers_are_compared() -> None:
    np.savez("rows.npz", features=np.arange(12, dtype=np.float32).reshape(3, 4))
    assert len(export("users_torch:Nested").graph.output) == 3


@needs_torch
def test_every_sample_is_checked() -> None:
    np.savez("rows.npz", features=np.array([[1], [1], [1], [5]], np.float32))
    with pytest.raises(NotOptimized, match="differs from the source's on the samples, in 1 of 4"):
        export("users_torch:BrokenForLarge")
