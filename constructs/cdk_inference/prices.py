"""What AWS charges: one table, in US dollars, without tax, discounts or the free tier.

Prices are those of us-east-1 in November 2026, written down here because a synth asks nobody. They
differ by region and change: check https://calculator.aws before you rely on a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# As https://calculator.aws has it: 365 days of 24 hours, divided by 12.
HOURS_PER_MONTH: Final = 730
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600


@dataclass(frozen=True)
class LambdaPrices:
    """What Lambda charges for one processor architecture: https://aws.amazon.com/lambda/pricing/.

    Attributes:
        gb_second: a GB of memory for a second of a request, or of an INIT phase, on demand.
        provisioned_gb_second: a GB of memory for a second of provisioned concurrency, used or not.
        provisioned_run_gb_second: a GB of memory for a second of a request that runs there.
    """

    gb_second: float
    provisioned_gb_second: float
    provisioned_run_gb_second: float


LAMBDA: Final = {
    "x86_64": LambdaPrices(0.0000166667, 0.0000041667, 0.0000097222),
    "arm64": LambdaPrices(0.0000133334, 0.0000033334, 0.0000077778),
}
LAMBDA_REQUEST: Final = 0.20 / 1e6

# A GB of memory for a second of a published version, three hours at least; and of each restore.
# https://aws.amazon.com/lambda/pricing/
SNAP_START_GB_SECOND: Final = 0.0000015046
SNAP_START_RESTORED_GB: Final = 0.0001397998

# https://aws.amazon.com/eventbridge/pricing/
SCHEDULER_INVOCATION: Final = 1.00 / 1e6

# Express workflows: https://aws.amazon.com/step-functions/pricing/
EXPRESS_REQUEST: Final = 1.00 / 1e6
EXPRESS_GB_SECOND: Final = 0.00001667
