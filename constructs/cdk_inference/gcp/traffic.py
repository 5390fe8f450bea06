"""How requests are shared among a service's revisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.validation import Problems

_WHOLE: Final = 100


@dataclass(frozen=True)
class TrafficShare:
    """The share of one revision.

    Attributes:
        percent: of all requests, 0 to 100.
        revision: its name, as ``gcloud run revisions list`` tells it. Default: the newest.
        tag: gives it a URL of its own, ``https://TAG---…``, whatever its percent.

    Example:
        >>> [TrafficShare(90, revision="digits-00007-abc"), TrafficShare(10, tag="next")]
    """

    percent: int
    revision: str | None = None
    tag: str | None = None


def check_traffic(shares: Sequence[TrafficShare], problems: Problems) -> None:
    """Record a problem unless there are none, or they make a whole."""
    total = sum(share.percent for share in shares)
    if shares and (total != _WHOLE or any(share.percent < 0 for share in shares)):
        problems.add(
            f"traffic is shared as {' + '.join(str(share.percent) for share in shares)} percent",
            allowed=f"all shares together are {_WHOLE}, and none is less than 0",
            remedy="change them, or leave traffic out for the newest revision to get all",
        )
