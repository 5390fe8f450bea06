"""The result of `optimize` as one SVG: bars for each candidate, side by side."""

from __future__ import annotations

import os
from html import escape

from inference_runtime.optimize.units import milliseconds, share, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from inference_runtime.optimize.candidate import Candidate
    from inference_runtime.optimize.pipeline import Result

_PANEL, _NAME, _BAR, _ROW, _TOP, _MARGIN = 250, 110, 170, 24, 78, 16
_SERVED, _ALLOWED, _REJECTED = "#1a7f5a", "#6b8fb3", "#c9c9c9"

# A title, what of a candidate is shown (``None`` where it was not measured), and how.
Panel = tuple[str, "Callable[[Candidate], float | None]", "Callable[[float], str]"]

_FIGURES: Final[Sequence[Panel]] = (
    ("size", lambda c: float(c.size_bytes), lambda v: size(int(v))),
    ("load + first run, ms", lambda c: c.start.load_ms + c.start.first_ms if c.start else None,
     milliseconds),
    ("latency p50, 1 row, ms", lambda c: c.steady.latency_ms[1][50] if c.steady else None,
     milliseconds),
    ("peak memory", lambda c: float(c.timing.peak_bytes) if c.timing else None,
     lambda v: size(int(v))),
)  # fmt: skip
_ERROR: Final[Panel] = (
    "largest error",
    lambda c: min(c.accuracy.max_error, 1.0) if c.accuracy else None,
    lambda v: share(v) if v < 1 else "100 % or more",
)


def draw(result: Result) -> str:
    """The picture of ``result``; green is what serves, grey what may not."""
    candidates = result.candidates
    panels = [*_FIGURES, _ERROR] if result.samples.given else _FIGURES
    width = _MARGIN * 2 + _NAME + _PANEL * len(panels)
    height = _TOP + _ROW * len(candidates) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(
            _MARGIN, 26, f"{os.path.basename(result.task.model)}: {result.chosen.name} serves", "15"
        ),
        _text(
            _MARGIN,
            46,
            "green: serves; blue: may serve; grey: may not, the manifest says why",
            "11",
        ),
    ]
    for row, candidate in enumerate(candidates):
        parts.append(_text(_MARGIN, _TOP + row * _ROW + 14, candidate.name))
    for column, (title, value_of, shown) in enumerate(panels):
        left = _MARGIN + _NAME + column * _PANEL
        parts.append(_text(left, _TOP - 10, title))
        values = [value_of(candidate) for candidate in candidates]
        largest = max(value or 0 for value in values) or 1
        for row, (candidate, value) in enumerate(zip(candidates, values, strict=True)):
            y, length = _TOP + row * _ROW, max(1, round((value or 0) / largest * _BAR))
            colour = _colour(candidate, result)
            parts.append(f'<rect x="{left}" y="{y}" width="{length}" height="18" fill="{colour}"/>')
            text = "–" if value is None else shown(value)
            parts.append(_text(left + length + 5, y + 14, text))
    return "\n".join([*parts, "</svg>", ""])


def _colour(candidate: Candidate, result: Result) -> str:
    if candidate is result.chosen:
        return _SERVED
    return _REJECTED if candidate.rejected else _ALLOWED


def _text(x: int, y: int, text: str, size: str = "12") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'
