"""Images built and run with Debian's buildah: no Docker engine, no registry, no daemon.

No registry can be asked for ``python:3.13-slim``, so images stand on a base that is made of this
machine's own Python, a shell, and the libraries that both load.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inference_runtime.engine.capi.library import find_library
from uv import find_uv_bin

BASE = "localhost/base"
# Without user namespaces and a network of their own, which build machines do not give.
ISOLATION = ("--isolation", "chroot", "--network", "host")
CERTIFICATES = "/etc/ssl/certs"
COMMANDS = ("sh", "find", "install", "mkdir", "mv", "rm", "touch")
NOT_TO_COPY = shutil.ignore_patterns(
    "__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "site-packages", "test",
    "tkinter", "turtledemo",
)  # fmt: skip

_LIST = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for path in (os.path.join(folder, name) for name in names):
        print(path + "*" * os.access(path, os.X_OK))
"""


@dataclass(frozen=True)
class Layer:
    """One layer of an image: what made it, its digest, and its size in bytes before compression."""

    made_by: str
    digest: str
    size: int


class Image:
    """An image in buildah's storage.

    Attributes:
        command: what a container of it starts, where nobody says otherwise.
        user: who that runs as.
        layers: from the base on.
    """

    def __init__(self, name: str, described: Mapping[str, Any]) -> None:
        self.name = name
        config = described["OCIv1"]["config"]
        self.command: list[str] = [*config["Entrypoint"], *config.get("Cmd", [])]
        self.user: str = config["User"]
        makers = [
            one.get("created_by", "")
            for one in described["OCIv1"]["history"]
            if not one.get("empty_layer")
        ]
        stored = json.loads(described["Manifest"])["layers"]
        self.layers = [
            Layer(_instruction(made_by), layer["digest"], layer["size"])
            for made_by, layer in zip(makers, stored, strict=True)
        ]


class Buildah:
    """buildah, with a storage of its own.

    Args:
        folder: for that storage.
    """

    def __init__(self, folder: Path) -> None:
        self._command = [
            "buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run"),
        ]  # fmt: skip
        self._builds = 0

    def __call__(self, *arguments: str) -> str:
        """What it prints; an error tells what it printed beside that."""
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"buildah {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def make_base(self, folder: Path) -> None:
        """Make ``BASE`` of this machine's files, by way of ``folder``."""
        write_base(folder)
        self.make(BASE, folder, on="scratch")

    def make(self, name: str, folder: Path, *, on: str = BASE) -> None:
        """Make an image of the files in ``folder`` on another image."""
        container = self("from", on)
        self("add", "--quiet", container, str(folder), "/")
        self("commit", "--quiet", container, name)
        self("rm", container)

    def build(self, context: Path, **arguments: str) -> Image:
        """Build the Dockerfile in ``context`` on ``BASE``, a layer for each instruction."""
        self._builds += 1
        name = f"localhost/built:{self._builds}"
        given = {"BASE_IMAGE": BASE, **arguments}.items()
        self(
            "build", "--quiet", "--layers", *ISOLATION,
            *(f"--build-arg={argument}={value}" for argument, value in given),
            "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--tag", name, str(context),
        )  # fmt: skip
        return Image(name, json.loads(self("inspect", "--type", "image", name)))

    def listing(self, image: Image, folder: str) -> list[str]:
        """The files below a folder of ``image``, a ``*`` after those that can be executed."""
        container = self("from", image.name)
        run = ("run", *ISOLATION, container, "--", "python", "-c", _LIST, folder)
        listed = self(*run).splitlines()
        self("rm", container)
        return sorted(listed)

    @contextmanager
    def running(
        self, image: Image, environ: Mapping[str, str], output: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A container of ``image`` that runs its own command, on this machine's network."""
        container = self("from", image.name)
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        command = [*self._command, "run", *ISOLATION, *variables, container, "--", *image.command]
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(process.pid, 9)
            process.wait()
            self("rm", container)

    def remove_all(self) -> None:
        self("rm", "--all")
        self("rmi", "--all", "--force")


def write_base(folder: Path) -> None:
    """What an image needs under a Python application, copied from this machine."""
    python = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
    stdlib = Path(sysconfig.get_path("stdlib"))
    library = folder / "usr/local/lib" / stdlib.name
    shutil.copytree(stdlib, library, ignore=NOT_TO_COPY)
    bin_folder = folder / "usr/local/bin"
    bin_folder.mkdir()
    shutil.copy(python, bin_folder / "python")
    commands = [Path(found) for name in COMMANDS if (found := shutil.which(name, path="/bin"))]
    (folder / "bin").mkdir()
    for command in commands:
        shutil.copy(command, folder / "bin")
    extensions = stdlib.glob("lib-dynload/*.so")
    for needed in libraries([python, *commands, *extensions, Path(find_library())]):
        target = folder / needed.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(needed, target)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--target", library / "site-packages"]
    subprocess.run([*install, "--python", sys.executable, "pip"], check=True)


def libraries(files: Sequence[Path]) -> set[Path]:
    """What the dynamic linker loads for ``files``, itself included."""
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+) \(", listed, re.MULTILINE)}


def _instruction(made_by: str) -> str:
    """The instruction of the Dockerfile, without what buildah adds."""
    found = re.search(r"#\(nop\) (COPY) \S+ in (\S+)|(RUN|COPY|ADD) .*", made_by)
    return "the base" if found is None else f"COPY {found[2]}" if found[1] else found[0]
