"""What a newcomer's first minute rests on: the set-up's sentences, and the Makefile's help."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "tools" / "bootstrap.py"


def load_bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", BOOTSTRAP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with nothing but the set-up in it."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    return tmp_path


def run_bootstrap(checkout: Path, *prelude: str, **env: str) -> subprocess.CompletedProcess[str]:
    script = str(checkout / "tools" / "bootstrap.py")
    lines = ["import runpy, sys", *prelude, f"runpy.run_path({script!r}, run_name='__main__')"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env={**clean, "PIP_CONFIG_FILE": os.devnull, **env},
        check=False,
    )


def test_old_pythons_parse_it_and_so_can_say_that_they_are_too_old() -> None:
    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 6))


def test_too_old_a_python_gets_one_sentence(checkout: Path) -> None:
    result = run_bootstrap(checkout, "sys.version_info = (3, 10, 0)")

    assert result.returncode == 1
    assert result.stdout == ""
    assert "needs Python 3.11 or newer" in result.stderr
    assert "is 3.10" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_python_without_venv_gets_one_sentence(checkout: Path) -> None:
    result = run_bootstrap(checkout, "sys.modules['ensurepip'] = None")

    assert result.returncode == 1
    assert "sudo apt install python3-venv" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_no_registry_gets_one_sentence(checkout: Path) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    result = run_bootstrap(checkout, PIP_INDEX_URL=nowhere, PIP_NO_CACHE_DIR="1")

    assert result.returncode == 1
    assert "The package registry cannot be reached" in result.stderr
    assert "make setup" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (checkout / ".tools" / "uv-requirements.txt").exists()


def test_a_folder_that_cannot_be_written_gets_one_sentence(checkout: Path) -> None:
    (checkout / ".cache").write_text("a file where the set-up wants a folder")

    result = run_bootstrap(checkout)

    assert result.returncode == 1
    assert "cannot write or run a file" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "Failed to copy to `x`: No space left on device (os error 28)",
            "The disk is full",
        ),
        (
            "error: failed to create directory `/c`: Permission denied (os error 13)",
            "cannot be written",
        ),
        (
            "cause: error sending request for url (https://pypi.org/simple/)\n"
            "cause: client error (Connect)\ncause: invalid peer certificate: UnknownIssuer",
            "certificate is not trusted",
        ),
        (
            "cause: error sending request for url (https://pypi.org/simple/)\n"
            "cause: dns error: failed to lookup address information",
            "registry cannot be reached",
        ),
        (
            "NewConnectionError('<pip._vendor.urllib3>: Failed to establish a new connection:"
            " [Errno -3] Temporary failure in name resolution')",
            "registry cannot be reached",
        ),
    ],
)
def test_a_failed_step_is_explained_by_its_log(
    log: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = load_bootstrap()
    (tmp_path / "setup.log").write_text(log)
    monkeypatch.setattr(bootstrap, "LOG", tmp_path / "setup.log")

    assert sentence in bootstrap.explain("Installing uv")


def test_an_unknown_failure_shows_the_log_and_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = load_bootstrap()
    monkeypatch.setattr(bootstrap, "LOG", tmp_path / "setup.log")

    with pytest.raises(bootstrap.SetupError) as raised:
        bootstrap.step("Counting", sys.executable, "-c", "print('one'); sys.exit('two')")

    assert "Counting failed" in str(raised.value)
    assert "one" in str(raised.value)
    assert str(tmp_path / "setup.log") in str(raised.value)


def test_uv_is_pinned_with_hashes_to_the_locked_version() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = next(package for package in lock["package"] if package["name"] == "uv")
    files = [*locked["wheels"], locked["sdist"]]
    requirements = (ROOT / "tools" / "uv-requirements.txt").read_text()

    assert requirements.startswith(f"uv=={locked['version']} ")
    assert set(re.findall(r"sha256:\w+", requirements)) == {file["hash"] for file in files}


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    help_text = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    listed = re.findall(r"^  make (\w+) +\S", help_text, re.MULTILINE)
    assert listed == phony[1].split()
