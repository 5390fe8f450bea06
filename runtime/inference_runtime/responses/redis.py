"""Answers in Redis, shared by all instances. Needs the extra ``redis``."""

from __future__ import annotations

from inference_runtime.errors import InvalidSettings

try:
    import redis
except ImportError:
    raise InvalidSettings(
        "INFERENCE_RESPONSE_CACHE is a redis URL, but redis is not installed; install"
        " inference-runtime[redis]"
    ) from None

_TIMEOUT_SECONDS = 0.25  # a cache that is slower than the model is none


class RedisStore:
    """Answers under their keys, each with a time to live.

    Args:
        url: ``redis://`` or ``rediss://``, as redis-py reads it.
        seconds: that an answer is kept.
    """

    def __init__(self, url: str, seconds: int) -> None:
        self._seconds = seconds
        self._client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )

    def get(self, key: str) -> bytes | None:
        """The answer, if it is still there."""
        answer = self._client.get(key)
        return answer.encode() if isinstance(answer, str) else answer

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""
        self._client.set(key, answer, ex=self._seconds)
