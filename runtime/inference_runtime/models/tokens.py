"""Credentials that a host hands out, and hands out anew before they end."""

from __future__ import annotations

from time import monotonic

from inference_runtime.models.http_client import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from inference_runtime.models.store import Request


class Renewed:
    """A credential that is looked for when first needed, and again after a while.

    Args:
        find: gives it.
        seconds: for which it is used.
    """

    def __init__(self, find: Callable[[], Any], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._found: tuple[Any, float] | None = None

    def get(self) -> Any:
        """The credential. What ``find`` raises comes through."""
        if self._found is None or monotonic() > self._found[1]:
            self._found = self._find(), monotonic() + self._seconds
        return self._found[0]


class NoToken(Exception):
    """The host gives none; the text says why."""


def access_token(request: Request, timeout: float) -> str:
    """The token in an answer of OAuth 2.0's form, as metadata servers give it.

    Raises:
        NoToken: the answer has none, or there is no answer.
    """
    from json import loads

    try:
        status, body = read(request, timeout)
        return str(loads(body)["access_token"])
    except (ValueError, LookupError, TypeError):
        raise NoToken(f"it answers {status}") from None
    except OSError as error:
        raise NoToken(str(error)) from error
