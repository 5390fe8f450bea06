from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import (
    ApiAuth,
    ConfigurationError,
    InferenceFunctionUrl,
    InferenceHttpApi,
    InferenceModel,
    InferenceRestApi,
    MLInferenceFunction,
    MultiModelApi,
    Packaging,
    ServedModel,
)
from cdk_inference.context import LOCAL
from cdk_inference.testing import stable_template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)

ALIAS_ARN = "arn:aws:lambda:us-east-1:123456789012:function:digits:live"
STREAM = lambda_.InvokeMode.RESPONSE_STREAM
NewFunction = Callable[..., MLInferenceFunction]


@pytest.fixture
def new_function(stack: Stack, model: InferenceModel) -> NewFunction:
    def new(**options: Any) -> MLInferenceFunction:
        return MLInferenceFunction(stack, "Scale", model=model, **options)

    return new


def variables(template: Template) -> dict[str, Any]:
    return dict(only_resource(template, "AWS::Lambda::Function")["Environment"]["Variables"])


def addressed(stack: Stack) -> dict[str, Any]:
    """The URL, and who may call it."""
    resources = stable_template(stack)["Resources"]
    kinds = ("AWS::Lambda::Url", "AWS::Lambda::Permission")
    return {name: part for name, part in resources.items() if part["Type"] in kinds}


