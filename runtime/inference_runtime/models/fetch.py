"""One object to one file, over several connections at the same time."""

from __future__ import annotations

from collections import deque
from mmap import mmap
from threading import Condition, Event, Lock, Thread

from inference_runtime.models.part import Part, not_stored
from inference_runtime.models.store import Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from inference_runtime.models.http_client import Answer, Connection
    from inference_runtime.models.reader import Reader, RemoteFile

_PIECE_BYTES = 1 << 20
# Of a request: the tries for 64 MB still suffice where the network fails now and then.
_MAX_RANGES = 8


class Failure:
    """What ends downloads that make sense only together: the first error of any.

    Attributes:
        error: that one.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._lock = Lock()
        self._happened = Event()

    def tell(self, error: BaseException) -> None:
        """End the downloads; only the first error counts."""
        with self._lock:
            self.error = self.error or error
        self._happened.set()

    def wait(self, seconds: float) -> None:
        """Pause for so long, or until it happens."""
        self._happened.wait(seconds)


def fetch(
    reader: Reader,
    file: RemoteFile,
    path: str,
    connections: int,
    digest: _Hash | None = None,
    failure: Failure | None = None,
) -> Part:
    """Fetch the ranges of an object that ``path``'s unfinished form does not hold yet.

    A request asks for several that follow one another, a connection's share of what is left: many
    at first, so that few answers are waited for, and one in the end, so that no connection is left
    behind.

    Args:
        reader: of the object's store.
        file: the object, as it was probed.
        path: of the finished file. It appears only when the caller publishes it.
        connections: at the same time, at most.
        digest: is fed with the content while that lands.
        failure: is told of this download's, and ends it. Default: its own.

    Returns:
        The whole content, not published yet.

    Raises:
        ModelNotLoaded: the object cannot be had or stored, or has changed since it was probed.
        OSError: its file cannot be made.
    """
    part = Part(path, file.size, file.range_bytes, file.identity)
    _Download(reader, file, part, connections, failure or Failure()).run(digest)
    return part


class _Stopped(Exception):
    """Another thread failed, of this download or of one that it makes sense with."""


class _Download:
    def __init__(
        self, reader: Reader, file: RemoteFile, part: Part, connections: int, failure: Failure
    ) -> None:
        self._reader = reader
        self._file = file
        self._part = part
        self._connections = connections
        self._pending = deque(part.missing())
        self._missing = set(self._pending)
        self._progress = Condition()
        self._failure = failure
        self._active: list[Connection] = []

    def run(self, digest: _Hash | None) -> None:
        """Fetch what is missing; the first failure of any thread ends all."""
        workers = self._start(min(self._connections, len(self._pending)))
        try:
            self._await(digest)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            for worker in workers:
                worker.join()

    def _start(self, count: int) -> list[Thread]:
        workers = [Thread(target=self._work, daemon=True) for _ in range(count)]
        if self._file.first is not None:
            if self._pending and self._pending[0] == 0:
                # The answer to the probe: the first range, already under way.
                connection, answer = self._file.first
                first = ([self._pending.popleft()], answer)
                workers[0] = Thread(target=self._work, args=(connection, first), daemon=True)
                self._file.first = None
            else:
                self._file.close()
        for worker in workers:
            worker.start()
        return workers

    def _await(self, digest: _Hash | None) -> None:
        """Wait for range after range, and hash each while later ones still land."""
        with self._part.map() as content, memoryview(content) as view:
            for index in range(self._part.count):
                self._await_range(index)
                if digest is not None:
                    start, end = self._part.bounds(index)
                    digest.update(view[start:end])

    def _await_range(self, index: int) -> None:
        with self._progress:
            self._progress.wait_for(lambda: self._failure.error or index not in self._missing)
        if self._failure.error is not None:
            raise self._failure.error

    def _work(
        self,
        connection: Connection | None = None,
        first: tuple[list[int], Answer] | None = None,
    ) -> None:
        connection = connection or self._reader.take()
        self._active.append(connection)
        piece = memoryview(mmap(-1, _PIECE_BYTES))  # comes zeroed without this thread's work
        try:
            if first is not None:
                self._fetch_ranges(connection, piece, *first)
            while indices := self._next():
                self._fetch_ranges(connection, piece, indices)
        except BaseException as error:
            connection.close()
            self._fail(error)
        else:
            self._reader.give_back(connection)

    def _next(self) -> list[int]:
        """Ranges for one request; none when all are asked for."""
        indices: list[int] = []
        with self._progress:
            share = min(max(1, len(self._pending) // self._connections), _MAX_RANGES)
            while self._pending and len(indices) < share:
                if indices and self._pending[0] != indices[-1] + 1:
                    break
                indices.append(self._pending.popleft())
        return indices

    def _fail(self, error: BaseException) -> None:
        self._failure.tell(error)
        with self._progress:
            self._progress.notify_all()
        for connection in self._active:
            connection.abort()

    def _fetch_ranges(
        self,
        connection: Connection,
        piece: memoryview,
        indices: list[int],
        answer: Answer | None = None,
    ) -> None:
        start, end = self._part.bounds(indices[0])[0], self._part.bounds(indices[-1])[1]
        position = start

        def attempt() -> None:
            """Go on where the last try stopped, if the server can."""
            nonlocal position, answer
            self._check_wanted()
            if not self._file.ranged:
                position = start
            current, answer = answer, None
            current = current or self._reader.get(connection, self._file, position, end)
            while position < end:
                filled, error = _fill(piece[: end - position], current)
                self._store(piece[:filled], position)
                position += filled
                while indices and self._part.bounds(indices[0])[1] <= position:
                    self._complete(indices.pop(0))
                if error is not None:
                    raise error
                self._check_wanted()

        self._reader.retried(self._file.uri, attempt, self._failure.wait)

    def _check_wanted(self) -> None:
        if self._failure.error is not None:
            raise _Stopped

    def _complete(self, index: int) -> None:
        self._part.complete(index)
        with self._progress:
            self._missing.remove(index)
            self._progress.notify_all()

    def _store(self, content: memoryview, position: int) -> None:
        try:
            self._part.write(content, position)
        except OSError as error:
            raise not_stored(self._file.uri, self._part.path, error) from error


def _fill(piece: memoryview, answer: Answer) -> tuple[int, Exception | None]:
    """How much of ``piece`` could be filled, and why no more.

    Encrypted connections give 16 kB at a time; writing each would take longer than receiving it.
    """
    filled = 0
    try:
        while filled < len(piece):
            count = answer.readinto(piece[filled:])
            if not count:
                raise Busy(f"the answer ended {len(piece) - filled:,} bytes too early")
            filled += count
    except (Busy, OSError) as error:
        return filled, error
    return filled, None
