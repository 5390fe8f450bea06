"""Reads objects of a store in ranges; each answer is checked to be of the same object."""

from __future__ import annotations

from collections import deque
from functools import partial
from threading import Lock
from time import sleep

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import Connection, Untrusted
from inference_runtime.models.store import BUSY_STATUSES, OK, PARTIAL_CONTENT, Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from inference_runtime.models.http_client import Answer
    from inference_runtime.models.store import Request, Store

    Result = TypeVar("Result")

# Large enough that a range costs little more than its bytes, and in the span that Amazon names:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html
RANGE_BYTES: Final = 8 << 20
ATTEMPTS: Final = 5

_FIRST_DELAY_SECONDS = 0.1
_MAX_FOLLOWS = 5
_MAX_ERROR_BYTES = 64 << 10
_MAX_OBJECT_BYTES = 16 << 20  # of a manifest, or of a page of names


class NotThere(ModelNotLoaded):
    """There is no such object, or this process may not read it; some stores do not tell which."""


class Changed(ModelNotLoaded):
    """An object is not what it was, or not what it was said to be."""


class RemoteFile:
    """An object that is being read.

    Attributes:
        name: its path in the store.
        uri: for messages.
        size: in bytes.
        etag: changes with the content. The time of its last change where the server has no ETag,
            and empty where it has neither; ``None`` before its first answer.
        ranged: whether the server gives a part of it when asked to.
        first: the first answer, where that came before it is fetched, its body not read yet, and
            the connection that it came on.
    """

    __slots__ = ("_lock", "etag", "first", "name", "ranged", "size", "uri")

    def __init__(self, name: str, uri: str, size: int) -> None:
        self.name = name
        self.uri = uri
        self.size = size
        self.etag: str | None = None
        self.ranged = True
        self.first: tuple[Connection, Answer] | None = None
        self._lock = Lock()

    @property
    def range_bytes(self) -> int:
        """How much of it one request asks for."""
        return RANGE_BYTES if self.ranged else self.size

    @property
    def identity(self) -> str:
        """Tells this content from any other, under this name or another."""
        return f"{self.uri} {self.size} {self.etag}"

    def check(self, answer: Answer) -> None:
        """Check that an answer is of this object; the first one tells its ETag.

        Raises:
            Changed: it is of another.
        """
        with self._lock:
            if self.etag is None:
                self.etag = _etag(answer)
        if _etag(answer) != self.etag or _total_size(answer, self.uri) != self.size:
            raise Changed(
                f"{self.uri} changed while it was fetched: start again, and store each version of a"
                " model under a name of its own"
            )

    def close(self) -> None:
        """Let the first answer go unread."""
        if self.first is not None:
            self.first[0].close()
            self.first = None


