"""From a method and a path to what answers it."""

from __future__ import annotations

from functools import lru_cache

from inference_runtime.errors import MethodNotAllowed, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference_runtime.exchange import Exchange
    from inference_runtime.messages import Reply


_REMEMBERED_PATHS = 256


class Route:
    """One method on one path.

    Args:
        method: in capitals.
        pattern: the path; a segment in braces, as in ``/v2/models/{model}``, takes any one
            segment and names it.
        answer: makes the reply.
    """

    __slots__ = ("answer", "method", "pattern", "segments")

    def __init__(self, method: str, pattern: str, answer: Callable[[Exchange], Reply]) -> None:
        self.method = method
        self.pattern = pattern
        self.answer = answer
        self.segments = pattern.split("/")

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The named segments when the path fits, else ``None``."""
        if len(segments) != len(self.segments):
            return None
        named = {}
        for wanted, segment in zip(self.segments, segments, strict=True):
            if wanted.startswith("{"):
                named[wanted[1:-1]] = _unquote(segment)
            elif wanted != segment:
                return None
        return named


class Router:
    """Finds the route of a request.

    Args:
        routes: all of them.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        # Clients ask the same few paths over and over.
        self.find = lru_cache(maxsize=_REMEMBERED_PATHS)(self._find)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route, and the named segments of the path.

        Raises:
            NotFound: no route has that path.
            MethodNotAllowed: only with other methods.
        """
        segments = path.split("/")
        allowed = []
        for route in self.routes:
            named = route.match(segments)
            if named is None:
                continue
            if route.method == method:
                return route, named
            allowed.append(route.method)
        if allowed:
            raise MethodNotAllowed(
                f"{method} is not allowed on {path}; use {' or '.join(allowed)}", allowed
            )
        raise NotFound(f"there is no path {path!r}; GET /openapi.json lists all")


def _unquote(segment: str) -> str:
    if "%" not in segment:
        return segment
    from urllib.parse import unquote  # 10 ms to import, and few names need it

    return unquote(segment)
