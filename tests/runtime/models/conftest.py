from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inference_runtime.models import ModelFiles, find_models, reader
from inference_runtime.settings import Settings

from tests.runtime.models.object_server import ObjectServer

AWS_KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}

Fetch = Callable[..., ModelFiles]


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where ``fetch`` caches."""
    return tmp_path / "cache"


@pytest.fixture
def fetch(server: ObjectServer, cache: Path) -> Fetch:
    """Fetches a model from the server, ``m.onnx`` in the bucket ``b`` unless another is named."""

    def _fetch(uri: str = "s3://b/m.onnx", **environ: str) -> ModelFiles:
        given = {
            "MODEL_URI": uri, "AWS_ENDPOINT_URL_S3": server.url, "INFERENCE_CACHE_DIR": str(cache),
            **AWS_KEYS, **environ,
        }  # fmt: skip
        return find_models(Settings.read(given))[0].fetch()

    return _fetch


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> int:
    """Has files fetched in ranges of this size, and failures retried without a pause."""
    size = 1 << 16
    monkeypatch.setattr(reader, "RANGE_BYTES", size)
    monkeypatch.setattr(reader, "_delay", lambda _failures: 0)
    return size


def cached_files(cache: Path) -> list[str]:
    """The names of all files in the cache, without locks."""
    files = (path.name for path in cache.rglob("*") if path.is_file())
    return sorted(name for name in files if not name.endswith(".lock"))
