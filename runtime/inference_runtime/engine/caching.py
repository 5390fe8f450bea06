"""Answers a call from an earlier run of the same model on the same bytes."""

from __future__ import annotations

from hashlib import sha256
from time import monotonic

from inference_runtime import jsonio
from inference_runtime.errors import InvalidSettings
from inference_runtime.telemetry import log
from inference_runtime.tensor import DATATYPES, Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, Protocol

    from inference_runtime.engine import Cancellation, Engine
    from inference_runtime.settings import Settings

    class Store(Protocol):
        """Keeps answers by key, from several threads."""

        def get(self, key: str) -> bytes | None:
            """The answer, if it is kept."""

        def put(self, key: str, answer: bytes) -> None:
            """Keep an answer, or not."""


# A failing store is left alone for so many times as long as the failure took: a refused connection
# for some milliseconds, a time-out for seconds.
_PAUSE_FACTOR: Final = 20


class CachingEngine:
    """An engine that runs only what its store does not know.

    The store never fails a request: what it cannot give is computed, and the log says so. After a
    failure it is left alone for a while, so that one that times out costs each request next to
    nothing.

    Args:
        engine: what runs the model.
        store: of answers.
        model: what tells this model's answers from those of others in the same store.

    Attributes:
        signature: the engine's.
    """

    def __init__(self, engine: Engine, store: Store, model: str) -> None:
        self.signature = engine.signature
        self._engine = engine
        self._store = store
        self._model = model
        self._left_alone_until = 0.0

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        """Give the known answer, or run the model; see ``Engine.run``."""
        key = _key(self._model, inputs, outputs)
        known = self._get(key)
        if known is not None:
            return known
        answer = self._engine.run(inputs, outputs, cancellation)
        self._put(key, encode(answer))
        return answer

    def _get(self, key: str) -> dict[str, Tensor] | None:
        known = self._ask(self._store.get, key)
        if known is None:
            return None
        try:
            return decode(known)
        except Exception as error:  # somebody else's, or cut short
            _log_failure(error)
            return None

    def _put(self, key: str, answer: bytes) -> None:
        self._ask(self._store.put, key, answer)

    def _ask(self, question: Callable[..., bytes | None], *arguments: object) -> bytes | None:
        start = monotonic()
        if start < self._left_alone_until:
            return None
        try:
            return question(*arguments)
        except Exception as error:
            end = monotonic()
            self._left_alone_until = end + (end - start) * _PAUSE_FACTOR
            _log_failure(error)
            return None


def create_store(settings: Settings) -> Store:
    """The store that ``INFERENCE_RESPONSE_CACHE`` names.

    Raises:
        InvalidSettings: its client is not installed, or a shared store lacks ``MODEL_SHA256``.
    """
    uri, seconds = settings.response_cache, settings.response_cache_seconds
    if uri == "memory":
        from inference_runtime.responses.memory import MemoryStore

        return MemoryStore(settings.response_cache_bytes)
    if not settings.model_sha256:
        raise InvalidSettings(
            "INFERENCE_RESPONSE_CACHE is shared, so MODEL_SHA256 must be set: it tells this model's"
            " answers from another's"
        )
    if uri.startswith("dynamodb://"):
        from inference_runtime.responses.dynamodb import DynamoDbStore

        return DynamoDbStore(uri.removeprefix("dynamodb://"), seconds)
    from inference_runtime.responses.redis import RedisStore

    return RedisStore(uri, seconds)


def encode(answer: Mapping[str, Tensor]) -> bytes:
    """An answer as bytes: the length of a JSON header, the header, and the buffers."""
    header = jsonio.dumps(
        [
            [name, tensor.datatype.name, tensor.shape, tensor.buffer.nbytes, tensor.labels]
            for name, tensor in answer.items()
        ]
    )
    buffers = [tensor.buffer for tensor in answer.values()]
    return b"".join((len(header).to_bytes(4, "little"), header, *buffers))


def decode(data: bytes) -> dict[str, Tensor]:
    """The answer that ``encode`` wrote."""
    end = 4 + int.from_bytes(data[:4], "little")
    header: Any = jsonio.loads(data[4:end])
    answer = {}
    view = memoryview(data)
    for name, datatype, shape, size, labels in header:
        answer[name] = Tensor(DATATYPES[datatype], shape, view[end : end + size], labels)
        end += size
    return answer


def _key(model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> str:
    described = [
        [name, tensor.datatype.name, tensor.shape, tensor.buffer.nbytes]
        for name, tensor in sorted(inputs.items())
    ]
    digest = sha256(jsonio.dumps([model, described, list(outputs)]))
    for _, tensor in sorted(inputs.items()):
        digest.update(tensor.buffer)
    return digest.hexdigest()


def _log_failure(error: Exception) -> None:
    log("WARNING", "response cache failed", detail=f"{type(error).__name__}: {error}")
