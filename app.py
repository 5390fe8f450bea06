"""The app of this repository: the digits model, in a reference stack for each capability.

It synthesizes both clouds, each where its command line looks: CloudFormation in cdk.out, Terraform
in cdktf.out. What cdk-nag and the readiness checklist have against the stacks for AWS fails it.
"""

import os

import aws_cdk as cdk
import cdktn
from cdk_inference import ReadinessChecks
from cdk_nag import AwsSolutionsChecks

from stacks.apis import MultiModelRestStack, MultiModelStack, RestApiStack, UserPoolApiStack
from stacks.budgeted import BudgetedStack
from stacks.cloud_run import CloudRunGpuStack, CloudRunStack
from stacks.cloud_run_batch import CloudRunBatchStack
from stacks.cloud_run_edge import CloudRunEdgeStack
from stacks.cloud_run_models import CloudRunModelsStack
from stacks.cloud_run_monitored import CloudRunMonitoredStack
from stacks.cloud_run_nginx import CloudRunNginxStack
from stacks.digits import DigitsStack
from stacks.function_url import FunctionUrlStack
from stacks.model_stores import EfsModelStack, S3FilesModelStack, S3ModelStack
from stacks.monitored import MonitoredStack
from stacks.power_tuning import PowerTuningStack
from stacks.releases import ABRoutingStack, GradualReleaseStack
from stacks.warm import KeepWarmStack, ProvisionedStack, SnapStartStack

aws = cdk.App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
cdk.Validations.of(aws).add_plugins(AwsSolutionsChecks(aws), ReadinessChecks())
for stack in (
    DigitsStack,
    FunctionUrlStack,
    SnapStartStack,
    ProvisionedStack,
    KeepWarmStack,
    S3ModelStack,
    EfsModelStack,
    S3FilesModelStack,
    MonitoredStack,
    BudgetedStack,
    GradualReleaseStack,
    ABRoutingStack,
    RestApiStack,
    UserPoolApiStack,
    MultiModelStack,
    MultiModelRestStack,
    PowerTuningStack,
):
    stack(aws, stack.__name__)
aws.synth()

google_cloud = cdktn.App()
for stack in (
    CloudRunStack,
    CloudRunGpuStack,
    CloudRunModelsStack,
    CloudRunNginxStack,
    CloudRunEdgeStack,
    CloudRunBatchStack,
    CloudRunMonitoredStack,
):
    stack(google_cloud, stack.__name__)
google_cloud.synth()
