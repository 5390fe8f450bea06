"""What CloudWatch Logs Insights is asked of a function's log: the runtime's lines and Lambda's own.

Lambda's fields are those that Logs Insights finds in its lines of text, ``REPORT`` among them:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cdk_inference.contract import LOG_READY, LOG_REQUEST, LOG_TRACEBACK
from cdk_inference.contract import LogField as Field
from cdk_inference.prices import LAMBDA_REQUEST

_REPORT: Final = 'filter @type = "REPORT"'
_REQUESTS: Final = f'filter {Field.MESSAGE} = "{LOG_REQUEST}"'


@dataclass(frozen=True)
class LogQuery:
    """A query of Logs Insights.

    Attributes:
        title: what it answers.
        lines: its commands, one after the other.
    """

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The query as Logs Insights reads it."""
        return "\n| ".join(self.lines)


COLD_STARTS: Final = LogQuery(
    "Cold starts, % of requests",
    (
        _REQUESTS,
        # Logs Insights counts a JSON true as 1 and a false as 0.
        f"stats 100 * sum({Field.COLD_START}) / count(*) as cold_start_percent by bin(5m)",
    ),
)

START_PHASES: Final = LogQuery(
    "INIT by phase, ms",
    (
        f'filter {Field.MESSAGE} = "{LOG_READY}" or ispresent(@initDuration)',
        f"stats avg(@initDuration) as init_ms, avg({Field.IMPORTS_MS}) as {Field.IMPORTS_MS},"
        f" avg({Field.LOAD_MS}) as {Field.LOAD_MS}, avg({Field.WARM_UP_MS}) as {Field.WARM_UP_MS}"
        " by bin(5m)",
    ),
)

REQUEST_PARTS: Final = LogQuery(
    "Parts of a request, p99 in ms",
    (
        _REQUESTS,
        "stats "
        + ", ".join(
            f"pct({part}, 99) as {part.removesuffix('_ms')}_p99"
            for part in (Field.QUEUE_MS, Field.DECODE_MS, Field.RUN_MS, Field.ENCODE_MS)
        )
        + " by bin(5m)",
    ),
)

MEMORY: Final = LogQuery(
    "Memory used and given, MB",
    (
        _REPORT,
        "stats max(@maxMemoryUsed / 1000 / 1000) as used_mb,"
        " max(@memorySize / 1000 / 1000) as given_mb by bin(5m)",
    ),
)

SLOWEST: Final = LogQuery(
    "Slowest requests",
    (
        _REQUESTS,
        f"fields @timestamp, {Field.REQUEST_ID}, {Field.STATUS}, {Field.COLD_START},"
        f" {Field.BATCH_SIZE}, {Field.DECODE_MS}, {Field.RUN_MS}, {Field.ENCODE_MS}",
        f"sort {Field.RUN_MS} desc",
        "limit 50",
    ),
)

ERRORS: Final = LogQuery(
    "Errors by code",
    (
        f"{_REQUESTS} and ispresent({Field.ERROR})",
        f"stats count(*) as requests, latest({Field.DETAIL}) as latest_detail"
        f" by {Field.ERROR}, {Field.FAULT}, {Field.MODEL_VERSION}",
        "sort requests desc",
    ),
)

TRACEBACKS: Final = LogQuery(
    "Tracebacks of failed requests",
    (
        f'filter {Field.MESSAGE} = "{LOG_TRACEBACK}"',
        f"fields @timestamp, {Field.REQUEST_ID}, {Field.TRACEBACK}",
        "sort @timestamp desc",
        "limit 20",
    ),
)

VERSIONS: Final = LogQuery(
    "Model versions compared",
    (
        _REQUESTS,
        f"stats count(*) as requests, count({Field.ERROR}) as errors,"
        f" avg({Field.RUN_MS}) as run_avg, pct({Field.RUN_MS}, 50) as run_p50,"
        f" pct({Field.RUN_MS}, 99) as run_p99 by {Field.MODEL}, {Field.MODEL_VERSION}",
    ),
)

# A log stream's name has the function's version in brackets:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html
EXECUTED_VERSIONS: Final = LogQuery(
    "Versions of the function compared",
    (
        _REQUESTS,
        r"parse @logStream /\[(?<executed_version>[^\]]+)\]/",
        f"stats count(*) as requests, count({Field.ERROR}) as errors,"
        f" 100 * count({Field.ERROR}) / count(*) as error_percent,"
        f" 100 * sum({Field.COLD_START}) / count(*) as cold_start_percent,"
        f" avg({Field.RUN_MS}) as run_avg, pct({Field.RUN_MS}, 50) as run_p50,"
        f" pct({Field.RUN_MS}, 99) as run_p99 by executed_version, {Field.MODEL_VERSION}",
        "sort executed_version",
    ),
)


def cost_query(gb_second: float) -> LogQuery:
    """What a thousand predictions cost: rows of requests, where one may bring several.

    It counts what Lambda bills for requests and their INIT phases, those of errors and of warm-up
    calls among them. What keeps environments warm is billed apart.

    Args:
        gb_second: US dollars for a GB of memory for a second.

    Example:
        >>> cost_query(LAMBDA["x86_64"].gb_second).title
        'US dollars for each thousand predictions'
    """
    gb_seconds = "@billedDuration / 1000 * @memorySize / 1000 / 1000 / 1024"
    thousands = f"sum({Field.BATCH_SIZE})"
    dollars = (
        f"sum({gb_seconds}) * {1000 * gb_second:.10f}"
        f" + count(@billedDuration) * {1000 * LAMBDA_REQUEST:.10f}"
    )
    return LogQuery(
        "US dollars for each thousand predictions",
        (
            f'filter @type = "REPORT" or ispresent({Field.BATCH_SIZE})',
            f"stats ({dollars}) / {thousands} as dollars by bin(1h)",
        ),
    )
