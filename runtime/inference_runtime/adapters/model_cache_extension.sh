#!/bin/sh
# In /opt/extensions, Lambda starts this before the runtime. It has the function's own Python, and
# the runtime's package from where a zip, its layers or an image have it.
PYTHONPATH=/var/task:/opt/python exec python3 -m inference_runtime.adapters.model_cache_extension "${0##*/}"
