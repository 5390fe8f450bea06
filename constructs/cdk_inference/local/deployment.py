"""Deploys a CDK app to the emulator, with the real CDK CLI."""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from rich.console import Console

from cdk_inference import context
from cdk_inference.local import cdk_cli
from cdk_inference.local.emulator import OUTPUTS, Emulator
from cdk_inference.local.errors import LocalError
from cdk_inference.local.progress import step
from cdk_inference.local.supported import Omission, without_unsupported

ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
CONCURRENT_STACKS: Final = 4  # the CLI asks for each stack's state every few hundred milliseconds

Outputs = Mapping[str, Mapping[str, str]]
"""Stack name to output name to value."""


@dataclass(frozen=True)
class Deployment:
    """What :func:`deploy` did.

    Attributes:
        emulator: where to.
        outputs: those of every stack deployed there, now or earlier.
        left_out: what the emulator does not know, and what cannot be made without it.

    Example:
        >>> deployment = deploy(emulator, console=Console())
        >>> [str(omission) for omission in deployment.left_out]
        ['Cap (AWS::Budgets::Budget): unknown to the emulator']
    """

    emulator: Emulator
    outputs: Outputs
    left_out: Sequence[Omission]


def deploy(
    emulator: Emulator,
    *,
    console: Console,
    app: str | None = None,
    stacks: Sequence[str] = (),
) -> Deployment:
    """Deploy the CDK app of the working directory to ``emulator``.

    The app is synthesized with the context value ``cdk-inference:local``, so that its functions
    are packaged for this machine. Nothing of the caller's AWS configuration is used or reachable.

    Args:
        emulator: where to deploy.
        console: where progress is shown.
        app: the command that runs the app, as for ``cdk --app``. Default: the one of cdk.json.
        stacks: the stacks to deploy. Default: all.

    Raises:
        LocalError: a step of the CDK CLI fails, or the stacks name several accounts.

    Example:
        >>> with running(WORK_FOLDER) as emulator:
        ...     deploy(emulator, console=Console()).outputs["MyStack"]["ApiUrl"]
        'https://abc.execute-api.us-east-1.amazonaws.com/'
    """
    assembly = (emulator.folder / "cdk.out").resolve()
    left_out = _synthesize(emulator, console, app, assembly)
    for stack, omissions in left_out.items():
        line = f"  left out of {stack}: {_summary(omissions)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    account, regions = _target(assembly)
    environments = [f"aws://{account}/{region}" for region in regions]
    with step(console, "Preparing the emulated account (cdk bootstrap)") as detail:
        cdk_cli.run(
            ["bootstrap", *environments, "--app", str(assembly)],
            env=_environment(emulator, account),
            on_line=detail,
        )
    made = emulator.scratch / OUTPUTS
    with step(console, "Deploying (cdk deploy)") as detail:
        cdk_cli.run(
            [
                *("deploy", *(stacks or ["--all"]), "--app", str(assembly)),
                *("--require-approval", "never", "--progress", "events"),
                *("--concurrency", str(CONCURRENT_STACKS)),
                *("--outputs-file", str(made)),
            ],
            env=_environment(emulator, account),
            on_line=detail,
        )
    return Deployment(
        emulator, _add_outputs(emulator, made), list(chain.from_iterable(left_out.values()))
    )


def outputs(emulator: Emulator) -> Outputs:
    """The outputs of every stack deployed to ``emulator``.

    Example:
        >>> outputs(emulator)
        {'MyStack': {'ApiUrl': 'https://abc.execute-api.us-east-1.amazonaws.com/'}}
    """
    try:
        deployed: Outputs = json.loads((emulator.folder / OUTPUTS).read_text())
    except FileNotFoundError:
        return {}
    return deployed


def _add_outputs(emulator: Emulator, made: Path) -> Outputs:
    everything = {**outputs(emulator), **json.loads(made.read_text())}
    (emulator.folder / OUTPUTS).write_text(json.dumps(everything, indent=2))
    return everything


