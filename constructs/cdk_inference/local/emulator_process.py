"""The emulator's process: ministack, made to end together with the process that started it.

Run as a script, by its path, so that it loads ministack and nothing of this package:

    python -I emulator_process.py SCRATCH_FOLDER {tied|free}

``tied``: standard input is a pipe that the parent holds open and never writes to. When the parent
ends in any way at all, SIGKILL included, the pipe closes, and this process ends with its Lambda
workers and its scratch folder. That works on every POSIX system, unlike Linux's PR_SET_PDEATHSIG.
``free``: it runs until `Emulator.stop`.
"""

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Final

RESOURCE_TYPES: Final = "resource-types.json"
"""A file in the scratch folder: the CloudFormation resource types that ministack knows."""


def _end_with_parent(scratch: str) -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _managed_packages(scratch: Path) -> str:
    """A folder with what Lambda's own Python brings for SnapStart: one file."""
    import snapshot_restore_py

    folder = scratch / "managed"
    folder.mkdir()
    shutil.copy(snapshot_restore_py.__file__, folder)
    return str(folder)


def main(scratch: str, lifetime: str) -> None:
    """Serve until killed; ``scratch`` is the folder that TMPDIR names."""
    if lifetime == "tied":
        threading.Thread(target=_end_with_parent, args=[scratch], daemon=True).start()
    # Imported after that: it takes half a second. The list has no public name.
    from ministack.app import main as run_ministack
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    (Path(scratch) / RESOURCE_TYPES).write_text(json.dumps(sorted(_RESOURCE_HANDLERS)))
    os.environ["PYTHONPATH"] = _managed_packages(Path(scratch))
    # ministack runs functions with sys.executable. The interpreter outside this virtual
    # environment gives a function no package that its own code and layers do not bring, but for
    # those above.
    sys.executable = sys._base_executable  # type: ignore[attr-defined]
    sys.argv = ["ministack"]
    run_ministack()


if __name__ == "__main__":
    main(*sys.argv[1:])
