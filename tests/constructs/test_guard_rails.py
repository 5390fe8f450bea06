"""What is refused or warned of at synth, when the whole of a function is known."""

from __future__ import annotations

import hashlib
import re
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template
from cdk_inference import (
    InferenceHttpApi,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    Packaging,
    PackagingError,
    ProvisionedWarmPool,
    S3ModelStore,
    Tracing,
    WarmStrategy,
    artifact,
)
from cdk_inference.artifact import dependencies_archive
from cdk_inference.aws.initialization import init_seconds
from cdk_inference.limits import LAMBDA_PYTHON_VERSIONS
from cdk_inference.memory import least_memory_mb, least_seen_memory_mb, needed_memory_mb
from cdk_inference.packages import PackageTarget
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tests.constructs.onnx_models import write_sparse
from tests.constructs.synthesis import ROOT, new_stack

GIB = 2**30


def warnings(stack: Stack) -> list[str]:
    """Those of this library, by name."""
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("cdk-inference:")
    )
    return [str(message.entry.data) for message in found]


def errors(stack: Stack) -> str:
    with pytest.raises(RuntimeError) as caught:
        Template.from_stack(stack)
    return str(caught.value)


# Variables and layers that are added later


def test_variables_that_are_added_later_count(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, environment={"A": "x" * 2000})
    function.function.add_environment("B", "x" * 2200)
    assert "environment has 42" in errors(stack)


def test_variables_known_only_at_deploy_do_not(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, environment={"A": "x" * 4000})
    function.function.add_environment("URL", stack.url_suffix * 20)
    Template.from_stack(stack)


def layer(stack: Stack, folder: Path, id: str, **options: Any) -> lambda_.LayerVersion:
    (folder / id).mkdir()
    (folder / id / "own.py").write_text("")
    code = lambda_.Code.from_asset(str(folder / id))
    return lambda_.LayerVersion(stack, id, code=code, **options)


@pytest.mark.parametrize("compatible", [None, ["x86_64"], ["x86_64", "arm64"], ["arm64"]])
def test_a_layer_for_another_processor_is_refused(
    tmp_path: Path, stack: Stack, model: InferenceModel, compatible: list[str] | None
) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
    architectures = compatible and [lambda_.Architecture.custom(name) for name in compatible]
    own = layer(stack, tmp_path, "Own", compatible_architectures=architectures)
    function.function.add_layers(own)
    if compatible == ["arm64"]:
        refusal = "the layer Stack/Own/Resource is for arm64; the function runs on x86_64"
        assert refusal in errors(stack)
    else:
        Template.from_stack(stack)


def test_a_sixth_layer_is_refused(tmp_path: Path, stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
    function.function.add_layers(*(layer(stack, tmp_path, f"L{n}") for n in range(3)))
    with pytest.raises(RuntimeError, match="already uses 5 layers"):
        function.function.add_layers(layer(stack, tmp_path, "OneMore"))


def test_layers_count_towards_the_unzipped_size(tmp_path: Path, model: InferenceModel) -> None:
    stack = Stack(App(outdir=str(tmp_path / "out")), "Stack")
    function = MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
    (tmp_path / "Large").mkdir()
    write_sparse(tmp_path / "Large" / "data.bin", 200 * 2**20)
    code = lambda_.Code.from_asset(str(tmp_path / "Large"), exclude=["nothing"])
    function.function.add_layers(lambda_.LayerVersion(stack, "Large", code=code))
    found = errors(stack)
    assert re.search(r"code and layers have 3\d\d MB unzipped; Lambda allows 250", found)


# Wheels


def test_a_wheel_that_is_missing_for_arm64_is_an_error(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "only_x86-1-py3-none-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: only-x86\nVersion: 1\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n",
            "RECORD": "",
        }.items():
            archive.writestr(f"only_x86-1.dist-info/{name}", text)
        archive.writestr("only_x86.py", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"only-x86 @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    monkeypatch.setattr(artifact, "requirements_file", lambda name: requirements)

    assert dependencies_archive(PackageTarget.linux("3.13", "x86_64")).path.exists()
    with pytest.raises(PackagingError, match="choose another Python version or architecture"):
        dependencies_archive(PackageTarget.linux("3.13", "aarch64"))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_an_image_installs_has_a_wheel_for_each_processor(machine: str) -> None:
    text = (ROOT / "runtime" / "requirements" / "lambda-image.txt").read_text()
    required = [
        Requirement(line.rstrip("\\ ")) for line in text.splitlines() if re.match(r"[a-z]", line)
    ]
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    wheels = {(p["name"], p.get("version")): p.get("wheels", []) for p in locked}
    for python, requirement in product(LAMBDA_PYTHON_VERSIONS, required):
        if requirement.marker and not requirement.marker.evaluate(
            {"python_full_version": f"{python}.0", "python_version": python}
        ):
            continue
        (specifier,) = requirement.specifier
        tags = {str(tag) for tag in lambda_tags(python, machine)}
        offered = {
            str(tag)
            for wheel in wheels[requirement.name, specifier.version]
            for tag in parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        }
        assert tags & offered, f"{requirement} has no wheel for Python {python} on {machine}"


def lambda_tags(python: str, machine: str) -> Iterator[Tag]:
    """What a wheel for Lambda may be tagged with: its glibc is 2.34."""
    version = tuple(map(int, python.split(".")))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(17, 35)]
    platforms.append(f"manylinux2014_{machine}")
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, platforms=platforms)


