"""Loads a model and runs it once, on zeros: ``load.py WAY SMALL MODEL``; prints what both took, as
JSON.

``default`` is onnxruntime's package with its defaults; ``mapped`` is this runtime's engine as the
profile ``cold`` loads a compiled model. onnxruntime itself is started before, by a small model,
and what that took is not counted.
"""

import json
import sys
from pathlib import Path
from time import perf_counter


def load_default(path):
    """Load as the textbook does; what runs it once comes back."""
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(path)

    def run():
        types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        feed = {
            i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], types[i.type])
            for i in session.get_inputs()
        }
        session.run(None, feed)

    return run


def load_mapped(path):
    """Load as this runtime does; what runs it once comes back."""
    from inference_runtime import manifest
    from inference_runtime.engine.capi.session import CapiEngine
    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.engine.threads import intra_op_threads, vcpus
    from inference_runtime.service import InferenceService

    weights = manifest.served(str(Path(path).with_name("model.onnx"))).options.weights
    options = LoadOptions(optimize_graph=False, prepack=False, weights=weights)
    return InferenceService(CapiEngine(path, intra_op_threads(vcpus(None)), options)).warm_up


def memory_mb(field):
    """A field of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not tell " + field)


if __name__ == "__main__":
    load = {"default": load_default, "mapped": load_mapped}[sys.argv[1]]
    small, path = sys.argv[2:]
    load(small)()
    resident, anonymous = memory_mb("VmRSS"), memory_mb("RssAnon")
    start = perf_counter()
    run = load(path)
    loaded = perf_counter()
    loaded_anonymous = memory_mb("RssAnon") - anonymous
    began = perf_counter()
    run()
    answered = perf_counter()
    print(
        json.dumps(
            {
                "load_ms": (loaded - start) * 1000,
                "first_ms": (answered - began) * 1000,
                "peak_mb": memory_mb("VmHWM") - resident,
                "loaded_anonymous_mb": loaded_anonymous,
                "anonymous_mb": memory_mb("RssAnon") - anonymous,
            }
        )
    )
