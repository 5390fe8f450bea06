"""In another team's app: several stacks, nested stacks, values of the deployment, any account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, NestedStack, Size, Stack, Stage
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from cdk_inference import (
    AlarmOn,
    AlertTopic,
    ConfigurationError,
    EfsModelStore,
    GradualRelease,
    InferenceAlarm,
    InferenceBudget,
    InferenceHttpApi,
    InferenceModel,
    InferenceMonitoring,
    InferenceRestApi,
    KeepWarm,
    MLInferenceFunction,
    ModelSource,
    Packaging,
    PowerTuning,
    ProvisionedWarmPool,
    S3FilesModelStore,
    S3ModelStore,
    SmokeTest,
    StoredModel,
    WarmStrategy,
    artifact,
)
from cdk_inference.testing import stable_template

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    only_logical_id,
    reference_stacks,
    synthesize,
)

NO_STAGING = {"aws:cdk:disable-asset-staging": True}


def make_all(scope: Stack, model: InferenceModel, *, functions_in: Stack | None = None) -> None:
    """A function in ``functions_in``, and all that goes around one in ``scope``."""
    inside = functions_in or scope
    pooled, called = (
        MLInferenceFunction(inside, id, model=model, packaging=Packaging.ZIP)
        for id in ("Pooled", "Called")
    )
    ProvisionedWarmPool(scope, "Pool", function=pooled, min_capacity=1, max_capacity=2)
    KeepWarm(scope, "Keeper", function=called, environments=1)
    InferenceHttpApi(scope, "Http", handler=pooled.alias)
    InferenceRestApi(scope, "Rest", handler=called.alias)
    InferenceMonitoring(scope, "Watch", function=pooled, topic=AlertTopic(scope, "Alerts").topic)
    InferenceBudget(scope, "Budget", monthly_limit=20, of=[called], emails=["a@example.org"])
    role = iam.Role(scope, "Caller", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    pooled.grant_invoke(role)


def test_everything_goes_into_one_stack_twice(model: InferenceModel) -> None:
    app = App(context=NO_STAGING)
    stack = Stack(app, "Stack")
    make_all(stack, model)
    second = MLInferenceFunction(stack, "Second", model=model, packaging=Packaging.ZIP)
    KeepWarm(stack, "SecondKeeper", function=second, environments=1)
    InferenceHttpApi(stack, "SecondHttp", handler=second.alias)
    synthesize(stack).resource_count_is("AWS::ApiGatewayV2::Api", 2)


def test_everything_goes_into_a_nested_stack(model: InferenceModel) -> None:
    app = App(context=NO_STAGING)
    make_all(NestedStack(Stack(app, "Outer"), "Inner"), model)
    app.synth()


@pytest.mark.parametrize("flags", [{}, RECOMMENDED_FLAGS], ids=["library", "recommended"])
def test_a_function_of_one_stack_is_used_in_another(
    model: InferenceModel, flags: dict[str, Any]
) -> None:
    app = App(context=NO_STAGING | flags)
    using = Stack(app, "Using")
    make_all(using, model, functions_in=Stack(app, "Made"))
    # What is on the alias itself stays there, else the two stacks would need each other.
    synthesize(using).resource_count_is("AWS::Lambda::Alias", 0)


def test_a_function_of_a_nested_stack_is_used_around_it(model: InferenceModel) -> None:
    outer = Stack(App(context=NO_STAGING), "Outer")
    make_all(outer, model, functions_in=NestedStack(outer, "Inner"))
    synthesize(outer).resource_count_is("AWS::CloudFormation::Stack", 1)


Source = Callable[[Stack], ModelSource]
SOURCES: dict[str, Source] = {
    "s3": lambda stack: ModelSource.s3(S3ModelStore(stack, "Models")),
    "efs": lambda stack: ModelSource.efs(EfsModelStore(stack, "Files")),
    "s3_files": lambda stack: ModelSource.s3_files(
        S3FilesModelStore(stack, "Files", models=S3ModelStore(stack, "Models"))
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_store_of_one_stack_serves_functions_of_others(
    model: InferenceModel, source: Source
) -> None:
    app = App(context=NO_STAGING)
    shared = source(Stack(app, "Stores"))
    stored = StoredModel.at("scale/7/model.onnx", size=Size.mebibytes(1))
    for id in ("One", "Two"):
        MLInferenceFunction(
            Stack(app, id), "Scale", model=stored, model_source=shared, packaging=Packaging.ZIP
        )
    app.synth()


# Values known only when the app is deployed


def number(stack: Stack, id: str) -> float:
    return CfnParameter(stack, id, type="Number").value_as_number


def text(stack: Stack, id: str) -> str:
    return CfnParameter(stack, id).value_as_string


Options = Callable[[Stack], dict[str, Any]]


def everything(stack: Stack) -> dict[str, Any]:
    return {
        "memory_size": Size.mebibytes(number(stack, "Memory")),
        "timeout": Duration.seconds(number(stack, "Timeout")),
        "ephemeral_storage": Size.mebibytes(number(stack, "Storage")),
        "reserved_concurrency": number(stack, "Reserved"),
        "environment": {"MINE": text(stack, "Mine")},
    }


STRATEGIES: dict[str, Callable[[Stack], WarmStrategy]] = {
    "none": lambda stack: WarmStrategy.none(),
    "snap_start": lambda stack: WarmStrategy.snap_start(),
    "keep_warm": lambda stack: WarmStrategy.keep_warm(environments=2),
    "provisioned": lambda stack: WarmStrategy.provisioned(
        min=number(stack, "Min"),  # type: ignore[arg-type]
        max=number(stack, "Max"),  # type: ignore[arg-type]
        target_utilization=number(stack, "Use"),
    ),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_what_lambda_takes_may_be_a_token(
    model: InferenceModel, strategy: Callable[[Stack], WarmStrategy]
) -> None:
    stack = Stack(App(context=NO_STAGING), "Stack")
    function = MLInferenceFunction(
        stack, "Scale", model=model, warm_strategy=strategy(stack), **everything(stack)
    )
    function.add_http_api(
        throttle=apigwv2.ThrottleSettings(
            rate_limit=number(stack, "Rate"), burst_limit=number(stack, "Burst")
        )
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::Function",
        {
            "MemorySize": {"Ref": "Memory"},
            "Timeout": {"Ref": "Timeout"},
            "EphemeralStorage": {"Size": {"Ref": "Storage"}},
            "ReservedConcurrentExecutions": {"Ref": "Reserved"},
            "Environment": {"Variables": Match.object_like({"MINE": {"Ref": "Mine"}})},
        },
    )


def test_what_a_store_takes_may_be_a_token(stack: Stack) -> None:
    files = EfsModelStore(stack, "Files", mount_path=f"/mnt/{text(stack, 'Folder')}")
    files.load_from(S3ModelStore(stack, "Models"), prefix=text(stack, "Prefix"))
    stored = StoredModel.at(
        "scale/7/model.onnx", size=Size.mebibytes(1), sha256=text(stack, "Digest")
    )
    function(stack, stored, model_source=ModelSource.efs(files))
    mounted = {"Fn::Join": ["", ["/mnt/", {"Ref": "Folder"}]]}
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "FileSystemConfigs": [Match.object_like({"LocalMountPath": mounted})],
            "Environment": {"Variables": Match.object_like({"MODEL_SHA256": {"Ref": "Digest"}})},
        },
    )
    value = {"Fn::Join": ["", ["/", {"Ref": "Prefix"}, "*"]]}
    template.has_resource_properties(
        "AWS::DataSync::Task", {"Includes": [{"FilterType": "SIMPLE_PATTERN", "Value": value}]}
    )


def function(
    stack: Stack, model: InferenceModel | StoredModel, **options: Any
) -> MLInferenceFunction:
    return MLInferenceFunction(stack, "Scale", model=model, **options)


NEEDED_AT_SYNTH: dict[str, Callable[[Stack, InferenceModel], Any]] = {
    "python_version": lambda stack, model: function(stack, model, python_version=text(stack, "P")),
    "base_image": lambda stack, model: function(stack, model, base_image=text(stack, "P")),
    "path": lambda stack, model: function(stack, model).add_http_api(text(stack, "P")),
    "environments": lambda stack, model: function(
        stack,
        model,
        warm_strategy=WarmStrategy.keep_warm(
            environments=number(stack, "P")  # type: ignore[arg-type]
        ),
    ),
    "every": lambda stack, model: function(
        stack,
        model,
        warm_strategy=WarmStrategy.keep_warm(
            environments=1, every=Duration.minutes(number(stack, "P"))
        ),
    ),
    "hold": lambda stack, model: function(
        stack,
        model,
        warm_strategy=WarmStrategy.keep_warm(
            environments=1, hold=Duration.millis(number(stack, "P"))
        ),
    ),
    "size": lambda stack, model: StoredModel.at(
        "scale/7/model.onnx", size=Size.mebibytes(number(stack, "P"))
    ),
    "path of a stored model": lambda stack, model: StoredModel.at(
        text(stack, "P"), size=Size.mebibytes(1)
    ),
    "every of a loader": lambda stack, model: EfsModelStore(stack, "Files").load_from(
        S3ModelStore(stack, "Models"), every=Duration.minutes(number(stack, "P"))
    ),
    "memory_sizes_mb": lambda stack, model: PowerTuning(
        stack,
        "Tuning",
        function=function(stack, model),
        payload={},
        memory_sizes_mb=[512, number(stack, "P")],  # type: ignore[list-item]
    ),
    "invocations": lambda stack, model: PowerTuning(
        stack,
        "Tuning",
        function=function(stack, model),
        payload={},
        invocations=number(stack, "P"),  # type: ignore[arg-type]
    ),
    "smoke_tests[0]": lambda stack, model: GradualRelease(
        stack,
        "Release",
        function=function(stack, model),
        smoke_tests=[SmokeTest({"features": [text(stack, "P")]}, {"predictions": 1})],
    ),
    "alarm 'Mine'": lambda stack, model: InferenceMonitoring(
        stack,
        "Watch",
        function=function(stack, model),
        alarms={"Mine": InferenceAlarm(AlarmOn.ERRORS, number(stack, "P"))},
    ),
}


@pytest.mark.parametrize("name", NEEDED_AT_SYNTH)
def test_what_synth_itself_needs_may_not(model: InferenceModel, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NEEDED_AT_SYNTH[name](Stack(App(context=NO_STAGING), "Stack"), model)
    (problem,) = caught.value.problems
    what = name.partition(" of a ")[0]
    assert problem.startswith(f"{what} is known only when the app is deployed; it is needed when")


# Any account, any region

# In its commercial regions alone: an application, and the layers of its OpenTelemetry.
PUBLISHED_BY_AWS = (
    "arn:aws:serverlessrepo:us-east-1:451282441545:",
    '"arn:aws:lambda:", {"Ref": "AWS::Region"}, ":901920570463:layer:',
)


@pytest.mark.parametrize("stack", reference_stacks())
def test_no_template_names_a_partition_a_region_or_an_account(
    tmp_path: Path, stack: type[Stack]
) -> None:
    app = App(outdir=str(tmp_path), context=NO_STAGING)
    stack(app, "Stack")
    app.synth()
    for template in tmp_path.glob("*.template.json"):
        resources = json.dumps(json.loads(template.read_text())["Resources"])
        for published in PUBLISHED_BY_AWS:
            resources = resources.replace(published, "")
        assert "arn:aws:" not in resources
        assert "us-east-1" not in resources


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_a_stack_may_say_where_it_goes(model: InferenceModel, region: str) -> None:
    app = App(context=NO_STAGING)
    stage = Stage(app, "Prod", env=Environment(account="123456789012", region=region))
    make_all(Stack(stage, "Stack"), model)
    app.synth()


# The runtime is packaged once, whoever has it


@pytest.fixture
def installs(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is installed for packages, which takes seconds and is not done here."""
    installed: list[str] = []

    def install(requirements: Path, target: object, folder: Path) -> None:
        installed.append(requirements.name)
        folder.mkdir()
        (folder / "onnxruntime.py").write_text("")

    monkeypatch.setattr(artifact, "install", install)
    return installed


