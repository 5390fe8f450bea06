"""Who may do what: the grants that services and functions have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.naming import unique_name
from cdk_inference.limits import GOOGLE_SERVICE_ACCOUNT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.volume import BucketAccess
    from constructs import Construct

EVERYONE: Final = "allUsers"


class _UserOfBuckets(Protocol):
    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]: ...


def service_account(scope: Construct, display_name: str) -> Any:
    """An account of the service's own, which may do nothing yet."""
    accounts = bindings_of(scope).google("service_account")
    return accounts.ServiceAccount(
        scope,
        "ServiceAccount",
        account_id=unique_name(scope, GOOGLE_SERVICE_ACCOUNT_LENGTH),
        display_name=display_name,
    )


def grant_secrets(scope: Construct, account: Any, secrets: Mapping[str, Secret]) -> list[Any]:
    """Let ``account`` read ``secrets``, given by the variables that they become."""
    if not secrets:
        return []
    members = bindings_of(scope).google("secret_manager_secret_iam_member")
    variables = {secret.name: variable for variable, secret in secrets.items()}
    return [
        members.SecretManagerSecretIamMember(
            scope,
            f"SecretAccess{variable}",
            secret_id=name,
            role="roles/secretmanager.secretAccessor",
            member=account.member,
        )
        for name, variable in variables.items()
    ]


def grant_buckets(scope: Construct, account: Any, users: Iterable[_UserOfBuckets]) -> list[Any]:
    """Let ``account`` do in buckets what their ``users`` need."""
    needed = [access for user in users for access in user.bucket_access]
    if not needed:
        return []
    members = bindings_of(scope).google("storage_bucket_iam_member")
    return [
        members.StorageBucketIamMember(
            scope,
            f"BucketAccess{index}",
            bucket=access.bucket,
            role=access.role,
            member=account.member,
        )
        for index, access in enumerate(needed)
    ]


def grant_invoke(scope: Construct, id: str, resource: Any, member: str) -> None:
    """Let ``member`` send requests to a service, or to a function, which has a service."""
    members = bindings_of(scope).google("cloud_run_v2_service_iam_member")
    members.CloudRunV2ServiceIamMember(
        scope,
        id,
        name=resource.name,
        location=resource.location,
        project=resource.project,
        role="roles/run.invoker",
        member=member,
    )
