"""What a process weighs most when it loads a model: its start, its speed or its memory."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.manifest import Served
    from inference_runtime.settings import Settings

# When weights are laid out anew for faster runs.
AT_LOAD: Final = "at load"
AFTERWARDS: Final = "after the first answer"
NEVER: Final = "never"


class Profile:
    """How models are loaded.

    Attributes:
        packs: ``AT_LOAD``, ``AFTERWARDS`` or ``NEVER``.
        lays_out: whether a graph that onnxruntime optimises at load gets its convolutions laid out
            for this processor, too (level ALL instead of EXTENDED).
        keeps_memory: whether memory that a run or a load no longer needs is kept for the next.
        warms_up: whether a model runs once before its first request. Somebody waits for that run
            in any case; at a cold start it would be the first caller.
    """

    __slots__ = ("keeps_memory", "lays_out", "packs", "warms_up")

    def __init__(self, *, packs: str, lays_out: bool, keeps_memory: bool, warms_up: bool) -> None:
        self.packs = packs
        self.lays_out = lays_out
        self.keeps_memory = keeps_memory
        self.warms_up = warms_up

    def options(self, served: Served) -> tuple[LoadOptions, LoadOptions | None]:
        """How a model is loaded, and how once more after the first answer.

        Without a measurement it is not known what a model loses unpacked: 8-bit convolutions take
        several times as long.
        """
        fastest = served.options.replace(layout=self.lays_out, arena=self.keeps_memory)
        unpacked = fastest.replace(prepack=False)
        if self.packs == NEVER:
            return unpacked, None
        if self.packs == AFTERWARDS and served.unpacked_start and fastest.prepack:
            return unpacked, fastest
        return fastest, None


def _cold(packs: str) -> Profile:
    return Profile(packs=packs, lays_out=True, keeps_memory=True, warms_up=False)


# The level: laying out ResNet-18 (47 MB, one thread) took 77 of the 131 ms to its first answer, and
# 42 MB; then runs took 34 ms instead of 42. `cold` loses by the tenth answer what it would gain by
# the first, so it lays out, and `optimize --candidates layout` has both; `memory` does not. Dense
# layers and transformers are the same at every level.
#
# Threads: those of ``engine.threads`` in every profile. One more took no time to load, 2 MB at most
# of scratch (ResNet-18, MiniLM, BERT-base), and a third to a half off each run.
_PROFILES: Final = {
    "cold": _cold(AFTERWARDS),
    "throughput": Profile(packs=AT_LOAD, lays_out=True, keeps_memory=True, warms_up=True),
    "memory": Profile(packs=NEVER, lays_out=False, keeps_memory=False, warms_up=True),
}


def profile_of(settings: Settings) -> Profile:
    """The profile that ``INFERENCE_PROFILE`` names, or the one that fits the host.

    A GPU's first run sets up its kernels, for seconds or minutes, which is part of a start.
    """
    name = settings.profile
    if name == "auto":
        name = "cold" if settings.starts_for_a_caller and settings.on_cpu else "throughput"
    if name != "cold":
        return _PROFILES[name]
    if settings.batching == "exact":  # was probed at the load: the bits must stay
        return _cold(AT_LOAD)
    return _PROFILES["cold"] if settings.pack_afterwards else _cold(NEVER)
