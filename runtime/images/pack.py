"""Make what was installed into a folder fit for serving: ``python pack.py FOLDER PREFIX``.

What no prediction loads is removed. The rest is compiled, to bytecode that is never checked against
its source: a cold start then compiles nothing and reads half as many files. The runtime's own
modules go into one file. Times are the same in every build, so that the same wheels give the same
bytes.

The builds of images run this, and `cdk_inference.artifact` does for zips, with the Python that will
serve; so it needs the standard library alone. PREFIX is where FOLDER will be. With ``--lite``, of
onnxruntime only its library stays, which serves models of tensors without numpy. With ``--source``,
nothing is compiled.
"""

import argparse
import compileall
import os
import sys
from fnmatch import fnmatch
from pathlib import Path
from py_compile import PycInvalidationMode

# Tests, stubs, headers, and tools that build models. Scripts and lists of files, which name the
# building machine's paths. And packages that onnxruntime declares and does not import to serve.
UNNEEDED = (
    "bin/*",
    "*/RECORD",
    "*/tests/*",
    "*/__pycache__/*",
    "*.pyi",
    "*.pxd",
    "*.h",
    "*.a",
    "numpy/f2py/*",
    "onnxruntime/backend/*",
    "onnxruntime/datasets/*",
    "onnxruntime/quantization/*",
    "onnxruntime/tools/*",
    "onnxruntime/transformers/*",
    "flatbuffers*/*",
    "google/*",
    "packaging*/*",
    "protobuf*/*",
)
LITE = (
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/LICENSE",
    "onnxruntime/ThirdPartyNotices.txt",
    "orjson*/*",
)
# The earliest that a zip file can say.
TIMESTAMP = 315_532_800


def main() -> int:
    """Pack one folder; the exit code is 1 where a file cannot be compiled."""
    parser = argparse.ArgumentParser("pack.py")
    parser.add_argument("folder", type=Path)
    parser.add_argument("prefix")
    parser.add_argument("--lite", action="store_true")
    parser.add_argument("--source", action="store_true")
    options = parser.parse_args()
    remove_unneeded(options.folder, lite=options.lite)
    compiled = options.source or compileall.compile_dir(
        options.folder,
        maxlevels=100,
        force=True,
        quiet=1,
        stripdir=options.folder,
        prependdir=options.prefix,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    runtime = options.folder / "inference_runtime"
    if compiled and not options.source and runtime.is_dir():
        bundle(runtime)
    for path in (*options.folder.rglob("*"), options.folder):
        os.utime(path, (TIMESTAMP, TIMESTAMP), follow_symlinks=False)
    return 0 if compiled else 1


def bundle(runtime: Path) -> None:
    """Put the runtime's compiled modules into one file."""
    sys.path.insert(0, str(runtime.parent))
    sys.dont_write_bytecode = True
    from inference_runtime.bundle import write

    write(str(runtime))


def remove_unneeded(folder: Path, *, lite: bool) -> None:
    """Remove files, and the folders that they leave empty."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not serves(path.relative_to(folder).as_posix(), lite=lite):
            path.unlink()


def serves(name: str, *, lite: bool) -> bool:
    """Whether the file ``name`` stays."""
    if any(fnmatch(name, pattern) for pattern in UNNEEDED):
        return False
    return not lite or any(fnmatch(name, pattern) for pattern in LITE)


if __name__ == "__main__":
    sys.exit(main())
