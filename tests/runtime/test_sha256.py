"""The runtime's own HMAC, beside the standard library's."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.sha256 import hmac_sha256


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_an_hmac_is_that_of_the_standard_library(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")
