from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from zipfile import ZipFile

import pytest
from cdk_inference import InferenceModel, PackagingError, artifact
from cdk_inference.archive import write_folder, write_zip
from cdk_inference.artifact import (
    PackageTarget,
    code_archive,
    dependencies_archive,
    extension_archive,
    image_context,
    model_archive,
    prefetch,
)
from cdk_inference.cache import cache_folder, cached
from cdk_inference.contract import AWS_LAMBDA_COMMAND, MODEL_CACHE_EXTENSION
from hypothesis import given
from hypothesis import strategies as st

from tests.constructs.onnx_models import save_external, scale_model
from tests.constructs.synthesis import ROOT


def names(archive: Path) -> list[str]:
    with ZipFile(archive) as content:
        return content.namelist()


@given(
    files=st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True), st.binary())
)
def test_a_zip_depends_on_nothing_but_names_and_contents(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    results = []
    for attempt, order in enumerate((list(files), list(reversed(files)))):
        folder = tmp_path_factory.mktemp("zip")
        sources = {}
        for index, name in enumerate(order):
            source = folder / f"{index}"
            source.write_bytes(files[name])
            source.chmod(0o600 + attempt * 0o100)
            os.utime(source, (10**9 * attempt, 10**9 * attempt))
            sources[name] = source
        write_zip(folder / "out.zip", sources)
        results.append((folder / "out.zip").read_bytes())
        with ZipFile(folder / "out.zip") as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == files
    assert results[0] == results[1]


def test_files_are_readable_by_whoever_runs_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    source.chmod(0o600)
    write_zip(tmp_path / "out.zip", {"a/x": source})
    with ZipFile(tmp_path / "out.zip") as archive:
        assert archive.infolist()[0].external_attr >> 16 == 0o100644
    write_folder(tmp_path / "out", {"a/x": source})
    assert stat.S_IMODE((tmp_path / "out" / "a" / "x").stat().st_mode) == 0o644


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("CDK_INFERENCE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/someone/.cache/cdk-inference")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/xdg")
    assert cache_folder() == Path("/var/xdg/cdk-inference")
    monkeypatch.setenv("CDK_INFERENCE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_what_is_cached_is_built_once(empty_cache: Path) -> None:
    builds = []

    def build(path: Path) -> None:
        builds.append(path)
        path.write_text("built")

    assert cached("a/b.txt", build) == cached("a/b.txt", build) == empty_cache / "a" / "b.txt"
    assert len(builds) == 1


@pytest.mark.parametrize("is_folder", [False, True])
def test_builds_at_the_same_time_agree_and_leave_nothing_else(
    empty_cache: Path, is_folder: bool
) -> None:
    both_build = Barrier(2, timeout=10)

    def build(path: Path) -> None:
        if is_folder:
            path.mkdir()
        (path / "file" if is_folder else path).write_text("built")
        both_build.wait()

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: cached("thing", build), range(2))
    assert first == second
    assert (first / "file" if is_folder else first).read_text() == "built"
    assert list(empty_cache.iterdir()) == [first]


def test_a_build_that_fails_leaves_nothing(empty_cache: Path) -> None:
    def build(path: Path) -> None:
        path.write_text("half")
        raise PackagingError("no")

    with pytest.raises(PackagingError):
        cached("thing", build)
    assert list(empty_cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CDK_INFERENCE_CACHE", str(tmp_path / "file"))
    with pytest.raises(PackagingError, match="set CDK_INFERENCE_CACHE to another folder"):
        code_archive()


def test_the_code_is_the_runtime_package_and_nothing_else() -> None:
    content = names(code_archive().path)
    assert "inference_runtime/adapters/aws_lambda.py" in content
    assert "inference_runtime/py.typed" in content
    assert all(name.startswith("inference_runtime/") for name in content)
    assert not [name for name in content if "__pycache__" in name]


def test_a_model_layer_holds_its_external_data(tmp_path: Path, empty_cache: Path) -> None:
    model = InferenceModel.from_file(save_external(scale_model(), tmp_path / "scale.onnx"))
    archive = model_archive(model)
    assert names(archive.path) == [
        "python/models/scale/model.onnx",
        "python/models/scale/weights.bin",
    ]
    assert archive.unzipped_bytes == model.size_bytes


def test_the_dependencies_hold_what_serves_and_no_more() -> None:
    archive = dependencies_archive(PackageTarget.host())
    content = names(archive.path)
    for package in ("numpy", "onnxruntime", "orjson"):
        assert f"python/{package}/__init__.py" in content
    assert any("libonnxruntime.so" in name or ".dylib" in name for name in content)
    left_out = ("__pycache__", "/tests/", "/RECORD", "python/bin/", "/transformers/", ".pyi")
    assert [name for name in content if any(part in name for part in left_out)] == []
    assert archive.unzipped_bytes < 125 * 2**20


def test_the_dependencies_are_for_the_target_and_not_for_this_machine() -> None:
    content = names(dependencies_archive(PackageTarget.linux("3.13", "x86_64")).path)
    binding = next(name for name in content if "onnxruntime_pybind11_state" in name)
    assert "cpython-313-x86_64-linux-gnu" in binding


def test_dependencies_are_the_same_bytes_wherever_they_are_built(empty_cache: Path) -> None:
    built = dependencies_archive(PackageTarget.host()).path
    elsewhere = empty_cache.parent / "elsewhere"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CDK_INFERENCE_CACHE", str(elsewhere))
        again = dependencies_archive(PackageTarget.host()).path
    assert built.name == again.name
    assert built.read_bytes() == again.read_bytes()


def test_what_was_prefetched_is_not_installed_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = []

    def install(requirements: Path, target: PackageTarget, folder: Path) -> None:
        targets.append(target)
        (folder / "module.py").write_text("")

    monkeypatch.setattr(artifact, "_install", install)
    wanted = [PackageTarget.linux("3.13", machine) for machine in ("x86_64", "aarch64")]
    prefetch(wanted)
    assert "packaging onnxruntime for Python 3.13 on aarch64" in capsys.readouterr().err
    paths = {dependencies_archive(target).path for target in wanted}
    assert targets == wanted
    assert len(paths) == 2
    assert capsys.readouterr().err == ""


def test_dependencies_that_cannot_be_had_are_a_clear_error(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "lambda-zip.txt"
    requirements.write_text(f"onnxruntime==0.0.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(artifact, "requirements_file", lambda name: requirements)
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(PackagingError) as caught:
        dependencies_archive(PackageTarget.linux("3.13", "x86_64"))
    message = str(caught.value)
    assert "cannot install lambda-zip.txt for Python 3.13 on x86_64-manylinux_2_28" in message
    assert "uv says:" in message
    assert "cdk-inference prefetch" in message
    assert [path for path in empty_cache.rglob("*") if path.is_file()] == []


def test_the_host_is_this_interpreter() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert PackageTarget.host().python_version == version


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("linux", "aarch64", "aarch64-manylinux_2_28"),
        ("darwin", "arm64", "aarch64-apple-darwin"),
        ("darwin", "x86_64", "x86_64-apple-darwin"),
    ],
)
def test_the_host_has_the_platform_that_uv_calls_so(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, platform: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert PackageTarget.host().platform == platform


def test_a_host_that_is_not_supported_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(PackagingError, match="win32; Linux and macOS are supported"):
        PackageTarget.host()


def test_an_image_context_has_what_its_dockerfile_copies(tmp_path: Path, empty_cache: Path) -> None:
    model = InferenceModel.from_file(save_external(scale_model(), tmp_path / "scale.onnx"))
    context = image_context("lambda", model)
    dockerfile = (context / "Dockerfile").read_text()
    copied = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("COPY")]
    sources = [source for source in copied if not source.startswith("--from")]
    assert sources == ["requirements.txt", "inference_runtime", "models"]
    assert {path.name for path in context.iterdir()} == {"Dockerfile", *sources}
    assert (context / "models" / "scale" / "weights.bin").is_file()
    assert image_context("lambda", model) == context


def test_an_image_context_without_a_model_has_an_empty_place_for_it(empty_cache: Path) -> None:
    context = image_context("lambda", None)
    assert list((context / "models").iterdir()) == []
    assert image_context("lambda", None) == context


def test_the_extension_is_a_program_of_its_layer(empty_cache: Path) -> None:
    archive = extension_archive().path
    with ZipFile(archive) as content:
        (entry,) = content.infolist()
    assert entry.filename == f"extensions/{MODEL_CACHE_EXTENSION}"
    assert stat.S_IMODE(entry.external_attr >> 16) == 0o755
    assert extension_archive().path == archive


def test_the_dockerfile_ends_without_root_at_the_entry_point() -> None:
    lines = (ROOT / "runtime" / "images" / "lambda.Dockerfile").read_text().splitlines()
    user, entry_point = (
        next(line for line in reversed(lines) if line.startswith(word))
        for word in ("USER", "ENTRYPOINT")
    )
    assert user.split()[1].split(":")[0] not in ("root", "0")
    assert json.loads(entry_point.removeprefix("ENTRYPOINT ")) == [*AWS_LAMBDA_COMMAND]


def test_the_requirements_are_what_the_lock_file_says() -> None:
    script = ROOT / "tools" / "export_requirements.py"
    subprocess.run([sys.executable, script, "--check"], check=True)


HANDLE = """
import json, os, sys
sys.path[:0] = sys.argv[1:]
from inference_runtime.adapters.aws_lambda import handler
class Context:
    aws_request_id = "1"
    get_remaining_time_in_millis = staticmethod(lambda: 30_000)
answer = handler({"features": [0.0] * 64}, Context())
from_elsewhere = [
    module.__file__ for module in list(sys.modules.values())
    if not getattr(module, "__file__", None) is None
    and not module.__file__.startswith((*sys.argv[1:], os.path.dirname(os.__file__)))
]
print(json.dumps([answer, from_elsewhere]))
"""


def test_a_zip_with_its_layers_needs_nothing_else(tmp_path: Path) -> None:
    model = InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")
    dependencies = dependencies_archive(PackageTarget.host())
    for part, archive in (
        ("task", code_archive()),
        ("opt", dependencies),
        ("opt", model_archive(model)),
    ):
        with ZipFile(archive.path) as content:
            content.extractall(tmp_path / part)
    # Neither the virtual environment nor the current folder is on this interpreter's path.
    result = subprocess.run(
        [sys.executable, "-S", "-I", "-c", HANDLE, tmp_path / "task", tmp_path / "opt" / "python"],
        cwd=tmp_path,
        env={"MODEL_URI": "models/digits/model.onnx", "MODEL_VERSION": model.version},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer, from_elsewhere = json.loads(result.stdout.splitlines()[-1])
    assert answer["model_version"] == model.version
    assert answer["predictions"]["label"] in range(10)
    assert [file for file in from_elsewhere if "site-packages" in file] == []
    assert [file for file in from_elsewhere if file.startswith(str(ROOT))] == []
