"""Names of resources, made from where their construct is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from constructs import Construct

_BEFORE_A_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_LETTER_OR_DIGIT: Final = re.compile(r"[^a-z0-9]+")
_HASH_LENGTH: Final = 8
_FIRST: Final = "x"  # Google's names begin with a letter


def unique_name(construct: Construct, max_length: int) -> str:
    """A name that no other construct of the app has, of lower-case letters, digits and hyphens, a
    letter first.

    It stays the same for as long as the construct's path does.

    Args:
        construct: what is named.
        max_length: how long the name may be, 16 or more.

    Example:
        >>> unique_name(service, 49)
        'shop-digits-c8a1f0e2'
    """
    words = _BEFORE_A_WORD.sub("-", construct.node.path).lower()
    slug = _NO_LETTER_OR_DIGIT.sub("-", words).strip("-")
    slug = slug if slug[:1].isalpha() else f"{_FIRST}{slug}"
    kept = slug[: max_length - _HASH_LENGTH - 1].strip("-")
    return f"{kept}-{construct.node.addr[-_HASH_LENGTH:]}"
