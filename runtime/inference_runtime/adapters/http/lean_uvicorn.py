"""uvicorn's server without its command line.

``import uvicorn`` brings in the command line, and so click and multiprocessing: a third of the
160 ms of processor time that the whole host took to import with it. The package is therefore put in
place without being run, and what is used of it is imported from its modules.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

from inference_runtime.errors import InvalidSettings


def _put_package_in_place() -> None:
    spec = find_spec("uvicorn")
    if spec is None:
        raise InvalidSettings("uvicorn is not installed; install inference-runtime[http]")
    package = module_from_spec(spec)
    sys.modules["uvicorn"] = package
    from uvicorn.config import Config

    package.Config = Config  # type: ignore[attr-defined]  # its own modules ask the package for it


if "uvicorn" not in sys.modules:
    _put_package_in_place()

from uvicorn.config import Config  # noqa: E402
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.server import Server  # noqa: E402

__all__ = ["Config", "HttpToolsProtocol", "Server"]
