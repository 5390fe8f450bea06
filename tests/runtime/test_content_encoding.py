from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.content_encoding import decompress
from inference_runtime.errors import MalformedBody, PayloadTooLarge, UnsupportedEncoding

from tests.runtime import onnx_models
from tests.runtime.planes import answer, send, serving

COMPRESSORS = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes, "": bytes}


@given(st.sampled_from(list(COMPRESSORS)), st.binary())
def test_what_was_compressed_comes_back(encoding: str, body: bytes) -> None:
    assert decompress(COMPRESSORS[encoding](body), encoding, 10_000) == body


def test_a_bomb_is_not_expanded_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    with pytest.raises(PayloadTooLarge, match="more than the 1,000 bytes"):
        decompress(bomb, "gzip", 1000)


@given(st.lists(st.binary(), min_size=1, max_size=5))
def test_a_gzip_body_may_have_several_members(parts: list[bytes]) -> None:
    body = b"".join(map(gzip.compress, parts))
    assert decompress(body, "gzip", 10_000) == b"".join(parts)


def test_the_bound_is_for_all_members_together() -> None:
    member = gzip.compress(bytes(600))
    assert len(decompress(member, "gzip", 1000)) == 600
    with pytest.raises(PayloadTooLarge):
        decompress(member + member, "gzip", 1000)


def test_members_without_end_are_refused_in_no_time() -> None:
    body = gzip.compress(b"") * 100_000
    start = time.process_time()
    with pytest.raises(MalformedBody):
        decompress(body, "gzip", 1000)
    assert time.process_time() - start < 1


def test_deflate_has_one_member() -> None:
    with pytest.raises(MalformedBody):
        decompress(zlib.compress(b"a") * 2, "deflate", 1000)


@pytest.mark.parametrize(
    "body", [gzip.compress(b"x" * 99, mtime=0)[:-1], gzip.compress(b"x", mtime=0) + b"y", b""]
)
def test_a_body_that_is_cut_off_or_goes_on_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decompress(body, "gzip", 1000)


def test_a_body_of_another_encoding_is_refused() -> None:
    with pytest.raises(MalformedBody, match="not gzip"):
        decompress(b"plain", "gzip", 1000)
    with pytest.raises(UnsupportedEncoding, match="send gzip, deflate or identity"):
        decompress(b"plain", "br", 1000)


def test_the_data_plane_expands_bodies_and_bounds_them() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_MAX_REQUEST_BYTES="200") as plane:
        headers = {"content-encoding": "gzip"}
        body = gzip.compress(b'{"features": [1, 2, 3]}')
        assert answer(send(plane, "POST", "/predict", body, headers))["predictions"] == [1, 2, 3]
        assert send(plane, "POST", "/predict", gzip.compress(bytes(201)), headers).status == 413
        assert send(plane, "POST", "/predict", bytes(201)).status == 413
