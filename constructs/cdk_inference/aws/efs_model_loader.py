"""Copies models from a bucket into a file system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_datasync as datasync
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam

from cdk_inference.aws.nag import acknowledge, resource_finding
from cdk_inference.aws.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from cdk_inference.aws.efs_model_store import EfsModelStore
    from cdk_inference.aws.s3_model_store import S3ModelStore

DEFAULT_EVERY: Final = Duration.hours(1)

_FOLDER: Final = re.compile(r"([A-Za-z0-9._-]+/)+")

# https://docs.aws.amazon.com/datasync/latest/userguide/create-s3-location.html
_BUCKET_ACTIONS: Final = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
_OBJECT_ACTIONS: Final = (
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionTagging",
    "s3:ListMultipartUploadParts",
)


class EfsModelLoader(Construct):
    """An AWS DataSync task that copies what is new in a bucket into a model store, every hour.

    It never deletes: functions of earlier versions may have a model open. Most stores get one from
    :meth:`EfsModelStore.load_from`. CloudFormation does not start it; the output ``StartCommand``
    does, for whoever does not want to wait.

    Costs $0.0125 for each GB that it copies, and the requests that it looks with:
    https://aws.amazon.com/datasync/pricing/

    Args:
        source: where models are put.
        target: where they go, under the same paths.
        prefix: only what starts with it; a folder, with a ``/`` at its end. Default: everything.
        every: how often, in whole hours. Default: every hour, which is as often as DataSync does.

    Attributes:
        task: the task.

    Raises:
        ConfigurationError: ``every`` is not in whole hours, or ``prefix`` is no folder.

    Example:
        >>> EfsModelLoader(stack, "Loader", source=bucket, target=store, prefix="digits/")
    """

    task: Final[datasync.CfnTask]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: S3ModelStore,
        target: EfsModelStore,
        prefix: str = "",
        every: Duration = DEFAULT_EVERY,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        _check_interval(every, problems)
        _check_prefix(prefix, problems)
        problems.raise_if_any()

        self.task = datasync.CfnTask(
            self,
            "Task",
            source_location_arn=self._source(source, prefix).attr_location_arn,
            destination_location_arn=self._target(target).attr_location_arn,
            includes=_only(prefix),
            schedule=datasync.CfnTask.TaskScheduleProperty(
                schedule_expression=events.Schedule.rate(every).expression_string, status="ENABLED"
            ),
            options=datasync.CfnTask.OptionsProperty(
                # The access point has a user of its own; a bucket knows none.
                uid="NONE",
                gid="NONE",
                posix_permissions="NONE",
                preserve_deleted_files="PRESERVE",
                transfer_mode="CHANGED",
                verify_mode="ONLY_FILES_TRANSFERRED",
            ),
        )
        CfnOutput(
            self,
            "StartCommand",
            value=f"aws datasync start-task-execution --task-arn {self.task.attr_task_arn}",
            description="Copies new models now",
        )

    def _source(self, store: S3ModelStore, prefix: str) -> datasync.CfnLocationS3:
        role = self._role("SourceRole")
        objects = store.bucket.arn_for_objects(f"{prefix}*")
        role.add_to_policy(
            iam.PolicyStatement(actions=list(_BUCKET_ACTIONS), resources=[store.bucket.bucket_arn])
        )
        role.add_to_policy(iam.PolicyStatement(actions=list(_OBJECT_ACTIONS), resources=[objects]))
        if store.bucket.encryption_key is not None:
            store.bucket.encryption_key.grant_decrypt(role)
        acknowledge(role, resource_finding(self, objects), "it copies whatever models come")
        location = datasync.CfnLocationS3(
            self,
            "Source",
            s3_bucket_arn=store.bucket.bucket_arn,
            s3_config=datasync.CfnLocationS3.S3ConfigProperty(bucket_access_role_arn=role.role_arn),
        )
        location.node.add_dependency(role)
        return location

    def _target(self, store: EfsModelStore) -> datasync.CfnLocationEFS:
        role = self._role("TargetRole")
        store.grant_write(role)
        security_group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=store.network.vpc,
            description="DataSync, which copies models",
            allow_all_outbound=False,
        )
        security_group.connections.allow_to_default_port(store.file_system)
        location = datasync.CfnLocationEFS(
            self,
            "Target",
            access_point_arn=store.access_point.access_point_arn,
            efs_filesystem_arn=store.file_system.file_system_arn,
            file_system_access_role_arn=role.role_arn,
            in_transit_encryption="TLS1_2",
            ec2_config=datasync.CfnLocationEFS.Ec2ConfigProperty(
                security_group_arns=[self._arn("security-group", security_group.security_group_id)],
                subnet_arn=self._arn("subnet", store.network.selected()[0].subnet_id),
            ),
        )
        location.node.add_dependency(
            role, security_group, store.file_system.mount_targets_available
        )
        return location

    def _role(self, id: str) -> iam.Role:
        return iam.Role(
            self,
            id,
            assumed_by=iam.ServicePrincipal(
                "datasync.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )

    def _arn(self, resource: str, name: str) -> str:
        return Stack.of(self).format_arn(service="ec2", resource=resource, resource_name=name)


def _only(prefix: str) -> list[datasync.CfnTask.FilterRuleProperty] | None:
    """With a filter, and not a folder to start from, paths stay the same."""
    if not prefix:
        return None
    value = f"/{prefix}*"
    return [datasync.CfnTask.FilterRuleProperty(filter_type="SIMPLE_PATTERN", value=value)]


def _check_interval(every: Duration, problems: Problems) -> None:
    if not problems.check_known("every", not every.is_unresolved()):
        return
    minutes = every.to_minutes()
    if minutes < 60 or minutes % 60:
        problems.add(
            f"every is {minutes:g} minutes",
            allowed="DataSync runs every hour at most, and here in whole hours",
            remedy="give such as Duration.hours(1)",
        )


def _check_prefix(prefix: str, problems: Problems) -> None:
    if prefix and are_known(prefix) and not _FOLDER.fullmatch(prefix):
        problems.add(
            f"prefix is {prefix!r}",
            allowed="allowed are names of letters, digits, '.', '_' and '-', each before a '/'",
            remedy="give a folder such as 'digits/', or leave it out for everything",
        )
