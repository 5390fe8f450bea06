"""The volumes of a Cloud Run service, and what a stack puts into buckets, as folders and files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OBJECT: Final = "google_storage_bucket_object"
# Of a resource of the stack, or of what only Google Cloud knows.
_REFERENCE: Final = re.compile(
    r"\$\{(?P<data>data\.)?(?P<kind>\w+)\.(?P<id>[\w-]+)\.(?P<attribute>\w+)\}"
)


@dataclass(frozen=True)
class Volume:
    """A volume.

    Attributes:
        name: in the service.
        bucket: that is mounted; ``None`` for any other volume.
        secrets: the names of secrets, by the files that they become.
    """

    name: str
    bucket: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)


def read_volume(values: Mapping[str, Any], document: Mapping[str, Any]) -> Volume:
    """A volume, as the service of ``document`` has it."""
    if "gcs" in values:
        return Volume(values["name"], bucket=resolved(values["gcs"]["bucket"], document))
    secret = values.get("secret")
    if secret is None:
        return Volume(values["name"])
    files = {item["path"]: secret["secret"] for item in secret.get("items", ())}
    return Volume(values["name"], secrets=files or {secret["secret"]: secret["secret"]})


def read_buckets(document: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Path]]:
    """The files that a stack uploads, by their buckets and their names there."""
    buckets: dict[str, dict[str, Path]] = {}
    for values in document["resource"].get(_OBJECT, {}).values():
        if "source" in values:
            objects = buckets.setdefault(resolved(values["bucket"], document), {})
            objects[values["name"]] = (folder / values["source"]).resolve()
    return buckets


def resolved(text: str, document: Mapping[str, Any]) -> str:
    """``text``, with what the stack itself says in the place of references to it; what only Google
    Cloud knows, such as the project's id, is called as the attribute is.
    """

    def value(match: re.Match[str]) -> str:
        values = document["resource"].get(match["kind"], {}).get(match["id"], {})
        found = None if match["data"] else values.get(match["attribute"])
        if isinstance(found, str):
            return resolved(found, document)
        return match["attribute"] if match["data"] else match[0]

    return _REFERENCE.sub(value, text)


def fill(volume: Volume, folder: Path, buckets: Mapping[str, Mapping[str, Path]]) -> None:
    """Put the objects of the bucket that ``volume`` is into ``folder``, without copying them."""
    for name, file in buckets.get(volume.bucket or "", {}).items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
