"""The runtime's modules in one file, as an artifact has them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import inference_runtime
import pytest
from inference_runtime import bundle

PACKAGE = Path(inference_runtime.__file__).parent
PACK = PACKAGE.parent / "images" / "pack.py"
NAME = f"{sys.implementation.cache_tag}.bundle"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("packed"))


def pack(folder: Path) -> Path:
    """The runtime's package, packed as for an image."""
    package = folder / "inference_runtime"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, PACK, folder, "/var/task"], check=True)
    return package


def run(package: Path, code: str) -> str:
    """What a fresh interpreter with that package prints."""
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=package.parent,
        env={"PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_every_module_is_in_it_and_no_other_bytecode_beside_it(packed: Path) -> None:
    assert (packed / NAME).is_file()
    compiled = {path.name.split(".")[0] for path in packed.rglob("*.pyc")}
    assert compiled == {"__init__", "bundle"}
    index = bundle.Bundle(str(packed))._index
    sources = {path.relative_to(packed).as_posix() for path in packed.rglob("*.py")}
    assert {file for file, _, _ in index.values()} == sources - {"__init__.py", "bundle.py"}


def test_modules_come_from_it_and_not_from_their_sources(packed: Path, tmp_path: Path) -> None:
    package = tmp_path / "inference_runtime"
    shutil.copytree(packed, package)
    for source in (package / "engine").rglob("*.py"):
        source.write_text("raise AssertionError")
    code = "from inference_runtime.engine import selection; print(selection.CAPI)"
    assert run(package, code) == "capi"


def test_a_module_knows_its_file_its_package_and_its_source(packed: Path) -> None:
    code = """
import inspect
from inference_runtime import engine
from inference_runtime.engine import selection
print(selection.__file__, selection.__package__, engine.__path__, selection.__spec__.origin)
assert "def preload" in inspect.getsource(selection)
"""
    file = packed / "engine" / "selection.py"
    folder = [str(packed / "engine")]
    assert run(packed, code) == f"{file} inference_runtime.engine {folder} {file}"


def test_python_m_runs_its_modules(packed: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "inference_runtime.cli", "--help"],
        env={"PYTHONPATH": str(packed.parent)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "usage:" in ran.stdout


def test_tracebacks_show_the_artifact_s_own_place(packed: Path) -> None:
    code = """
from inference_runtime.engine import selection
print(selection.preload.__code__.co_filename)
"""
    assert run(packed, code) == "/var/task/inference_runtime/engine/selection.py"


def test_the_same_sources_give_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    assert (pack(tmp_path) / NAME).read_bytes() == (packed / NAME).read_bytes()


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0\0\0\0\0"])
def test_of_another_version_of_python_it_is_left_alone(
    packed: Path, tmp_path: Path, content: bytes
) -> None:
    package = tmp_path / "inference_runtime"
    shutil.copytree(packed, package)
    (package / NAME).write_bytes(content)
    code = (
        "from inference_runtime.engine import selection; print(type(selection.__loader__).__name__)"
    )
    assert run(package, code) == "SourceFileLoader"


def test_a_module_that_is_not_in_it_is_found_as_any_other(packed: Path, tmp_path: Path) -> None:
    package = tmp_path / "inference_runtime"
    shutil.copytree(packed, package)
    (package / "engine" / "added.py").write_text("NUMBER = 7")
    assert run(package, "from inference_runtime.engine.added import NUMBER; print(NUMBER)") == "7"


def test_a_checkout_has_none() -> None:
    assert not [finder for finder in sys.meta_path if isinstance(finder, bundle.Bundle)]
    spec = importlib.util.find_spec("inference_runtime.engine.selection")
    assert spec is not None
    assert type(spec.loader).__name__ == "SourceFileLoader"


def test_what_is_not_compiled_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("")
    with pytest.raises(OSError, match="module"):
        bundle.write(str(tmp_path))
