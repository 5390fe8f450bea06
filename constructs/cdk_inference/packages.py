"""Python packages as an artifact has them: installed by uv, and packed for serving."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which

from cdk_inference.errors import PackagingError
from cdk_inference.runtime_files import pack_script


@dataclass(frozen=True)
class PackageTarget:
    """What a zip's compiled packages are for.

    Attributes:
        python_version: the interpreter, for example ``3.13``.
        platform: the operating system and processor, as uv's ``--python-platform`` has them.

    Example:
        >>> PackageTarget.linux("3.13", "aarch64").platform
        'aarch64-manylinux_2_28'
    """

    python_version: str
    platform: str

    @classmethod
    def linux(cls, python_version: str, machine: str) -> PackageTarget:
        """Linux on ``x86_64`` or ``aarch64``, as the managed runtimes of AWS Lambda have it.

        Those run on Amazon Linux 2023, whose glibc (2.34) runs all wheels for manylinux_2_28:
        https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
        """
        return cls(python_version, f"{machine}-manylinux_2_28")

    @classmethod
    def host(cls) -> PackageTarget:
        """This interpreter on this machine.

        Raises:
            PackagingError: the machine runs neither Linux nor macOS.
        """
        python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
        machine = platform.machine()
        match sys.platform:
            case "linux":
                return cls.linux(python_version, machine)
            case "darwin":
                processor = "aarch64" if machine == "arm64" else machine
                return cls(python_version, f"{processor}-apple-darwin")
            case other:
                raise PackagingError(
                    f"cannot package for this machine's own Python on {other}; Linux and macOS"
                    " are supported (on Windows, use WSL)"
                )


def install(requirements: Path, target: PackageTarget, folder: Path) -> None:
    """Install what ``requirements`` name into ``folder``, from wheels for ``target``.

    Raises:
        PackagingError: a wheel is missing, or neither uv's cache has it nor the network.
    """
    # uv is a program in a wheel; importing it here keeps it out of what only reads models.
    import uv

    command = [
        uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--requirements", str(requirements), "--target", str(folder),
        "--python", sys.executable, "--python-version", target.python_version,
        "--python-platform", target.platform,
    ]  # fmt: skip
    # What uv has cached needs no network, not even to ask whether there is something newer.
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return
    online = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if online.returncode != 0:
        raise PackagingError(
            f"cannot install {requirements.name} for Python {target.python_version} on"
            f" {target.platform}. uv says:\n{online.stderr.strip()}\n"
            "Without a network, run `cdk-inference prefetch` once where there is one; where a wheel"
            " is missing, choose another Python version or architecture."
        )


def pack(folder: Path, prefix: str, version: str, *options: str) -> None:
    """Leave what serves in ``folder``, compiled for its place ``prefix``.

    Args:
        folder: with packages.
        prefix: where they will be.
        version: of the Python that will serve; without it on this machine nothing is compiled.
        options: of the script ``pack.py``.

    Raises:
        PackagingError: a file cannot be compiled.
    """
    python = interpreter(version)
    if python is None:
        options = (*options, "--source")
    command = [python or sys.executable, str(pack_script()), str(folder), prefix, *options]
    reproducible = os.environ | {"PYTHONHASHSEED": "0"}
    packed = subprocess.run(  # noqa: S603
        command, env=reproducible, capture_output=True, text=True, check=False
    )
    if packed.returncode != 0:
        raise PackagingError(f"cannot pack {folder}: {packed.stdout}{packed.stderr}")


@cache
def interpreter(version: str) -> str | None:
    """An interpreter of that version on this machine; ``None`` where there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    import uv

    find = [uv.find_uv_bin(), "python", "find", "--no-project", version]
    found = subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    for candidate in (found, which(f"python{version}")):
        if candidate and _is_python(candidate, version):
            return candidate
    return None


def _is_python(candidate: str, version: str) -> bool:
    """Whether it runs, and as what it is named: version managers have programs that only might."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    ran = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    return ran.stdout.strip() == version
