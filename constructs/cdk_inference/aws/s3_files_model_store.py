"""A bucket of models that functions see as files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_cdk import Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3files as s3files

from cdk_inference.aws.file_mount import check_existing, check_mount_path, mount_file_system
from cdk_inference.aws.nag import acknowledge, resource_finding
from cdk_inference.aws.network import Network, PrivateNetwork, check_subnets
from cdk_inference.aws.tokens import are_known
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

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_S3Files_ListAccessPointsDescription.html
_ACCESS_POINT_ARN: Final = re.compile(
    r"arn:[\w-]+:s3files:[\w-]+:\d{12}:file-system/fs-[0-9a-f]+/access-point/fsap-[0-9a-f]+",
    re.ASCII,
)
_OF_FILE_SYSTEM: Final = "/access-point/"
_NFS: Final = ec2.Port.tcp(2049)


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
        access_point_arn: of a file system that is there already, over ``models`` and in ``vpc``;
            then nothing is made, and it is as safe as it is. Default: a new one.
        security_group: of that one's mount targets. It is to let in functions on port 2049; one
            that is looked up and mutable gets a rule for each. Default: a new one, as above.

    Attributes:
        models: the bucket.
        network: the VPC and its subnets, in which functions run that mount it.
        mount_path: as given, or the default.
        file_system_arn: of the file system.
        access_point_arn: of its root, by which it is mounted, or as given.
        security_group: of its mount targets.

    Raises:
        ConfigurationError: ``mount_path`` is not one that Lambda takes, ``vpc_subnets`` is given
            without ``vpc``, of ``access_point_arn``, ``security_group`` and ``vpc`` only some, or
            an ARN that is no access point's.

    Example:
        >>> store = S3FilesModelStore(stack, "Files", models=S3ModelStore(stack, "Models"))
        >>> MLInferenceFunction(
        ...     stack, "Digits", model=model, model_source=ModelSource.s3_files(store)
        ... )
    """

    models: Final[S3ModelStore]
    network: Final[Network]
    mount_path: Final[str]
    file_system_arn: Final[str]
    access_point_arn: Final[str]
    security_group: Final[ec2.ISecurityGroup]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        models: S3ModelStore,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        mount_path: str = "/mnt/models",
        access_point_arn: str | None = None,
        security_group: ec2.ISecurityGroup | None = None,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_mount_path(mount_path, problems)
        check_subnets(vpc, vpc_subnets, problems)
        _check_existing(access_point_arn, security_group, vpc, problems)
        problems.raise_if_any()

        self.models = models
        self.mount_path = mount_path
        self.network = Network(vpc or PrivateNetwork(self, "Network").vpc, vpc_subnets)
        self._mount_targets: list[s3files.CfnMountTarget] = []
        if access_point_arn is None or security_group is None:
            access_point_arn, file_system_arn, security_group = self._make()
        else:
            file_system_arn = _file_system_of(access_point_arn)
        self.file_system_arn = file_system_arn
        self.access_point_arn = access_point_arn
        self.security_group = security_group

    def _make(self) -> tuple[str, str, ec2.SecurityGroup]:
        """The ARNs of an access point and of its file system, and the mount targets' group."""
        role = self._role()
        file_system = s3files.CfnFileSystem(
            self, "FileSystem", bucket=self.models.bucket.bucket_arn, role_arn=role.role_arn
        )
        file_system.node.add_dependency(role)
        security_group = self._add_mount_targets(file_system)
        access_point = s3files.CfnAccessPoint(
            self,
            "AccessPoint",
            file_system_id=file_system.attr_file_system_id,
            posix_user=s3files.CfnAccessPoint.PosixUserProperty(uid=_USER, gid=_USER),
        )
        arns = access_point.attr_access_point_arn, file_system.attr_file_system_arn
        return *arns, security_group

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
                arn=self.access_point_arn,
                local_mount_path=self.mount_path,
                s3_files_config=lambda_.CfnFunction.S3FilesConfigProperty(direct_s3_read="ENABLED"),
            ),
            ec2.Connections(security_groups=[self.security_group], default_port=_NFS),
            self._mount_targets,
        )
        # Reads of the bucket itself: where one fails, Lambda goes on through the file system, but
        # only after it has tried.
        function.connections.allow_to_any_ipv4(ec2.Port.HTTPS, "Amazon S3, directly")

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
            resource_arns=[self.file_system_arn, self.access_point_arn],
        )

    def _add_mount_targets(self, file_system: s3files.CfnFileSystem) -> ec2.SecurityGroup:
        security_group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=self.network.vpc,
            description="Mount targets of a model store",
            allow_all_outbound=False,
        )
        for number, subnet in enumerate(self.network.selected(), start=1):
            target = s3files.CfnMountTarget(
                self,
                f"MountTarget{number}",
                file_system_id=file_system.attr_file_system_id,
                subnet_id=subnet.subnet_id,
                security_groups=[security_group.security_group_id],
            )
            self._mount_targets.append(target)
        return security_group

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


def _check_existing(
    access_point_arn: str | None,
    security_group: ec2.ISecurityGroup | None,
    vpc: ec2.IVpc | None,
    problems: Problems,
) -> None:
    if access_point_arn is None and security_group is None:
        return
    existing = {"access_point_arn": access_point_arn, "security_group": security_group}
    check_existing(existing, vpc, problems)
    if (
        access_point_arn is not None
        and are_known(access_point_arn)
        and not _ACCESS_POINT_ARN.fullmatch(access_point_arn)
    ):
        problems.add(
            f"access_point_arn is {access_point_arn!r}",
            allowed="an access point of Amazon S3 Files has"
            " arn:aws:s3files:REGION:ACCOUNT:file-system/fs-ID/access-point/fsap-ID",
            remedy="give the ARN of the other app's access point",
        )


def _file_system_of(access_point_arn: str) -> str:
    return Fn.select(0, Fn.split(_OF_FILE_SYSTEM, access_point_arn))
