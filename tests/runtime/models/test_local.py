"""Models on this machine: where they are looked for, and what is checked before they load."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, find_models
from inference_runtime.models.local import find_file
from inference_runtime.settings import Settings

from tests.runtime.models.samples import padded, weights, with_data

# Where the model is


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    file = tmp_path / "models" / "digits" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def test_an_absolute_path_is_itself(model_file: Path) -> None:
    assert find_file(str(model_file)) == str(model_file)
    assert find_file(f"file://{model_file}") == str(model_file)


def test_the_uri_of_a_file_may_be_percent_encoded_and_a_path_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a b%.onnx"
    file.touch()
    assert find_file(file.as_uri()) == str(file)
    assert find_file(str(file)) == str(file)


def test_a_relative_path_is_looked_for_in_the_working_directory_first(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "layer" / "models" / "digits" / "model.onnx"
    layer.parent.mkdir(parents=True)
    layer.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path / "layer")])
    monkeypatch.chdir(tmp_path)
    assert find_file("models/digits/model.onnx") == str(model_file)
    model_file.unlink()
    assert find_file("models/digits/model.onnx") == str(layer)


def test_a_missing_file_names_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/opt/python"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotLoaded) as raised:
        find_file("models/a/model.onnx")
    assert str(raised.value) == (
        f"MODEL_URI is 'models/a/model.onnx', but there is no file {tmp_path}/models/a/model.onnx"
        " or /opt/python/models/a/model.onnx"
    )


# What is checked


def fetched(uri: str | Path, **environ: str) -> int:
    """The size of the model's files, if it passes."""
    (found,) = find_models(Settings.read({"MODEL_URI": str(uri), **environ}))
    return found.fetch().size


def test_a_file_with_external_data_is_all_of_its_files(tmp_path: Path) -> None:
    content = with_data("w").SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content)
    (tmp_path / "w").write_bytes(weights(1))
    assert fetched(tmp_path / "m.onnx") == len(content) + 16


def test_missing_external_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(with_data("a/w").SerializeToString())
    with pytest.raises(ModelNotLoaded, match=r"external data in 'a/w', but .*/a/w cannot be read"):
        fetched(tmp_path / "m.onnx")


def test_a_digest_of_data_that_are_missing_names_them(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(with_data("w").SerializeToString())
    with pytest.raises(ModelNotLoaded, match=r"/w cannot be digested \(No such file"):
        fetched(tmp_path / "m.onnx", MODEL_SHA256="0" * 64)


def test_a_version_that_is_gone_since_the_list_was_read_is_told(tmp_path: Path) -> None:
    model = tmp_path / "m" / "1" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(padded(100))
    (found,) = find_models(Settings.read({"MODEL_URI": str(tmp_path)}))
    model.unlink()
    with pytest.raises(ModelNotLoaded, match="No such file"):
        found.fetch()


def test_external_data_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "w").write_bytes(weights(1))
    (folder / "m.onnx").write_bytes(with_data("../w").SerializeToString())
    with pytest.raises(ModelNotLoaded, match=r"refers to external data in '\.\./w'"):
        fetched(folder / "m.onnx")


def test_the_digest_is_checked(tmp_path: Path) -> None:
    content = padded(1000)
    (tmp_path / "m.onnx").write_bytes(content)
    assert fetched(tmp_path / "m.onnx", MODEL_SHA256=sha256(content).hexdigest()) == len(content)
    with pytest.raises(ModelNotLoaded, match=f"has the SHA-256 {sha256(content).hexdigest()}"):
        fetched(tmp_path / "m.onnx", MODEL_SHA256="0" * 64)


def test_the_digest_with_external_data_is_that_of_sha256sum(tmp_path: Path) -> None:
    content = with_data("w").SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content)
    (tmp_path / "w").write_bytes(weights(1))
    lines = [(content, "model.onnx"), (weights(1), "w")]
    listing = "".join(f"{sha256(data).hexdigest()}  {name}\n" for data, name in lines)
    digest = sha256(listing.encode()).hexdigest()
    assert fetched(tmp_path / "m.onnx", MODEL_SHA256=digest)
    (tmp_path / "w").write_bytes(weights(2))
    with pytest.raises(ModelNotLoaded, match="has the SHA-256"):
        fetched(tmp_path / "m.onnx", MODEL_SHA256=digest)


def test_a_model_larger_than_the_functions_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(padded(100 << 20))
    with pytest.raises(ModelNotLoaded) as raised:
        fetched(tmp_path / "m.onnx", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128")
    assert (
        "m.onnx needs about 150 MiB of memory (100 MiB of ONNX file and 0 MiB of external data),"
        " but 128 MiB is the function's memory, of which"
    ) in str(raised.value)


# A repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for place in ("b/1", "a/9", "a/10", "a/010", "a/latest", "c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "model.onnx").write_bytes(padded(len(place)))
    (tmp_path / "a" / "11").mkdir()
    return tmp_path


def found(uri: str | Path, **environ: str) -> list[FoundModel]:
    return find_models(Settings.read({"MODEL_URI": str(uri), **environ}))


def test_a_folder_holds_models_and_versions_in_order(repository: Path) -> None:
    models = found(repository)
    assert [(model.name, model.version) for model in models] == [
        ("a", "9"), ("a", "10"), ("b", "1"),
    ]  # fmt: skip
    assert models[1].fetch().path == f"{repository}/a/10/model.onnx"


def test_the_named_model_is_the_first(repository: Path) -> None:
    assert [model.name for model in found(repository, MODEL_NAME="b")] == ["b", "a", "a"]


def test_a_model_that_is_not_there_is_refused(repository: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="MODEL_NAME is 'x'; it holds a, b"):
        found(repository, MODEL_NAME="x")


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match=r"but holds no <model>/<version>/model\.onnx"):
        found(tmp_path)


def test_a_digest_is_of_one_model(repository: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="MODEL_SHA256 is of a single model"):
        found(repository, MODEL_SHA256="0" * 64)
