"""A Cloud Run service that serves an ONNX model on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

from cdk_inference.contract import TENSORRT_CACHE_DIR
from cdk_inference.gcp.cloud_run import CloudRun, CloudRunOptions
from cdk_inference.gcp.environment import gpu_environment
from cdk_inference.gcp.gpu import Gpu, TensorRt
from cdk_inference.gcp.machine import Machine
from cdk_inference.gcp.volume import BucketVolume

if TYPE_CHECKING:
    from cdk_inference.model import InferenceModel
    from constructs import Construct

_ENGINE_FOLDER: Final = "/mnt/engines"


class CloudRunGpuService(CloudRun):
    """A Cloud Run service whose instances have a GPU each, for an ONNX model's predictions.

    As :class:`CloudRunService`, but that vCPUs are kept between requests, as Cloud Run asks for,
    and that an instance is paid for as long as it runs: a few minutes more than its last request.

    Args:
        model: what to serve.
        image: the runtime for this GPU's CUDA, and the model too where ``model_source`` is baked:
            what :meth:`RuntimeImageRepository.build` returns with ``gpu=``, or one of your own by
            its digest.
        region: where; Cloud Run has GPUs in few regions (:mod:`cdk_inference.limits`).
        gpu: which. Default: :attr:`Gpu.L4`.
        cpu: vCPUs of an instance. Default: the fewest that the GPU and ``memory`` allow, 4 or 20
            at least.
        memory: of an instance. Default: the least that the GPU allows, 16Gi or 80Gi.
        cpu_idle: cannot be true with a GPU.
        max_instances: how many run at most. Default: 1, since each has a price, and a new project
            a quota of few GPUs.
        zonal_redundancy: whether Google keeps GPUs ready for the service in other zones. Default:
            it does not, which is cheaper and easier to get.
        require_gpu: whether an instance refuses to serve where it cannot use its GPU. Default: it
            refuses, since onnxruntime would go on silently, on CPUs, at the price of a GPU.
        tensorrt: has TensorRT run what it can of the model, which ``image`` must have beside CUDA.
            Default: CUDA alone.
        options: see :class:`CloudRunOptions`.

    Attributes:
        as :class:`CloudRunService`.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.

    Example:
        >>> image = repository.build(model, gpu=Gpu.L4)
        >>> CloudRunGpuService(stack, "Digits", model=model, image=image, region="europe-west1")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: InferenceModel,
        image: str,
        region: str,
        gpu: Gpu = Gpu.L4,
        cpu: int | None = None,
        memory: str | None = None,
        cpu_idle: bool = False,
        max_instances: int = 1,
        zonal_redundancy: bool = False,
        require_gpu: bool = True,
        tensorrt: TensorRt | None = None,
        **options: Unpack[CloudRunOptions],
    ) -> None:
        machine = Machine.for_gpu(
            gpu, cpu=cpu, memory=memory, cpu_idle=cpu_idle, zonal_redundancy=zonal_redundancy
        )
        environment = gpu_environment(require=require_gpu, tensorrt=tensorrt is not None)
        volumes = []
        if tensorrt is not None and tensorrt.engine_bucket is not None:
            volumes.append(BucketVolume("engines", _ENGINE_FOLDER, tensorrt.engine_bucket))
            environment[TENSORRT_CACHE_DIR] = _ENGINE_FOLDER
        super().__init__(
            scope,
            id,
            machine=machine,
            volumes=volumes,
            machine_environment=environment,
            model=model,
            image=image,
            region=region,
            max_instances=max_instances,
            **options,
        )
