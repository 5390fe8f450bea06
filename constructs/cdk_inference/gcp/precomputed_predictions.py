"""Answers that were computed beforehand, for anyone to GET."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.iam import EVERYONE
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import CLOUD_CDN_AGE, GOOGLE_COMPUTE_NAME_LENGTH
from constructs import Construct

if TYPE_CHECKING:
    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.validation import Problems

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{22}==")
_FOLDER: Final = re.compile(r"gs://[^/]+/([^/]+/)*")


@dataclass(frozen=True)
class PrecomputedPredictions:
    """A folder of a bucket that a load balancer serves from Google's edge (Cloud CDN).

    The runtime answers predictions to POST, which no cache keeps. What is asked for again and
    again is better computed once, by :class:`CloudRunBatchJob` for example, and fetched by name.
    Made with one of the two methods here.

    Example:
        >>> PrecomputedPredictions.signed("gs://my-batches/digits/results/", key=key.string_value)
    """

    uri: str
    key: str | None
    max_age: timedelta
    cache_key_parameters: tuple[str, ...]

    @classmethod
    def signed(
        cls,
        uri: str,
        *,
        key: str,
        max_age: timedelta = timedelta(hours=1),
        cache_key_parameters: tuple[str, ...] = (),
    ) -> PrecomputedPredictions:
        """For whoever has a URL that was signed with ``key``; the bucket stays private.

        Args:
            uri: ``gs://BUCKET/FOLDER/``.
            key: 16 random bytes as URL-safe base64, best a sensitive variable of Terraform. Whoever
                has it can sign: https://cloud.google.com/cdn/docs/using-signed-urls
            max_age: how long an answer is kept at the edge, and so may be out of date. Default: an
                hour.
            cache_key_parameters: parameters of the query that make another entry of the cache, such
                as ``v`` to tell versions apart. Default: none, so that no query gets past the
                cache.
        """
        return cls(uri, key, max_age, cache_key_parameters)

    @classmethod
    def public(
        cls,
        uri: str,
        *,
        max_age: timedelta = timedelta(hours=1),
        cache_key_parameters: tuple[str, ...] = (),
    ) -> PrecomputedPredictions:
        """For everyone on the internet, who may then read the whole bucket; arguments as
        :meth:`signed`.
        """
        return cls(uri, None, max_age, cache_key_parameters)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.uri.removeprefix("gs://").partition("/")[0]

    @property
    def folder(self) -> str:
        """What objects' names start with; empty, or with a ``/`` at its end."""
        return self.uri.removeprefix("gs://").partition("/")[2]

    def check(self, bindings: Bindings, problems: Problems) -> None:
        """Record what cannot be served."""
        if not _FOLDER.fullmatch(self.uri):
            problems.add(
                f"precomputed is in {self.uri!r}",
                allowed="it is the URI of a folder in a bucket",
                remedy="write it as in 'gs://my-batches/digits/results/', with a / at its end",
            )
        if self.key is not None and are_known(bindings, self.key) and not _KEY.fullmatch(self.key):
            problems.add(
                "the key that signs URLs is none",  # and not told: it is a secret
                allowed="it is 16 bytes as URL-safe base64, which are 24 characters",
                remedy="make one: `head -c 16 /dev/urandom | base64 | tr +/ -_`",
            )
        problems.check_within("max_age", self.max_age.total_seconds(), CLOUD_CDN_AGE)


class PrecomputedBackend(Construct):
    """The bucket of ``predictions`` behind a load balancer, with Cloud CDN.

    Args:
        predictions: what it serves; checked.
        project_number: of the project, whose CDN reads a private bucket.

    Attributes:
        backend: the ``google_compute_backend_bucket``.
    """

    backend: Final[Any]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        predictions: PrecomputedPredictions,
        project_number: str,
    ) -> None:
        super().__init__(scope, id)
        self._bindings = bindings_of(self)
        buckets = self._bindings.google("compute_backend_bucket")
        seconds = int(predictions.max_age.total_seconds())
        parameters = list(predictions.cache_key_parameters)
        self.backend = buckets.ComputeBackendBucket(
            self,
            "Bucket",
            name=unique_name(self, GOOGLE_COMPUTE_NAME_LENGTH),
            description="Predictions computed beforehand",
            bucket_name=predictions.bucket,
            enable_cdn=True,
            cdn_policy=buckets.ComputeBackendBucketCdnPolicy(
                cache_mode="FORCE_CACHE_ALL",
                default_ttl=seconds,
                client_ttl=seconds,
                signed_url_cache_max_age_sec=seconds if predictions.key else None,
                request_coalescing=True,
                cache_key_policy=buckets.ComputeBackendBucketCdnPolicyCacheKeyPolicy(
                    query_string_whitelist=parameters
                )
                if parameters
                else None,
            ),
        )
        if predictions.key is None:
            self._allow(predictions.bucket, EVERYONE)
        else:
            # Google makes the account with the first key.
            cdn = f"serviceAccount:service-{project_number}@cloud-cdn-fill.iam.gserviceaccount.com"
            self._allow(predictions.bucket, cdn, depends_on=[self._signing_key(predictions.key)])

    def _signing_key(self, key: str) -> Any:
        keys = self._bindings.google("compute_backend_bucket_signed_url_key")
        return keys.ComputeBackendBucketSignedUrlKey(
            self, "Key", name="key-1", backend_bucket=self.backend.name, key_value=key
        )

    def _allow(self, bucket: str, member: str, **options: Any) -> None:
        members = self._bindings.google("storage_bucket_iam_member")
        members.StorageBucketIamMember(
            self,
            "Readers",
            bucket=bucket,
            role="roles/storage.objectViewer",
            member=member,
            **options,
        )