class Reader:
    """Reads the objects of one store.

    Args:
        store: where they are.
        timeout: seconds without a byte before a request is tried again.
    """

    def __init__(self, store: Store, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._idle: deque[Connection] = deque()

    def probe(self, name: str) -> RemoteFile:
        """Ask for an object: what the answer tells, with its first range under way.

        Raises:
            ModelNotLoaded: it cannot be had; the message says why and what to do.
        """
        uri = self._store.uri + name
        connection = self.take()
        answer = self.retried(uri, lambda: self._get_range(connection, name, 0, RANGE_BYTES))
        file = RemoteFile(name, uri, _total_size(answer, uri))
        file.check(answer)
        file.ranged = answer.status == PARTIAL_CONTENT
        file.first = (connection, answer)
        return file

    def expect(self, name: str, size: int) -> RemoteFile:
        """An object that is said to have this size, without asking for it yet."""
        return RemoteFile(name, self._store.uri + name, size)

    def read(self, name: str) -> bytes | None:
        """The content of a small object; ``None`` where there is none, or none for this process.

        Raises:
            ModelNotLoaded: it cannot be had.
        """
        try:
            return self.ask(name, lambda: self._store.request(name, {}))
        except NotThere:
            return None

    def ask(self, name: str, request: Callable[[], Request]) -> bytes:
        """The answer to a request about an object, or about the store.

        Args:
            name: of the object.
            request: makes the request, anew for each try.

        Raises:
            ModelNotLoaded: there is none; the message says why and what to do.
        """
        return self.retried(self._store.uri + name, lambda: self._read(name, request))

    def names(self) -> list[str]:
        """The paths of all objects in the store.

        Raises:
            ModelNotLoaded: they cannot be listed; the message says why and what to do.
        """
        names: list[str] = []
        marker = ""
        while True:
            page = self.ask("", partial(self._store.list_request, marker))
            found, marker = self._store.parse_list(page)
            names += found
            if not marker:
                return names

    def get(self, connection: Connection, file: RemoteFile, start: int, end: int) -> Answer:
        """Ask for the bytes from ``start`` to before ``end`` of an object.

        Raises:
            ModelNotLoaded: it is refused, or is no longer what it was.
            Changed: the latter; or its server gives no ranges, which nobody asked before.
            Busy: another try makes sense, as it does with an ``OSError``.
        """
        is_first = file.etag is None
        answer = self._get_range(connection, file.name, start, end, file.etag or "")
        file.check(answer)
        if is_first and answer.status == OK and end - start < file.size:
            raise Changed(f"{file.uri}: its server gives no ranges")
        given = _range(answer) if answer.status == PARTIAL_CONTENT else (0, file.size)
        if given != (start, end):
            raise Busy(f"the server gives the bytes {given} where {(start, end)} were asked for")
        return answer

    def retried(
        self, uri: str, attempt: Callable[[], Result], pause: Callable[[float], object] = sleep
    ) -> Result:
        """What ``attempt`` gives, tried again, with growing pauses, while the network fails.

        Raises:
            ModelNotLoaded: it failed too often.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except Untrusted as error:
                raise ModelNotLoaded(f"{uri}: its server is not trusted: {error}") from error
            except (Busy, OSError) as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise self._unreachable(uri, error) from error
            pause(_delay(failures))

    def take(self) -> Connection:
        """A connection that nobody uses, or a new one."""
        try:
            return self._idle.popleft()
        except IndexError:
            return Connection(self._timeout)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for another request; its last answer is read to its end."""
        self._idle.append(connection)

    def close(self) -> None:
        """End all connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _get_range(
        self,
        connection: Connection,
        name: str,
        start: int,
        end: int,
        etag: str = "",
    ) -> Answer:
        headers = {"range": f"bytes={start}-{end - 1}", "accept-encoding": "identity"}
        if etag.startswith('"'):  # a weak one never matches
            headers["if-match"] = etag
        return self._get(connection, name, lambda: self._store.request(name, headers))

    def _read(self, name: str, request: Callable[[], Request]) -> bytes:
        connection = self.take()
        body = self._get(connection, name, request).read(_MAX_OBJECT_BYTES)
        self.give_back(connection)
        return body

    def _get(self, connection: Connection, name: str, request: Callable[[], Request]) -> Answer:
        for _ in range(_MAX_FOLLOWS):
            asked = request()
            answer = connection.send(asked)
            if answer.status in (OK, PARTIAL_CONTENT):
                return answer
            reason = _reason(answer)
            if self._store.follow(name, asked.url, answer.status, answer.headers):
                continue
            if not self._store.renew(asked, reason):
                break
        if answer.status in BUSY_STATUSES:
            raise Busy(f"the server answers {reason}")
        raise _refused(self._store.uri + name, answer.status, reason, self._store.access)

    def _unreachable(self, uri: str, error: Exception) -> ModelNotLoaded:
        return ModelNotLoaded(
            f"{uri} cannot be fetched, after {ATTEMPTS} tries: {error or type(error).__name__}."
            " Check that this process can reach it (network, DNS, a VPC endpoint); a slow server"
            f" needs a larger INFERENCE_FETCH_TIMEOUT_SECONDS, which is {self._timeout:g}"
        )


def _etag(answer: Answer) -> str:
    return answer.headers.get("etag") or answer.headers.get("last-modified") or ""


def _total_size(answer: Answer, uri: str) -> int:
    text = answer.headers.get("content-length", "")
    if answer.status == PARTIAL_CONTENT:
        text = answer.headers.get("content-range", "").rpartition("/")[2]
    if not text.isdecimal():
        raise ModelNotLoaded(f"{uri}: its server does not tell its size; store it elsewhere")
    if text == "0":
        raise ModelNotLoaded(f"{uri} is empty: upload it again")
    return int(text)


def _range(answer: Answer) -> tuple[int, int] | None:
    """The first byte of a part, and the one after its last."""
    span = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")[0]
    first, _, last = span.partition("-")
    return (int(first), int(last) + 1) if first.isdecimal() and last.isdecimal() else None


def _reason(answer: Answer) -> str:
    """The status, and the server's name for what is wrong: Amazon S3, Google Cloud Storage and
    Azure put it into the body alike.
    """
    _, found, rest = answer.read(_MAX_ERROR_BYTES).partition(b"<Code>")
    reason = rest.partition(b"<")[0].decode(errors="replace") if found else answer.reason
    return f"{answer.status} {reason}"


def _refused(uri: str, status: int, reason: str, access: str) -> ModelNotLoaded:
    match status:
        case 404 | 410:
            return NotThere(f"{uri} does not exist ({reason}): check its name")
        case 401 | 403:
            return NotThere(f"{uri} is refused ({reason}): {access}")
        case 412:
            return Changed(f"{uri} changed while it was fetched: start again")
        case 416:
            return ModelNotLoaded(f"{uri} is empty: upload it again")
    return ModelNotLoaded(f"{uri} cannot be fetched: the server answers {reason}")


def _delay(failures: int) -> float:
    """Seconds before the next try: doubled each time, by chance up to half less, so that many
    processes do not come back at once.
    """
    from random import uniform  # only where a try failed

    longest = _FIRST_DELAY_SECONDS * (1 << failures - 1)
    return longest * uniform(0.5, 1)  # noqa: S311
