"""Our data plane, for any ASGI server."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "runtime"))

from inference_runtime.adapters.asgi import Application
from inference_runtime.serving import start

plane = start()
app = Application(plane, plane.settings)
