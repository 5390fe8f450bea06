from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Size
from cdk_inference import ConfigurationError, StoredModel
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
SIZE = Size.mebibytes(3)


@given(name=NAMES, version=NAMES, folders=st.lists(NAMES, max_size=2), file=NAMES)
def test_a_path_tells_name_and_version(
    name: str, version: str, folders: list[str], file: str
) -> None:
    model = StoredModel.at("/".join([*folders, name, version, file]), size=SIZE)
    assert (model.name, model.version) == (name, version)
    assert model.files == (file,)
    assert model.size_bytes == 3 * 2**20
    assert model.sha256 is None


def test_what_is_given_comes_first() -> None:
    model = StoredModel.at(
        "digits/3/model.onnx",
        size=SIZE,
        name="numbers",
        version="4",
        sha256="0" * 64,
        other_files=["weights.bin"],
    )
    assert (model.name, model.version, model.sha256) == ("numbers", "4", "0" * 64)
    assert model.files == ("model.onnx", "weights.bin")


@pytest.mark.parametrize(
    ("path", "options", "problem"),
    [
        ("digits/../model.onnx", {"name": "digits"}, "path is 'digits/../model.onnx'"),
        ("/digits/3/model.onnx", {}, "path is '/digits/3/model.onnx'"),
        ("digits/3/", {}, "path is 'digits/3/'"),
        ("3/model.onnx", {}, "the model's name is ''"),
        ("model.onnx", {"name": "digits"}, "the model's version is ''"),
        ("digits/3/model.onnx", {"version": "a b"}, "the model's version is 'a b'"),
        ("digits/3/model.onnx", {"size": Size.bytes(0)}, "size is 0 bytes"),
        ("digits/3/model.onnx", {"sha256": "ABC"}, "sha256 is 'ABC'"),
    ],
)
def test_what_is_wrong_is_told(path: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StoredModel.at(path, **{"size": SIZE, **options})
    assert any(found.startswith(problem) for found in caught.value.problems)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        StoredModel.at("/", size=Size.bytes(0), sha256="x")
    assert len(caught.value.problems) == 5
