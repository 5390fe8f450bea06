"""``inference-runtime serve`` over TLS."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.runtime.certificates import Pair, for_localhost
from tests.runtime.http_server import HOST, SERVE, received, serving
from tests.runtime.planes import DIGITS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return for_localhost(tmp_path_factory.mktemp("tls"))


def variables(pair: Pair) -> dict[str, str]:
    return {
        "INFERENCE_TLS_CERTIFICATE": str(pair.certificate),
        "INFERENCE_TLS_KEY": str(pair.key),
    }


def test_it_answers_who_trusts_its_certificate_and_nobody_in_plain(
    tmp_path: Path, pair: Pair
) -> None:
    with serving(tmp_path, DIGITS, **variables(pair)) as server:
        context = ssl.create_default_context(cafile=str(pair.certificate))
        for path in ("/health", "/v2/health/ready"):
            connection = http.client.HTTPSConnection(
                "localhost", server.port, context=context, timeout=10
            )
            connection.request("GET", path)
            assert received(connection).status == 200
        plain = http.client.HTTPConnection(HOST, server.port, timeout=10)
        plain.request("GET", "/health")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        server.signal()
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("wrong", ["missing", "text", "other"])
def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, pair: Pair, wrong: str) -> None:
    bad = tmp_path / "bad.pem"
    if wrong == "text":
        bad.write_text("no certificate")
    if wrong == "other":
        (tmp_path / "other").mkdir()
        bad = for_localhost(tmp_path / "other").certificate
    environ = {"MODEL_URI": str(DIGITS), "INFERENCE_PORT": "0", **variables(pair)}
    environ["INFERENCE_TLS_CERTIFICATE"] = str(bad)
    run = subprocess.run(SERVE, capture_output=True, text=True, env=environ, check=False)
    assert run.returncode == 1
    assert f"INFERENCE_TLS_CERTIFICATE {bad} and INFERENCE_TLS_KEY {pair.key} cannot" in run.stderr