# Memory and start


def test_memory_below_what_was_measured_is_warned_of(stack: Stack, model: InferenceModel) -> None:
    large = replace(model, size_bytes=GIB)
    MLInferenceFunction(stack, "Scale", model=large, memory_size=Size.mebibytes(1_200))
    (warning,) = warnings(stack)
    assert "memory_size is 1200 MB; models of 1024 MB were measured to take 1498 to 3840" in warning


@given(st.integers(0, 10 * GIB))
def test_what_is_refused_is_less_than_what_is_warned_of(size: int) -> None:
    assert least_memory_mb(size) <= least_seen_memory_mb(size) <= needed_memory_mb(size)


@given(st.integers(0, 10 * GIB), st.integers(0, GIB))
def test_a_larger_model_takes_longer_to_start_and_longer_yet_if_fetched(
    size: int, more: int
) -> None:
    assert init_seconds(size, fetched=False) <= init_seconds(size + more, fetched=False)
    assert init_seconds(size, fetched=False) <= init_seconds(size, fetched=True)


def fetched(stack: Stack, model: InferenceModel, size: int, **options: Any) -> MLInferenceFunction:
    return MLInferenceFunction(
        stack,
        "Scale",
        model=replace(model, size_bytes=size),
        model_source=ModelSource.s3(S3ModelStore(stack, "Models")),
        memory_size=Size.mebibytes(10_240),
        **options,
    )


POOL = WarmStrategy.provisioned(min=1, max=2)


@pytest.mark.parametrize("strategy", [WarmStrategy.none(), POOL], ids=["none", "provisioned"])
def test_a_start_that_takes_longer_than_lambda_waits_is_warned_of(
    stack: Stack, model: InferenceModel, strategy: WarmStrategy
) -> None:
    fetched(stack, model, GIB, warm_strategy=strategy)
    (warning,) = warnings(stack)
    assert "a model of 1024 MB takes 18 s to start, by estimate; Lambda waits 10 s" in warning
    assert "cdk-inference:init" in warning


