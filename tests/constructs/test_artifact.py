from __future__ import annotations

import json
import marshal
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from threading import Barrier
from zipfile import ZipFile

import pytest
from cdk_inference import InferenceModel, PackagingError, artifact, packages
from cdk_inference.archive import Archive, write_folder, write_zip
from cdk_inference.artifact import (
    code_archive,
    dependencies_archive,
    extension_archive,
    image_context,
    model_archive,
    prefetch,
)
from cdk_inference.cache import cache_folder, cached
from cdk_inference.contract import AWS_LAMBDA_COMMAND, MODEL_CACHE_EXTENSION
from cdk_inference.packages import PackageTarget
from hypothesis import given
from hypothesis import strategies as st

from tests.constructs.onnx_models import save_external, scale_model
from tests.constructs.synthesis import ROOT

HERE = PackageTarget.host()
DIGITS = InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")
BOTH = (False, True)


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
        code_archive(HERE.python_version)


def test_the_code_is_what_serves_of_the_runtime_and_nothing_else() -> None:
    content = names(code_archive(HERE.python_version).path)
    assert "inference_runtime/adapters/aws_lambda.py" in content
    assert "inference_runtime/py.typed" in content
    assert all(name.startswith("inference_runtime/") for name in content)
    built_with = ("/optimize", "/inspect")
    assert not [name for name in content if any(part in name for part in built_with)]


def assert_compiled(archive: Path, root: str, place: str) -> None:
    """Every module has bytecode that is not checked, and tells where its source will be."""
    with ZipFile(archive) as content:
        modules = [name for name in content.namelist() if name.endswith(".py")]
        assert modules
        for name in modules:
            bytecode = content.read(cache_from_source(name))
            assert bytecode[:4] == MAGIC_NUMBER
            assert bytecode[4:8] == b"\1\0\0\0", "flags: a hash, which is not checked (PEP 552)"
            path = marshal.loads(bytecode[16:]).co_filename
            assert path == f"{place}/{name.removeprefix(root)}"


def test_everything_is_compiled_where_this_machine_has_the_interpreter() -> None:
    content = names(code_archive(HERE.python_version).path)
    assert f"inference_runtime/{sys.implementation.cache_tag}.bundle" in content
    assert_compiled(dependencies_archive(HERE, lite=True).path, "python/", "/opt/python")


def test_without_the_interpreter_the_source_alone_serves_and_that_is_told(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "interpreter", lambda _: None)
    monkeypatch.setattr(artifact, "interpreter", lambda _: None)
    content = names(dependencies_archive(HERE, lite=True).path)
    assert "python/orjson/__init__.py" in content
    assert not [name for name in content if "__pycache__" in name]
    assert f"uv python install {HERE.python_version}" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_an_interpreter_is_of_the_version_that_was_asked_for(version: str) -> None:
    found = packages.interpreter(version)
    assert (found is not None) or version != HERE.python_version
    if found is not None:
        told = subprocess.run([found, "--version"], check=True, capture_output=True, text=True)
        assert told.stdout.startswith(f"Python {version}.")


def test_there_is_no_interpreter_of_a_version_that_is_not_installed() -> None:
    assert packages.interpreter("3.99") is None


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
    left_out = ("/tests/", "/RECORD", "python/bin/", "/transformers/", ".pyi", "python/google/")
    assert [name for name in content if any(part in name for part in left_out)] == []
    assert archive.unzipped_bytes < 125 * 2**20


def test_the_lite_zip_has_32_mib_at_most_before_the_model() -> None:
    code, dependencies = code_archive(HERE.python_version), dependencies_archive(HERE, lite=True)
    packaged = {name.split("/")[1] for name in names(dependencies.path)}
    assert {name.partition("-")[0] for name in packaged} == {"onnxruntime", "orjson"}
    assert code.unzipped_bytes + dependencies.unzipped_bytes < 32 * 2**20
    assert len(names(code.path)) + len(names(dependencies.path)) < 300


def test_the_dependencies_are_for_the_target_and_not_for_this_machine() -> None:
    content = names(dependencies_archive(PackageTarget.linux("3.13", "x86_64")).path)
    binding = next(name for name in content if "onnxruntime_pybind11_state" in name)
    assert "cpython-313-x86_64-linux-gnu" in binding


@pytest.mark.parametrize(
    "build",
    [
        lambda: dependencies_archive(HERE),
        lambda: dependencies_archive(HERE, lite=True),
        lambda: code_archive(HERE.python_version),
        lambda: model_archive(DIGITS),
    ],
    ids=["dependencies", "lite dependencies", "code", "model"],
)
def test_layers_are_the_same_bytes_wherever_they_are_built(
    build: Callable[[], Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build().path
    monkeypatch.setenv("CDK_INFERENCE_CACHE", str(tmp_path))
    again = build().path
    assert built.name == again.name
    assert built != again
    assert built.read_bytes() == again.read_bytes()


def test_what_was_prefetched_is_not_installed_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = []

    def install(requirements: Path, target: PackageTarget, folder: Path) -> None:
        targets.append(target)
        folder.mkdir()
        (folder / "module.py").write_text("")

    monkeypatch.setattr(artifact, "install", install)
    wanted = [PackageTarget.linux("3.13", machine) for machine in ("x86_64", "aarch64")]
    prefetch(wanted)
    assert "packaging onnxruntime for Python 3.13 on aarch64" in capsys.readouterr().err
    paths = {dependencies_archive(target, lite=lite).path for target in wanted for lite in BOTH}
    assert targets == [target for target in wanted for _ in BOTH]
    assert len(paths) == 4
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
    assert "COPY requirements.txt pack.py ./" in dockerfile
    assert {path.name for path in context.iterdir()} == {"Dockerfile", "pack.py", *sources}
    assert not (context / "inference_runtime" / "optimize").exists()
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
        ("task", code_archive(HERE.python_version)),
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
