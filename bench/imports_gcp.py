"""From a cold interpreter to a synthesized GPU service: the construct against its bare bindings.

The bare program imports nothing of the provider but the two classes it uses, and not by the
package's own name, which would import 1,472 modules. Each program runs in a fresh interpreter, in
turns; medians over the rounds, without the first, which writes bytecode.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.report import Chart, Section, Table

ROUNDS = 7
BINDINGS = {"cdktf": "cdktf_cdktf_provider_google", "cdktn": "cdktn_provider_google"}
MODEL = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
IMAGE = f"europe-docker.pkg.dev/p/models/digits@sha256:{'ab' * 32}"
NOTE = (
    "Processor time is that of the interpreter and of jsii's Node process together; it is steadier"
    " than the time on a machine that others use too."
)

BARE = """
import sys
from importlib.util import find_spec, module_from_spec
sys.modules["{provider}"] = module_from_spec(find_spec("{provider}"))
from {core} import App, TerraformStack
from {provider}.provider import GoogleProvider
import {provider}.cloud_run_v2_service as run
app = App()
stack = TerraformStack(app, "Stack")
GoogleProvider(stack, "Google", project="p", region="europe-west1")
run.CloudRunV2Service(
    stack, "Digits", name="digits", location="europe-west1",
    template=run.CloudRunV2ServiceTemplate(
        gpu_zonal_redundancy_disabled=True,
        node_selector=run.CloudRunV2ServiceTemplateNodeSelector(accelerator="nvidia-l4"),
        containers=[run.CloudRunV2ServiceTemplateContainers(
            image="{image}",
            resources=run.CloudRunV2ServiceTemplateContainersResources(
                limits={{"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}}, cpu_idle=False,
            ),
        )],
    ),
)
app.synth()
"""
OURS = """
from cdk_inference import InferenceModel
from cdk_inference.gcp import CloudRunGpuService
from {core} import App, TerraformStack
from {provider}.provider import GoogleProvider
app = App()
stack = TerraformStack(app, "Stack")
GoogleProvider(stack, "Google", project="p", region="europe-west1")
model = InferenceModel.from_file("{model}")
CloudRunGpuService(stack, "Digits", model=model, image="{image}", region="europe-west1")
app.synth()
"""
PROGRAMS = {"bare": BARE, "CloudRunGpuService": OURS}


class Synth(NamedTuple):
    """What one run of a program took, in seconds."""

    seconds: float
    cpu_seconds: float


def measure() -> Section:
    """Run every program with either bindings."""
    cases = [(core, name) for core in BINDINGS for name in PROGRAMS]
    synths: dict[tuple[str, str], list[Synth]] = {case: [] for case in cases}
    for _ in range(ROUNDS + 1):
        for case in cases:
            synths[case].append(_synth(*case))
    table = Table(
        "Synthesis of one GPU service",
        ["bindings", "program", "s", "of bare", "CPU s", "of bare"],
        [_row(core, name, synths) for core, name in cases],
        NOTE,
    )
    ratios = {
        core: round(_middle(synths[core, "CloudRunGpuService"]) / _middle(synths[core, "bare"]), 3)
        for core in BINDINGS
    }
    chart = Chart("From a cold interpreter to a GPU service", "of the bare bindings' time", ratios)
    return Section("Import of the constructs for Google Cloud", [table], [chart])


def _synth(core: str, name: str) -> Synth:
    code = PROGRAMS[name].format(core=core, provider=BINDINGS[core], image=IMAGE, model=MODEL)
    with TemporaryDirectory() as folder:
        before, started = _cpu_seconds(), time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
        return Synth(time.perf_counter() - started, _cpu_seconds() - before)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _middle(synths: list[Synth]) -> float:
    return median(synth.seconds for synth in synths[1:])


def _cpu_middle(synths: list[Synth]) -> float:
    return median(synth.cpu_seconds for synth in synths[1:])


def _row(core: str, name: str, synths: dict[tuple[str, str], list[Synth]]) -> list[str]:
    mine, bare = synths[core, name], synths[core, "bare"]
    return [
        f"`{core}`",
        name,
        f"{_middle(mine):.2f}",
        f"{_middle(mine) / _middle(bare):.2f}",
        f"{_cpu_middle(mine):.2f}",
        f"{_cpu_middle(mine) / _cpu_middle(bare):.2f}",
    ]
