"""Train the digits classifier and write ``digits.onnx`` and ``samples.json`` beside this file.

The data are scikit-learn's 1,797 real handwritten digits, 8×8 pixels of 0 to 16. The seed is
fixed, a quarter of the images is held out, and the script fails when the accuracy on those is
below ``REQUIRED_ACCURACY``. The samples are held-out images too, one of each digit.

Run it with ``uv run python models/digits/train.py``.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

HERE = Path(__file__).parent
SEED = 20261122
OPSET = {"": 18, "ai.onnx.ml": 3}
REQUIRED_ACCURACY = 0.97

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def split() -> Split:
    """Training pixels, held-out pixels, training labels, held-out labels."""
    pixels, labels = load_digits(return_X_y=True)
    return train_test_split(
        pixels.astype(np.float32), labels, test_size=0.25, stratify=labels, random_state=SEED
    )


def train(pixels: np.ndarray, labels: np.ndarray) -> Pipeline:
    """A network of one hidden layer over pixels scaled to 0 to 1."""
    network = MLPClassifier(hidden_layer_sizes=(64,), max_iter=400, random_state=SEED)
    return make_pipeline(MinMaxScaler(), network).fit(pixels, labels)


def to_model(classifier: Pipeline) -> bytes:
    """The classifier as ONNX, with plain tensors as outputs and its class labels as metadata."""
    model = to_onnx(
        classifier,
        initial_types=[("pixels", FloatTensorType([None, 64]))],
        options={id(classifier): {"zipmap": False}},
        target_opset=OPSET,
    )
    labels = model.metadata_props.add()
    labels.key, labels.value = "class_labels", json.dumps(classifier.classes_.tolist())
    return model.SerializeToString()


def predict(model: bytes, pixels: np.ndarray) -> np.ndarray:
    """The labels that onnxruntime itself answers with."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["label"], {"pixels": pixels})[0]


def one_of_each(pixels: np.ndarray, labels: np.ndarray) -> list[dict[str, object]]:
    """The first held-out image of each digit, in the order of the digits."""
    firsts = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    return [{"pixels": pixels[i].tolist(), "label": int(labels[i])} for i in firsts]


def main() -> None:
    """Train, measure on the held-out images, and write the two files."""
    train_pixels, test_pixels, train_labels, test_labels = split()
    model = to_model(train(train_pixels, train_labels))
    accuracy = float(np.mean(predict(model, test_pixels) == test_labels))
    print(f"test accuracy {accuracy:.4f} on {len(test_labels)} held-out digits")
    if accuracy < REQUIRED_ACCURACY:
        raise SystemExit(f"accuracy {accuracy:.4f} is below {REQUIRED_ACCURACY}: nothing written")
    (HERE / "digits.onnx").write_bytes(model)
    samples = ",\n ".join(json.dumps(s) for s in one_of_each(test_pixels, test_labels))
    (HERE / "samples.json").write_text(f"[{samples}]\n")


if __name__ == "__main__":
    main()
