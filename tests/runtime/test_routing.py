from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.errors import MethodNotAllowed, NotFound
from inference_runtime.exchange import json_reply
from inference_runtime.routing import Route, Router

ROUTER = Router(
    [
        Route(method, pattern, lambda exchange: json_reply(None))
        for method, pattern in [
            ("GET", "/models/stats"),
            ("GET", "/models/{model}"),
            ("POST", "/models/{model}/infer"),
        ]
    ]
)


def test_the_first_route_that_fits_is_taken() -> None:
    route, named = ROUTER.find("GET", "/models/stats")
    assert (route.pattern, named) == ("/models/stats", {})


def test_a_segment_in_braces_takes_one_segment_unquoted() -> None:
    route, named = ROUTER.find("POST", "/models/a%2Fb%20c/infer")
    assert (route.pattern, named) == ("/models/{model}/infer", {"model": "a/b c"})


def test_another_method_is_told_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowed, match="use POST"):
        ROUTER.find("GET", "/models/m/infer")


@given(st.text())
def test_any_other_path_is_not_found(path: str) -> None:
    with pytest.raises((NotFound, MethodNotAllowed)):
        ROUTER.find("DELETE", path)
