"""The result of `optimize` as tables in the terminal."""

from __future__ import annotations

from rich.table import Table

from inference_runtime.optimize import lambda_cost
from inference_runtime.optimize.measure import BATCH_SIZES, PERCENTILES
from inference_runtime.optimize.units import milliseconds, share, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from rich.console import Console

    from inference_runtime.optimize.candidate import Candidate
    from inference_runtime.optimize.pipeline import Result

_NONE: Final = "–"


def show(result: Result, console: Console) -> None:
    """Print every table, what was left out and why, and what serves."""
    candidates, threads = result.candidates, result.task.effort.threads
    console.print(_table("Size and start", candidates, _START), "")
    console.print(_table("Milliseconds of a run, by its rows", candidates, _latency(result)), "")
    if result.samples.given:
        title = f"Answers on {len(result.samples)} samples, against the original's"
        console.print(_table(title, candidates, _ANSWERS), "")
    title = "US dollars for a million calls on Lambda (x86_64), by memory in MB"
    console.print(_table(title, candidates, _costs(threads)), "")
    console.print(_table(f"Ways to load {result.chosen.name!r}", result.variants, _WAYS), "")
    for name, reason in result.skipped.items():
        console.print(f"{name} was left out: {reason}", soft_wrap=True, markup=False, style="dim")
    console.print(f"\n{_conclusion(result)}", soft_wrap=True, markup=False, highlight=False)


Column = tuple[str, "Callable[[Candidate], str]"]


def _table(title: str, candidates: Sequence[Candidate], columns: Sequence[Column]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None
    )
    table.add_column("", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for candidate in candidates:
        style = "dim" if candidate.rejected else ""
        cells = (cell(candidate) for _, cell in columns)
        table.add_row(candidate.name, *cells, style=style)
    return table


_START: Final[Sequence[Column]] = (
    ("size", lambda c: size(c.size_bytes)),
    ("zipped", lambda c: size(c.compressed_bytes)),
    ("load ms", lambda c: milliseconds(c.start.load_ms) if c.start else _NONE),
    ("first run ms", lambda c: milliseconds(c.start.first_ms) if c.start else _NONE),
    ("peak memory", lambda c: size(c.timing.peak_bytes) if c.timing else _NONE),
    ("engine", lambda c: c.timing.engine if c.timing else _NONE),
)

_ANSWERS: Final[Sequence[Column]] = (
    ("max error", lambda c: share(c.accuracy.max_error) if c.accuracy else _NONE),
    ("mean error", lambda c: share(c.accuracy.mean_error) if c.accuracy else _NONE),
    (
        "same top-1",
        lambda c: (
            _NONE if c.accuracy is None or c.accuracy.agreement is None
            else share(c.accuracy.agreement)
        ),
    ),
    ("not served because", lambda c: c.rejected),
)  # fmt: skip

_WAYS: Final[Sequence[Column]] = (
    *_START[2:5],
    ("p50 ms", lambda c: milliseconds(c.steady.latency_ms[1][50]) if c.steady else _NONE),
    ("weights are packed", lambda c: _packing(c)),
)


def _packing(candidate: Candidate) -> str:
    if not candidate.prepack:
        return "never"
    return "after the first answer" if candidate.unpacked_start else "at load"


def _latency(result: Result) -> list[Column]:
    sizes = BATCH_SIZES if result.samples.batchable else BATCH_SIZES[:1]
    return [
        (f"{rows} p{percentile}", _latency_cell(rows, percentile))
        for rows in sizes
        for percentile in PERCENTILES
    ]


def _latency_cell(rows: int, percentile: int) -> Callable[[Candidate], str]:
    return lambda c: milliseconds(c.timing.latency_ms[rows][percentile]) if c.timing else _NONE


def _costs(threads: int) -> list[Column]:
    return [(str(memory), _cost_cell(memory, threads)) for memory in lambda_cost.MEMORY_SIZES_MB]


def _cost_cell(memory: int, threads: int) -> Callable[[Candidate], str]:
    def cell(candidate: Candidate) -> str:
        cost = candidate.costs(threads).get(memory)
        return _NONE if cost is None else f"{cost:.2f}"

    return cell


def _conclusion(result: Result) -> str:
    served = result.served
    lines = [
        f"{result.chosen.name} serves, as {served.name}: the least time for an instance that"
        f" starts, loads and answers {result.task.calls} calls."
    ]
    cheapest = lambda_cost.cheapest(served.costs(result.task.effort.threads))
    if cheapest:
        lines.append(
            f"Cheapest on Lambda: {cheapest[0]} MB, ${cheapest[1]:.2f} for a million warm calls."
        )
    if not result.samples.given:
        lines.append(
            "Times are of made-up input. Give --samples of real input to have them right, and to"
            " try lower precisions."
        )
    lines.append(f"Written: {result.task.output}")
    return "\n".join(lines)
