"""Samples as arrays, where there is no ONNX signature yet to read them by."""

from __future__ import annotations

import json

import numpy as np

from inference_runtime.optimize.errors import NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.optimize.arrays import Array


def read_arrays(path: str) -> dict[str, Array]:
    """Arrays by input's name, each with the samples along its first axis.

    Args:
        path: a ``.npz`` with an array for each input, whose types are kept; or a ``.json`` request
            of the simple form, whose numbers become 32-bit floats and whose whole numbers under
            ``inputs`` stay 64-bit integers. Under ``features`` the input is named ``features``.

    Raises:
        NotOptimized: the file is missing or of another form.
    """
    try:
        if path.endswith(".npz"):
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        with open(path, "rb") as file:
            body = json.load(file)
        if set(body) == {"features"}:
            return {"features": np.array(body["features"], np.float32)}
        return {name: _array(value) for name, value in body["inputs"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotOptimized(
            f"the samples in {path} cannot be used for an export: {error}; give a .npz with an"
            ' array for each input, or a JSON request of the simple form, {"inputs": {…}}'
        ) from error


def _array(value: object) -> Array:
    array = np.array(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array
