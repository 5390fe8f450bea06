"""The functions of onnxruntime's C library that the engine uses.

``OrtGetApiBase`` is the one symbol that the library exports; it leads to ``OrtApi``, a structure of
function pointers that only ever grows at its end. The numbers below are their positions in
``struct OrtApi`` of ``onnxruntime_c_api.h``, where each function is documented:
https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_c_api.h
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    PYFUNCTYPE,
    byref,
    c_char_p,
    c_int,
    c_size_t,
    c_uint32,
    c_void_p,
    cast,
)

from inference_runtime.engine.capi import NeedsStockEngine
from inference_runtime.engine.options import LOG_ERRORS, disable_telemetry
from inference_runtime.readahead import read_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

# Minor versions of onnxruntime 1.x that the tests of this engine have passed with. Version 1.N has
# the API version N, and keeps those before it.
TESTED_MINORS: Final = range(26, 33)

# OrtErrorCode by number, under the names of the Python package's exceptions.
_ERROR_NAMES = (
    "Ok", "Fail", "InvalidArgument", "NoSuchFile", "NoModel", "EngineError", "RuntimeException",
    "InvalidProtobuf", "ModelLoaded", "NotImplemented", "InvalidGraph", "EPFail",
    "ModelLoadCanceled", "ModelRequiresCompilation", "NotFound",
)  # fmt: skip

_P = c_void_p
# These return a status, and work long enough to let other Python threads run meanwhile.
_LONG: dict[str, tuple[int, tuple[Any, ...]]] = {
    "CreateEnv": (3, (c_int, c_char_p, _P)),
    "CreateSession": (7, (_P, c_char_p, _P, _P)),
    "CreateSessionFromArray": (8, (_P, _P, c_size_t, _P, _P)),
    "Run": (9, (_P, _P, _P, _P, c_size_t, _P, c_size_t, _P)),
}
# These return a status and are over in a microsecond: winning the interpreter's lock back could
# take thousands of times longer, so they keep it.
_SHORT: dict[str, tuple[int, tuple[Any, ...]]] = {
    "CreateSessionOptions": (10, (_P,)),
    "DisableCpuMemArena": (19, (_P,)),
    "SetSessionGraphOptimizationLevel": (23, (_P, c_int)),
    "SetIntraOpNumThreads": (24, (_P, c_int)),
    "SetInterOpNumThreads": (25, (_P, c_int)),
    "AddSessionConfigEntry": (130, (_P, c_char_p, c_char_p)),
    "SessionGetInputCount": (30, (_P, _P)),
    "SessionGetOutputCount": (31, (_P, _P)),
    "SessionGetOverridableInitializerCount": (32, (_P, _P)),
    "SessionGetInputTypeInfo": (33, (_P, c_size_t, _P)),
    "SessionGetOutputTypeInfo": (34, (_P, c_size_t, _P)),
    "SessionGetOverridableInitializerTypeInfo": (35, (_P, c_size_t, _P)),
    "SessionGetInputName": (36, (_P, c_size_t, _P, _P)),
    "SessionGetOutputName": (37, (_P, c_size_t, _P, _P)),
    "SessionGetOverridableInitializerName": (38, (_P, c_size_t, _P, _P)),
    "SessionGetModelMetadata": (111, (_P, _P)),
    "ModelMetadataLookupCustomMetadataMap": (116, (_P, _P, c_char_p, _P)),
    "CastTypeInfoToTensorInfo": (55, (_P, _P)),
    "GetOnnxTypeFromTypeInfo": (56, (_P, _P)),
    "GetTensorElementType": (60, (_P, _P)),
    "GetDimensionsCount": (61, (_P, _P)),
    "GetDimensions": (62, (_P, _P, c_size_t)),
    "GetSymbolicDimensions": (63, (_P, _P, c_size_t)),
    "CreateRunOptions": (39, (_P,)),
    "RunOptionsSetRunLogSeverityLevel": (41, (_P, c_int)),
    "RunOptionsSetTerminate": (46, (_P,)),
    "AddInitializer": (150, (_P, c_char_p, _P)),
    "CreateCpuMemoryInfo": (69, (c_int, c_int, _P)),
    "CreateTensorAsOrtValue": (48, (_P, _P, c_size_t, c_int, _P)),
    "CreateTensorWithDataAsOrtValue": (49, (_P, _P, c_size_t, _P, c_size_t, c_int, _P)),
    "GetTensorMutableData": (51, (_P, _P)),
    "GetStringTensorDataLength": (53, (_P, _P)),
    "GetStringTensorContent": (54, (_P, _P, c_size_t, _P, c_size_t)),
    "GetResizedStringTensorElementBuffer": (252, (_P, c_size_t, c_size_t, _P)),
    "GetTensorTypeAndShape": (65, (_P, _P)),
    "GetAllocatorWithDefaultOptions": (78, (_P,)),
    "AllocatorFree": (76, (_P, _P)),
}
_RELEASES = {
    "ReleaseMemoryInfo": 94,
    "ReleaseSession": 95,
    "ReleaseValue": 96,
    "ReleaseRunOptions": 97,
    "ReleaseTypeInfo": 98,
    "ReleaseTensorTypeAndShapeInfo": 99,
    "ReleaseSessionOptions": 100,
    "ReleaseModelMetadata": 118,
}
_LONG_RELEASES = ("ReleaseSession",)
_GET_ERROR_CODE, _GET_ERROR_MESSAGE, _RELEASE_STATUS = 1, 2, 93


class OrtFailure(Exception):
    """A status that was not OK; the text is onnxruntime's.

    Attributes:
        name: of the error code, as the Python package names its exceptions.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Handle:
    """An object of the library's, released with this one or at the end of its ``with``.

    Args:
        pointer: to the object.
        release: releases it.
        needs: what it points into, which stays until it is released.
    """

    __slots__ = ("_needs", "_release", "pointer")

    def __init__(self, pointer: int, release: Callable[[int], None], needs: object = None) -> None:
        self.pointer: int | None = pointer
        self._release = release
        self._needs = needs

    @property
    def _as_parameter_(self) -> int | None:
        """What ctypes passes for this object."""
        return self.pointer

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Release it; the second time nothing is left to do."""
        if self.pointer is not None:
            self._release(self.pointer)
            self.pointer = self._needs = None


class Library:
    """onnxruntime's C library, loaded and initialised. ``load_library`` gives the process's one.

    The functions of the tables above are its attributes. Each raises ``OrtFailure`` where C has a
    status that is not OK, and has released that status by then.

    Args:
        path: of ``libonnxruntime.so``.

    Attributes:
        version: for example ``1.31.1``.
        env: the process's one ``OrtEnv``; it lives as long as the process.
        allocator: of the library's own memory.

    Raises:
        NeedsStockEngine: it cannot be loaded here, or its version was not tested.
    """

    def __init__(self, path: str) -> None:
        disable_telemetry()
        try:
            get_base = CDLL(path).OrtGetApiBase
        except (OSError, AttributeError) as error:
            raise NeedsStockEngine(f"{path} cannot be loaded: {error}") from error
        get_base.restype = POINTER(c_void_p)
        get_api, get_version = get_base()[:2]
        self.version: str = PYFUNCTYPE(c_char_p)(get_version)().decode()
        check_version(self.version, path)
        address = PYFUNCTYPE(c_void_p, c_uint32)(get_api)(TESTED_MINORS[0])
        self._bind(cast(address, POINTER(c_void_p)))
        self.env = self.get(c_void_p, self.CreateEnv, LOG_ERRORS, b"inference_runtime")
        self.allocator = self.get(c_void_p, self.GetAllocatorWithDefaultOptions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def get(self, kind: type[Any], function: Callable[..., Any], *arguments: object) -> Any:
        """What ``function`` writes into its last argument, a pointer to a ``kind``."""
        out = kind()
        function(*arguments, byref(out))
        return out.value

    def make(
        self, create: Callable[..., Any], release: Callable[..., Any], *arguments: object
    ) -> Handle:
        """The object that ``create`` makes."""
        return Handle(self.get(c_void_p, create, *arguments), release)

    def text(self, function: Callable[..., Any], *arguments: object) -> str | None:
        """The string that ``function`` allocates; ``None`` where it gives none."""
        pointer = self.get(c_void_p, function, *arguments)
        if pointer is None:
            return None
        try:
            return cast(pointer, c_char_p).value.decode()  # type: ignore[union-attr]
        finally:
            self.AllocatorFree(self.allocator, pointer)

    def _bind(self, api: Any) -> None:
        self._error_code = PYFUNCTYPE(c_int, c_void_p)(api[_GET_ERROR_CODE])
        self._error_message = PYFUNCTYPE(c_char_p, c_void_p)(api[_GET_ERROR_MESSAGE])
        self._release_status = PYFUNCTYPE(None, c_void_p)(api[_RELEASE_STATUS])
        for name, position in _RELEASES.items():
            prototype = CFUNCTYPE if name in _LONG_RELEASES else PYFUNCTYPE
            setattr(self, name, prototype(None, c_void_p)(api[position]))
        for table, status in ((_LONG, CFUNCTYPE(c_void_p)), (_SHORT, PYFUNCTYPE(c_void_p))):
            for name, (position, argtypes) in table.items():
                function: Any = status(api[position])
                function.argtypes = argtypes
                function.errcheck = self._check
                setattr(self, name, function)

    def _check(self, status: int | None, _function: object, _arguments: object) -> None:
        if status is None:
            return
        code = self._error_code(status)
        text = self._error_message(status).decode(errors="replace")
        self._release_status(status)
        name = _ERROR_NAMES[code] if code < len(_ERROR_NAMES) else f"error {code}"
        raise OrtFailure(name, text)


_loading = allocate_lock()
_loaded: Library | None = None


def load_library() -> Library:
    """The process's one: loaded by the first call, and others wait for that.

    Raises:
        NeedsStockEngine: as ``find_library`` and ``Library``.
    """
    global _loaded
    with _loading:
        if _loaded is None:
            path = find_library()
            read_ahead(path)
            _loaded = Library(path)
        return _loaded


def find_library(folders: Iterable[str] | None = None) -> str:
    """The path of the library in the first of ``folders`` that has the wheel installed.

    Args:
        folders: as in ``sys.path``, which is the default.

    Raises:
        NeedsStockEngine: none has it.
    """
    for folder in sys.path if folders is None else folders:
        capi = os.path.join(folder, "onnxruntime", "capi")
        if os.path.isdir(capi):
            for name in os.listdir(capi):
                if name.startswith("libonnxruntime.so"):
                    return os.path.join(capi, name)
    raise NeedsStockEngine("no entry of sys.path has onnxruntime/capi/libonnxruntime.so")


def check_version(version: str, path: str) -> None:
    """Check that this engine was tested with ``version`` of the library at ``path``.

    Raises:
        NeedsStockEngine: it was not.
    """
    major, minor, *_ = version.split(".")
    if major != "1" or int(minor) not in TESTED_MINORS:
        raise NeedsStockEngine(
            f"{path} is onnxruntime {version}; this engine is tested with"
            f" 1.{TESTED_MINORS[0]} to 1.{TESTED_MINORS[-1]}"
        )
