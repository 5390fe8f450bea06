"""A bucket of models that functions see as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3files as s3files

from cdk_inference.aws.file_mount import check_mount_path, mount_file_system
from cdk_inference.aws.nag import acknowledge, resource_finding
from cdk_inference.aws.network import Network, PrivateNetwork, check_subnets
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from cdk_inference.aws.s3_model_store import S3ModelStore

# Whoever mounts the access point is this user; objects are readable by everyone.
_USER: Final = "1000"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-files-prereq-policies.html
_BUCKET_ACTIONS: Final = ("s3:ListBucket*",)
_OBJECT_ACTIONS: Final = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject*",
    "s3:GetObject*",
    "s3:List*",
    "s3:PutObject*",
)
_RULE_ACTIONS: Final = (
    "events:DeleteRule",
    "events:DisableRule",
    "events:EnableRule",
    "events:PutRule",
    "events:PutTargets",
    "events:RemoveTargets",
)
_RULE_READ_ACTIONS: Final = (
    "events:DescribeRule",
    "events:ListRuleNamesByTarget",
    "events:ListRules",
    "events:ListTargetsByRule",
)
_SERVICE: Final = "elasticfilesystem.amazonaws.com"


class S3FilesModelStore(Construct):
    """An :class:`S3ModelStore` that functions mount, read-only, as a file system: Amazon S3 Files.

    A model is put into the bucket and seen as a file seconds later; nothing is copied, and ``/tmp``
    sets no limit. Large reads go to the bucket directly. Its security group lets in whoever mounts
    it, and nobody else.

    Costs what Amazon S3 does for the bucket and for reads of it, and for what lies in the file
    system's own storage, which are names and small files, what Amazon EFS does:
    https://aws.amazon.com/s3/pricing/

    Args:
        models: the bucket. Amazon S3 Files needs it versioned, as an S3ModelStore makes it.
        vpc: where functions mount it. Default: a :class:`PrivateNetwork`, which costs nothing.
        vpc_subnets: which of its subnets: one in each zone. Default: the private ones.
        mount_path: where functions see it: ``/mnt/`` and a name. Default: ``/mnt/models``.

    Attributes:
        models: the bucket.
        network: the VPC and its subnets, in which functions run that mount it.
        mount_path: as given, or the default.
        file_system: the file system.
        access_point: its root, by which it is mounted.

    Raises:
        ConfigurationError: ``mount_path`` is not one that Lambda takes, or ``vpc_subnets`` is given
            without ``vpc``.

    Example:
        >>> store = S3FilesModelStore(stack, "Files", models=S3ModelStore(stack, "Models"))
        >>> MLInferenceFunction(
        ...     stack, "Digits", model=model, model_source=ModelSource.s3_files(store)
        ... )
    """

    models: Final[S3ModelStore]
    network: Final[Network]
    mount_path: Final[str]
    file_system: Final[s3files.CfnFileSystem]
    access_point: Final[s3files.CfnAccessPoint]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        models: S3ModelStore,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        mount_path: str = "/mnt/models",
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_mount_path(mount_path, problems)
        check_subnets(vpc, vpc_subnets, problems)
        problems.raise_if_any()

        self.models = models
        self.mount_path = mount_path
        self.network = Network(vpc or PrivateNetwork(self, "Network").vpc, vpc_subnets)
        role = self._role()
        self.file_system = s3files.CfnFileSystem(
            self, "FileSystem", bucket=models.bucket.bucket_arn, role_arn=role.role_arn
        )
        self.file_system.node.add_dependency(role)
        self._add_mount_targets()
        self.access_point = s3files.CfnAccessPoint(
            self,
            "AccessPoint",
            file_system_id=self.file_system.attr_file_system_id,
            posix_user=s3files.CfnAccessPoint.PosixUserProperty(uid=_USER, gid=_USER),
        )
        # Made once: it has children of its own.
        self._mount = lambda_.FileSystem.from_s3_files_access_point(
            self.access_point, mount_path
        ).config

    def mount(self, function: lambda_.Function, *paths: str) -> None:
        """Mount the store in a function, read-only, and allow it to read.

        :meth:`ModelSource.s3_files` does that for a function of this library.

        Args:
            function: in the store's network.
            paths: as of :meth:`grant_read`.

        Raises:
            ConfigurationError: the function is in no VPC, or has a file system already.
        """
        self.grant_read(function, *paths)
        mount_file_system(
            function,
            lambda_.CfnFunction.FileSystemConfigProperty(
                arn=self._mount.arn,
                local_mount_path=self._mount.local_mount_path,
                s3_files_config=lambda_.CfnFunction.S3FilesConfigProperty(direct_s3_read="ENABLED"),
            ),
            cast("ec2.Connections", self._mount.connections),
            self._mount.dependency or (),
        )

    def grant_read(self, grantee: iam.IGrantable, *paths: str) -> iam.Grant:
        """Allow ``grantee`` to mount the store read-only.

        Args:
            grantee: who.
            paths: what it may also read from the bucket directly, which is faster; a ``*`` at the
                end of one stands for anything. Default: everything.
        """
        direct = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObjectVersion"],
            resource_arns=[self.models.bucket.arn_for_objects(path) for path in paths or ("*",)],
        )
        return (
            self.models.grant_read(grantee, *paths)
            .combine(direct)
            .combine(self._grant(grantee, "ClientMount"))
        )

    def grant_write(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to mount the store, and to write into it, and so into the bucket."""
        return self._grant(grantee, "ClientMount", "ClientWrite")

    def _grant(self, grantee: iam.IGrantable, *actions: str) -> iam.Grant:
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=[f"s3files:{action}" for action in actions],
            resource_arns=[
                self.file_system.attr_file_system_arn,
                self.access_point.attr_access_point_arn,
            ],
        )

    def _add_mount_targets(self) -> None:
        security_group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=self.network.vpc,
            description="Mount targets of a model store",
            allow_all_outbound=False,
        )
        for number, subnet in enumerate(self.network.selected(), start=1):
            s3files.CfnMountTarget(
                self,
                f"MountTarget{number}",
                file_system_id=self.file_system.attr_file_system_id,
                subnet_id=subnet.subnet_id,
                security_groups=[security_group.security_group_id],
            )

    def _role(self) -> iam.Role:
        """What Amazon S3 Files keeps file system and bucket alike with."""
        stack = Stack.of(self)
        bucket = self.models.bucket
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                _SERVICE, conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
        )
        objects = bucket.arn_for_objects("*")
        rules = stack.format_arn(
            service="events", resource="rule", resource_name="DO-NOT-DELETE-S3-Files*"
        )
        all_rules = stack.format_arn(service="events", resource="rule", resource_name="*")
        for actions, resource, conditions in (
            (_BUCKET_ACTIONS, bucket.bucket_arn, None),
            (_OBJECT_ACTIONS, objects, None),
            (_RULE_ACTIONS, rules, {"StringEquals": {"events:ManagedBy": _SERVICE}}),
            (_RULE_READ_ACTIONS, all_rules, None),
        ):
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=list(actions), resources=[resource], conditions=conditions
                )
            )
        if bucket.encryption_key is not None:
            bucket.encryption_key.grant_encrypt_decrypt(role)
        wildcards = [f"IAM5[Action::{action}]" for action in (*_BUCKET_ACTIONS, *_OBJECT_ACTIONS)]
        wildcards += [resource_finding(self, arn) for arn in (objects, rules, all_rules)]
        for finding in wildcards:
            acknowledge(role, finding, "what Amazon S3 Files documents that it needs")
        return role
