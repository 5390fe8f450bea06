"""``https://host/path``: any web server, public or with a signed URL."""

from __future__ import annotations

from time import monotonic

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.store import FORBIDDEN, Request
from inference_runtime.models.url import Url, encode_rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


# A target that refuses so soon after its redirect would refuse again.
_FRESH_SECONDS = 1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpsStore:
    """The folder of a URL.

    Redirects are followed, to ``https://`` only, and anew where their target refuses after a while.
    ``http://`` is for servers on this machine.

    Args:
        url: of a file in it.

    Raises:
        ModelNotLoaded: the URL carries a user's name, or no encryption.
    """

    access = "give a URL that needs no sign-in, or one that is signed and has not run out"

    def __init__(self, url: str) -> None:
        parts = Url(url)
        if parts.user:
            raise ModelNotLoaded(
                f"MODEL_URI names a user at {parts.host}; give a signed URL instead"
            )
        folder = parts.path.rpartition("/")[0]
        self.uri = f"{parts.scheme}://{parts.origin}{folder}/"
        self._query = f"?{parts.query}" if parts.query else ""
        self._moved: dict[str, tuple[str, float]] = {}  # where to, and since when
        _check_encrypted(url, self.uri)

    def request(self, name: str, headers: Mapping[str, str]) -> Request:
        """See ``Store``."""
        return Request(self._url(name), headers)

    def list_request(self, _marker: str) -> Request:
        """See ``Store``."""
        raise ModelNotLoaded(
            f"MODEL_URI is {self.uri}, but web servers do not list folders: give the URL of the"
            " ONNX file, or keep the repository in s3://, gs:// or az://"
        )

    def parse_list(self, _body: bytes) -> tuple[list[str], str]:
        """See ``Store``."""
        raise NotImplementedError

    def follow(self, name: str, url: str, status: int, headers: Mapping[str, str]) -> bool:
        """See ``Store``."""
        if status == FORBIDDEN and self._has_run_out(name, url):
            return True
        target = headers.get("location")
        if status not in _REDIRECTS or not target:
            return False
        from urllib.parse import urljoin

        moved = urljoin(url, target)
        _check_encrypted(moved, self.uri + name)
        self._moved[name] = moved, monotonic()
        return True

    def renew(self, _asked: Request, _reason: str) -> bool:
        """See ``Store``."""
        return False

    def _has_run_out(self, name: str, url: str) -> bool:
        """Whether what refuses is where a redirect led a while ago: such targets are often signed
        for some minutes. From then on ``name`` is asked for at its own place again.
        """
        own = self._own_url(name)
        moved, since = self._moved.get(name, (own, 0.0))
        if url == moved and monotonic() > since + _FRESH_SECONDS:
            self._moved.pop(name, None)
        return url not in (own, self._url(name))

    def _url(self, name: str) -> str:
        moved, _ = self._moved.get(name, (self._own_url(name), 0.0))
        return moved

    def _own_url(self, name: str) -> str:
        return self.uri + encode_rest(name) + self._query


def _check_encrypted(url: str, uri: str) -> None:
    """What comes without encryption can be replaced on its way."""
    target = Url(url)
    if not target.is_private:
        raise ModelNotLoaded(
            f"{uri} leads to {target.scheme}://{target.host}; models are fetched over https://"
        )
