"""Small models for the tests of the optimiser, with operators of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from inference_runtime.optimize import model_file
from inference_runtime.optimize import samples as sample_files
from inference_runtime.optimize.samples import Samples

from bench.models import encoder, perceptron, resnet

VOCABULARY = 50


def transformer() -> onnx.ModelProto:
    return encoder(layers=2, width=32, heads=4, inner=64, vocabulary=VOCABULARY, positions=16)


def convolutions() -> onnx.ModelProto:
    return resnet(widths=(8, 16), blocks=1, image=32)


def dense() -> onnx.ModelProto:
    """A perceptron above the size from which weights are external."""
    return perceptron((256, 512, 512, 10))


def save(made: onnx.ModelProto, folder: Path) -> str:
    path = str(folder / "model.onnx")
    onnx.save(made, path)
    return path


def token_arrays(rows: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    mask = np.ones((rows, 12), np.int64)
    mask[rows // 2 :, 9:] = 0
    return {
        "input_ids": random.integers(0, VOCABULARY, (rows, 12)),
        "attention_mask": mask,
        "token_type_ids": np.zeros((rows, 12), np.int64),
    }


def image_arrays(rows: int = 4) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(1).random((rows, 3, 32, 32), np.float32)}


def feature_arrays(rows: int = 8) -> dict[str, np.ndarray]:
    return {"features": np.random.default_rng(1).random((rows, 256), np.float32)}


def samples_of(path: str, arrays: dict[str, np.ndarray], folder: Path) -> Samples:
    """``arrays`` as the user would give them."""
    file = folder / "samples.npz"
    np.savez(file, **arrays)
    signature = model_file.signature(model_file.read(path, weights=False))
    return sample_files.read(str(file), signature)
