"""The digits model, kept from starting cold in each of three ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as appscaling
from cdk_inference import (
    InferenceModel,
    MLInferenceFunction,
    Packaging,
    WarmSchedule,
    WarmStrategy,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class SnapStartStack(Stack):
    """Environments that go on from a snapshot with the model loaded.

    Example:
        >>> SnapStartStack(cdk.App(), "SnapStartStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "WarmStrategy")
        _digits(self, "Snapshotted", WarmStrategy.snap_start())


class ProvisionedStack(Stack):
    """Two to ten environments that are always initialized, and five at least in office hours.

    Example:
        >>> ProvisionedStack(cdk.App(), "ProvisionedStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "WarmStrategy")
        _digits(
            self,
            "Provisioned",
            WarmStrategy.provisioned(
                min=2,
                max=10,
                schedules=[
                    _weekdays("OfficeOpens", hour=8, min_capacity=5),
                    _weekdays("OfficeCloses", hour=18, min_capacity=2),
                ],
            ),
        )


class KeepWarmStack(Stack):
    """Three environments that are called every five minutes.

    Example:
        >>> KeepWarmStack(cdk.App(), "KeepWarmStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "WarmStrategy")
        _digits(self, "KeptWarm", WarmStrategy.keep_warm(environments=3))


def _digits(stack: Stack, id: str, strategy: WarmStrategy) -> MLInferenceFunction:
    return MLInferenceFunction(
        stack,
        id,
        model=InferenceModel.from_file(_MODEL),
        packaging=Packaging.ZIP,
        warm_strategy=strategy,
    )


def _weekdays(name: str, *, hour: int, min_capacity: int) -> WarmSchedule:
    return WarmSchedule(
        name,
        appscaling.Schedule.cron(week_day="MON-FRI", hour=str(hour), minute="0"),
        min_capacity=min_capacity,
        time_zone=TimeZone.EUROPE_BERLIN,
    )
