"""All modules of this package in one file, which ``images/pack.py`` writes into an artifact.

The import system looks for a module in one folder after the other, and reads it from a file of its
own. From here it takes one system call, which halves the time of the sixty modules that come before
the first answer. Without the file, modules are imported as any others.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib_external import (  # importlib.machinery takes half a millisecond
    MAGIC_NUMBER,
    SourceFileLoader,
    cache_from_source,
    spec_from_file_location,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import CodeType
    from typing import Final

_HEADER_BYTES: Final = len(MAGIC_NUMBER) + 4
_PYC_HEADER_BYTES: Final = 16
# They are imported before there is a bundle.
_OUTSIDE: Final = ("__init__.py", "bundle.py")


class Bundle:
    """A finder, for ``sys.meta_path``, of the modules in a bundle.

    Args:
        package: the package's folder.

    Raises:
        OSError: it has no bundle for this interpreter, or that cannot be read.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._descriptor = os.open(_path(package), os.O_RDONLY)
        header = os.pread(self._descriptor, _HEADER_BYTES, 0)
        if header[:-4] != MAGIC_NUMBER:
            os.close(self._descriptor)
            raise OSError(f"{_path(package)} is of another version of Python")
        size = int.from_bytes(header[-4:], "little")
        self._start = _HEADER_BYTES + size
        self._index: dict[str, tuple[str, int, int]]
        self._index = marshal.loads(os.pread(self._descriptor, size, _HEADER_BYTES))  # noqa: S302

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        entry = self._index.get(name)
        if entry is None:
            return None
        file, start, size = entry
        path = f"{self._package}/{file}"
        loader = _Loader(name, path, lambda: os.pread(self._descriptor, size, self._start + start))
        return spec_from_file_location(name, path, loader=loader)


class _Loader(SourceFileLoader):
    """Has a module's code from the bundle, and all else from the module's own file."""

    def __init__(self, name: str, path: str, read: Callable[[], bytes]) -> None:
        super().__init__(name, path)
        self._read = read

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        return marshal.loads(self._read())  # type: ignore[no-any-return] # noqa: S302


def use(package: str) -> None:
    """Import modules of the package in the folder ``package`` from its bundle, where it has one."""
    try:  # noqa: SIM105 - contextlib is not imported before the first answer
        sys.meta_path.insert(0, Bundle(package))
    except OSError:
        pass  # not an artifact


def write(package: str) -> None:
    """Move the compiled modules of a package into its bundle.

    Args:
        package: its folder, compiled by this interpreter.

    Raises:
        OSError: a module is not compiled, or the bundle cannot be written.
    """
    index: dict[str, tuple[str, int, int]] = {}
    codes = []
    start = 0
    for file in _modules(package):
        compiled = cache_from_source(f"{package}/{file}")
        with open(compiled, "rb") as content:
            code = content.read()[_PYC_HEADER_BYTES:]
        os.remove(compiled)
        index[_name(f"{os.path.basename(package)}/{file}")] = (file, start, len(code))
        codes.append(code)
        start += len(code)
    head = marshal.dumps(index)
    with open(_path(package), "wb") as bundle:
        bundle.write(MAGIC_NUMBER + len(head).to_bytes(4, "little") + head + b"".join(codes))


def _path(package: str) -> str:
    return f"{package}/{sys.implementation.cache_tag}.bundle"


def _modules(package: str) -> list[str]:
    """The files of those that belong into the bundle, relative to the package, in order."""
    files = [
        os.path.relpath(os.path.join(folder, name), package)
        for folder, _, names in os.walk(package)
        for name in names
        if name.endswith(".py")
    ]
    return sorted(set(files) - set(_OUTSIDE))


def _name(file: str) -> str:
    """The name of the module in ``file``."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
