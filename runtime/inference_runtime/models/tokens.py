"""Credentials that a host or an authority hands out, and hands out anew before they end."""

from __future__ import annotations

from threading import RLock
from time import monotonic

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import read
from inference_runtime.models.store import BUSY_STATUSES, Busy, Request
from inference_runtime.models.url import encode_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class Renewed:
    """A credential that is looked for when first needed, and again after a while.

    Several threads may ask at the same time: one looks, and the others wait.

    Args:
        find: gives it.
        seconds: for which it is used.
    """

    def __init__(self, find: Callable[[], Any], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._found: tuple[Any, float] | None = None
        self._lock = RLock()

    def get(self) -> Any:
        """The credential. What ``find`` raises comes through."""
        with self._lock:
            if self._found is None or monotonic() > self._found[1]:
                self._found = self._find(), monotonic() + self._seconds
            return self._found[0]

    def replace(self, is_refused: Callable[[Any], bool]) -> bool:
        """Whether there is another credential than the one that was refused, which is looked for
        unless that has been done meanwhile.

        Args:
            is_refused: whether a credential is that one.
        """
        with self._lock:
            if is_refused(self.get()):
                self._found = None
            return not is_refused(self.get())


class NoToken(Exception):
    """There is none; the text says why.

    Args:
        reason: why.
        passes: whether another try may have one.
    """

    def __init__(self, reason: str, *, passes: bool) -> None:
        super().__init__(reason)
        self._passes = passes

    def failure(self, text: str) -> Exception:
        """What to raise with ``text``."""
        return Busy(text) if self._passes else ModelNotLoaded(text)


def access_token(request: Request, timeout: float) -> str:
    """The token in an answer of OAuth 2.0's form, as metadata servers and authorities give it.

    Raises:
        NoToken: the answer has none, or there is no answer.
    """
    from json import loads

    try:
        status, body = read(request, timeout)
    except OSError as error:
        raise NoToken(str(error), passes=True) from error
    try:
        return str(loads(body)["access_token"])
    except (ValueError, LookupError, TypeError):
        raise NoToken(f"it answers {status}", passes=status in BUSY_STATUSES) from None


def bearer(token: str) -> str:
    """The header ``authorization`` of a request with an access token: RFC 6750."""
    return f"Bearer {token}"


def renew_token(token: Renewed, asked: Request, reason: str) -> bool:
    """Whether a server refuses the access token of a request, and there is another from now on.

    Args:
        token: the store's.
        asked: the request.
        reason: as ``Store.renew`` has it.
    """
    refused = asked.headers.get("authorization")
    if refused is None or not reason.startswith("401 "):
        return False
    return token.replace(lambda other: bearer(other) == refused)


def form_request(url: str, form: Mapping[str, str]) -> Request:
    """A ``POST`` of an HTML form, as OAuth 2.0 has it."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Request(url, headers, "POST", encode_query(form).encode())


def token_file(path: str, variable: str) -> str:
    """The content of a file that holds a token.

    Args:
        path: of the file.
        variable: that names it, for the message.

    Raises:
        ModelNotLoaded: it cannot be read.
    """
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        raise ModelNotLoaded(f"{variable} is {path!r}, which cannot be read: {error}") from error