def test_many_functions_share_one_package(
    tmp_path: Path, empty_cache: Path, model: InferenceModel, installs: list[str]
) -> None:
    app = App(outdir=str(tmp_path / "out"))
    for name in ("One", "Two", "Three"):
        stack = Stack(app, name)
        for id in ("A", "B"):
            MLInferenceFunction(stack, id, model=model, packaging=Packaging.ZIP)
    app.synth()

    assert installs == ["lambda-zip.txt"]
    # Code, dependencies and model, each once for all functions and stacks.
    assert len(list((tmp_path / "out").glob("asset.*"))) == 3
    assert len(list(empty_cache.rglob("*.zip"))) == 3


def test_a_release_that_changes_no_byte_publishes_no_version(
    tmp_path: Path, model: InferenceModel, installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str:
        stack = Stack(App(context=NO_STAGING), "Stack")
        MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
        return only_logical_id(Template.from_stack(stack), "AWS::Lambda::Version")

    before = version()
    script = tmp_path / "pack.py"
    script.write_text(f"{artifact.pack_script().read_text()}# Another release.\n")
    monkeypatch.setattr(artifact, "pack_script", lambda: script)
    # AWS Lambda publishes no version of an unchanged function, and CloudFormation fails on that.
    assert version() == before
    assert len(installs) == 2


def test_many_images_share_one_context(tmp_path: Path, model: InferenceModel) -> None:
    app = App(outdir=str(tmp_path / "out"))
    for name in ("One", "Two"):
        MLInferenceFunction(Stack(app, name), "Scale", model=model)
    app.synth()
    assert len(list((tmp_path / "out").glob("asset.*"))) == 1


def test_a_snapshot_is_the_same_for_another_release_of_the_runtime(
    tmp_path: Path,
    model: InferenceModel,
    installs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def templates(release: str) -> tuple[dict[str, Any], dict[str, Any]]:
        code = tmp_path / f"{release}.py"
        code.write_text(f"RELEASE = {release!r}\n")
        monkeypatch.setattr(artifact, "runtime_code", lambda: {"release.py": code})
        monkeypatch.setattr(artifact, "runtime_code_digest", lambda: release)
        stack = Stack(App(context=NO_STAGING), "Stack")
        make_all(stack, model)
        return Template.from_stack(stack).to_json(), stable_template(stack)

    (before, stable_before), (after, stable_after) = templates("one"), templates("two")
    assert before != after
    assert stable_before == stable_after
