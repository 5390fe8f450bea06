"""A function called in a thread, its result awaited later."""

from __future__ import annotations

from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Call:
    """Calls ``function`` at once, in a thread that the end of the process does not wait for.

    Example:
        >>> Call(lambda: 6 * 7).result()
        42
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._results: list[Any] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the function is over, however it ends."""
        self._thread.join()

    def result(self) -> Any:
        """What the function gives, or raises."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._error = error
