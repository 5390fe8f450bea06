"""URLs: the standard library takes them apart alike."""

from __future__ import annotations

import doctest
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.models import call, layout, store, url
from inference_runtime.models.url import Url, encode, encode_query, encode_rest


@given(st.text(), st.sampled_from(["/", "", "/:"]))
def test_text_is_encoded_as_urllib_does(text: str, safe: str) -> None:
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    assert surrogates or encode(text, safe) == quote(text, safe=safe)


@given(st.dictionaries(st.text("abc &=/ü"), st.text("xyz &=/ü+"), max_size=4))
def test_a_query_is_encoded_as_urllib_does(parameters: dict[str, str]) -> None:
    expected = urlencode(sorted(parameters.items()), quote_via=quote, safe="")
    assert encode_query(parameters) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a/b.onnx?x=1&y=a%20b", "http://localhost:8080/", "https://h?q=1",
        "https://user:word@example.org:8443/a@b", "http://[::1]:9/a", "https://[::1]/a#part",
        "https://h/a//b/../c",
    ],
)  # fmt: skip
def test_a_url_is_taken_apart_as_urllib_does(text: str) -> None:
    ours, theirs = Url(text), urlsplit(text)
    assert (ours.scheme, ours.host, ours.query) == (theirs.scheme, theirs.hostname, theirs.query)
    assert ours.port == (theirs.port or {"http": 80, "https": 443}[theirs.scheme])
    assert ours.path == (theirs.path or "/")
    assert bool(ours.user) == (theirs.username is not None)


def test_what_would_break_a_request_is_encoded() -> None:
    assert encode_rest("a b\r\nhost: evil\x00ü%20") == "a%20b%0D%0Ahost:%20evil%00%C3%BC%20"


@pytest.mark.parametrize("module", [call, layout, store, url])
def test_examples_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
