"""Models in a store: fetched into the cache on disk, with their external data, and checked."""

from __future__ import annotations

from functools import partial
from time import perf_counter

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, ModelFiles
from inference_runtime.models.opening import Opening
from inference_runtime.models.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.models.store import Store
    from inference_runtime.settings import Settings


def find(settings: Settings) -> list[FoundModel]:
    """See ``find_models``."""
    store, name = open_store(settings)
    models = RemoteModels(store, settings)
    if not name:
        from inference_runtime.models.layout import found_models

        return found_models(store.uri, models.names(), settings, models.fetch)
    return [FoundModel(settings.model_name, settings.model_version, partial(models.fetch, name))]


def open_store(settings: Settings) -> tuple[Store, str]:
    """The store of the folder that ``MODEL_URI`` names, and the file's name in it; empty where the
    URI ends with a ``/``.

    Raises:
        ModelNotLoaded: the URI lacks a part, or is not safe.
    """
    scheme, _, rest = settings.model_uri.partition("://")
    if scheme in ("https", "http"):
        from inference_runtime.models.https import HttpsStore

        path = rest.partition("#")[0].partition("?")[0]
        return HttpsStore(settings.model_uri), path.rpartition("/")[2]
    if scheme == "az":
        from inference_runtime.models.azure import AzureStore

        path, _, signature = rest.partition("?")
        account, container, folder, name = _split(settings, path, "az://account/container/blob")
        return AzureStore(account, container, folder, signature, settings.platform), name
    bucket, folder, name = _split(settings, rest, f"{scheme}://bucket/key")
    if scheme == "gs":
        from inference_runtime.models.gcs import GcsStore

        return GcsStore(bucket, folder, settings.platform), name
    from inference_runtime.models.s3 import S3Store

    return S3Store(bucket, folder, settings.platform), name


class RemoteModels:
    """The models in a store.

    Args:
        store: where they are.
        settings: of this process.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._settings = settings
        self._store = store
        self._reader = Reader(store, settings.fetch_timeout_seconds)

    def names(self) -> list[str]:
        """The paths of all objects in the store.

        Raises:
            ModelNotLoaded: they cannot be listed.
        """
        return self._reader.names()

    def fetch(self, name: str) -> ModelFiles:
        """Have the files of a model in the cache, and keep them there while the result lives.

        Args:
            name: the ONNX file's path in the store.

        Raises:
            ModelNotLoaded: they cannot be had or stored, or are not what they should be.
        """
        began = perf_counter()
        # Where a digest is set, nothing need be asked: the cache may have it all.
        opening = None if self._settings.model_sha256 else Opening(self._reader, name)
        # While the answers are on their way:
        from inference_runtime.models.transfer import Transfer
        from inference_runtime.telemetry import Stopwatch, log

        uri = self._store.uri + name
        watch = Stopwatch(began)
        transfer = Transfer(self._reader, self._settings, uri, name, opening)
        try:
            files = transfer.run()
        finally:
            self._reader.close()
        watch.lap("fetch")
        log(
            "INFO", "model fetched",
            uri=uri, bytes=files.size, fetched_bytes=transfer.fetched, **watch.milliseconds,
        )  # fmt: skip
        return files


def _split(settings: Settings, path: str, allowed: str) -> list[str]:
    """The parts of a path: those before the folder, the folder, with a ``/`` at its end or empty,
    and the name, which is empty for a repository.
    """
    parts = path.split("/", allowed.count("/") - 2)
    if len(parts) < allowed.count("/") - 1 or not all(parts[:-1]):
        raise ModelNotLoaded(
            f"MODEL_URI is {settings.model_uri.partition('?')[0]!r}; it takes {allowed}, or a"
            " folder with a / at its end"
        )
    folder, slash, name = parts.pop().rpartition("/")
    return [*parts, folder + slash, name]
