"""A file system of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.efs_model_loader import DEFAULT_EVERY, EfsModelLoader
from cdk_inference.aws.file_mount import check_existing, check_mount_path, mount_file_system
from cdk_inference.aws.network import Network, PrivateNetwork, check_subnets
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import Duration
    from aws_cdk import aws_kms as kms

    from cdk_inference.aws.s3_model_store import S3ModelStore

# Whoever mounts the access point is this user, who owns its folder.
_USER: Final = "1000"
_FOLDER: Final = "/models"


class EfsModelStore(Construct):
    """A file system of Amazon EFS with models, each at ``<name>/<version>/model.onnx``.

    Encrypted, backed up, and kept when the stack is deleted. It is reached with an IAM role that
    was granted it, over TLS, and through its one access point; functions mount it read-only. Its
    security group lets in whoever mounts it, and nobody else. Files that nobody read for 30 days
    move to a cheaper storage class, and back when somebody reads them.

    Every environment that starts reads its model over the network, and elastic throughput is paid
    by the byte. Costs, for each month: https://aws.amazon.com/efs/pricing/ ::

        stored GB × $0.30 + read GB × $0.03 + written GB × $0.06      (infrequent access: $0.025)

    A model of 1 GB that starts in 10,000 environments: $300. From an :class:`S3ModelStore` that
    costs a few cents; so EFS is for models larger than ``/tmp``, or files that others write too.

    Args:
        vpc: where it is. Default: a :class:`PrivateNetwork`, which costs nothing by itself.
        vpc_subnets: which of its subnets: one in each zone. Default: the private ones.
        encryption_key: of the files. Default: that of Amazon EFS in your account.
        mount_path: where functions see it: ``/mnt/`` and a name. Default: ``/mnt/models``.
        file_system: one that is there already, in ``vpc``; then nothing is made, and it is as safe
            as it is. Default: a new one.
        access_point: of that one, whose folder has the models. Default: a new one, as above.

    Attributes:
        network: the VPC and its subnets, in which functions run that mount it.
        mount_path: as given, or the default.
        file_system: the file system.
        access_point: by which it is mounted: its folder ``/models``, unless one was given.

    Raises:
        ConfigurationError: ``mount_path`` is not one that Lambda takes, ``vpc_subnets`` is given
            without ``vpc``, or of ``file_system``, ``access_point`` and ``vpc`` only some, or an
            ``encryption_key`` for what is there already.

    Example:
        >>> store = EfsModelStore(stack, "Models")
        >>> store.load_from(S3ModelStore(stack, "Bucket"))
        >>> MLInferenceFunction(stack, "Digits", model=model, model_source=ModelSource.efs(store))
    """

    network: Final[Network]
    mount_path: Final[str]
    file_system: Final[efs.IFileSystem]
    access_point: Final[efs.IAccessPoint]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        encryption_key: kms.IKey | None = None,
        mount_path: str = "/mnt/models",
        file_system: efs.IFileSystem | None = None,
        access_point: efs.IAccessPoint | None = None,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_mount_path(mount_path, problems)
        check_subnets(vpc, vpc_subnets, problems)
        _check_existing(file_system, access_point, vpc, encryption_key, problems)
        problems.raise_if_any()

        self.mount_path = mount_path
        self.network = Network(vpc or PrivateNetwork(self, "Network").vpc, vpc_subnets)
        if file_system is None or access_point is None:
            file_system, access_point = self._make(encryption_key)
        self.file_system = file_system
        self.access_point = access_point

    def _make(self, encryption_key: kms.IKey | None) -> tuple[efs.FileSystem, efs.AccessPoint]:
        file_system = efs.FileSystem(
            self,
            "FileSystem",
            vpc=self.network.vpc,
            vpc_subnets=self.network.subnets,
            security_group=ec2.SecurityGroup(
                self,
                "SecurityGroup",
                vpc=self.network.vpc,
                description="Mount targets of a model store",
                allow_all_outbound=False,
            ),
            encrypted=True,
            kms_key=encryption_key,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_30_DAYS,
            out_of_infrequent_access_policy=efs.OutOfInfrequentAccessPolicy.AFTER_1_ACCESS,
            enable_automatic_backups=True,
            file_system_policy=_policy(),
            # Without its statement: it would let whoever may mount also write, as root.
            allow_anonymous_access=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        access_point = file_system.add_access_point(
            "AccessPoint",
            path=_FOLDER,
            posix_user=efs.PosixUser(uid=_USER, gid=_USER),
            create_acl=efs.Acl(owner_uid=_USER, owner_gid=_USER, permissions="750"),
        )
        return file_system, access_point

    def load_from(
        self, store: S3ModelStore, *, prefix: str = "", every: Duration = DEFAULT_EVERY
    ) -> EfsModelLoader:
        """Have models copied here from a bucket, again and again: an :class:`EfsModelLoader`.

        Args and errors: as there.
        """
        return EfsModelLoader(self, "Loader", source=store, target=self, prefix=prefix, every=every)

    def mount(self, function: lambda_.Function) -> None:
        """Mount the store in a function, read-only, and allow it to read.

        :meth:`ModelSource.efs` does that for a function of this library.

        Raises:
            ConfigurationError: the function is in no VPC, or has a file system already.
        """
        self.grant_read(function)
        mount_file_system(
            function,
            lambda_.CfnFunction.FileSystemConfigProperty(
                arn=self.access_point.access_point_arn, local_mount_path=self.mount_path
            ),
            self.file_system,
            [self.file_system.mount_targets_available],
        )

    def grant_read(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to mount the store read-only."""
        return self._grant(grantee, "ClientMount")

    def grant_write(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to mount the store, and to write into it."""
        return self._grant(grantee, "ClientMount", "ClientWrite")

    def _grant(self, grantee: iam.IGrantable, *actions: str) -> iam.Grant:
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=[f"elasticfilesystem:{action}" for action in actions],
            resource_arns=[self.file_system.file_system_arn],
            conditions={
                "StringEquals": {
                    "elasticfilesystem:AccessPointArn": self.access_point.access_point_arn
                }
            },
        )


def _check_existing(
    file_system: efs.IFileSystem | None,
    access_point: efs.IAccessPoint | None,
    vpc: ec2.IVpc | None,
    encryption_key: kms.IKey | None,
    problems: Problems,
) -> None:
    if file_system is None and access_point is None:
        return
    check_existing({"file_system": file_system, "access_point": access_point}, vpc, problems)
    if encryption_key is not None:
        problems.add(
            "encryption_key is given for a file system that is there already",
            allowed="it has its own",
            remedy="leave encryption_key out",
        )


def _policy() -> iam.PolicyDocument:
    """Nobody without TLS; and, since there is a policy, nobody without a grant.

    https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    """
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["*"],
                conditions={"Bool": {"aws:SecureTransport": "false"}},
            )
        ]
    )
