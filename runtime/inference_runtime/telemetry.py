"""JSON lines on standard output, and the clocks behind their figures.

The lines are written here rather than by a logging library because they run before the first
answer: `bench/imports.py` measures what the alternatives cost there.
"""

from __future__ import annotations

import sys
import time

from inference_runtime import jsonio
from inference_runtime.settings import level_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LEVEL: Final = level_name()


def log(level: str, message: str, /, **fields: object) -> None:
    """Write one line of JSON to standard output: level, message, UTC time, and ``fields``."""
    line = {_LEVEL: level, "message": message, "timestamp": _timestamp(), **fields}
    sys.stdout.write(jsonio.dumps(line).decode() + "\n")
    sys.stdout.flush()


def log_exception(message: str, raised: BaseException, /, **fields: object) -> None:
    """Write an error line with the whole traceback, which callers never see."""
    from traceback import format_exception

    log("ERROR", message, traceback="".join(format_exception(raised)), **fields)


class Stopwatch:
    """Splits the time since its start into named parts.

    Args:
        start: of the first part, on the ``time.perf_counter`` clock; now by default.

    Attributes:
        seconds: of each part, by its name.
    """

    def __init__(self, start: float | None = None) -> None:
        self._last = time.perf_counter() if start is None else start
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End the current part, name it, and start the next."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    @property
    def milliseconds(self) -> dict[str, float]:
        """The parts as logs name and round them: ``<part>_ms``, to the microsecond."""
        return {f"{name}_ms": round(spent * 1000, 3) for name, spent in self.seconds.items()}


def process_start() -> float:
    """When the interpreter started, on the ``time.perf_counter`` clock.

    Linux tells it to 10 ms; elsewhere it is the time of this call.
    """
    now = time.perf_counter()
    try:
        import os

        with open("/proc/self/stat", "rb") as file:
            # After the command's name, which may hold spaces, starttime is the 20th field: proc(5).
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):
        return now


def _timestamp() -> str:
    now = time.time()
    milliseconds = int(now % 1 * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{milliseconds:03}Z"
