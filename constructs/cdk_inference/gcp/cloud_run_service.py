"""A Cloud Run service that serves an ONNX model on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from cdk_inference.gcp.cloud_run import CloudRun, CloudRunOptions
from cdk_inference.gcp.machine import Machine
from cdk_inference.gcp.model_source import ModelSource

if TYPE_CHECKING:
    from cdk_inference.model import InferenceModel
    from constructs import Construct


class CloudRunService(CloudRun):
    """A Cloud Run service that answers requests with an ONNX model's predictions.

    Without requests no instance runs, and nothing is paid, unless ``min_instances`` says so. An
    instance gets requests when the model is loaded (``GET /v2/health/ready``), and is replaced when
    it does not answer any more (``GET /v2/health/live``).

    Args:
        model: what to serve.
        image: the runtime, and the model too where ``model_source`` is baked: what
            :meth:`RuntimeImageRepository.build` returns, or one of your own by its digest.
        region: where, for example ``europe-west1``.
        cpu: 1, 2, 4, 6 or 8 vCPUs. Default: the fewest that go with ``memory``.
        memory: of an instance, as in ``512Mi`` or ``4Gi``, up to 32Gi. Default: 3.5 times the
            model's size plus 256 MB (:mod:`cdk_inference.memory` has the measurements), 512Mi at
            least, and the file once more where the runtime fetches it.
        cpu_idle: whether vCPUs are taken away between requests, and not paid then. Default: they
            are.
        max_instances: how many run at most. Default: 10, so that a flood of requests is not a flood
            of bills; more requests wait for up to ten seconds, then get 429.
        options: see :class:`CloudRunOptions`.

    Attributes:
        service: the ``google_cloud_run_v2_service``.
        service_account: what instances act as. It may read what the service needs to start, which
            is the model's bucket and the secrets, and nothing else.
        model: what it serves.
        region: where.
        ingress: from where it is reached.
        machine: what an instance has.
        scaling: how many run, and what each takes.
        startup_probe: how long an instance may take to start.
        url: of the service; predictions are posted to ``{url}/predict``.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.

    Example:
        >>> image = RuntimeImageRepository(stack, "Images", region="europe-west1").build(model)
        >>> service = CloudRunService(
        ...     stack, "Digits", model=model, image=image, region="europe-west1"
        ... )
        >>> service.grant_invoke("Shop", "serviceAccount:shop@my-project.iam.gserviceaccount.com")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: InferenceModel,
        image: str,
        region: str,
        cpu: int | None = None,
        memory: str | None = None,
        cpu_idle: bool = True,
        max_instances: int = 10,
        **options: Unpack[CloudRunOptions],
    ) -> None:
        source = options.get("model_source") or ModelSource.baked()
        super().__init__(
            scope,
            id,
            machine=Machine.for_model(model, source, cpu=cpu, memory=memory, cpu_idle=cpu_idle),
            model=model,
            image=image,
            region=region,
            max_instances=max_instances,
            **options,
        )
