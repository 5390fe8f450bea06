"""What every engine asks of onnxruntime, so that both run the same graph in the same way."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Threads do not spin while they wait: spinning burns the quota of a shared vCPU.
# https://onnxruntime.ai/docs/performance/tune-performance/threading.html
SESSION_CONFIG: Final = {
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}
INTER_OP_THREADS: Final = 1


def disable_telemetry() -> None:
    """Keep onnxruntime from reporting to its maker. Call it before the library is loaded.

    From 1.29 on, the Linux builds send model and machine details over the network and keep a
    database in the home folder, unless this variable says otherwise when they initialise
    (https://github.com/microsoft/onnxruntime/pull/27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
