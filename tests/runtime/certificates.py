"""A certificate for localhost, that nobody else signed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path


def for_localhost(folder: Path, name: str = "localhost") -> Pair:
    """Or for another name."""
    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(pair.key), "-out", str(pair.certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return pair
