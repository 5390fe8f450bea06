"""How a function spares its callers cold starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aws_cdk import Annotations, Duration

from cdk_inference.aws.keep_warm import DEFAULT_EVERY, DEFAULT_HOLD, KeepWarm, check_keep_warm
from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool, WarmSchedule, check_pool
from cdk_inference.aws.snap_start import SnapshotsAlone, check_snap_start
from cdk_inference.context import is_local
from cdk_inference.contract import INITIALIZATION_TYPE, SNAP_START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.validation import Problems


@dataclass(frozen=True)
class WarmStrategy:
    """How a function spares its callers cold starts: made with one of the four methods here.

    Example:
        >>> WarmStrategy.keep_warm(environments=2, every=Duration.minutes(4))
    """

    @staticmethod
    def none() -> WarmStrategy:
        """Not at all: the first caller of each environment waits for it, and nothing is paid."""
        return WarmStrategy()

    @staticmethod
    def snap_start() -> WarmStrategy:
        """Environments go on from a snapshot that Lambda takes, the model loaded, at each publish.

        Costs, for each month, each published version and each restore, by the function's memory::

            versions × GB × 2,628,000 s × $0.0000015046 + restores × GB × $0.0001397998

        Lambda keeps a snapshot of every version that still exists. Python 3.12 or newer; not with
        provisioned concurrency, EFS, or a ``/tmp`` of more than 512 MB.
        """
        return _SnapStart()

    @staticmethod
    def provisioned(
        *,
        min: int,
        max: int,
        target_utilization: float = 0.7,
        schedules: Sequence[WarmSchedule] = (),
    ) -> WarmStrategy:
        """Environments that are always initialized: a :class:`ProvisionedWarmPool`.

        Args:
            min: its ``min_capacity``.
            max: its ``max_capacity``.
            target_utilization: as there.
            schedules: as there.
        """
        return _Provisioned(min, max, target_utilization, tuple(schedules))

    @staticmethod
    def keep_warm(
        *, environments: int, every: Duration = DEFAULT_EVERY, hold: Duration = DEFAULT_HOLD
    ) -> WarmStrategy:
        """Environments that are called again and again: a :class:`KeepWarm`.

        Args and defaults: as there.
        """
        return _KeptWarm(environments, every, hold)

    @property
    def is_snap_start(self) -> bool:
        """Whether versions are published with SnapStart."""
        return False

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        """Record whatever cannot work for ``function``, of which only the arguments are there."""

    def apply(self, function: MLInferenceFunction) -> None:
        """Add to ``function`` what it takes beside the function itself."""


@dataclass(frozen=True)
class _SnapStart(WarmStrategy):
    @property
    def is_snap_start(self) -> bool:
        return True

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        check_snap_start(function.python_version, function.ephemeral_storage, problems)

    def apply(self, function: MLInferenceFunction) -> None:
        cfn_function = cast("lambda_.CfnFunction", function.function.node.default_child)
        cfn_alias = cast("lambda_.CfnAlias", function.alias.node.default_child)
        function.node.add_validation(SnapshotsAlone(cfn_function, cfn_alias))
        Annotations.of(function.function).acknowledge_warning(
            "@aws-cdk/aws-lambda:snapStartRequirePublish", "the alias live is a published version"
        )
        if is_local(function):
            # As Lambda does, and the emulator does not. The CDK rightly takes no such variable.
            name = f"Environment.Variables.{INITIALIZATION_TYPE}"
            cfn_function.add_property_override(name, SNAP_START)


@dataclass(frozen=True)
class _Provisioned(WarmStrategy):
    min: int
    max: int
    target_utilization: float
    schedules: tuple[WarmSchedule, ...]

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        check_pool(function, self.min, self.max, self.target_utilization, self.schedules, problems)

    def apply(self, function: MLInferenceFunction) -> None:
        ProvisionedWarmPool(
            function,
            "WarmPool",
            function=function,
            min_capacity=self.min,
            max_capacity=self.max,
            target_utilization=self.target_utilization,
            schedules=self.schedules,
        )


@dataclass(frozen=True)
class _KeptWarm(WarmStrategy):
    environments: int
    every: Duration
    hold: Duration

    def check(self, function: MLInferenceFunction, problems: Problems) -> None:
        check_keep_warm(function, self.environments, self.every, self.hold, problems)

    def apply(self, function: MLInferenceFunction) -> None:
        KeepWarm(
            function,
            "KeepWarm",
            function=function,
            environments=self.environments,
            every=self.every,
            hold=self.hold,
        )
