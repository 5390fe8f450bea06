"""How long an instance may take to start."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.limits import CLOUD_RUN_STARTUP_SECONDS

if TYPE_CHECKING:
    from cdk_inference.validation import Problems

# Assumed, on the safe side: to wait for longer costs nothing, since a start that succeeds ends the
# wait, and one that fails ends the process. Only one that hangs is found later.
_WITHOUT_MODEL_SECONDS: Final = 30
_MODEL_BYTES_PER_SECOND: Final = 25 * 2**20
_MOST_FAILURES: Final = 60


@dataclass(frozen=True)
class StartupProbe:
    """How often Cloud Run asks a new instance whether it is ready, and when it gives up.

    Attributes:
        period: seconds between two questions.
        failures: answers that it is not ready, or none, after which the instance is ended.

    Example:
        >>> StartupProbe(period=2, failures=60).seconds
        120
    """

    period: int
    failures: int

    @classmethod
    def for_model(cls, size_bytes: int) -> StartupProbe:
        """30 seconds, and one more for each 25 MB of the model; 240 at most, as Cloud Run has it.

        Asked every second, or 60 times, whichever is less often.

        Example:
            >>> StartupProbe.for_model(5 * 2**30)
            StartupProbe(period=4, failures=59)
        """
        wanted = _WITHOUT_MODEL_SECONDS + ceil(size_bytes / _MODEL_BYTES_PER_SECOND)
        seconds = min(wanted, CLOUD_RUN_STARTUP_SECONDS)
        period = ceil(seconds / _MOST_FAILURES)
        return cls(period, seconds // period)

    @property
    def seconds(self) -> int:
        """How long an instance may take."""
        return self.period * self.failures

    def check(self, problems: Problems) -> None:
        """Record a problem if Cloud Run would refuse it."""
        if self.period < 1 or self.failures < 1:
            problems.add(
                f"startup_probe has period {self.period} and failures {self.failures}",
                allowed="both are 1 or more",
                remedy="raise them, or leave startup_probe out",
            )
        if self.seconds > CLOUD_RUN_STARTUP_SECONDS:
            problems.add(
                f"startup_probe waits {self.seconds} seconds",
                allowed=f"Cloud Run waits {CLOUD_RUN_STARTUP_SECONDS} at most, which is period"
                " times failures",
                remedy="lower one of them; a model that takes longer to load must be made smaller"
                " (`inference-runtime optimize`)",
            )
