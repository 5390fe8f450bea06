"""What each platform and the packaged onnxruntime allow: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Limit:
    """A range of whole numbers, both ends allowed.

    Attributes:
        minimum: the smallest value allowed.
        maximum: the largest value allowed.
        unit: what the numbers count, as it reads in an error message.
        platform: what sets them, likewise.
    """

    minimum: int
    maximum: int
    unit: str
    platform: str = "AWS Lambda"


@dataclass(frozen=True)
class GpuLimits:
    """A GPU that Cloud Run has.

    Attributes:
        accelerator: the platform's name of it.
        cpu: the fewest vCPUs of an instance with one.
        memory_gib: the least memory of an instance with one.
        sizes: the vCPUs that it may have, and the least and the most memory in GiB that go with
            them; ``None`` where Google names the least of each only.
        regions: where Cloud Run has it; with ``by_invitation``, all of them.
        by_invitation: regions that need Google's consent first.
        cuda: the major version of CUDA that its driver has.
        is_preview: whether Google has it in preview: what uses it must say ``CLOUD_RUN_PREVIEW``.
    """

    accelerator: str
    cpu: int
    memory_gib: int
    sizes: Mapping[int, tuple[int, int]] | None
    regions: tuple[str, ...]
    by_invitation: tuple[str, ...]
    cuda: int
    is_preview: bool


# AWS Lambda. MB here are MiB, as Lambda counts them.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_MEMORY: Final = Limit(128, 10_240, "MB")
LAMBDA_TIMEOUT: Final = Limit(1, 900, "seconds")
LAMBDA_EPHEMERAL_STORAGE: Final = Limit(512, 10_240, "MB")
LAMBDA_UNZIPPED_BYTES: Final = 250 * 2**20
LAMBDA_ENVIRONMENT_BYTES: Final = 4 * 2**10
LAMBDA_REQUEST_BYTES: Final = 6 * 2**20

# How long an environment may take to start before Lambda begins anew, within the first request; and
# where it starts ahead of requests, be it for provisioned concurrency or a snapshot, unless the
# function's timeout is longer.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
LAMBDA_INIT_SECONDS: Final = 10
LAMBDA_INIT_AHEAD_SECONDS: Final = 130

# One vCPU; more memory means more vCPUs in proportion.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
LAMBDA_ONE_VCPU_MB: Final = 1_769

# The managed Python runtimes for which onnxruntime has wheels.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
LAMBDA_PYTHON_VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
LAMBDA_DEFAULT_PYTHON: Final = "3.13"

# The layer of the AWS Distro for OpenTelemetry that has a collector in it.
# https://aws-otel.github.io/docs/getting-started/lambda/lambda-python
ADOT_PYTHON_VERSIONS: Final = ("3.11", "3.12", "3.13")

# SnapStart: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
LAMBDA_SNAP_START_PYTHON_VERSIONS: Final = ("3.12", "3.13", "3.14")
LAMBDA_SNAP_START_EPHEMERAL_STORAGE_MB: Final = 512

# The least and the most that target tracking aims at, as a share of the provisioned environments.
# https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-lambda.html
LAMBDA_SCALING_UTILIZATION: Final = (0.1, 0.9)

# As many iterations of an inline map run at the same time.
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
KEEP_WARM_ENVIRONMENTS: Final = Limit(1, 40, "environments")

# How long API Gateway waits for an answer. A regional REST API's limit can be raised on request:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
HTTP_API_TIMEOUT_SECONDS: Final = 30
REST_API_TIMEOUT_SECONDS: Final = 29

# A queue's visibility timeout: what it is unless told, and how many of a function's timeouts AWS
# asks for, so that a message that is throttled and tried again is not handed out twice.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
SQS_DEFAULT_VISIBILITY_SECONDS: Final = 30
SQS_VISIBILITY_TIMEOUTS: Final = 6

# https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/allocation-tag-restrictions.html
TAG_KEY_LENGTH: Final = Limit(1, 128, "characters", "AWS")
TAG_VALUE_LENGTH: Final = Limit(1, 256, "characters", "AWS")

# Addresses of one notification.
# https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-create.html
BUDGET_EMAILS: Final = 10

# Alarms of a deployment group: https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
CODE_DEPLOY_ALARMS: Final = 10

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
S3_COPY_BYTES: Final = 5 * 2**30

# Set by Lambda, and refused by it in a function's own environment.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
LAMBDA_RESERVED_ENVIRONMENT: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)

# Google Cloud Run, second generation: https://cloud.google.com/run/quotas
CLOUD_RUN_CONCURRENCY: Final = Limit(1, 1_000, "requests", "Cloud Run")
CLOUD_RUN_TIMEOUT: Final = Limit(1, 3_600, "seconds", "Cloud Run")
CLOUD_RUN_LEAST_MEMORY_MIB: Final = 512
CLOUD_RUN_REQUEST_BYTES: Final = 32 * 2**20  # over HTTP/1
CLOUD_RUN_NAME_LENGTH: Final = 49
GOOGLE_SERVICE_ACCOUNT_LENGTH: Final = 30

# The vCPUs of an instance, and the least and the most memory in GiB that go with them.
# https://cloud.google.com/run/docs/configuring/services/cpu
CLOUD_RUN_CPU_MEMORY_GIB: Final = {1: (0, 4), 2: (0, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}

# How long an instance may take to start: the startup probe's period times its failures.
# https://cloud.google.com/run/docs/configuring/healthchecks
CLOUD_RUN_STARTUP_SECONDS: Final = 240

# All volumes of an instance together, unless Google raises the quota.
# https://cloud.google.com/run/docs/configuring/services/ephemeral-disk
CLOUD_RUN_DISK_MIB: Final = 10_000_000_000 // 2**20

# The launch stage of what uses a feature in preview: Cloud Run refuses it without.
# https://cloud.google.com/run/docs/troubleshooting#launch-stage-validation
CLOUD_RUN_PREVIEW: Final = "BETA"

# Cloud Run jobs: https://cloud.google.com/run/quotas,
# https://cloud.google.com/run/docs/configuring/task-timeout
CLOUD_RUN_TASKS: Final = Limit(1, 10_000, "tasks", "Cloud Run")
CLOUD_RUN_TASK_RETRIES: Final = Limit(0, 10, "retries", "Cloud Run")
CLOUD_RUN_TASK_TIMEOUT: Final = Limit(1, 7 * 86_400, "seconds", "Cloud Run")
CLOUD_RUN_GPU_TASK_TIMEOUT: Final = Limit(1, 3_600, "seconds", "Cloud Run with a GPU")

# https://cloud.google.com/run/docs/configuring/services/gpu
# But for its least memory, an instance with an L4 is one like all others.
CLOUD_RUN_L4: Final = GpuLimits(
    "nvidia-l4",
    cpu=4,
    memory_gib=16,
    sizes={cpu: (16, most) for cpu, (_, most) in CLOUD_RUN_CPU_MEMORY_GIB.items() if most >= 16},
    regions=("asia-southeast1", "europe-west1", "europe-west4", "us-east4"),
    by_invitation=("asia-south1", "us-central1"),
    cuda=12,
    is_preview=False,
)
CLOUD_RUN_RTX_PRO_6000: Final = GpuLimits(
    "nvidia-rtx-pro-6000",
    cpu=20,
    memory_gib=80,
    sizes=None,
    regions=("asia-southeast1", "europe-west4", "us-central1"),
    by_invitation=("asia-south2",),
    cuda=13,
    is_preview=True,
)

# Load balancers: https://cloud.google.com/compute/docs/naming-resources,
# https://cloud.google.com/load-balancing/docs/quotas#ssl_certificates
GOOGLE_COMPUTE_NAME_LENGTH: Final = 63
GOOGLE_CERTIFICATE_DOMAINS: Final = 100

# The seconds in which Cloud Armor counts a client's requests.
# https://cloud.google.com/compute/docs/reference/rest/v1/securityPolicies
CLOUD_ARMOR_INTERVALS: Final = (
    *(10, 30, 60, 120, 180, 240, 270, 300),
    *(600, 900, 1_200, 1_800, 2_700, 3_600),
)

# https://cloud.google.com/cdn/docs/caching#cache-modes
CLOUD_CDN_AGE: Final = Limit(1, 31_622_400, "seconds", "Cloud CDN")

# Cloud Monitoring and Logging: https://cloud.google.com/monitoring/quotas,
# https://cloud.google.com/logging/quotas,
# https://cloud.google.com/monitoring/api/ref_v3/rest/v3/services.serviceLevelObjectives
CLOUD_MONITORING_WINDOW: Final = Limit(1, 24 * 60, "minutes", "Cloud Monitoring")
CLOUD_MONITORING_SLO_DAYS: Final = Limit(1, 30, "days", "Cloud Monitoring")
CLOUD_MONITORING_SLO_PERCENT: Final = 99.99
GOOGLE_MONITORED_SERVICE_LENGTH: Final = 63
GOOGLE_LOG_METRIC_NAME_LENGTH: Final = 100

# https://cloud.google.com/billing/docs/how-to/budgets-notification-recipients
GOOGLE_BUDGET_CHANNELS: Final = 5

# https://cloud.google.com/functions/docs/runtime-support#python
CLOUD_FUNCTION_PYTHON_VERSIONS: Final = ("3.11", "3.12", "3.13")
CLOUD_FUNCTION_DEFAULT_PYTHON: Final = "3.13"

# What the functions framework is told of a function, by its build.
# https://cloud.google.com/functions/docs/configuring/env-var
CLOUD_FUNCTION_OWN_ENVIRONMENT: Final = frozenset({"FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET"})
GOOGLE_BUCKET_NAME_LENGTH: Final = 63
GOOGLE_PROJECT_ID_LENGTH: Final = 30

# https://cloud.google.com/resource-manager/docs/labels-overview#requirements
GOOGLE_LABELS: Final = 64
GOOGLE_LABEL_LENGTH: Final = 63

# Or none at all: https://cloud.google.com/storage/docs/soft-delete
CLOUD_STORAGE_SOFT_DELETE_DAYS: Final = Limit(7, 90, "days", "Cloud Storage")

# Set by Cloud Run, for services and for jobs, and refused by it in their own environment; and what
# such names begin with: https://cloud.google.com/run/docs/container-contract#env-vars,
# https://cloud.google.com/run/docs/configuring/services/environment-variables
CLOUD_RUN_RESERVED_PREFIX: Final = "X_GOOGLE_"
CLOUD_RUN_RESERVED_ENVIRONMENT: Final = frozenset(
    {
        "CLOUD_RUN_EXECUTION",
        "CLOUD_RUN_JOB",
        "CLOUD_RUN_TASK_ATTEMPT",
        "CLOUD_RUN_TASK_COUNT",
        "CLOUD_RUN_TASK_INDEX",
        "K_CONFIGURATION",
        "K_REVISION",
        "K_SERVICE",
        "PORT",
    }
)

# What the packaged onnxruntime (runtime/requirements/) loads: the newest operator set of each
# domain, and the newest version of the file format. Found by loading models of each version with
# onnxruntime 1.31.1; a test repeats that with the version that is installed.
ONNXRUNTIME_OPSETS: Final = {"ai.onnx": 26, "ai.onnx.ml": 5}
ONNXRUNTIME_IR_VERSION: Final = 13
