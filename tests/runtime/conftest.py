from __future__ import annotations

from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[2] / "models" / "digits"


@pytest.fixture
def digits() -> Path:
    """The folder of the committed digits model."""
    return DIGITS
