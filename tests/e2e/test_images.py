"""The images of AWS Lambda and Cloud Run are built and run for real, where buildah is installed.

``apt-get install buildah`` brings it; Debian's podman is built on it. What runs is the image's own
command as its own user, with the variables that the synthesized function or service has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cdk_inference import InferenceModel
from cdk_inference.artifact import image_context
from cdk_inference.contract import MODEL_NAME, MODEL_URI, model_uri
from cdk_inference.gcp import Bindings, CloudRunService
from cdk_inference.local import Reply, RunningService

from tests.constructs.gcp.terraform import IMAGE, REGION, new_stack, only_resource
from tests.constructs.onnx_models import save, scale_model
from tests.contract.corpus import Request
from tests.contract.players import http_api
from tests.contract.runtime_api import RuntimeApi
from tests.e2e.conftest import ROOT
from tests.e2e.containers import Buildah, Image
from tests.runtime.http_server import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("buildah") is None, reason="needs buildah: apt-get install buildah"
)

PYPI = "https://pypi.org/simple/pip/"
SAMPLE: dict[str, Any] = json.loads((ROOT / "models/digits/samples.json").read_text())[3]
BODY = json.dumps({"features": SAMPLE["pixels"]}).encode()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    try:
        urlopen(PYPI, timeout=10).close()
    except OSError as error:
        pytest.skip(f"the builds install from {PYPI}, which cannot be reached: {error}")
    buildah = Buildah(tmp_path_factory.mktemp("storage"))
    try:
        buildah.make_base(tmp_path_factory.mktemp("base"))
    except RuntimeError as error:
        pytest.skip(f"buildah cannot store images here: {error}")
    yield buildah
    buildah.remove_all()


@pytest.fixture(scope="module")
def digits() -> InferenceModel:
    return InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")


def show(title: str, image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the image's size by layer, whether or not the test passes."""
    with capsys.disabled():
        print(f"\n{title}: {sum(layer.size for layer in image.layers) / 1e6:.1f} MB unpacked")
        for layer in image.layers:
            print(f"{layer.size / 1e6:9.2f} MB  {layer.made_by}")


def ready_reply(service: RunningService) -> Reply | None:
    """The answer to the sample, once the model is loaded."""
    reply = service.post("/predict", BODY)
    return None if reply.status == 503 else reply


def test_lambda(
    buildah: Buildah, digits: InferenceModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = buildah.build(image_context("lambda", digits))
    show("AWS Lambda", image, capsys)
    assert image.user == "65534:65534"

    with closing(RuntimeApi()) as api, (tmp_path / "log").open("wb") as log:
        environ = {
            MODEL_URI: model_uri(digits.name),
            MODEL_NAME: digits.name,
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        }
        event = http_api(Request("POST", "/predict", {}, BODY), BODY.decode(), encoded=False)
        with buildah.running(image, environ, log):
            outcome = api.invoke(event, "id-1")
    assert outcome.kind == "response", (tmp_path / "log").read_text()
    assert outcome.payload["statusCode"] == 200
    assert json.loads(outcome.payload["body"])["predictions"]["label"] == SAMPLE["label"]


# In the place of Amazon Linux's own, since no registry can be asked for that.
STAND_INS = {
    "curl": "#!/bin/sh\nfor last; do :; done\necho package of $last > /tmp/insights.rpm\n",
    "rpm": """#!/bin/sh
read -r package < /tmp/insights.rpm
[ "$package" = "package of https://example.org/agent.rpm" ] || exit 1
mkdir -p /opt/extensions /opt/cloudwatch
install -m 755 /tmp/insights.rpm /opt/extensions/agent
echo settings > /opt/cloudwatch/agent.toml
""",
}


def test_lambda_insights_is_beside_the_models_own_extension(
    buildah: Buildah, digits: InferenceModel, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, script in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    buildah.make("localhost/amazon-linux", tmp_path)
    image = buildah.build(
        image_context("lambda", digits),
        INSIGHTS_IMAGE="localhost/amazon-linux",
        INSIGHTS_PACKAGE="https://example.org/agent.rpm",
        MODEL_CACHE_EXTENSION="cache",
    )
    assert buildah.listing(image, "/opt") == [
        "/opt/cloudwatch/agent.toml",
        "/opt/extensions/agent*",
        "/opt/extensions/cache*",
    ]


def test_cloud_run(
    buildah: Buildah, digits: InferenceModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = buildah.build(image_context("cloud-run", digits))
    show("Cloud Run, CPU", image, capsys)
    assert image.user == "65534:65534"

    stack = new_stack(Bindings.CDKTN)
    CloudRunService(stack, "Digits", model=digits, image=IMAGE, region=REGION)
    (container,) = only_resource(stack, "google_cloud_run_v2_service")["template"]["containers"]
    assert container["command"] == image.command
    # Cloud Run names a port; 0 is a free one.
    environ = {one["name"]: one["value"] for one in container["env"]} | {"PORT": "0"}
    log_file = tmp_path / "log"

    with log_file.open("wb") as log, buildah.running(image, environ, log) as process:

        def listening() -> dict[str, Any] | None:
            assert process.poll() is None, log_file.read_text()
            whole, _, _ = log_file.read_text().rpartition("\n")
            lines = [json.loads(line) for line in whole.splitlines()]
            return next((line for line in lines if line["message"] == "listening"), None)

        started = eventually(listening)
        service = RunningService(f"http://127.0.0.1:{started['port']}", {}, (), 0, lambda: None)
        reply = eventually(lambda: ready_reply(service))
    # Cloud Run sends requests to the instance's address, not to its loopback interface.
    assert started["host"] == "0.0.0.0"
    assert reply.status == 200
    assert reply.json()["predictions"]["label"] == SAMPLE["label"]


def test_another_model_leaves_the_dependencies_layer_as_it_is(
    buildah: Buildah, digits: InferenceModel, tmp_path: Path
) -> None:
    other = InferenceModel.from_file(save(scale_model(), tmp_path / "digits.onnx"))
    first, second = (buildah.build(image_context("cloud-run", model)) for model in (digits, other))
    changed = {
        mine.made_by: mine.size
        for mine, other in zip(first.layers, second.layers, strict=True)
        if mine.digest != other.digest
    }
    # The code's layer has the time of its folder, which is that of the build.
    assert list(changed) == ["COPY models", "COPY ./"]
    assert changed["COPY ./"] < 3e6 < first.layers[1].size
