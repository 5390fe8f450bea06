"""Where Google Cloud Functions look for the function."""

from inference_runtime.adapters.google_functions import handler

__all__ = ["handler"]
