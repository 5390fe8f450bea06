"""Figures as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes: ``812 B``, ``21.4 kB``, ``90.3 MB``."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def milliseconds(value: float) -> str:
    """Three digits, as a measurement deserves: ``0.028``, ``1.97``, ``12.3``, ``215``."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def share(value: float) -> str:
    """A share in percent, small ones with an exponent: ``99.50 %``, ``4e-05 %``."""
    percent = value * 100
    return f"{percent:.2f} %" if percent == 0 or percent >= 0.01 else f"{percent:.0e} %"
