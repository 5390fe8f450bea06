"""Which bindings a construct gets, and what their import costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import cdk_inference.gcp
import pytest
from cdk_inference import ConfigurationError
from cdk_inference.gcp import Bindings
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.naming import unique_name
from hypothesis import given
from hypothesis import strategies as st

from constructs import Construct
from tests.constructs.gcp.terraform import new_stack
from tests.constructs.synthesis import ROOT
from tests.constructs.synthesis import new_stack as new_aws_stack

SYNTHESIZE = f"""
import json, sys
from cdk_inference import InferenceModel
from cdk_inference.gcp import CloudRunGpuService
from {{core}} import App, TerraformStack
from {{provider}}.provider import GoogleProvider
app = App()
stack = TerraformStack(app, "Stack")
GoogleProvider(stack, "Google")
CloudRunGpuService(
    stack, "Digits", model=InferenceModel.from_file("{ROOT}/models/digits/digits.onnx"),
    image="a/b@sha256:" + "ab" * 32, region="europe-west1",
)
app.synth()
print(json.dumps(sorted(sys.modules)))
"""
USED = {"cloud_run_v2_service", "provider", "service_account"}


def loaded_by_a_gpu_service(core: str, provider: str, folder: Any) -> set[str]:
    output = subprocess.run(
        [sys.executable, "-c", SYNTHESIZE.format(core=core, provider=provider)],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return set(json.loads(output))


@pytest.mark.parametrize(
    ("core", "provider"),
    [("cdktf", "cdktf_cdktf_provider_google"), ("cdktn", "cdktn_provider_google")],
)
def test_only_what_is_used_of_a_provider_is_imported(
    tmp_path: Any, core: str, provider: str
) -> None:
    loaded = loaded_by_a_gpu_service(core, provider, tmp_path)
    parts = {name.split(".")[1] for name in loaded if name.startswith(f"{provider}.")}
    assert {part for part in parts if not part.startswith("_")} == USED
    others = {"aws_cdk", "cdktf", "cdktn", "inference_runtime", "onnxruntime"} - {core}
    assert {name.split(".")[0] for name in loaded} & others == set()


def test_a_part_of_a_provider_is_there_when_asked_for() -> None:
    import cdktf_cdktf_provider_google as google

    assert google.pubsub_topic.PubsubTopic.__name__ == "PubsubTopic"
    assert not hasattr(google, "no_such_resource")


def test_a_stack_tells_its_bindings(bindings: Bindings, stack: Any) -> None:
    assert bindings_of(Construct(stack, "Inner")) is bindings


def test_both_live_in_one_process_but_not_in_one_stack() -> None:
    stacks = [new_stack(bindings) for bindings in Bindings]
    assert [bindings_of(stack) for stack in stacks] == list(Bindings)


def test_a_stack_of_aws_has_none() -> None:
    with pytest.raises(ConfigurationError, match="from cdktn import TerraformStack"):
        bindings_of(new_aws_stack())


def test_one_module_names_the_packages() -> None:
    names = ("cdktf_cdktf_provider", "cdktn_provider", "import cdktf", "import cdktn")
    package = ROOT / "constructs" / "cdk_inference"
    naming = [
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if any(name in line and "import `" not in line for name in names
               for line in file.read_text().splitlines() if not line.lstrip().startswith(">>>"))
    ]  # fmt: skip
    assert naming == ["gcp/bindings.py"]


def test_every_public_name_can_be_imported() -> None:
    names = [getattr(cdk_inference.gcp, name).__name__ for name in cdk_inference.gcp.__all__]
    assert names == cdk_inference.gcp.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cdk_inference.gcp.Nothing


@given(
    path=st.lists(st.text(max_size=40), min_size=1),
    addr=st.from_regex(r"c8[0-9a-f]{40}", fullmatch=True),
    length=st.integers(16, 63),
)
def test_a_name_fits_what_google_allows(path: list[str], addr: str, length: int) -> None:
    construct: Any = SimpleNamespace(node=SimpleNamespace(path="/".join(path), addr=addr))
    name = unique_name(construct, length)
    assert len(name) <= length
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert name.endswith(addr[-8:])