def test_minimal_template(
    new_function: NewFunction, stack: Stack, snapshot: SnapshotAssertion
) -> None:
    new_function().add_function_url()
    synthesize(stack)
    assert addressed(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    MLInferenceFunction(stack, "Scale", model=model).add_function_url(
        auth=ApiAuth.public(),
        invoke_mode=STREAM,
        cors=lambda_.FunctionUrlCorsOptions(
            allowed_origins=["https://example.com"],
            allowed_methods=[lambda_.HttpMethod.POST],
            max_age=Duration.hours(1),
        ),
    )
    synthesize(stack)
    assert addressed(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_it_is_the_aliass_and_for_nobody_unasked(new_function: NewFunction, stack: Stack) -> None:
    new_function().add_function_url()
    template = synthesize(stack)
    url = only_resource(template, "AWS::Lambda::Url")
    assert (url["Qualifier"], url["AuthType"], url["InvokeMode"]) == ("live", "AWS_IAM", "BUFFERED")
    template.resource_count_is("AWS::Lambda::Permission", 0)
    assert "INFERENCE_INVOKE_MODE" not in variables(template)


def test_public_is_asked_for_by_name(new_function: NewFunction, stack: Stack) -> None:
    new_function().add_function_url(auth=ApiAuth.public())
    template = synthesize(stack)
    assert only_resource(template, "AWS::Lambda::Url")["AuthType"] == "NONE"
    permissions = template.find_resources("AWS::Lambda::Permission").values()
    alias = {"Ref": only_logical_id(template, "AWS::Lambda::Alias")}
    assert [permission["Properties"]["FunctionName"] for permission in permissions] == [alias] * 2
    # A URL's alone: nobody may invoke the function otherwise.
    assert sorted(
        (p["Properties"]["Action"], p["Properties"].get("InvokedViaFunctionUrl"))
        for p in permissions
    ) == [("lambda:InvokeFunction", True), ("lambda:InvokeFunctionUrl", None)]


def test_grant_invoke_is_for_this_url(new_function: NewFunction, stack: Stack) -> None:
    user = iam.User(stack, "Caller")
    new_function().add_function_url().grant_invoke(user)
    template = synthesize(stack)
    (statements,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("Caller")
    )
    alias = {"Ref": only_logical_id(template, "AWS::Lambda::Alias")}
    assert [(s["Action"], s["Resource"], list(s["Condition"])) for s in statements] == [
        ("lambda:InvokeFunctionUrl", alias, ["StringEquals"]),
        ("lambda:InvokeFunction", alias, ["Bool"]),
    ]


def test_the_runtime_is_told_to_stream(new_function: NewFunction, stack: Stack) -> None:
    new_function().add_function_url(invoke_mode=STREAM)
    template = synthesize(stack)
    assert only_resource(template, "AWS::Lambda::Url")["InvokeMode"] == "RESPONSE_STREAM"
    assert variables(template)["INFERENCE_INVOKE_MODE"] == "RESPONSE_STREAM"


def test_the_emulator_answers_whole(model: InferenceModel) -> None:
    stack = new_stack({LOCAL: True})
    MLInferenceFunction(stack, "Scale", model=model).add_function_url(invoke_mode=STREAM)
    template = synthesize(stack)
    assert only_resource(template, "AWS::Lambda::Url")["InvokeMode"] == "BUFFERED"
    assert "INFERENCE_INVOKE_MODE" not in variables(template)


def test_tokens_are_for_apis(new_function: NewFunction) -> None:
    auth = ApiAuth.jwt("https://example.com", audience=["shop"])
    with pytest.raises(ConfigurationError, match="a function URL knows IAM and public alone"):
        new_function().add_function_url(auth=auth)


def test_a_function_of_another_app_is_refused(stack: Stack) -> None:
    theirs: Any = MLInferenceFunction.from_alias_arn(stack, "Theirs", ALIAS_ARN)
    with pytest.raises(ConfigurationError, match="Stack/Theirs was looked up"):
        InferenceFunctionUrl(stack, "Url", function=theirs, invoke_mode=STREAM)


@pytest.mark.parametrize("packaging", [Packaging.ZIP, Packaging.LITE])
def test_a_zip_does_not_stream(
    new_function: NewFunction, stack: Stack, packaging: Packaging
) -> None:
    function = new_function(packaging=packaging)
    with pytest.raises(ConfigurationError) as caught:
        function.add_function_url(invoke_mode=STREAM)
    (problem,) = caught.value.problems
    assert problem.startswith("invoke_mode is RESPONSE_STREAM; Lambda's managed Python runtimes")
    assert construct_ids(function.node.find_child("FunctionUrl")) == []


def test_nothing_streams_from_a_vpc(new_function: NewFunction, stack: Stack) -> None:
    function = new_function(vpc=ec2.Vpc(stack, "Vpc"))
    with pytest.raises(ConfigurationError, match="streams nothing from inside a VPC"):
        function.add_function_url(invoke_mode=STREAM)


@pytest.mark.parametrize("api_first", [True, False])
def test_a_stream_and_an_api_are_refused_at_synth(
    new_function: NewFunction, stack: Stack, api_first: bool
) -> None:
    function = new_function()
    if api_first:
        function.add_http_api()
    function.add_function_url(invoke_mode=STREAM)
    if not api_first:
        function.add_rest_api()
    with pytest.raises(RuntimeError, match="a URL that streams, and an API"):
        synthesize(stack)


@pytest.mark.parametrize("kind", [InferenceHttpApi, InferenceRestApi])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_so_are_a_stream_and_an_api_of_its_own(
    new_function: NewFunction, stack: Stack, kind: Any, elsewhere: bool
) -> None:
    function = new_function()
    function.add_function_url(invoke_mode=STREAM)
    scope = Stack(stack.node.root, "Other") if elsewhere else stack  # type: ignore[arg-type]
    kind(scope, "Api", handler=function.alias)
    with pytest.raises(RuntimeError, match="a URL that streams, and an API"):
        Template.from_stack(stack)


def test_and_one_in_front_of_several(stack: Stack, model: InferenceModel) -> None:
    apis = MultiModelApi(stack, "Models", models={"scale": ServedModel(model)})
    apis.functions["scale"].add_function_url(invoke_mode=STREAM)
    with pytest.raises(RuntimeError, match="a URL that streams, and an API"):
        Template.from_stack(stack)


def test_an_api_of_another_function_does_not_matter(
    new_function: NewFunction, stack: Stack, model: InferenceModel
) -> None:
    new_function().add_function_url(invoke_mode=STREAM)
    MLInferenceFunction(stack, "Other", model=model).add_http_api()
    synthesize(stack)


def test_an_answer_that_is_whole_goes_with_an_api(new_function: NewFunction, stack: Stack) -> None:
    function = new_function()
    function.add_http_api()
    function.add_function_url()
    synthesize(stack)


def test_a_function_has_one_url(new_function: NewFunction) -> None:
    function = new_function()
    function.add_function_url()
    with pytest.raises(RuntimeError, match="There is already a Construct with name 'FunctionUrl'"):
        function.add_function_url()


URL = "https://abc.lambda-url.us-east-1.on.aws/"


def statements(stack: Stack) -> list[dict[str, Any]]:
    """What the user ``Caller`` may do."""
    (found,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").items()
        if name.startswith("Caller")
    )
    return list(found)


def test_a_url_of_another_app_grants_what_ones_own_does(
    new_function: NewFunction, stack: Stack
) -> None:
    new_function().add_function_url().grant_invoke(iam.User(stack, "Caller"))
    there = new_stack()
    theirs = MLInferenceFunction.from_alias_arn(there, "Theirs", ALIAS_ARN)
    url = InferenceFunctionUrl.from_url(there, "Url", URL, function=theirs)
    url.grant_invoke(iam.User(there, "Caller"))
    assert (url.url, construct_ids(url)) == (URL, [])
    assert [s | {"Resource": None} for s in statements(there)] == [
        s | {"Resource": None} for s in statements(stack)
    ]
    assert {s["Resource"] for s in statements(there)} == {ALIAS_ARN}


@pytest.mark.parametrize("url", ["abc.lambda-url.us-east-1.on.aws/", URL.removesuffix("/")])
def test_what_is_no_url_is_refused(stack: Stack, url: str) -> None:
    theirs = MLInferenceFunction.from_alias_arn(stack, "Theirs", ALIAS_ARN)
    with pytest.raises(ConfigurationError, match=f"Stack/Url: url is '{url}'"):
        InferenceFunctionUrl.from_url(stack, "Url", url, function=theirs)


def test_a_url_known_at_deploy_only(stack: Stack) -> None:
    theirs = MLInferenceFunction.from_alias_arn(stack, "Theirs", ALIAS_ARN)
    given = CfnParameter(stack, "Given").value_as_string
    url = InferenceFunctionUrl.from_url(stack, "Url", given, function=theirs)
    assert stack.resolve(url.url) == {"Ref": "Given"}


def test_construct_ids_are_public(new_function: NewFunction, stack: Stack) -> None:
    url = InferenceFunctionUrl(stack, "Mine", function=new_function())
    assert construct_ids(url) == ["FunctionUrl", "Url"]
