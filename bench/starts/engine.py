"""The engine alone, on inputs of zeros: no JSON, no request."""

import os
import sys

from inference_runtime.engine.selection import CAPI, load
from inference_runtime.engine.threads import intra_op_threads, vcpus
from inference_runtime.service import InferenceService

if __name__ == "__main__":
    InferenceService(load(sys.argv[1], intra_op_threads(vcpus(None)), CAPI)).warm_up()
    os.write(int(sys.argv[3]), b'{"predictions": []}\n')
    sys.stdin.read()
    os._exit(0)
