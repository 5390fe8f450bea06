"""Where a model comes from: what ``MODEL_URI`` names, as files on this machine.

``local`` finds files that are here already. ``remote`` fetches objects into a cache on disk, from
the stores of ``s3``, ``gcs``, ``azure`` and ``https``, each imported only where it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.manifest import Served
    from inference_runtime.models.cache import Lease
    from inference_runtime.settings import Settings


class ModelFiles:
    """A model on this machine's disk.

    Attributes:
        served: what to load of it; external data are beside that, where it says.
        size: of what is loaded, in bytes.
    """

    __slots__ = ("_lease", "served", "size")

    def __init__(self, served: Served, size: int, lease: Lease | None = None) -> None:
        self.served = served
        self.size = size
        self._lease = lease  # While this object lives, the cache keeps the files.

    @property
    def path(self) -> str:
        """The model's own file; it need not be here where another is served."""
        return self.served.original


class FoundModel:
    """One version of one model that ``MODEL_URI`` names.

    Attributes:
        name: the model's.
        version: its version.
        fetch: makes its files, checked, available on this machine.
    """

    __slots__ = ("fetch", "name", "version")

    def __init__(self, name: str, version: str, fetch: Callable[[], ModelFiles]) -> None:
        self.name = name
        self.version = version
        self.fetch = fetch


def find_models(settings: Settings) -> list[FoundModel]:
    """What ``MODEL_URI`` names: one model, or each version in a repository.

    Returns:
        At least one. Versions of one model are in ascending order, and the model named
        ``MODEL_NAME`` is first.

    Raises:
        ModelNotLoaded: the repository cannot be listed, or holds no model or not ``MODEL_NAME``.
            A single file is looked for only when it is fetched.
    """
    if is_remote(settings.model_uri):
        from inference_runtime.models.remote import find
    else:
        from inference_runtime.models.local import find
    return find(settings)


def is_remote(uri: str) -> bool:
    """Whether a model comes over the network."""
    return uri.partition("://")[0] not in ("file", uri)
