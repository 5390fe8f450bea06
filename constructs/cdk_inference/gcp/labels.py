"""Labels of resources, for bills and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import GOOGLE_LABEL_LENGTH, GOOGLE_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.validation import Problems


def check_labels(bindings: Bindings, labels: Mapping[str, str], problems: Problems) -> None:
    """Record a problem for each label that Google Cloud would refuse, and for too many of them."""
    if len(labels) > GOOGLE_LABELS:
        problems.add(
            f"there are {len(labels)} labels",
            allowed=f"Google Cloud takes {GOOGLE_LABELS} for a resource",
            remedy="leave some out",
        )
    for key, value in labels.items():
        is_key = not are_known(bindings, key) or (key[:1].isalpha() and _is_text(key))
        is_value = not are_known(bindings, value) or _is_text(value)
        if not (is_key and is_value):
            problems.add(
                f"labels has {key!r}: {value!r}",
                allowed="Google Cloud takes letters without capitals, digits, '-' and '_', up to"
                f" {GOOGLE_LABEL_LENGTH} each, and a letter first in the key",
                remedy="change it, as in 'cost-center': 'shop_1'",
            )


def _is_text(text: str) -> bool:
    return len(text) <= GOOGLE_LABEL_LENGTH and all(
        character in "-_" or (character.isalnum() and character == character.lower())
        for character in text
    )
