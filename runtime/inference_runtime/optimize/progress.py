"""Progress in the terminal."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console


class Bar:
    """Shows the steps of `optimize`, each with a bar; a ``pipeline.Progress``.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("[dim]{task.fields[unit]}"), console=console,
        )  # fmt: skip
        self._task = self._progress.add_task("", visible=False, unit="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def step(self, text: str, units: int = 0) -> None:
        """A step begins; the one before is done."""
        self._finish()
        self._task = self._progress.add_task(text, total=units or 1, unit="")
        self._is_first_unit = True

    def advance(self, text: str) -> None:
        """A unit of the step begins; the one before is done."""
        self._progress.update(self._task, advance=0 if self._is_first_unit else 1, unit=text)
        self._is_first_unit = False

    def _finish(self) -> None:
        total = self._progress.tasks[self._task].total
        self._progress.update(self._task, completed=total, unit="")
