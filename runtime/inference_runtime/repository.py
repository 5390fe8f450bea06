"""The models that this process serves, by name and version, each loading, ready or unloaded.

A model that is ready is not always in memory: older versions are loaded by their first request,
and where memory is bounded, those that are longest unused make room for others. One whose load
failed is tried again by a request after a while: its store may have come back.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic

from inference_runtime.errors import ModelNotLoaded, NotFound, NotReady
from inference_runtime.statistics import Statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from inference_runtime.service import InferenceService

# The states of the Open Inference Protocol's repository extension.
UNAVAILABLE: Final = "UNAVAILABLE"
LOADING: Final = "LOADING"
READY: Final = "READY"

# Long enough that a broken model costs next to nothing, and short beside a store's outage.
RETRY_SECONDS: Final = 30


class Entry:
    """One version of one model.

    Attributes:
        name: the model's.
        version: its version.
        state: ``UNAVAILABLE``, ``LOADING`` or ``READY``.
        reason: why it is not ready; empty when it is.
        service: answers its requests; ``None`` where it is not in memory.
        size: bytes that it takes in memory, or is about to.
        used_at: when it was last asked for, on the ``time.monotonic`` clock.
        statistics: counts of its requests.

    Args:
        name: the model's.
        version: its version.
        load: makes the service of the entry that it is given.
    """

    __slots__ = (
        "_failed_at", "_load", "_lock", "name", "reason", "service", "size", "state", "statistics",
        "used_at", "version",
    )  # fmt: skip

    def __init__(self, name: str, version: str, load: Callable[[Entry], InferenceService]) -> None:
        self.name = name
        self.version = version
        self.state = UNAVAILABLE
        self.reason = "not loaded yet"
        self.service: InferenceService | None = None
        self.size = 0
        self.used_at = 0.0
        self.statistics = Statistics()
        self._load = load
        self._lock = Lock()
        self._failed_at: float | None = None

    def load(self) -> None:
        """Load the model, or leave it as it is when it is ready.

        Raises:
            InferenceError: it cannot be loaded; the entry then tells why.
        """
        with self._lock:
            if self.service is not None:
                return
            self.state, self.reason = LOADING, "loading"
            self._make_service()

    def offer(self) -> None:
        """Have the model loaded by the first request for it."""
        self.state, self.reason = READY, ""

    def unload(self) -> None:
        """Let the model go; runs in flight end first."""
        with self._lock:
            self.state, self.reason, self._failed_at = UNAVAILABLE, "unloaded", None
            self.service, self.size = None, 0

    def evict(self) -> None:
        """Let the model go until the next request for it; runs in flight end first."""
        with self._lock:
            self.service, self.size = None, 0

    def ready_service(self) -> InferenceService:
        """The service, loaded first where the model is ready and not in memory, or where its last
        load failed ``RETRY_SECONDS`` ago.

        Raises:
            NotReady: it is not ready.
            ModelNotLoaded: it cannot be loaded; from then on it is not ready.
        """
        self.used_at = monotonic()
        service = self.service
        if service is not None:
            return service
        if self._may_load():  # else whoever loads it holds the lock
            with self._lock:
                if self._may_load():
                    return self.service or self._make_service()
        raise NotReady(f"model {self.name!r} version {self.version!r} is not ready: {self.reason}")

    def _may_load(self) -> bool:
        failed_at = self._failed_at
        has_recovered = failed_at is not None and monotonic() > failed_at + RETRY_SECONDS
        return self.state == READY or has_recovered

    def _make_service(self) -> InferenceService:
        self.used_at = monotonic()
        try:
            self.service = self._load(self)
        except Exception as error:  # whatever it is, the entry must not stay in ``LOADING``
            self.state, self.reason = UNAVAILABLE, str(error)
            self.size, self._failed_at = 0, monotonic()
            raise
        self.state, self.reason, self._failed_at = READY, "", None
        return self.service


class ModelRepository:
    """Models by name, and of each its versions, the latest last.

    Args:
        entries: at least one; versions of one model in ascending order.
        memory_bytes: of all models in memory together, by their ``size``; ``None`` for no limit.

    Attributes:
        loading: held by who loads a model: one at a time, so that all others can make room.
    """

    def __init__(self, entries: list[Entry], memory_bytes: int | None = None) -> None:
        self.entries = entries
        self._found: dict[tuple[str, str | None], Entry] = {
            **{(entry.name, None): entry for entry in entries},  # the latest is the last
            **{(entry.name, entry.version): entry for entry in entries},
        }
        self.loading = Lock()
        self._memory_bytes = memory_bytes

    @property
    def default(self) -> Entry:
        """The model that a request without a name means: the first one, in its latest version."""
        return self.find(self.entries[0].name)

    def find(self, name: str, version: str | None = None) -> Entry:
        """The entry of a model, in its latest version unless one is named.

        Raises:
            NotFound: there is no such model or version; the message lists what there is.
        """
        entry = self._found.get((name, version))
        if entry is not None:
            return entry
        if (name, None) not in self._found:
            names = ", ".join(sorted({repr(entry.name) for entry in self.entries}))
            raise NotFound(f"unknown model {name!r}; there is {names}")
        known = ", ".join(repr(entry.version) for entry in self.entries if entry.name == name)
        raise NotFound(f"model {name!r} has no version {version!r}; there is {known}")

    def load_all(self) -> None:
        """Load the latest version of every model, or of the default one alone where memory is
        bounded. The others are loaded by the first request for them.

        Raises:
            InferenceError: the first that cannot be loaded.
        """
        latest = {entry.name: entry for entry in self.entries}
        at_start = [self.default] if self._memory_bytes else list(latest.values())
        for entry in self.entries:
            if entry not in at_start:
                entry.offer()
        for entry in at_start:
            entry.load()

    def make_room(self, entry: Entry, size: int) -> None:
        """Let the models go that are longest unused, until there is room for another.

        Args:
            entry: of the model that is being loaded.
            size: of that model in bytes.

        Raises:
            ModelNotLoaded: it is larger than all the room.
        """
        limit = self._memory_bytes
        if limit is None:
            return
        if size > limit:
            raise ModelNotLoaded(
                f"model {entry.name!r} version {entry.version!r} takes {size:,} bytes, but"
                f" INFERENCE_MEMORY_CACHE_BYTES is {limit:,}: allow more, or make the model smaller"
            )
        others = [other for other in self.entries if other is not entry and other.size]
        others.sort(key=lambda other: other.used_at, reverse=True)
        while others and sum(other.size for other in others) + size > limit:
            others.pop().evict()
        entry.size = size

    @property
    def ready(self) -> bool:
        """Whether every model is ready."""
        return all(entry.state == READY for entry in self.entries)
