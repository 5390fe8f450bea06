"""Models in a store: fetched into the cache on disk, with their external data, and checked."""

from __future__ import annotations

import os
import posixpath
from functools import partial
from hashlib import sha256

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, ModelFiles
from inference_runtime.models.cache import DiskCache
from inference_runtime.models.digest import check_digest
from inference_runtime.models.fetch import fetch
from inference_runtime.models.files import checked_files
from inference_runtime.models.memory import check_fits, is_memory
from inference_runtime.models.onnx_file import external_data
from inference_runtime.models.part import Part, not_stored
from inference_runtime.models.reader import Reader, RemoteFile
from inference_runtime.telemetry import Stopwatch, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from inference_runtime.models.cache import Lease
    from inference_runtime.models.store import Store
    from inference_runtime.settings import Settings

_KEY_DIGITS = 32


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
        self._cache = DiskCache(settings.cache_dir, settings.disk_cache_bytes)

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
        watch = Stopwatch()
        uri = self._store.uri + name
        transfer = _Transfer(self._reader, self._cache, self._settings, uri, name)
        try:
            files = transfer.run()
        except OSError as error:
            raise not_stored(uri, self._cache.folder, error) from error
        finally:
            self._reader.close()
        watch.lap("fetch")
        log(
            "INFO", "model fetched",
            uri=uri, bytes=files.size, fetched_bytes=transfer.fetched, **watch.milliseconds,
        )  # fmt: skip
        return files


class _Transfer:
    """One model on its way from the store into the cache."""

    def __init__(
        self, reader: Reader, cache: DiskCache, settings: Settings, uri: str, name: str
    ) -> None:
        self.uri = uri
        self.fetched = 0
        self._reader = reader
        self._cache = cache
        self._settings = settings
        self._name = name
        self._file_name = posixpath.basename(name)

    def run(self) -> ModelFiles:
        lease = self._verified() if self._settings.model_sha256 else self._newest()
        path = os.path.join(lease.folder, self._file_name)
        return checked_files(path, self.uri, self._settings, lease)

    def _verified(self) -> Lease:
        """The entry of the digest: what is in it already needs no request."""
        key = _key(self._settings.model_sha256, self._file_name)
        return self._cache.use(key, self._is_complete, self._fill_verified)

    def _fill_verified(self, folder: str) -> None:
        """Every file is whole and the digest right before the first gets its name."""
        own, own_digest = self._probe(""), sha256()
        self._admit(folder, own, {})
        part = self._land(own, folder, self._file_name, own_digest)
        data = self._probe_data(external_data(part.path, self.uri, part.size))
        self._admit(folder, own, data)
        digests = {location: sha256() for location in data}
        parts = [self._land(f, folder, at, digests[at]) for at, f in data.items()]
        check_digest(
            self.uri, own_digest.hexdigest(),
            {location: digest.hexdigest() for location, digest in digests.items()},
            self._settings.model_sha256,
        )  # fmt: skip
        for whole in (*parts, part):
            whole.publish()

    def _newest(self) -> Lease:
        """The entry of what the store has now: of the ONNX file alone, or with its data.

        Which data that is only the ONNX file tells, and they change on their own: so with data the
        ONNX file is in two entries, one file on disk.
        """
        own = self._probe("")
        lease = self._cache.use(
            _key(own.identity), self._has_own_file, partial(self._fill_own_file, own)
        )
        own.close()
        own_path = os.path.join(lease.folder, self._file_name)
        data = self._probe_data(external_data(own_path, self.uri))
        if not data:
            return lease
        key = _key(own.identity, *(file.identity for file in data.values()))
        with_data = self._cache.use(
            key, self._is_complete, lambda folder: self._fill_data(folder, own, own_path, data)
        )
        for file in data.values():
            file.close()
        lease.close()
        return with_data

    def _fill_own_file(self, own: RemoteFile, folder: str) -> None:
        self._admit(folder, own, {})
        self._land(own, folder, self._file_name).publish()

    def _fill_data(
        self, folder: str, own: RemoteFile, own_path: str, data: dict[str, RemoteFile]
    ) -> None:
        self._admit(folder, own, data)
        for location, file in data.items():
            self._land(file, folder, location).publish()
        os.link(own_path, os.path.join(folder, self._file_name))

    def _probe(self, location: str) -> RemoteFile:
        """The model's own file, or external data beside it."""
        name = posixpath.join(posixpath.dirname(self._name), location) if location else self._name
        file = self._reader.probe(name)
        if not (file.etag or self._settings.model_sha256):
            raise ModelNotLoaded(
                f"{file.uri}: its server tells neither ETag nor Last-Modified, so that a change"
                " could not be noticed: set MODEL_SHA256, or store it elsewhere"
            )
        return file

    def _probe_data(self, locations: list[str]) -> dict[str, RemoteFile]:
        return {location: self._probe(location) for location in locations}

    def _admit(self, folder: str, own: RemoteFile, data: dict[str, RemoteFile]) -> None:
        """Check memory and disk before the bytes come."""
        settings = self._settings
        external = sum(file.size for file in data.values())
        in_memory = is_memory(folder, cloud_run=bool(settings.platform["K_SERVICE"]))
        check_fits(self.uri, own.size, external, settings.lambda_memory_mb, in_memory=in_memory)
        self._cache.make_room(folder, own.size + external, self.uri)

    def _land(
        self, file: RemoteFile, folder: str, location: str, digest: _Hash | None = None
    ) -> Part:
        path = os.path.join(folder, location)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = fetch(self._reader, file, path, self._settings.fetch_connections, digest)
        self.fetched += file.size
        return part

    def _has_own_file(self, folder: str) -> bool:
        return os.path.isfile(os.path.join(folder, self._file_name))

    def _is_complete(self, folder: str) -> bool:
        own_path = os.path.join(folder, self._file_name)
        return self._has_own_file(folder) and all(
            os.path.isfile(os.path.join(folder, location))
            for location in external_data(own_path, self.uri)
        )


def _key(*identities: str) -> str:
    return sha256("\n".join(identities).encode()).hexdigest()[:_KEY_DIGITS]


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
