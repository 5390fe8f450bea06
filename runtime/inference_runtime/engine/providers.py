"""Which of onnxruntime's execution providers run a model, in what order, and when none will do.

onnxruntime goes on without a provider that it cannot load, and says so on standard error alone.
Here every such step is a line in the log, and whoever asks for a GPU gets one or an error.
"""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.settings import CPU, GPU_PROVIDERS, OPENVINO, TENSORRT
from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any, Final, Protocol, TypeVar

    class Session(Protocol):
        """What is asked of onnxruntime's session."""

        def get_providers(self) -> Sequence[str]:
            """The providers that it has, by onnxruntime's names."""

        def get_provider_graph_assignment_info(self) -> Sequence[Any]:
            """Parts of the graph, each with ``ep_name`` and ``get_nodes()``."""

    S = TypeVar("S", bound=Session)
    # Makes a session with these providers, each with its options.
    Make = Callable[[Sequence[tuple[str, Mapping[str, str]]], Mapping[str, str]], S]

# https://onnxruntime.ai/docs/execution-providers/
_ORT_NAMES: Final = {
    CPU: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    TENSORRT: "TensorrtExecutionProvider",
    OPENVINO: "OpenVINOExecutionProvider",
}
# onnxruntime's exceptions that no other provider would spare a model.
_BROKEN_MODEL: Final = frozenset({"InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile"})
_RECORD_NODES: Final = {"session.record_ep_graph_assignment_info": "1"}
_NOT_ON_CPU: Final = {"session.disable_cpu_ep_fallback": "1"}
_NO_NODES: Final = "it has no kernel for any node of the model"
_NOT_LOADED: Final = "onnxruntime could not load it, and says why on standard error"


class Providers:
    """The execution providers that may run a model.

    Args:
        names: the preferred one first. Without ``cpu``, every node must run on one of the others.
        require_gpu: whether one of them must be a GPU's, and be usable.
        tensorrt_cache_dir: where TensorRT keeps the engines that it builds; empty: nowhere.

    Example:
        >>> Providers(("cuda", "cpu"), require_gpu=True)  # doctest: +SKIP
    """

    def __init__(
        self, names: tuple[str, ...], *, require_gpu: bool = False, tensorrt_cache_dir: str = ""
    ) -> None:
        self._names = names
        self._require_gpu = require_gpu
        self._tensorrt_cache_dir = tensorrt_cache_dir

    def open_session(self, path: str, threads: int, available: Collection[str], make: Make[S]) -> S:
        """A session of the model at ``path``, with as many of these providers as can be used.

        The first is left out for as long as no session can be made with it.

        Args:
            path: of the model.
            threads: of one run, where a provider has threads of its own.
            available: what this build of onnxruntime has, by its own names.
            make: makes a session from providers with their options, and from the session's
                configuration.

        Raises:
            ModelNotLoaded: what is left may not serve, and the message says why each is left out;
                or the folder of TensorRT's engines cannot be made.
            Exception: what ``make`` raises for a model that no provider could load.
        """
        attempt = _Attempt(path, self._names)
        for name in self._names:
            if _ORT_NAMES[name] not in available:
                attempt.leave_out(name, f"this onnxruntime has {', '.join(available)} only")
        options = {name: self._options(name, path, threads) for name in attempt.left}
        session = self._make_session(attempt, options, make)
        for name in attempt.left.copy():
            if _ORT_NAMES[name] not in session.get_providers():
                attempt.leave_out(name, _NOT_LOADED)
        self._check(attempt)
        nodes = _nodes(session, attempt.left)
        self._check_nodes(nodes, attempt)
        log("INFO", "execution providers", model_path=path, nodes=nodes)
        return session

    def _make_session(
        self, attempt: _Attempt, options: Mapping[str, Mapping[str, str]], make: Make[S]
    ) -> S:
        config = _RECORD_NODES if CPU in self._names else _RECORD_NODES | _NOT_ON_CPU
        while True:
            self._check(attempt)
            try:
                return make([(_ORT_NAMES[name], options[name]) for name in attempt.left], config)
            except Exception as error:  # onnxruntime's exceptions have no common base below it
                if attempt.left == [CPU] or type(error).__name__ in _BROKEN_MODEL:
                    raise
                attempt.leave_out(attempt.left[0], str(error).strip())

    def _check(self, attempt: _Attempt) -> None:
        if not attempt.left:
            raise attempt.failure(
                "INFERENCE_PROVIDERS names no other: mend what is missing, or name cpu too"
            )
        if self._require_gpu and GPU_PROVIDERS.isdisjoint(attempt.left):
            raise attempt.failure(
                "INFERENCE_REQUIRE_GPU is on: give this process a GPU and its libraries, or turn it"
                " off to serve on the CPU"
            )

    def _check_nodes(self, nodes: Mapping[str, int], attempt: _Attempt) -> None:
        if self._require_gpu and not any(nodes.get(name) for name in GPU_PROVIDERS):
            attempt.leave_out(next(filter(GPU_PROVIDERS.__contains__, nodes)), _NO_NODES)
            raise attempt.failure(
                "INFERENCE_REQUIRE_GPU is on: serve this model on the CPU, at a lower price"
            )

    def _options(self, name: str, path: str, threads: int) -> dict[str, str]:
        if name == OPENVINO:
            return {"num_of_threads": str(threads)}
        if name != TENSORRT or not self._tensorrt_cache_dir:
            return {}
        folder = _engines_folder(self._tensorrt_cache_dir, path)
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }


def runs_on_gpu(session: Session) -> bool:
    """Whether any of its providers is a GPU's."""
    return not {_ORT_NAMES[name] for name in GPU_PROVIDERS}.isdisjoint(session.get_providers())


def _nodes(session: Session, names: Sequence[str]) -> dict[str, int]:
    """How many nodes of the graph run on each provider."""
    counts = dict.fromkeys(names, 0)
    by_ort_name = {ort_name: name for name, ort_name in _ORT_NAMES.items()}
    for part in session.get_provider_graph_assignment_info():
        name = by_ort_name.get(part.ep_name, part.ep_name)
        counts[name] = counts.get(name, 0) + len(part.get_nodes())
    return counts


class _Attempt:
    """What is left to make a session with, and why the rest is not."""

    def __init__(self, path: str, names: tuple[str, ...]) -> None:
        self.left = list(names)
        self._path = path
        self._reasons: list[str] = []

    def leave_out(self, name: str, reason: str) -> None:
        self.left.remove(name)
        self._reasons.append(f"{name}: {reason}")
        log(
            "WARNING", "execution provider left out",
            model_path=self._path, provider=name, reason=reason,
        )  # fmt: skip

    def failure(self, remedy: str) -> ModelNotLoaded:
        return ModelNotLoaded(
            f"{self._path} is not served without its execution providers"
            f" ({'; '.join(self._reasons)}), since {remedy}"
        )


def _engines_folder(cache: str, path: str) -> str:
    """Where the engines of one model are kept, for one version of onnxruntime.

    TensorRT's provider names an engine after the graph and the GPU, and not after the weights that
    are in it nor the version that built it:
    https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html#trt_engine_cache_enable

    Raises:
        ModelNotLoaded: it cannot be made.
    """
    from inference_runtime.manifest import onnxruntime_version
    from inference_runtime.models.digest import digest

    folder = os.path.join(cache, f"{digest(path)[:16]}-onnxruntime-{onnxruntime_version()}")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ModelNotLoaded(
            f"INFERENCE_TENSORRT_CACHE_DIR is {cache!r}, where no engine can be kept"
            f" ({error.strerror}): make it writable, or leave it out"
        ) from error
    return folder
