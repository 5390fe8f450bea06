"""Fuzzes one target, guided by coverage, until stopped or a failure is found.

    python -m tests.fuzz TARGET [OPTIONS of libFuzzer]
    python -m tests.fuzz binary -max_total_time=600

A failing input is written to the working directory, as libFuzzer does: give its path to run that
one alone. https://github.com/google/atheris, https://llvm.org/docs/LibFuzzer.html
"""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["inference_runtime"]):
    from tests.fuzz import targets


def main(arguments: list[str]) -> None:
    """Fuzz the target that the first of ``arguments`` names."""
    if not arguments or arguments[0] not in targets.TARGETS:
        sys.exit(f"{__doc__}\nTARGET is one of {', '.join(targets.TARGETS)}.")
    name, *options = arguments
    with (
        TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),  # each refusal leaves a line in the log
    ):
        for number, seed in enumerate(targets.seeds(name)):
            Path(folder, f"seed-{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], folder, *options], targets.make(name))
        atheris.Fuzz()


main(sys.argv[1:])