def test_a_short_start_and_one_from_a_snapshot_are_fine(model: InferenceModel) -> None:
    short, snapshot = new_stack(), new_stack()
    fetched(short, model, GIB // 3, warm_strategy=POOL)
    MLInferenceFunction(
        snapshot,
        "Scale",
        model=replace(model, size_bytes=5 * GIB // 2),
        memory_size=Size.mebibytes(10_240),
        warm_strategy=WarmStrategy.snap_start(),
    )
    assert warnings(short) == warnings(snapshot) == []


def provisioned(stack: Stack, model: InferenceModel, **options: Any) -> None:
    function = fetched(stack, model, 9 * GIB, **options)
    ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=1, max_capacity=2)


def test_environments_that_cannot_be_provisioned_in_time_are_refused(
    stack: Stack, model: InferenceModel
) -> None:
    provisioned(stack, model)
    refusal = r"model of 9216 MB takes \d+ s to start, by estimate; Lambda waits 130 s"
    assert re.search(refusal, errors(stack))


def test_a_longer_timeout_gives_them_the_time(stack: Stack, model: InferenceModel) -> None:
    provisioned(stack, model, timeout=Duration.minutes(5))
    Template.from_stack(stack)


# Snapshots


def test_a_snapshot_does_not_go_with_an_alias_that_is_provisioned_later(
    stack: Stack, model: InferenceModel
) -> None:
    function = MLInferenceFunction(
        stack, "Scale", model=model, warm_strategy=WarmStrategy.snap_start()
    )
    alias: Any = function.alias.node.default_child
    alias.provisioned_concurrency_config = (
        lambda_.CfnAlias.ProvisionedConcurrencyConfigurationProperty(
            provisioned_concurrent_executions=1
        )
    )
    assert "the alias live has provisioned concurrency; Lambda has either" in errors(stack)


# APIs


@pytest.mark.parametrize(("seconds", "warned"), [(29, 0), (30, 0), (31, 1), (900, 1)])
def test_an_api_that_does_not_wait_for_its_function_is_warned_of(
    stack: Stack, model: InferenceModel, seconds: int, warned: int
) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, timeout=Duration.seconds(seconds))
    function.add_http_api()
    found = warnings(stack)
    assert len(found) == warned
    assert all(f"timeout is {seconds} seconds; the API waits 30" in text for text in found)


def test_an_api_before_any_function_is_judged_where_its_timeout_is_known(stack: Stack) -> None:
    slow = lambda_.Function(
        stack,
        "Slow",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("handler = None"),
        timeout=Duration.minutes(1),
    )
    default = lambda_.Function.from_function_arn(
        stack, "Known", "arn:aws:lambda:us-east-1:123456789012:function:known"
    )
    InferenceHttpApi(stack, "OfFunction", handler=slow)
    InferenceHttpApi(stack, "OfVersion", handler=slow.current_version)
    InferenceHttpApi(stack, "OfImported", handler=default)
    assert len(warnings(stack)) == 2


def test_a_warning_can_be_acknowledged(stack: Stack, model: InferenceModel) -> None:
    from aws_cdk import Annotations as CoreAnnotations

    function = MLInferenceFunction(stack, "Scale", model=model, timeout=Duration.minutes(1))
    api = function.add_http_api()
    CoreAnnotations.of(api).acknowledge_warning("cdk-inference:apiTimeout", "fast but in batches")
    assert warnings(stack) == []


@pytest.mark.parametrize("add", ["add_http_api", "add_rest_api"])
def test_a_key_that_is_not_this_apps_has_to_let_logs_use_it(
    stack: Stack, model: InferenceModel, add: str
) -> None:
    own = kms.Key(stack, "Own")
    theirs = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:123456789012:key/1")
    getattr(MLInferenceFunction(stack, "A", model=model), add)(log_encryption_key=own)
    assert warnings(stack) == []
    getattr(MLInferenceFunction(stack, "B", model=model), add)(log_encryption_key=theirs)
    assert "unless its policy lets CloudWatch Logs use it" in warnings(stack)[0]


# Queues


def with_queue(
    stack: Stack, model: InferenceModel, queue_stack: Stack, **options: Any
) -> MLInferenceFunction:
    function = MLInferenceFunction(stack, "Scale", model=model, timeout=Duration.seconds(20))
    queue = sqs.Queue(queue_stack, "Queue", **options)
    function.alias.add_event_source(event_sources.SqsEventSource(queue))
    return function


def test_a_queue_that_hides_messages_too_shortly_is_refused(
    stack: Stack, model: InferenceModel
) -> None:
    with_queue(stack, model, stack, visibility_timeout=Duration.seconds(10))
    found = errors(stack)
    assert "the queue Stack/Queue/Resource hides a message for 10 seconds" in found
    assert "no less than the function's timeout, 20" in found
    assert "visibility_timeout=Duration.seconds(120)" in found


