"""A Cloud Run job that answers a folder of requests with an ONNX model."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.contract import (
    BATCH_COMMAND,
    BATCH_INPUT,
    BATCH_OUTPUT,
    BATCH_RESULTS,
    MAX_REQUEST_BYTES,
    REQUEST_LOG,
)
from cdk_inference.gcp.batch_tasks import BatchTasks
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.cloud_run import check_image
from cdk_inference.gcp.environment import check_names, gpu_environment, model_environment
from cdk_inference.gcp.iam import grant_buckets, service_account
from cdk_inference.gcp.labels import check_labels
from cdk_inference.gcp.machine import Machine
from cdk_inference.gcp.model_source import ModelSource
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import (
    CLOUD_RUN_NAME_LENGTH,
    CLOUD_RUN_PREVIEW,
    CLOUD_RUN_REQUEST_BYTES,
)
from cdk_inference.memory import needed_memory_mb
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from cdk_inference.gcp.gpu import Gpu
    from cdk_inference.model import InferenceModel

_CONTAINER: Final = "runtime"
_FOLDER: Final = re.compile(r"gs://[^/]+/([^/]+/)*")
# For two inputs and their results of fifty megabytes each, which are in memory, with their copies.
_INPUT_MIB: Final = 512
_SLASHES_OF_A_BUCKET: Final = 3


class CloudRunBatchJob(Construct):
    """A Cloud Run job that answers every request in a folder of a bucket.

    It runs ``inference-runtime batch``: each object of JSON lines (``.jsonl``), or of one request
    (``.json``), has its answers as an object of the output folder, and a manifest says what could
    not be answered. Tasks share the inputs; what is done is not done again, so that a task that
    fails goes on where it stopped, and the next execution answers what is new.

    Nothing runs, and nothing is paid, until the job is executed: ``gcloud run jobs execute`` (the
    output ``Execute`` has the whole command), Cloud Scheduler or Workflows. Then each task is paid
    for its vCPUs, memory and GPU, for a minute at least: https://cloud.google.com/run/pricing

    Args:
        model: what answers.
        image: the runtime, and the model too unless ``model_uri`` is given: what
            :meth:`RuntimeImageRepository.build` returns, with ``gpu=`` for a GPU.
        region: where, best that of the buckets.
        input: ``gs://BUCKET/FOLDER/``, with the requests.
        output: ``gs://BUCKET/FOLDER/``, for answers and manifest. Default: beside the input, the
            folder of its name with ``-results`` at its end. Its bucket has uniform bucket-level
            access, so that the job may write to this folder alone.
        model_uri: ``gs://BUCKET/PATH`` of the ONNX file, which each task then fetches; its digest
            is checked. Default: the model is in the image.
        tasks: how the inputs are shared. Default: one task, for an hour at most.
        gpu: one for each task. Default: none.
        cpu: as :class:`CloudRunService`, or with a GPU as :class:`CloudRunGpuService`.
        memory: of a task; its files are in memory, too. Default: 3.5 times the model's size plus
            768 MB, and the file once more where it is fetched; with a GPU the least that it allows.
        environment: settings of the runtime such as ``INFERENCE_BATCH_ROWS``, and variables of
            your own. Its log has errors only unless ``INFERENCE_REQUEST_LOG`` says otherwise.
        labels: of the job and its executions.
        deletion_protection: whether Terraform refuses to delete the job. Default: it does.

    Attributes:
        job: the ``google_cloud_run_v2_job``.
        service_account: what tasks act as. It may read the buckets of input and output, write to
            the output folder, and read the model's bucket, if there is one.
        output: the folder of answers and manifest.
        results: the folder of the answers alone, as :class:`PrecomputedPredictions` takes it.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.

    Example:
        >>> job = CloudRunBatchJob(
        ...     stack, "Nightly", model=model, image=image, region="europe-west1",
        ...     input="gs://my-requests/today/", tasks=BatchTasks(10),
        ... )
        >>> job.grant_run("Scheduler", "serviceAccount:nightly@my-project.iam.gserviceaccount.com")
    """

    job: Final[Any]
    service_account: Final[Any]
    output: Final[str]
    results: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: InferenceModel,
        image: str,
        region: str,
        input: str,
        output: str | None = None,
        model_uri: str | None = None,
        tasks: BatchTasks | None = None,
        gpu: Gpu | None = None,
        cpu: int | None = None,
        memory: str | None = None,
        environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        deletion_protection: bool = True,
    ) -> None:
        super().__init__(scope, id)
        self._bindings = bindings_of(self)
        source = ModelSource.baked() if model_uri is None else ModelSource.bucket(model_uri)
        tasks, environment = tasks or BatchTasks(), environment or {}
        labels = dict(labels or {})
        machine = _machine(model, source, gpu, cpu, memory)
        self.output = output or _beside(input)
        self.results = f"{self.output}{BATCH_RESULTS}"
        own_environment = {
            **model_environment(model, source),
            **({} if gpu is None else gpu_environment(require=True)),
            BATCH_INPUT: input,
            BATCH_OUTPUT: self.output,
        }

        problems = Problems(self.node.path)
        if are_known(self._bindings, image):
            check_image(image, problems)
        _check_folders(input, self.output, problems)
        source.check(problems)
        tasks.check(self._bindings, gpu, problems)
        machine.check(self._bindings, model, source, region, problems)
        check_names(environment, (), own_environment, problems)
        check_labels(self._bindings, labels, problems)
        problems.raise_if_any()

        self.service_account = service_account(self, f"Answers batches with {model.name}")
        grants = [
            *grant_buckets(self, self.service_account, [source]),
            *self._grant_folders(input, self.output),
        ]
        variables = {
            REQUEST_LOG: "errors",
            MAX_REQUEST_BYTES: str(CLOUD_RUN_REQUEST_BYTES),
            **environment,
            **own_environment,
        }
        run = self._bindings.google("cloud_run_v2_job")
        self.job = run.CloudRunV2Job(
            self,
            "Job",
            name=unique_name(self, CLOUD_RUN_NAME_LENGTH),
            location=region,
            launch_stage=CLOUD_RUN_PREVIEW if gpu and gpu.limits.is_preview else None,
            labels=labels,
            deletion_protection=deletion_protection,
            template=run.CloudRunV2JobTemplate(
                task_count=tasks.count,
                parallelism=tasks.parallelism_with(gpu),
                labels=labels,
                template=run.CloudRunV2JobTemplateTemplate(
                    containers=[_container(run, image, machine, variables)],
                    execution_environment="EXECUTION_ENVIRONMENT_GEN2",
                    gpu_zonal_redundancy_disabled=None if gpu is None else True,
                    max_retries=tasks.retries,
                    node_selector=gpu and _node_selector(run, gpu),
                    service_account=self.service_account.email,
                    timeout=f"{int(tasks.timeout.total_seconds())}s",
                ),
            ),
            depends_on=grants,
        )
        self._bindings.core.TerraformOutput(
            self,
            "Execute",
            value=f"gcloud run jobs execute {self.job.name} --region {region} --wait",
            description=f"Answers what is in {input}",
        )

    def grant_run(self, id: str, member: str) -> None:
        """Allow ``member`` to execute the job.

        Args:
            id: of the grant, unique in this job.
            member: an IAM principal, such as ``serviceAccount:…`` of a schedule.

        Example:
            >>> job.grant_run("Scheduler", f"serviceAccount:{scheduler.email}")
        """
        self._bindings.google("cloud_run_v2_job_iam_member").CloudRunV2JobIamMember(
            self,
            id,
            name=self.job.name,
            location=self.job.location,
            project=self.job.project,
            role="roles/run.invoker",
            member=member,
        )

    def _grant_folders(self, source: str, target: str) -> list[Any]:
        """Let tasks read both buckets, which takes listing them, and write to one folder."""
        members = self._bindings.google("storage_bucket_iam_member")
        buckets = dict.fromkeys([_parts(source)[0], _parts(target)[0]])
        readable = [
            members.StorageBucketIamMember(
                self,
                f"Reads{index}",
                bucket=bucket,
                role="roles/storage.objectViewer",
                member=self.service_account.member,
            )
            for index, bucket in enumerate(buckets)
        ]
        bucket, path = _parts(target)
        folder = f"projects/_/buckets/{bucket}/objects/{path}"
        writable = members.StorageBucketIamMember(
            self,
            "Writes",
            bucket=bucket,
            role="roles/storage.objectUser",
            member=self.service_account.member,
            condition=members.StorageBucketIamMemberCondition(
                title="results",
                description="The folder of the results alone",
                expression=f'resource.name.startsWith("{folder}")',
            ),
        )
        return [*readable, writable]


def _container(run: ModuleType, image: str, machine: Machine, variables: Mapping[str, str]) -> Any:
    return run.CloudRunV2JobTemplateTemplateContainers(
        name=_CONTAINER,
        image=image,
        command=list(BATCH_COMMAND),
        env=[
            run.CloudRunV2JobTemplateTemplateContainersEnv(name=name, value=value)
            for name, value in variables.items()
        ],
        resources=run.CloudRunV2JobTemplateTemplateContainersResources(limits=machine.limits),
    )


def _node_selector(run: ModuleType, gpu: Gpu) -> Any:
    return run.CloudRunV2JobTemplateTemplateNodeSelector(accelerator=gpu.limits.accelerator)


def _machine(
    model: InferenceModel,
    source: ModelSource,
    gpu: Gpu | None,
    cpu: int | None,
    memory: str | None,
) -> Machine:
    if gpu is None:
        needed = needed_memory_mb(model.size_bytes) + source.memory_mib(model) + _INPUT_MIB
        memory = memory or f"{ceil(needed / 2**10)}Gi"
        return Machine.for_model(model, source, cpu=cpu, memory=memory, cpu_idle=False)
    return Machine.for_gpu(gpu, cpu=cpu, memory=memory)


def _beside(folder: str) -> str:
    return f"{folder.rstrip('/')}-results/"


def _parts(folder: str) -> tuple[str, str]:
    """The bucket, and what is below it."""
    bucket, _, path = folder.removeprefix("gs://").partition("/")
    return bucket, path


def _check_folders(source: str, target: str, problems: Problems) -> None:
    for name, folder in {"input": source, "output": target}.items():
        if not _FOLDER.fullmatch(folder):
            problems.add(
                f"{name} is {folder!r}",
                allowed="it is the URI of a folder in a bucket",
                remedy="write it as in 'gs://my-requests/today/', with a / at its end",
            )
    if source.count("/") == _SLASHES_OF_A_BUCKET and target == _beside(source):
        problems.add(
            f"input is {source!r}, a whole bucket",
            allowed="there is no folder beside it",
            remedy="name a folder in it, or an output",
        )
    if target.startswith(source):
        problems.add(
            f"output is {target!r}, in the input {source!r}",
            allowed="results there would be inputs of the next execution",
            remedy="name a folder beside the input",
        )
