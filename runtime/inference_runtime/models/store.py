"""What the schemes have in common: a folder of objects behind HTTP."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Protocol

    class Store(Protocol):
        """A folder of objects.

        Attributes:
            uri: of the folder, with a ``/`` at its end and without any secret, for messages.
            access: what lets this process read its objects, for messages.
        """

        uri: str
        access: str

        def request(self, name: str, headers: Mapping[str, str]) -> Request:
            """A ``GET`` of an object, authorised.

            Args:
                name: the object's path in the folder.
                headers: to send with it.

            Raises:
                ModelNotLoaded: there are no credentials.
                Busy: there are none for the moment.
            """

        def follow(self, name: str, url: str, status: int, headers: Mapping[str, str], /) -> bool:
            """Whether this answer points elsewhere, and ``request`` from now on goes there.

            Args:
                name: the object's path in the folder.
                url: that was asked.
                status: of the answer.
                headers: of the answer, by lower-case name.
            """

        def renew(self, asked: Request, reason: str, /) -> bool:
            """Whether this answer says that the credentials of its request have ended, and
            ``request`` has others from now on.

            Args:
                asked: the request.
                reason: the answer's status and the server's name for what is wrong.

            Raises:
                ModelNotLoaded: there are no others.
                Busy: there are none for the moment.
            """

        def list_request(self, marker: str, /) -> Request:
            """A ``GET`` of a page of the names of all objects in the folder.

            Args:
                marker: of the page; empty for the first.

            Raises:
                ModelNotLoaded: they cannot be listed, or there are no credentials.
                Busy: there are none for the moment.
            """

        def parse_list(self, body: bytes, /) -> tuple[list[str], str]:
            """The paths of objects in a page, and the next page's marker; empty after the last."""


# Of HTTP. The module ``http`` has them as an enum, which takes longer to import than this package.
OK: Final = 200
PARTIAL_CONTENT: Final = 206
FORBIDDEN: Final = 403
BUSY_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})


class Busy(Exception):
    """The server asks for patience, or broke off: worth another try."""


class Request:
    """An HTTP request.

    Attributes:
        url: with its scheme, its path and query percent-encoded.
        headers: by name.
        method: of HTTP.
        body: nothing, of a ``GET``.
    """

    __slots__ = ("body", "headers", "method", "url")

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        method: str = "GET",
        body: bytes | bytearray = b"",
    ) -> None:
        self.url = url
        self.headers = dict(headers)
        self.method = method
        self.body = body


def texts(xml: bytes, element: str) -> list[str]:
    """What is in each ``element`` of a list of objects, which holds no other element.

    Example:
        >>> texts(b"<a><Key>x&amp;y</Key><Key/></a>", "Key")
        ['x&y']
    """
    from html import unescape

    parts = xml.decode(errors="replace").split(f"<{element}>")[1:]
    return [unescape(part.partition("<")[0]) for part in parts]
