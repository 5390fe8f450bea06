"""The models that this process serves, by name and version, each loading, ready or unloaded."""

from __future__ import annotations

from threading import Lock

from inference_runtime.errors import InferenceError, NotFound, NotReady
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


class Entry:
    """One version of one model.

    Attributes:
        name: the model's.
        version: its version.
        state: ``UNAVAILABLE``, ``LOADING`` or ``READY``.
        reason: why it is not ready; empty when it is.
        service: answers its requests; only when ready.
        statistics: counts of them.
    """

    __slots__ = ("_load", "_lock", "name", "reason", "service", "state", "statistics", "version")

    def __init__(self, name: str, version: str, load: Callable[[], InferenceService]) -> None:
        self.name = name
        self.version = version
        self.state = UNAVAILABLE
        self.reason = "not loaded yet"
        self.service: InferenceService | None = None
        self.statistics = Statistics()
        self._load = load
        self._lock = Lock()

    def load(self) -> None:
        """Load the model, or leave it as it is when it is ready.

        Raises:
            InferenceError: it cannot be loaded; the entry then tells why.
        """
        with self._lock:
            if self.service is not None:
                return
            self.state, self.reason = LOADING, "loading"
            try:
                self.service = self._load()
            except InferenceError as error:
                self.state, self.reason = UNAVAILABLE, str(error)
                raise
            self.state, self.reason = READY, ""

    def unload(self) -> None:
        """Let the model go; runs in flight end first."""
        with self._lock:
            self.service = None
            self.state, self.reason = UNAVAILABLE, "unloaded"

    def ready_service(self) -> InferenceService:
        """The service.

        Raises:
            NotReady: it is not loaded.
        """
        if self.service is None:
            raise NotReady(
                f"model {self.name!r} version {self.version!r} is not ready: {self.reason}"
            )
        return self.service


class ModelRepository:
    """Models by name, and of each its versions, the latest last.

    Args:
        entries: at least one; versions of one model in ascending order.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @property
    def default(self) -> Entry:
        """The model that a request without a name means: the first one, in its latest version."""
        return self.find(self.entries[0].name)

    def find(self, name: str, version: str | None = None) -> Entry:
        """The entry of a model, in its latest version unless one is named.

        Raises:
            NotFound: there is no such model or version; the message lists what there is.
        """
        versions = [entry for entry in self.entries if entry.name == name]
        if not versions:
            names = ", ".join(sorted({repr(entry.name) for entry in self.entries}))
            raise NotFound(f"unknown model {name!r}; there is {names}")
        for entry in versions:
            if entry.version == version:
                return entry
        if version is not None:
            known = ", ".join(repr(entry.version) for entry in versions)
            raise NotFound(f"model {name!r} has no version {version!r}; there is {known}")
        return versions[-1]

    def load_all(self) -> None:
        """Load every model.

        Raises:
            InferenceError: the first that cannot be loaded.
        """
        for entry in self.entries:
            entry.load()

    @property
    def ready(self) -> bool:
        """Whether every model is ready."""
        return all(entry.state == READY for entry in self.entries)
