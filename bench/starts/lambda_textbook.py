"""The textbook handler as ``awslambdaric`` imports it: the model is the one of ``MODEL_URI``."""

import os
import sys

sys.argv[1:] = [os.environ["MODEL_URI"]]

from bench.starts.textbook import handler  # noqa: E402 - it reads the argument

__all__ = ["handler"]
