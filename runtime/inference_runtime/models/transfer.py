"""One model on its way from a store into the cache."""

from __future__ import annotations

import os
import posixpath
from functools import partial

from inference_runtime import manifest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import ModelFiles
from inference_runtime.models.cache import DiskCache
from inference_runtime.models.call import Call
from inference_runtime.models.digest import check_digest
from inference_runtime.models.fetch import Failure, fetch
from inference_runtime.models.files import checked_files
from inference_runtime.models.memory import check_fits, is_memory
from inference_runtime.models.onnx_file import external_data
from inference_runtime.models.part import SUFFIX, not_stored
from inference_runtime.models.reader import Changed, NotThere
from inference_runtime.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import _Hash

    from inference_runtime.manifest import Promise
    from inference_runtime.models.cache import Lease
    from inference_runtime.models.opening import Opening
    from inference_runtime.models.part import Part
    from inference_runtime.models.reader import Reader, RemoteFile
    from inference_runtime.settings import Settings

_KEY_DIGITS = 32


class Transfer:
    """Fetches a model, unless the cache has it.

    Args:
        reader: of its store.
        settings: of this process.
        uri: of the model, for messages.
        name: of the ONNX file, its path in the store.
        opening: has asked for the model already; only where no digest is set.

    Attributes:
        fetched: bytes that were not in the cache.
    """

    def __init__(
        self, reader: Reader, settings: Settings, uri: str, name: str, opening: Opening | None
    ) -> None:
        self.fetched = 0
        self._reader = reader
        self._cache = DiskCache(settings.cache_dir, settings.disk_cache_bytes)
        self._settings = settings
        self._uri = uri
        self._opening = opening
        self._folder_name, self._file_name = posixpath.split(name)

    def run(self) -> ModelFiles:
        """The model's files in the cache.

        Raises:
            ModelNotLoaded: they cannot be had or stored, or are not what they should be.
        """
        try:
            return self._verified() if self._opening is None else self._newest(self._opening)
        except OSError as error:
            raise not_stored(self._uri, self._cache.folder, error) from error

    def _newest(self, opening: Opening) -> ModelFiles:
        """What the store has now: what the manifest promises, or else the model itself."""
        own = self._identified(opening.own.result())
        optimized = self._optimized(opening.manifest.result())
        if optimized is not None:
            own.close()
            return optimized
        return self._files(self._original(own))

    def _files(self, lease: Lease) -> ModelFiles:
        path = os.path.join(lease.folder, self._file_name)
        return checked_files(path, self._uri, self._settings, lease)

    def _verified(self) -> ModelFiles:
        """The entry of the digest: what is in it already needs no request."""
        key = _key(self._settings.model_sha256, self._file_name)
        return self._files(self._cache.use(key, self._is_complete, self._fill_verified))

    def _fill_verified(self, folder: str) -> None:
        """Every file is whole and the digest right before the first gets its name."""
        from hashlib import sha256  # OpenSSL's, the fastest where there is much

        own, own_digest = self._probe(self._file_name), sha256()
        self._admit(folder, own.size)
        part = self._land(own, folder, self._file_name, own_digest)
        data = self._probe_all(external_data(part.path, self._uri, part.size))
        self._admit(folder, own.size, _size(data))
        digests = {location: sha256() for location in data}
        parts = [self._land(f, folder, at, digests[at]) for at, f in data.items()]
        check_digest(
            self._uri, own_digest.hexdigest(),
            {location: digest.hexdigest() for location, digest in digests.items()},
            self._settings.model_sha256,
        )  # fmt: skip
        for whole in (*parts, part):
            whole.publish()

    def _original(self, own: RemoteFile) -> Lease:
        """The entry of what the store has now: of the ONNX file alone, or with its data.

        Which data that is only the ONNX file tells, and they change on their own: so with data the
        ONNX file is in two entries, one file on disk.
        """
        lease = self._cache.use(
            _key(own.identity), self._has_own_file, partial(self._fill_own_file, own)
        )
        own.close()
        own_path = os.path.join(lease.folder, self._file_name)
        data = self._probe_all(external_data(own_path, self._uri))
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
        self._admit(folder, own.size)
        self._land(own, folder, self._file_name).publish()

    def _fill_data(
        self, folder: str, own: RemoteFile, own_path: str, data: dict[str, RemoteFile]
    ) -> None:
        self._admit(folder, own.size, _size(data))
        for location, file in data.items():
            self._land(file, folder, location).publish()
        os.link(own_path, os.path.join(folder, self._file_name))

    def _optimized(self, text: bytes | None) -> ModelFiles | None:
        """What the manifest beside the model promises; ``None`` where it does not hold here."""
        if text is None:
            return None
        try:
            promise = manifest.read_promise(text, self._file_name, on_cpu=self._settings.on_cpu)
            if promise is None:
                return None
            key = _key(self._uri, sha256(text).hexdigest())
            lease = self._cache.use(
                key, partial(_has_promised, promise), partial(self._fill_promised, promise, text)
            )
            return self._files(lease)
        except manifest.Mismatch as mismatch:
            manifest.log_original_serves(self._uri, str(mismatch))
            return None

    def _fill_promised(self, promise: Promise, text: bytes, folder: str) -> None:
        """Fetch the files that serve, and not the original; the manifest comes last."""
        sizes = {name: expected["size"] for name, expected in promise.files.items()}
        self._admit(folder, sizes[promise.file], sum(sizes.values()) - sizes[promise.file])
        # Their sizes are known: all are asked for at once, without a look at each before.
        failure = Failure()
        landing = [
            Call(partial(self._land_expected, *item, folder, failure)) for item in sizes.items()
        ]
        for call in landing:
            call.wait()  # for all: nobody may write to a folder that a failure removes
        try:
            parts = [call.result() for call in landing]
        except (NotThere, Changed) as error:
            raise manifest.Mismatch(str(error)) from error
        for part in parts:
            part.publish()
        # The start of a resumed file is not known to be of the object that its end is of.
        manifest.check_files(promise.files, folder, whole=any(part.resumed for part in parts))
        path = os.path.join(folder, manifest.MANIFEST_FILE)
        with open(path + SUFFIX, "wb") as target:
            target.write(text)
        os.rename(path + SUFFIX, path)

    def _probe(self, location: str) -> RemoteFile:
        """A file of the model's, by its path from the ONNX file's folder."""
        return self._identified(self._reader.probe(posixpath.join(self._folder_name, location)))

    def _identified(self, file: RemoteFile) -> RemoteFile:
        if not (file.etag or self._settings.model_sha256):
            raise ModelNotLoaded(
                f"{file.uri}: its server tells neither ETag nor Last-Modified, so that a change"
                " could not be noticed: set MODEL_SHA256, or store it elsewhere"
            )
        return file

    def _probe_all(self, locations: Iterable[str]) -> dict[str, RemoteFile]:
        """Files of the model's, by their paths from its folder; the smallest first."""
        probes = {location: Call(partial(self._probe, location)) for location in locations}
        files = {location: probe.result() for location, probe in probes.items()}
        return dict(sorted(files.items(), key=lambda item: item[1].size))

    def _admit(self, folder: str, embedded: int, external: int = 0) -> None:
        """Check memory and disk before the bytes come."""
        settings = self._settings
        in_memory = is_memory(folder, cloud_run=bool(settings.platform["K_SERVICE"]))
        check_fits(
            self._uri, embedded, external, settings.lambda_memory_mb,
            in_memory=in_memory, is_loaded=settings.loads_models,
        )  # fmt: skip
        self._cache.make_room(folder, embedded + external, self._uri)

    def _land(
        self,
        file: RemoteFile,
        folder: str,
        location: str,
        digest: _Hash | None = None,
        failure: Failure | None = None,
    ) -> Part:
        path = os.path.join(folder, location)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = fetch(self._reader, file, path, self._settings.fetch_connections, digest, failure)
        self.fetched += file.size
        return part

    def _land_expected(self, location: str, size: int, folder: str, failure: Failure) -> Part:
        name = posixpath.join(self._folder_name, location)
        return self._land(self._reader.expect(name, size), folder, location, failure=failure)

    def _has_own_file(self, folder: str) -> bool:
        return os.path.isfile(os.path.join(folder, self._file_name))

    def _is_complete(self, folder: str) -> bool:
        own_path = os.path.join(folder, self._file_name)
        return self._has_own_file(folder) and all(
            os.path.isfile(os.path.join(folder, location))
            for location in external_data(own_path, self._uri)
        )


def _has_promised(promise: Promise, folder: str) -> bool:
    return all(
        os.path.isfile(os.path.join(folder, name))
        for name in (*promise.files, manifest.MANIFEST_FILE)
    )


def _key(*identities: str) -> str:
    return str(sha256("\n".join(identities).encode()).hexdigest()[:_KEY_DIGITS])


def _size(files: dict[str, RemoteFile]) -> int:
    return sum(file.size for file in files.values())
