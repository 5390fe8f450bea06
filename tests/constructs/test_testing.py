from __future__ import annotations

import pytest
from aws_cdk import Stack
from cdk_inference import InferenceModel, MLInferenceFunction, Packaging
from cdk_inference.testing import stable_template, without_hashes

from tests.constructs.synthesis import new_stack


@pytest.mark.parametrize("packaging", Packaging)
def test_a_template_is_the_same_for_other_content(
    model: InferenceModel, digits_under_the_same_name: InferenceModel, packaging: Packaging
) -> None:
    def template_with(content: InferenceModel) -> dict[str, object]:
        stack = new_stack()
        MLInferenceFunction(stack, "Scale", model=content, packaging=packaging)
        return stable_template(stack)

    assert template_with(model) == template_with(digits_under_the_same_name)


def test_what_is_no_hash_stays(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model)
    template = stable_template(stack)
    (function,) = (
        r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function"
    )
    assert function["Properties"]["MemorySize"] == 1769
    assert function["Properties"]["Code"]["ImageUri"]["Fn::Sub"].endswith(":<asset>")


def test_hashes_are_hidden_in_keys_lists_and_texts() -> None:
    asset, version = "0123456789abcdef" * 4, "0123456789abcdef" * 2
    name = f"FunctionCurrentVersionB78488E4{version}"
    assert without_hashes({name: [f"{asset}.zip", 1, None], "Ref": name}) == {
        "FunctionCurrentVersionB78488E4<version>": ["<asset>.zip", 1, None],
        "Ref": "FunctionCurrentVersionB78488E4<version>",
    }


@pytest.mark.parametrize("text", ["a" * 63, "A" * 64, "2d23962b6ea7"])
def test_shorter_or_other_texts_are_no_hashes(text: str) -> None:
    assert without_hashes(text) == text
