"""Runs the emulator's Managed Instances mode, which expects a container of its own, without one.

That mode starts ``/var/task/bootstrap`` or nothing, as user 993 and group 990. So this script, run
in namespaces of its own (``unshare --user --map-root-user --mount``), puts a ``/var`` there that
holds the bootstrap, and has the kernel answer the three system calls that change user and group
with success without doing anything.

    unshare --user --map-root-user --mount python namespace.py BOOTSTRAP COMMAND…
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

# setuid, setgid and setgroups.
SYSTEM_CALLS = {"x86_64": (105, 106, 116), "aarch64": (146, 144, 159)}

# linux/prctl.h, linux/filter.h, linux/seccomp.h
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
ALLOW = 0x7FFF0000
ERRNO_0 = 0x00050000


def mount_bootstrap(bootstrap: str) -> None:
    """A new ``/var`` for this mount namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/var"], check=True)
    task = Path("/var/task")
    task.mkdir()
    shutil.copy(bootstrap, task / "bootstrap")


def ignore_changes_of_user() -> None:
    """A filter of system calls for this process and its children: see seccomp(2)."""
    calls = SYSTEM_CALLS[platform.machine()]
    instructions = [(LOAD_WORD, 0, 0, 0)]
    instructions += [
        (JUMP_IF_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)
    ]
    instructions += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO_0)]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), f"prctl{arguments[:2]}")


if __name__ == "__main__":
    mount_bootstrap(sys.argv[1])
    ignore_changes_of_user()
    os.execv(sys.argv[2], sys.argv[2:])
