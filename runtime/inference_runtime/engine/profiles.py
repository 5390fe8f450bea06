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
        warms_up: whether a model runs once before its first request. Somebody waits for that run
            in any case; at a cold start it would be the first caller.
        keeps_memory: whether memory that a run or a load no longer needs is kept for the next.
    """

    __slots__ = ("keeps_memory", "packs", "warms_up")

    def __init__(self, *, packs: str, warms_up: bool, keeps_memory: bool = True) -> None:
        self.packs = packs
        self.warms_up = warms_up
        self.keeps_memory = keeps_memory

    def options(self, served: Served) -> tuple[LoadOptions, LoadOptions | None]:
        """How a model is loaded, and how once more after the first answer.

        Without a measurement it is not known what a model loses unpacked: 8-bit convolutions take
        several times as long.
        """
        fastest = served.options.replace(arena=self.keeps_memory)
        unpacked = fastest.replace(prepack=False)
        if self.packs == NEVER:
            return unpacked, None
        if self.packs == AFTERWARDS and served.unpacked_start and fastest.prepack:
            return unpacked, fastest
        return fastest, None


_COLD: Final = Profile(packs=AFTERWARDS, warms_up=False)
_THROUGHPUT: Final = Profile(packs=AT_LOAD, warms_up=True)
_MEMORY: Final = Profile(packs=NEVER, warms_up=True, keeps_memory=False)


def profile_of(settings: Settings) -> Profile:
    """The profile that ``INFERENCE_PROFILE`` names, or the one that fits the host.

    A GPU's first run sets up its kernels, for seconds or minutes, which is part of a start.
    """
    named = {"cold": _COLD, "throughput": _THROUGHPUT, "memory": _MEMORY}.get(settings.profile)
    is_cold = settings.starts_for_a_caller and settings.on_cpu
    profile = named or (_COLD if is_cold else _THROUGHPUT)
    if profile is not _COLD:
        return profile
    if settings.batching == "exact":  # was probed at the load: the bits must stay
        return Profile(packs=AT_LOAD, warms_up=False)
    return profile if settings.pack_afterwards else Profile(packs=NEVER, warms_up=False)
