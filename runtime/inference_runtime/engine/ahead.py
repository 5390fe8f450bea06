"""Loads a model while something else is going on."""

from __future__ import annotations

from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.service import InferenceService


class LoadAhead:
    """Calls ``load`` at once, in a thread. The library's long steps hold no Python lock.

    Args:
        load: what makes the service.

    Example:
        >>> service = LoadAhead(lambda: load(path))  # doctest: +SKIP
        >>> service()  # doctest: +SKIP
    """

    def __init__(self, load: Callable[[], InferenceService]) -> None:
        self._load = load
        self._service: InferenceService | None = None
        self._error: BaseException | None = None
        self._thread: Thread | None = Thread(target=self._run)
        self._thread.start()

    def __call__(self) -> InferenceService:
        """The service. The first call waits for the thread, any later one loads again.

        Raises:
            ModelNotLoaded: as ``load`` does.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return self._load()
        thread.join()
        # Kept no longer than needed: an unloaded model's memory must become free.
        service, self._service = self._service, None
        if service is None:
            raise self._error or RuntimeError("loading ended without a result")
        return service

    def _run(self) -> None:
        try:
            self._service = self._load()
        except BaseException as error:
            self._error = error
