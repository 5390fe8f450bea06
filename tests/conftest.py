"""What holds for every test: none has to be quick, and which run in one process.

No example of hypothesis has a deadline: machines differ, and are busy at times.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

OF_ONE_DEPLOYMENT = {
    f"tests/e2e/test_{name}.py"
    for name in (
        "apis", "cloud_run", "model_stores", "monitoring", "predictions", "releases", "warm",
    )
}  # fmt: skip


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """Each file's tests in one process, and in one all that ask the app in the emulator."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/e2e" if file in OF_ONE_DEPLOYMENT else file


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Scheduling:
    """Deploying takes half a minute: once is enough."""
    return Scheduling(config, log)
