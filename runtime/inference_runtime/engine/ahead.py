"""Loads an engine while something else is going on."""

from __future__ import annotations

from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.engine import Engine


class LoadAhead:
    """Calls ``load`` at once, in a thread. The library's long steps hold no Python lock.

    Args:
        load: what makes the engine.

    Example:
        >>> engine = LoadAhead(lambda: load(path, threads=1))  # doctest: +SKIP
        >>> engine()  # doctest: +SKIP
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._error: BaseException | None = None
        self._thread: Thread | None = Thread(target=self._run)
        self._thread.start()

    def __call__(self) -> Engine:
        """The engine. The first call waits for the thread, any later one loads again.

        Raises:
            ModelNotLoaded: as ``load`` does.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return self._load()
        thread.join()
        # Kept no longer than needed: an unloaded model's memory must become free.
        engine, self._engine = self._engine, None
        if engine is None:
            raise self._error or RuntimeError("loading ended without a result")
        return engine

    def _run(self) -> None:
        try:
            self._engine = self._load()
        except BaseException as error:
            self._error = error
