"""Processes: telling one from a later one with the same id, and ending them in order."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn


def start_time(pid: int) -> str | None:
    """When the process ``pid`` started, as an opaque text; None if there is none, or a zombie.

    Two processes that had the same id at different times differ in it.
    """
    if Path("/proc/self/stat").exists():
        return _start_time_from_proc(pid)
    listing = subprocess.run(  # noqa: S603 - nothing here is a user's text
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - its place varies
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = listing.stdout.strip().partition(" ")
    return None if state.startswith("Z") or not started else started.strip()


def _start_time_from_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields 3 (state) and 22 (start time) of proc(5); the name before them may hold spaces.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def kill_group(pid: int) -> None:
    """End the process group that ``pid`` leads, now; a group that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this process by an exception, so that ``finally`` blocks run."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
