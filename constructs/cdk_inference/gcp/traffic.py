"""How requests are shared among a service's revisions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdk_inference.gcp.tokens import are_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.validation import Problems

_WHOLE: Final = 100
_TAG: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class TrafficShare:
    """The share of one revision.

    Attributes:
        percent: of all requests, 0 to 100.
        revision: its name, as ``gcloud run revisions list`` tells it. Default: the newest.
        tag: gives it a URL of its own, ``https://TAG---…``, whatever its percent. Of lower-case
            letters, digits and hyphens, a letter first. Default: none.

    Example:
        >>> [TrafficShare(90, revision="digits-00007-abc"), TrafficShare(10, tag="next")]
    """

    percent: int
    revision: str | None = None
    tag: str | None = None


def check_traffic(bindings: Bindings, shares: Sequence[TrafficShare], problems: Problems) -> None:
    """Record a problem unless there are none, or they make a whole, each with a tag of its own."""
    percents = [share.percent for share in shares]
    is_whole = sum(percents) == _WHOLE and min(percents) >= 0 if shares else True
    if are_known(bindings, *percents) and not is_whole:
        problems.add(
            f"traffic is shared as {' + '.join(map(str, percents))} percent",
            allowed=f"all shares together are {_WHOLE}, and none is less than 0",
            remedy="change them, or leave traffic out for the newest revision to get all",
        )
    tags = [share.tag for share in shares if share.tag is not None]
    for tag in dict.fromkeys(tags):
        if are_known(bindings, tag) and (tags.count(tag) > 1 or not _TAG.fullmatch(tag)):
            problems.add(
                f"traffic has the tag {tag!r} {tags.count(tag)} times",
                allowed="a tag is of one share, and of lower-case letters, digits and hyphens, a"
                " letter first and no hyphen last",
                remedy="change it, or leave it out",
            )
