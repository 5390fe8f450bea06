"""Runs a container's command, made to end together with the process that started it.

Run as a script, by its path:

    python -I container_process.py COMMAND [ARGUMENT …]

Standard input is a pipe that the parent holds open and never writes to. When the parent ends in any
way at all, SIGKILL included, the pipe closes, and this process group ends with all that is in it.
"""

import os
import signal
import subprocess
import sys
import threading


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock this process could not end without
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run ``command`` to its end; its exit code, or 127 if there is no such program."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603
    except OSError as error:
        print(f"cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
