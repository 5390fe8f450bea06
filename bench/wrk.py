"""Load from wrk (https://github.com/wg/wrk; Debian's package ``wrk``), and its figures."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "{content_type}"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw.

    Attributes:
        requests_per_second: answered ones, errors included.
        p50_ms: median latency.
        p99_ms: 99th percentile.
        errors: answers that were not 2xx, and socket errors.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def load(
    url: str,
    body: bytes,
    *,
    connections: int,
    seconds: int,
    cpus: str | None = None,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Load:
    """Post ``body`` to ``url`` over and over.

    Args:
        url: where to.
        body: of each request.
        connections: kept open, each with one request in flight.
        seconds: how long.
        cpus: that wrk may run on, as taskset has them; all by default.
        content_type: of the body.
        headers: more of them.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; install Debian's package wrk")
    with TemporaryDirectory() as folder:
        data, script = Path(folder, "body"), Path(folder, "post.lua")
        data.write_bytes(body)
        lines = "\n".join(f'wrk.headers["{k}"] = "{v}"' for k, v in (headers or {}).items())
        script.write_text(_SCRIPT.format(content_type=content_type, headers=lines, body=data))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--latency",
            "-s",
            str(script),
        ]
        pinned = ["taskset", "-c", cpus] if cpus else []
        run = subprocess.run([*pinned, *command, url], capture_output=True, text=True, check=True)
    return _parse(run.stdout)


def _parse(text: str) -> Load:
    def percentile(name: str) -> float:
        value, unit = re.search(rf"^ +{name}% +([\d.]+)(us|ms|s|m)$", text, re.M).groups()
        return float(value) * _MILLISECONDS[unit]

    rate = float(re.search(r"Requests/sec: +([\d.]+)", text)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    return Load(rate, percentile("50"), percentile("99"), errors)