@pytest.mark.parametrize("options", [{}, {"visibility_timeout": Duration.seconds(119)}])
def test_less_than_six_timeouts_is_warned_of(
    stack: Stack, model: InferenceModel, options: dict[str, Any]
) -> None:
    with_queue(stack, model, stack, **options)
    (warning,) = warnings(stack)
    assert "AWS asks for 6 times the function's timeout" in warning


def test_six_timeouts_are_enough(stack: Stack, model: InferenceModel) -> None:
    with_queue(stack, model, stack, visibility_timeout=Duration.seconds(120))
    assert warnings(stack) == []


def test_a_queue_of_another_stack_counts(stack: Stack, model: InferenceModel) -> None:
    with_queue(stack, model, Stack(stack.node.root, "Queues"))  # type: ignore[arg-type]
    assert len(warnings(stack)) == 1


def test_a_queue_that_is_not_known_yet_does_not(stack: Stack, model: InferenceModel) -> None:
    seconds = CfnParameter(stack, "Seconds", type="Number").value_as_number
    function = with_queue(stack, model, stack, visibility_timeout=Duration.seconds(seconds))
    known = sqs.Queue.from_queue_arn(stack, "Known", "arn:aws:sqs:us-east-1:123456789012:known")
    function.alias.add_event_source(event_sources.SqsEventSource(known))
    assert warnings(stack) == []


# The network


CALLS: dict[str, dict[str, Any]] = {
    "answers are cached in Amazon DynamoDB": {
        "environment": {"INFERENCE_RESPONSE_CACHE": "dynamodb://answers"}
    },
    "the layer of Tracing.ADOT sends traces to AWS X-Ray": {"tracing": Tracing.ADOT},
    "Lambda Insights writes to Amazon CloudWatch Logs": {"lambda_insights": True},
}


def in_vpc(stack: Stack, model: InferenceModel, options: dict[str, Any]) -> ec2.Vpc:
    """A function with ``options``, and the VPC around it, from which there is no way out."""
    isolated = ec2.SubnetConfiguration(name="A", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=[isolated], nat_gateways=0)
    MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP, vpc=vpc, **options)
    return vpc


@pytest.mark.parametrize("call", CALLS)
def test_what_a_function_calls_needs_a_way_out_of_its_vpc(
    stack: Stack, model: InferenceModel, call: str
) -> None:
    vpc = in_vpc(stack, model, CALLS[call])
    found = errors(stack)
    assert f"{call}, and the function's subnets have neither a way out nor an endpoint" in found
    (remedy,) = re.findall(r"vpc\.add_\w+_endpoint\(.*\)", found)
    eval(remedy, {"vpc": vpc, "ec2": ec2})
    Template.from_stack(stack)


@pytest.mark.parametrize("call", CALLS)
def test_its_security_group_lets_it_call(stack: Stack, model: InferenceModel, call: str) -> None:
    vpc = in_vpc(stack, model, CALLS[call])
    vpc.add_gateway_endpoint("Dynamo", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
    for service in ("XRAY", "CLOUDWATCH_LOGS"):
        endpoint = getattr(ec2.InterfaceVpcEndpointAwsService, service)
        vpc.add_interface_endpoint(service, service=endpoint)
    assert egress(stack) == [443]


def test_otherwise_it_lets_nothing_out(stack: Stack, model: InferenceModel) -> None:
    in_vpc(stack, model, {})
    assert egress(stack) == []


def egress(stack: Stack) -> list[int]:
    """The ports that the function's security group lets it call."""
    (group,) = (
        found["Properties"]
        for name, found in Template.from_stack(stack)
        .find_resources("AWS::EC2::SecurityGroup")
        .items()
        if name.startswith("Scale")
    )
    return [
        rule["ToPort"] for rule in group["SecurityGroupEgress"] if rule["CidrIp"] == "0.0.0.0/0"
    ]
