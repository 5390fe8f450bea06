"""Models in onnxruntime's own format: used where the file is mapped, and not a moment longer."""

from __future__ import annotations

import gc
import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor
from ctypes import string_at
from pathlib import Path

import pytest
from inference_runtime.engine.capi import mapping
from inference_runtime.engine.capi.mapping import MappedFile
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.options import LoadOptions
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format

from tests.runtime.perceptron import answer, mappings, optimized

OPTIONS = LoadOptions(optimize_graph=False, prepack=False)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A perceptron with 1 MB of weights, beside its optimised ONNX file."""
    folder = tmp_path_factory.mktemp("compiled")
    path = optimized(folder)
    to_ort_format(str(path), str(path.with_suffix(".ort")))
    return path.with_suffix(".ort")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("prepack", [False, True])
def test_the_same_bits_as_from_the_onnx_file(compiled: Path, prepack: bool) -> None:
    options = LoadOptions(optimize_graph=False, prepack=prepack)
    read = CapiEngine(str(compiled.with_suffix(".onnx")), 1, options)
    mapped = CapiEngine(str(compiled), 1, options)
    assert answer(mapped) == answer(read)
    specs = [(str(spec), spec.name) for spec in mapped.signature.inputs.values()]
    assert specs == [(str(spec), spec.name) for spec in read.signature.inputs.values()]


def test_the_mapping_lives_as_long_as_the_session(compiled: Path) -> None:
    before = mappings(compiled)
    engine = CapiEngine(str(compiled), 1, OPTIONS)
    gc.collect()
    assert mappings(compiled) == before + 1
    first = answer(engine)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(answer, engine) for _ in range(50)]
        del engine
        gc.collect()
        assert {run.result() for run in answers} == {first}
    del answers
    gc.collect()
    assert mappings(compiled) == before


def test_what_cannot_be_loaded_leaves_nothing_mapped_or_open(compiled: Path) -> None:
    broken = compiled.with_name("broken.ort")
    broken.write_bytes(compiled.read_bytes()[:500_000])
    opened = open_files()
    with pytest.raises(ModelNotLoaded, match=r"broken\.ort cannot be loaded"):
        CapiEngine(str(broken), 1, OPTIONS)
    gc.collect()
    assert mappings(broken) == 0
    assert open_files() == opened


@pytest.mark.parametrize("content", [b"", None])
def test_an_empty_or_absent_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.ort"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelNotLoaded, match=r"model\.ort"):
        CapiEngine(str(path), 1, OPTIONS)


class TestReadingAhead:
    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """More than some stripes, and no whole number of pages."""
        path = tmp_path / "large"
        path.write_bytes(os.urandom(1 << 20) * 50 + b"end")
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        return path

    @pytest.mark.parametrize("refused", [False, True], ids=["this kernel", "before Linux 5.14"])
    def test_every_byte_is_brought_and_is_the_file_s(
        self, large: Path, refused: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stripes = []
        advise = mapping._advise

        def noted(address: int, size: int, advice: int) -> int:
            stripes.append((address, size))
            return -1 if refused else int(advise(address, size, advice))

        monkeypatch.setattr(mapping, "_advise", noted)
        mapped = MappedFile(str(large))
        mapped.bring([(0, mapped.size)])
        end = time.monotonic() + 20
        while sum(size for _, size in stripes) < mapped.size:
            assert time.monotonic() < end
            time.sleep(0.01)
        content = large.read_bytes()
        assert string_at(mapped.address, mapped.size) == content
        ends = [address + size for address, size in stripes]
        assert [address for address, _ in stripes] == [mapped.address, *ends[:-1]]
        assert max(size for _, size in stripes) == mapping.STRIPE_BYTES

    def test_of_parts_whole_pages_are_brought(
        self, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = mmap.PAGESIZE
        pieces = []
        monkeypatch.setattr(mapping, "_advise", lambda *given: pieces.append(given) or 0)
        mapped = MappedFile(str(large))
        mapped.bring([(10, 5), (3 * page + 1, page)])
        end = time.monotonic() + 20
        while len(pieces) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert [(start - mapped.address, size) for start, size, _ in pieces] == [
            (0, 15), (3 * page, page + 1),
        ]  # fmt: skip
