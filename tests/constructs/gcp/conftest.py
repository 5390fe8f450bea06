from __future__ import annotations

from typing import Any

import pytest
from cdk_inference.gcp import Bindings

from tests.constructs.gcp.terraform import new_stack


@pytest.fixture(params=Bindings, ids=lambda bindings: bindings.value)
def bindings(request: pytest.FixtureRequest) -> Bindings:
    """Each of the two families of bindings."""
    chosen: Bindings = request.param
    return chosen


@pytest.fixture
def stack(bindings: Bindings) -> Any:
    """An empty stack, but for the provider for Google Cloud."""
    return new_stack(bindings)
