"""Where a function has its model from."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdk_inference.aws.network import ReachedService, reach
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.contract import (
    MODEL_SHA256,
    MODEL_URI,
    model_uri,
    stored_path,
)
from cdk_inference.stored_model import StoredModel

if TYPE_CHECKING:
    from cdk_inference.aws.efs_model_store import EfsModelStore
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.network import Network
    from cdk_inference.aws.s3_files_model_store import S3FilesModelStore
    from cdk_inference.aws.s3_model_store import S3ModelStore
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems

    AnyModel = InferenceModel | StoredModel


@dataclass(frozen=True)
class ModelSource:
    """Where a function has its model from: made with one of the four methods here.

    In a store, an :class:`InferenceModel` is at ``<name>/<version>/model.onnx``, and a
    :class:`StoredModel` where it says. Where the digest of a stored model is known, the runtime
    checks it: a function whose model is not the one that it was synthesized with does not start.

    Example:
        >>> ModelSource.s3(S3ModelStore(stack, "Models"))
    """

    @staticmethod
    def baked() -> ModelSource:
        """The function's own image or layer, which Lambda itself checks."""
        return ModelSource()

    @staticmethod
    def s3(store: S3ModelStore, *, model_cache: bool = False) -> ModelSource:
        """A bucket: fetched into ``/tmp`` when an environment starts, which is sized for it.

        An :class:`InferenceModel` is put there when the app is deployed.

        Args:
            store: the bucket.
            model_cache: whether a process of its own fetches the model while the runtime is
                imported: a :class:`ModelCacheExtension`. Default: no, the runtime fetches it in
                threads from its first line on.
        """
        return _S3(store, model_cache)

    @staticmethod
    def efs(store: EfsModelStore) -> ModelSource:
        """A file system of Amazon EFS, mounted read-only; the function runs in its VPC.

        Args:
            store: the file system. Have an :class:`InferenceModel` put there:
                :meth:`EfsModelStore.load_from`.
        """
        return _Mounted(store)

    @staticmethod
    def s3_files(store: S3FilesModelStore) -> ModelSource:
        """A bucket mounted read-only as a file system; the function runs in its VPC.

        An :class:`InferenceModel` is put into the bucket when the app is deployed.

        Args:
            store: the bucket as a file system.
        """
        return _S3Files(store)

    @property
    def is_baked(self) -> bool:
        """Whether the model is in the function's package."""
        return True

    @property
    def is_fetched(self) -> bool:
        """Whether the model is fetched into ``/tmp``."""
        return False

    @property
    def has_model_cache(self) -> bool:
        """Whether the function has a :class:`ModelCacheExtension`."""
        return False

    @property
    def network(self) -> Network | None:
        """Where the function must run; ``None`` for anywhere."""
        return None

    def environment(self, model: AnyModel) -> dict[str, str]:
        """The variables that tell the runtime."""
        return {MODEL_URI: model_uri(model.name)}

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        """Record whatever cannot work for ``function``, of which only the arguments are there."""
        if isinstance(function.model, StoredModel):
            problems.add(
                "model is a StoredModel",
                allowed="ModelSource.baked() needs its files",
                remedy="give an InferenceModel, or a model_source with a store",
            )

    def attach(self, function: MLInferenceFunction) -> None:
        """Give ``function`` what it needs to read its model."""


@dataclass(frozen=True)
class _S3(ModelSource):
    store: S3ModelStore
    model_cache: bool

    @property
    def is_baked(self) -> bool:
        return False

    @property
    def is_fetched(self) -> bool:
        return True

    @property
    def has_model_cache(self) -> bool:
        return self.model_cache

    def environment(self, model: AnyModel) -> dict[str, str]:
        uri = f"s3://{self.store.bucket.bucket_name}/{_path(model)}"
        return {MODEL_URI: uri, **_digest(model)}

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        pass

    def attach(self, function: MLInferenceFunction) -> None:
        _acknowledge_manifest(function)
        self.store.grant_read(function.role, *_paths(function.model))
        _deploy(self.store, function)
        reach(function, ReachedService.S3, "the model is in")


@dataclass(frozen=True)
class _Mounted(ModelSource):
    store: EfsModelStore | S3FilesModelStore

    @property
    def is_baked(self) -> bool:
        return False

    @property
    def network(self) -> Network | None:
        return self.store.network

    def environment(self, model: AnyModel) -> dict[str, str]:
        return {MODEL_URI: f"{self.store.mount_path}/{_path(model)}", **_digest(model)}

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        if function.warm_strategy.is_snap_start:
            problems.add(
                "model_source is a mounted file system, and warm_strategy is SnapStart",
                allowed="Lambda takes no snapshot of a function with a file system",
                remedy="use ModelSource.s3(…) or ModelSource.baked(), or another warm strategy",
            )

    def attach(self, function: MLInferenceFunction) -> None:
        _acknowledge_manifest(function)
        self.store.mount(function.function)


@dataclass(frozen=True)
class _S3Files(_Mounted):
    store: S3FilesModelStore

    def attach(self, function: MLInferenceFunction) -> None:
        _acknowledge_manifest(function)
        self.store.mount(function.function, *_paths(function.model))
        _deploy(self.store.models, function)


def _deploy(store: S3ModelStore, function: MLInferenceFunction) -> None:
    """Have the model in the bucket before the function starts, unless it is there already."""
    if not isinstance(function.model, StoredModel):
        function.function.node.add_dependency(store.deploy(function.model))


def _paths(model: AnyModel) -> list[str]:
    """Of all files."""
    folder = posixpath.dirname(_path(model))
    return [posixpath.join(folder, name) for name in model.files]


def _path(model: AnyModel) -> str:
    if isinstance(model, StoredModel):
        return model.path
    return stored_path(model.name, model.version)


def _digest(model: AnyModel) -> dict[str, str]:
    """What pins the model's content."""
    digest = model.sha256 if isinstance(model, StoredModel) else model.pinned_sha256
    return {} if digest is None else {MODEL_SHA256: digest}


def _acknowledge_manifest(function: MLInferenceFunction) -> None:
    if not isinstance(function.model, StoredModel) and function.model.pinned_sha256 is None:
        reason = "its manifest, which the runtime checks, has the digests of its files"
        readiness.acknowledge(function, "ModelDigest", reason)
