"""A folder in a bucket of Google Cloud Storage."""

from __future__ import annotations

import os
from functools import partial
from hashlib import sha256
from io import BytesIO
from json import loads

from inference_runtime.batch.folder import File
from inference_runtime.models.fetch import fetch
from inference_runtime.models.gcs import GcsStore
from inference_runtime.models.reader import Reader
from inference_runtime.models.store import Request
from inference_runtime.models.url import encode, encode_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from inference_runtime.settings import Settings


class GcsFolder:
    """See ``Folder``.

    Args:
        uri: ``gs://BUCKET/FOLDER/``.
        scratch: a folder on this machine for what is fetched, while it is read.
        settings: of this process.
    """

    def __init__(self, uri: str, scratch: str, settings: Settings) -> None:
        bucket, _, folder = uri.removeprefix("gs://").partition("/")
        self._store = _Store(bucket, folder, settings.platform)
        self._reader = Reader(self._store, settings.fetch_timeout_seconds)
        self._connections = settings.fetch_connections
        self._scratch = scratch
        self.uri = self._store.uri

    def files(self, below: str = "") -> list[File]:
        """See ``Folder``."""
        files: list[File] = []
        marker = ""
        while True:
            page = self._reader.ask(below, partial(self._store.files_request, below, marker))
            found, marker = self._store.parse_files(page)
            files += found
            if not marker:
                return files

    def open(self, file: File) -> BinaryIO:
        """See ``Folder``."""
        if not file.size:
            return BytesIO()  # a range of nothing cannot be asked for
        path = os.path.join(self._scratch, sha256(file.name.encode()).hexdigest())
        fetch(self._reader, self._reader.probe(file.name), path, self._connections).publish()
        content = open(path, "rb")  # noqa: SIM115
        os.unlink(path)  # it is there until it is closed
        return content

    def write(self, name: str, content: bytes | bytearray) -> None:
        """See ``Folder``."""
        self._reader.ask(name, partial(self._store.write_request, name, content))


class _Store(GcsStore):
    """Where the folder is; it can be written to."""

    access = (
        "allow this service account to read the inputs (roles/storage.objectViewer) and to write"
        " the results (roles/storage.objectUser)"
    )
    scope = "https://www.googleapis.com/auth/devstorage.read_write"

    def files_request(self, below: str, marker: str) -> Request:
        """A page of what is in the folder."""
        query = {
            "prefix": self._folder + below,
            "fields": "items(name,size,generation),nextPageToken",
            "pageToken": marker,
        }
        return Request(f"{self._objects}?{encode_query(query)}", self._authorization())

    def parse_files(self, body: bytes) -> tuple[list[File], str]:
        """The files in a page, and the next page's marker. Names that end with a ``/`` are what
        consoles make for empty folders.
        """
        page = loads(body)
        files = [
            File(item["name"].removeprefix(self._folder), int(item["size"]), item["generation"])
            for item in page.get("items", ())
            if not item["name"].endswith("/")
        ]
        return files, page.get("nextPageToken", "")

    def write_request(self, name: str, content: bytes | bytearray) -> Request:
        """An upload; the object appears when it is whole."""
        url = f"{self._uploads}?uploadType=media&name={encode(self._folder + name, '')}"
        kind = "jsonl" if name.endswith(".jsonl") else "json"
        headers = {"content-type": f"application/{kind}", **self._authorization()}
        return Request(url, headers, "POST", content)
