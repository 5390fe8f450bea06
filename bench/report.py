"""What benchmarks print, keep and draw: tables, and ``docs/benchmarks.md`` from all of them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "images"

_INTRODUCTION = """\
# Benchmarks

Made by `make bench`; run it yourself. Absolute times are those of one machine, small and shared:
compare within a table, which was measured in one run, interleaved, and trust the ratios.
"""


@dataclass
class Chart:
    """A picture of a table's figures.

    Attributes:
        title: above it.
        unit: of the values.
        values: bars by label; or lines, each points by x.
        x: what the lines run over; empty for bars.
    """

    title: str
    unit: str
    values: dict[str, Any]
    x: str = ""


@dataclass
class Table:
    """One table.

    Attributes:
        title: above it.
        header: column names.
        rows: cells, as they read.
        note: below it: what was measured, and how.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass
class Section:
    """What one benchmark measured.

    Attributes:
        title: of the section.
        tables: in order.
        charts: below them.
        machine: what it ran on.
    """

    title: str
    tables: list[Table]
    charts: list[Chart] = field(default_factory=list)
    machine: str = field(default_factory=lambda: describe_machine())


def describe_machine() -> str:
    """Processor, cores, Python and onnxruntime, in a line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
            break
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()},"
        f" onnxruntime {version('onnxruntime')}"
    )


def keep(name: str, section: Section) -> None:
    """Print ``section``, keep its figures, and write the document anew."""
    print(markdown(name, section))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(asdict(section), indent=1) + "\n")
    for index, chart in enumerate(section.charts):
        _draw(chart, PICTURES / f"bench-{name}-{index}.svg")
    sections = {file.stem: _load(file) for file in sorted(RESULTS.glob("*.json"))}
    DOCUMENT.write_text("\n".join([_INTRODUCTION, *(markdown(n, s) for n, s in sections.items())]))


def _load(file: Path) -> Section:
    kept = json.loads(file.read_text())
    tables = [Table(**table) for table in kept["tables"]]
    charts = [Chart(**chart) for chart in kept["charts"]]
    return Section(kept["title"], tables, charts, kept["machine"])


def markdown(name: str, section: Section) -> str:
    """``section`` as the document shows it."""
    parts = [f"## {section.title}\n", f"{section.machine}. `uv run python -m bench {name}`\n"]
    for table in section.tables:
        parts.append(f"### {table.title}\n")
        parts.append(_row(table.header) + _row(["---"] * len(table.header))
                     + "".join(map(_row, table.rows)))  # fmt: skip
        if table.note:
            parts.append(f"{table.note}\n")
    for index, chart in enumerate(section.charts):
        parts.append(f"![{chart.title}](images/bench-{name}-{index}.svg)\n")
    return "\n".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _draw(chart: Chart, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = chart.title  # the same figures give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(chart.values) + 1 if not chart.x else 4.5))
    if chart.x:
        for label, points in chart.values.items():
            axes.plot([float(x) for x in points], list(points.values()), marker="o", label=label)
        axes.set(xscale="log", yscale="log", xlabel=chart.x, ylabel=chart.unit)
        axes.legend()
    else:
        axes.bar_label(axes.barh(list(chart.values), list(chart.values.values())), fmt="{:,.4g}")
        axes.invert_yaxis()
        axes.set(xlabel=chart.unit)
        axes.margins(x=0.15)
    axes.set_title(chart.title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
