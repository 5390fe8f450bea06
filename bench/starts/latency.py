"""Runs a model for a while: ``latency.py THREADS MODEL SECONDS``; prints each run's time in ms, as
a JSON list.

``default`` is onnxruntime's own number of threads, which spin while they wait; ``ours`` what this
runtime takes from the quota that the process really has.
"""

import json
import sys
from time import perf_counter

import numpy as np
import onnxruntime as ort
from inference_runtime.engine.options import INTER_OP_THREADS, SESSION_CONFIG
from inference_runtime.engine.threads import intra_op_threads, vcpus

if __name__ == "__main__":
    threads, path, seconds = sys.argv[1:]
    options = ort.SessionOptions()
    if threads == "ours":
        options.intra_op_num_threads = intra_op_threads(vcpus(None))
        options.inter_op_num_threads = INTER_OP_THREADS
        for key, value in SESSION_CONFIG.items():
            options.add_session_config_entry(key, value)
    session = ort.InferenceSession(path, options)
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    feed = {
        i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], types[i.type])
        for i in session.get_inputs()
    }
    session.run(None, feed)
    runs = []
    end = perf_counter() + float(seconds)
    while perf_counter() < end:
        start = perf_counter()
        session.run(None, feed)
        runs.append((perf_counter() - start) * 1000)
    print(json.dumps(runs))
