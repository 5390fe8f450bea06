"""`cdk-inference` as a user types it, with an app that is not of this library."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("cdk-inference")
CALLERS_OWN = {
    "AWS_PROFILE": "callers-own",
    "AWS_ACCESS_KEY_ID": "callers-own",
    "AWS_SECRET_ACCESS_KEY": "callers-own",
    "AWS_SESSION_TOKEN": "callers-own",
    "AWS_REGION": "callers-own",
    "CDK_DEFAULT_ACCOUNT": "callers-own",
}
APP = '''
import json, os
from pathlib import Path
from aws_cdk import App, CfnOutput, Environment, Stack
from aws_cdk import aws_lambda as lambda_

CODE = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    return {"region": context.invoked_function_arn.split(":")[3], "event": event}
"""


class Echo(Stack):
    def __init__(self, app, account, region):
        env = Environment(account=account, region=region)
        super().__init__(app, f"Echo-{region}", env=env)
        echo = lambda_.Function(
            self,
            "Echo",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
        )
        echo.add_alias("live").add_auto_scaling(max_capacity=2)
        CfnOutput(self, "Function", value=echo.function_arn)


app = App()
Echo(app, "111122223333", "us-east-1")
Echo(app, "111122223333", "eu-west-1")
Stack(app, "NothingInIt")
app.synth()
Path("environment.json").write_text(json.dumps(dict(os.environ)))
'''


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *arguments],
        cwd=folder,
        env={**os.environ, **CALLERS_OWN},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    yield folder
    run(folder, "local", "down")


@pytest.fixture(scope="module")
def deployed(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder, "local", "deploy", "--app", "python3 app.py")


def test_deploy_prints_outputs_and_what_it_left_out(
    deployed: subprocess.CompletedProcess[str],
) -> None:
    assert deployed.returncode == 0, deployed.stderr
    unknown = "AWS::ApplicationAutoScaling::ScalableTarget: unknown to the emulator"
    for region in ("us-east-1", "eu-west-1"):
        assert f"left out of Echo-{region}: {unknown}\n" in deployed.stdout
        arn = f"arn:aws:lambda:{region}:111122223333:function:"
        assert f"Echo-{region}.Function = {arn}" in deployed.stdout


def test_nothing_of_the_callers_own_account_reaches_the_app(
    folder: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    seen = json.loads((folder / "environment.json").read_text())

    assert "callers-own" not in seen.values()
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert seen["CDK_DEFAULT_ACCOUNT"] == "000000000000"


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_invoke_reaches_each_region(
    folder: Path, deployed: subprocess.CompletedProcess[str], region: str
) -> None:
    (folder / "event.json").write_text('{"a": 1}')

    result = run(folder, "local", "invoke", f"Echo-{region}.Function", "--data", "@event.json")

    assert result.returncode == 0
    assert json.loads(result.stdout) == {"region": region, "event": {"a": 1}}
    assert "status 200" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["Echo-us-east-1.Function", "--data", '{"fail": true}'],
            "Unhandled error of the function",
        ),
        (["Echo-us-east-1.Function", "--data", "@none.json"], "--data @none.json cannot be read"),
        (["Nothing"], "Nothing is neither an output nor a function"),
    ],
)
def test_an_invocation_that_fails_ends_with_1(
    folder: Path,
    deployed: subprocess.CompletedProcess[str],
    arguments: list[str],
    message: str,
) -> None:
    result = run(folder, "local", "invoke", *arguments)

    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_second_deploy_uses_the_emulator_that_runs(
    folder: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    first = deployed.stdout.split("Emulator: ")[1].splitlines()[0]

    again = run(folder, "local", "deploy", "--app", "python3 app.py", "Echo-us-east-1")
    status = run(folder, "local", "status")

    assert again.returncode == 0, again.stderr
    assert f"Emulator: {first}" in again.stdout
    assert status.stdout == deployed.stdout[deployed.stdout.index("Emulator: ") :]


def test_another_port_for_the_emulator_that_runs_is_refused(
    folder: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    result = run(folder, "local", "deploy", "--port", "1")

    assert result.returncode == 1
    assert "already runs" in result.stderr


def test_an_app_that_fails_says_why_and_leaves_no_emulator(tmp_path: Path) -> None:
    result = run(tmp_path, "local", "deploy", "--app", "python3 missing.py")

    assert result.returncode == 1
    assert "`cdk synth` failed" in result.stderr
    assert "missing.py" in result.stderr
    assert "Traceback" not in result.stderr
    assert "No emulator is running here" in run(tmp_path, "local", "status").stderr


def test_an_app_for_two_accounts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.replace('"111122223333", "eu', '"444455556666", "eu'))

    result = run(tmp_path, "local", "deploy", "--app", "python3 app.py")

    assert result.returncode == 1
    assert "name 2 accounts (111122223333, 444455556666)" in result.stderr


def test_without_an_emulator_each_command_says_so(tmp_path: Path) -> None:
    status, invoked, down = (
        run(tmp_path, "local", *arguments) for arguments in (["status"], ["invoke", "X"], ["down"])
    )

    assert (status.returncode, invoked.returncode, down.returncode) == (1, 1, 0)
    for result in (status, invoked):
        assert result.stderr == (
            "cdk-inference: No emulator is running here:"
            " start one with `cdk-inference local deploy`.\n"
        )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["local"],
        ["local", "deploy"],
        ["local", "invoke"],
        ["local", "run-service"],
        ["prefetch"],
    ],
    ids=" ".join,
)
def test_help_teaches(tmp_path: Path, command: list[str]) -> None:
    result = run(tmp_path, *command, "--help")

    assert result.returncode == 0
    assert f"usage: cdk-inference {' '.join(command)}".strip() in result.stdout
    if command:
        assert f"\n  cdk-inference {' '.join(command)}" in result.stdout, "an example"


def test_a_wrong_command_line_ends_with_2(tmp_path: Path) -> None:
    result = run(tmp_path, "local", "explode")

    assert result.returncode == 2
    assert "invalid choice: 'explode'" in result.stderr
