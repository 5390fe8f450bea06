"""Answers in this process's memory."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock


class MemoryStore:
    """The latest used answers, as many as fit.

    Args:
        limit_bytes: of all answers together. One that is larger is not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = Lock()
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> bytes | None:
        """The answer, if it is still here."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer, and let the longest unused ones go for it."""
        if len(answer) > self._limit:
            return
        with self._lock:
            self._bytes += len(answer) - len(self._answers.pop(key, b""))
            self._answers[key] = answer
            while self._bytes > self._limit:
                self._bytes -= len(self._answers.popitem(last=False)[1])
