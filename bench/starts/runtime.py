"""This runtime, with the engine that ``INFERENCE_ENGINE`` names."""

import os
import sys

os.environ["MODEL_URI"] = sys.argv[1]

from inference_runtime.serving import start

plane = start()

if __name__ == "__main__":
    from inference_runtime.messages import Request

    with open(sys.argv[2], "rb") as file:  # noqa: PTH123 (pathlib would be part of the start)
        request = Request("POST", "/predict", {}, file.read(), "1")
    os.write(int(sys.argv[3]), plane.handle(request).body + b"\n")
    sys.stdin.read()
    os._exit(0)
