"""The result of `optimize` as one SVG: bars for each candidate, side by side."""

from __future__ import annotations

import os
from html import escape

from inference_runtime.optimize.units import milliseconds, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from inference_runtime.optimize.candidate import Candidate
    from inference_runtime.optimize.pipeline import Result

_PANEL, _NAME, _BAR, _ROW, _TOP, _MARGIN = 250, 110, 170, 24, 78, 16
_SERVED, _ALLOWED, _REJECTED = "#1a7f5a", "#6b8fb3", "#c9c9c9"

_PANELS: Final[Sequence[tuple[str, Callable[[Candidate], float], Callable[[float], str]]]] = (
    ("size", lambda c: float(c.size_bytes), lambda v: size(int(v))),
    ("load + first run, ms", lambda c: c.start.load_ms + c.start.first_ms if c.start else 0,
     milliseconds),
    ("latency p50, 1 row, ms", lambda c: c.steady.latency_ms[1][50] if c.steady else 0,
     milliseconds),
    ("peak memory", lambda c: float(c.timing.peak_bytes) if c.timing else 0,
     lambda v: size(int(v))),
)  # fmt: skip


def draw(result: Result) -> str:
    """The picture of ``result``; green is what serves, grey what may not."""
    candidates = result.candidates
    width = _MARGIN * 2 + _NAME + _PANEL * len(_PANELS)
    height = _TOP + _ROW * len(candidates) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(
            _MARGIN, 26, f"{os.path.basename(result.task.model)}: {result.chosen.name} serves", "15"
        ),
        _text(_MARGIN, 46, "green: serves; blue: may serve; grey: outside the tolerance", "11"),
    ]
    for row, candidate in enumerate(candidates):
        parts.append(_text(_MARGIN, _TOP + row * _ROW + 14, candidate.name))
    for column, (title, value_of, shown) in enumerate(_PANELS):
        left = _MARGIN + _NAME + column * _PANEL
        parts.append(_text(left, _TOP - 10, title))
        largest = max(map(value_of, candidates)) or 1
        for row, candidate in enumerate(candidates):
            value, y = value_of(candidate), _TOP + row * _ROW
            length = max(1, round(value / largest * _BAR))
            colour = _colour(candidate, result)
            parts.append(f'<rect x="{left}" y="{y}" width="{length}" height="18" fill="{colour}"/>')
            parts.append(_text(left + length + 5, y + 14, shown(value) if value else "–"))
    return "\n".join([*parts, "</svg>", ""])


def _colour(candidate: Candidate, result: Result) -> str:
    if candidate is result.chosen:
        return _SERVED
    return _REJECTED if candidate.rejected else _ALLOWED


def _text(x: int, y: int, text: str, size: str = "12") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'
