"""When and where a request runs: at once on the event loop, or on a thread after others."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from inference_runtime.adapters.http.loop_guard import LoopGuard, TookTooLong
from inference_runtime.adapters.http.pace import Pace
from inference_runtime.engine import Cancellation
from inference_runtime.engine.threads import vcpus
from inference_runtime.errors import ClientGone, DeadlineExceeded, InferenceError, Overloaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from inference_runtime.messages import Reply, Request
    from inference_runtime.settings import Settings

    class Plane(Protocol):
        """What answers; see ``DataPlane``."""

        max_request_bytes: int

        def handle(self, request: Request) -> Reply:
            """Answer a request."""

        def refuse(self, request: Request, error: InferenceError) -> Reply:
            """Answer a request with an error."""

    EndRun = Callable[[InferenceError], None]


class Scheduler:
    """Runs requests, so that none waits without bound, and none that is fast waits for a slow one.

    A request whose path was fast lately runs on the event loop itself: a thread would cost more
    than the run. If it then is slow after all, it is ended and repeated on a thread. Requests
    without a body run on the loop too, so that health is told however busy the threads are.
    Every other request waits for one of ``INFERENCE_CONCURRENCY`` threads, in the order of
    arrival, with at most ``INFERENCE_MAX_QUEUE`` before it. Where requests share runs, or wait for
    a cache or a user's code, all runs are on threads: such a wait cannot be ended.

    Args:
        plane: answers.
        settings: of this process.
    """

    def __init__(self, plane: Plane, settings: Settings) -> None:
        workers = settings.concurrency or _automatic_concurrency(settings)
        self._runs_here = _only_runs(settings)
        self._plane = plane
        self._timeout = settings.timeout_seconds
        self._most = workers + settings.max_queue
        self._threads = ThreadPoolExecutor(workers, "run")
        self._unfinished: set[EndRun] = set()
        self._pace = Pace()
        self._guard = LoopGuard()

    async def answer(self, request: Request, client_gone: Callable[[], Awaitable[None]]) -> Reply:
        """Run a request. Never raises: an error is a reply.

        Args:
            request: whole.
            client_gone: returns when the client has hung up; the run is then ended.
        """
        if self._is_fast(request):
            try:
                return self._run_here(request)
            except TookTooLong:
                pass
        if len(self._unfinished) >= self._most:
            return self._plane.refuse(request, Overloaded("too many requests wait; try later"))
        return await self._run_on_thread(request, client_gone)

    def end_all(self, reason: InferenceError) -> None:
        """End every run, and every request that waits for one, with ``reason`` as its answer."""
        for end in list(self._unfinished):
            end(reason)

    def _is_fast(self, request: Request) -> bool:
        if request.method != "POST":
            return True
        return self._runs_here and self._pace.is_fast(request.path, len(request.body))

    def _run_here(self, request: Request) -> Reply:
        request.cancellation = Cancellation()
        self._guard.begin(request.cancellation)
        try:
            return self._handle(request)
        finally:
            self._guard.end()

    async def _run_on_thread(
        self, request: Request, client_gone: Callable[[], Awaitable[None]]
    ) -> Reply:
        request.cancellation = cancellation = Cancellation()
        running = self._threads.submit(self._handle, request)

        def end(reason: InferenceError) -> None:
            cancellation.cancel(reason)
            running.cancel()  # for when it has not begun

        async def end_when_gone() -> None:
            await client_gone()
            end(ClientGone("the client closed the connection"))

        late = DeadlineExceeded(f"there was no answer within {self._timeout:g} s")
        timer = asyncio.get_running_loop().call_later(self._timeout, end, late)
        watcher = asyncio.create_task(end_when_gone())
        self._unfinished.add(end)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not isinstance(cancellation.reason, InferenceError):
                raise
            return self._plane.refuse(request, cancellation.reason)
        finally:
            self._unfinished.discard(end)
            watcher.cancel()
            timer.cancel()

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