def _environment(emulator: Emulator, account: str) -> dict[str, str]:
    """The caller's environment, with the emulator in the place of all that is AWS."""
    base = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))
    }
    no_proxy = base.get("no_proxy", base.get("NO_PROXY", ""))
    return cdk_cli.environment(
        {
            **base,
            "AWS_ENDPOINT_URL": emulator.url,
            # The emulator takes an access key of twelve digits as the account to act in.
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"127.0.0.1,{no_proxy}",
            "no_proxy": f"127.0.0.1,{no_proxy}",
            "TMPDIR": str(emulator.scratch),
            # The CLI remembers which account an access key belongs to: not in the caller's home.
            "CDK_HOME": str(emulator.scratch),
            # Checks templates against CloudFormation's schema, 2 to 8 s; `cdk deploy` to a real
            # account does it anyway.
            "CDK_VALIDATION": "false",
        }
    )


def _synthesize(
    emulator: Emulator, console: Console, app: str | None, assembly: Path
) -> dict[str, list[Omission]]:
    """Synthesize into ``assembly``, and leave out of it what the emulator does not know.

    Returns:
        What was left out of each stack that has such.
    """
    _clear(assembly)
    with step(console, "Synthesizing the app (cdk synth)") as detail:
        cdk_cli.run(
            [
                *("synth", "--quiet", "--no-version-reporting", "--output", str(assembly)),
                *("--context", f"{context.LOCAL}=true"),
                *(("--app", app) if app else ()),
            ],
            env=_environment(emulator, ACCOUNT),
            on_line=detail,
        )
        return _leave_out_unsupported(assembly, emulator.resource_types())


def _clear(assembly: Path) -> None:
    """Remove what an earlier synthesis left, but for assets, whose names are their hashes."""
    assembly.mkdir(parents=True, exist_ok=True)
    for entry in assembly.iterdir():
        if entry.name.startswith(("asset.", ".cache")):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _leave_out_unsupported(assembly: Path, supported: Collection[str]) -> dict[str, list[Omission]]:
    left_out = {}
    for folder in _assemblies(assembly):
        for file in sorted(folder.glob("*.template.json")):
            template, omissions = without_unsupported(json.loads(file.read_text()), supported)
            if omissions:
                file.write_text(json.dumps(template, indent=1))
                left_out[file.name.removesuffix(".template.json")] = omissions
    return left_out


def _summary(omissions: Sequence[Omission]) -> str:
    """One line: the types that the emulator does not know, and how much else goes with them."""
    types = sorted({omission.type for omission in omissions if omission.needs is None})
    dependants = sum(omission.needs is not None for omission in omissions)
    rest = f"; {dependants} more that need them" if dependants else ""
    return f"{', '.join(types)}: unknown to the emulator{rest}"


def _assemblies(assembly: Path) -> Iterator[Path]:
    """``assembly`` and those of the stages in it."""
    yield assembly
    for stage in sorted(assembly.glob("assembly-*")):
        yield from _assemblies(stage)


def _target(assembly: Path) -> tuple[str, list[str]]:
    """The account and the regions that the stacks of ``assembly`` are for."""
    manifests = (
        json.loads((folder / "manifest.json").read_text()) for folder in _assemblies(assembly)
    )
    environments = {
        tuple(artifact["environment"].removeprefix("aws://").split("/"))
        for manifest in manifests
        for artifact in manifest.get("artifacts", {}).values()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    # A stack that names no account or region takes what the CLI is configured for.
    accounts = {account for account, _ in environments} - {"unknown-account"} or {ACCOUNT}
    regions = {REGION if region == "unknown-region" else region for _, region in environments}
    if len(accounts) != 1:
        raise LocalError(
            f"The app's stacks name {len(accounts)} accounts ({', '.join(sorted(accounts))}), but"
            " the emulator deploys to one: leave the account out of them when the context value"
            f" {context.LOCAL} is set."
        )
    return accounts.pop(), sorted(regions)
