"""docs/models.md tells of every platform variable that is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.settings import PLATFORM_VARIABLES

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text()


@pytest.mark.parametrize("name", PLATFORM_VARIABLES)
def test_a_platforms_variable_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE
