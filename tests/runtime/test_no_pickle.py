"""Nothing is read that runs code by being read: no pickle, nor what is built on it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.optimize.exports.inputs import read_arrays

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("runtime", "constructs", "stacks", "models", "tools")
# torch, too, reads pickles; it is handed modules, never files.
BUILT_ON_PICKLE = {
    "_pickle", "cloudpickle", "copyreg", "dill", "joblib", "marshal", "multiprocessing", "pickle",
    "pickletools", "shelve", "skops",
}  # fmt: skip
# The package's own modules, compiled, as the interpreter reads them from its files.
BYTECODE = (Path("runtime/inference_runtime/bundle.py"), {"marshal"})


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for folder in FOLDERS:
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                yield path.relative_to(REPOSITORY), node


def packages(node: ast.AST) -> set[str]:
    """The packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {name.name.partition(".")[0] for name in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").partition(".")[0]}
    return set()


def reads_arrays(node: ast.AST) -> bool:
    """Whether it is a call of ``numpy.load``, which reads pickles where it is allowed to."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load")


def test_no_module_imports_what_is_built_on_pickle() -> None:
    found = [(path, packages(node) & BUILT_ON_PICKLE) for path, node in nodes()]
    assert len({path for path, _ in found}) > 200
    assert [(path, names) for path, names in found if names] == [BYTECODE]


def test_arrays_are_read_without_it() -> None:
    calls = [(path, ast.unparse(node)) for path, node in nodes() if reads_arrays(node)]
    assert calls
    assert [call for call in calls if "allow_pickle=False" not in call[1]] == []


class Trap:
    """Makes a folder when it is read back."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_samples_that_would_run_code_are_refused_unread(tmp_path: Path) -> None:
    samples, made = tmp_path / "samples.npz", tmp_path / "made"
    np.savez(samples, x=np.array([Trap(made)], dtype=object))
    with pytest.raises(NotOptimized, match="allow_pickle"):
        read_arrays(str(samples))
    assert not made.exists()
    with np.load(samples, allow_pickle=True) as archive:
        archive["x"]
    assert made.exists()
