"""When and where a request runs: at once on the event loop, or on a thread after others."""

from __future__ import annotations

import time
from threading import Lock

from inference_runtime.adapters.http.loop_guard import LoopGuard, TookTooLong
from inference_runtime.adapters.http.pace import Pace
from inference_runtime.adapters.http.workers import Workers
from inference_runtime.engine import Cancellation
from inference_runtime.engine.threads import vcpus
from inference_runtime.errors import DeadlineExceeded, InferenceError, Overloaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from inference_runtime.messages import Reply, Request
    from inference_runtime.settings import Settings

    class Plane(Protocol):
        """What answers; see ``DataPlane``."""

        max_request_bytes: int

        def handle(self, request: Request) -> Reply:
            """Answer a request."""

        def refuse(self, request: Request, error: InferenceError) -> Reply:
            """Answer a request with an error."""

    class Cancellable(Protocol):
        """A call to come."""

        def cancel(self) -> Any:
            """Leave it out."""

    class Loop(Protocol):
        """What is asked of an event loop: ours, or asyncio's."""

        def call_later(self, delay: float, callback: Callable[[], Any], /) -> Cancellable:
            """Call ``callback`` after ``delay`` seconds."""

        def call_soon_threadsafe(self, callback: Callable[[], Any], /) -> Any:
            """Have the loop's thread call ``callback``."""


class Scheduler:
    """Runs requests, so that none waits without bound, and none that is fast waits for a slow one.

    A request whose path was fast lately runs on the event loop itself: a thread would cost more
    than the run. If it then is slow after all, it is ended and repeated on a thread. Requests
    without a body run on the loop too, so that health is told however busy the threads are.
    Every other request waits for one of ``INFERENCE_CONCURRENCY`` threads, in the order of
    arrival, with at most ``INFERENCE_MAX_QUEUE`` before it. Where requests share runs, or wait for
    a cache or a user's code, all runs are on threads: such a wait cannot be ended.

    All methods are for the loop's own thread.

    Args:
        plane: answers.
        settings: of this process.
        loop: calls back.
    """

    def __init__(self, plane: Plane, settings: Settings, loop: Loop) -> None:
        workers = settings.concurrency or _automatic_concurrency(settings)
        self._runs_here = _only_runs(settings)
        self._plane = plane
        self._loop = loop
        self._timeout = settings.timeout_seconds
        self._most = workers + settings.max_queue
        self._workers = Workers(workers)
        self._unfinished: set[Run] = set()
        self._pace = Pace()
        self._guard = LoopGuard()

    def answer_here(self, request: Request) -> Reply | None:
        """The reply, where it is quickly told; ``None`` where the request needs a thread.

        Never raises: an error is a reply.

        Args:
            request: whole.
        """
        if self._is_fast(request):
            request.cancellation = Cancellation()
            self._guard.begin(request.cancellation)
            try:
                return self._handle(request)
            except TookTooLong:
                pass
            finally:
                self._guard.end()
        if len(self._unfinished) >= self._most:
            return self._plane.refuse(request, Overloaded("too many requests wait; try later"))
        return None

    def answer_on_thread(self, request: Request, deliver: Callable[[Reply], Any]) -> Run:
        """Run a request that ``answer_here`` did not answer.

        Args:
            request: whole.
            deliver: is called with the reply by the loop; an error is a reply, too.

        Returns:
            What ends it before its time.
        """
        request.cancellation = cancellation = Cancellation()

        def finish(reply: Reply) -> None:
            timer.cancel()
            self._unfinished.discard(run)
            deliver(reply)

        def work() -> None:
            reply = self._handle(request)
            self._loop.call_soon_threadsafe(lambda: finish(reply))

        run = Run(cancellation, work, lambda why: finish(self._plane.refuse(request, why)))
        late = DeadlineExceeded(f"there was no answer within {self._timeout:g} s")
        timer = self._loop.call_later(self._timeout, lambda: run.end(late))
        self._unfinished.add(run)
        self._workers.submit(run.begin)
        return run

    def end_all(self, reason: InferenceError) -> None:
        """End every run, and every request that waits for one, with ``reason`` as its answer."""
        for run in list(self._unfinished):
            run.end(reason)

    def _is_fast(self, request: Request) -> bool:
        if request.method != "POST":
            return True
        return self._runs_here and self._pace.is_fast(request.path, len(request.body))

    def _handle(self, request: Request) -> Reply:
        start = time.perf_counter()
        try:
            reply = self._plane.handle(request)
        except TookTooLong:
            self._pace.mark_slow(request.path)
            raise
        if reply.status == 200:  # A refusal is fast, and tells nothing of a run.
            self._pace.record(request.path, time.perf_counter() - start)
        return reply


class Run:
    """A request that waits for a thread, or has one.

    Args:
        cancellation: ends it once it has begun.
        work: is called by the thread.
        refuse: is called instead, where it is ended before.
    """

    __slots__ = ("_cancellation", "_claim", "_refuse", "_work")

    def __init__(
        self,
        cancellation: Cancellation,
        work: Callable[[], None],
        refuse: Callable[[InferenceError], None],
    ) -> None:
        self._cancellation = cancellation
        self._work = work
        self._refuse = refuse
        self._claim = Lock()  # taken by whoever is first: its thread, or its end

    def begin(self) -> None:
        """Run, unless it was ended before."""
        if self._claim.acquire(blocking=False):
            self._work()

    def end(self, reason: InferenceError) -> None:
        """End it, with ``reason`` as its answer."""
        self._cancellation.cancel(reason)
        if self._claim.acquire(blocking=False):
            self._refuse(reason)


def _automatic_concurrency(settings: Settings) -> int:
    """One more than the processors, or as many as may share a run: those only wait."""
    alone = int(vcpus(None)) + 1
    return alone if settings.batching == "off" else max(alone, settings.batch_rows)


def _only_runs(settings: Settings) -> bool:
    """Whether all that takes time in a request is a run, which can be ended."""
    return (
        settings.batching == "off"
        and settings.response_cache in ("", "memory")
        and not settings.pipeline
    )
