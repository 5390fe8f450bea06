"""The engine over onnxruntime's C library by ctypes, without numpy and the ``onnxruntime`` package.

The wheel of ``onnxruntime`` carries ``libonnxruntime.so`` beside its Python binding; the C API is
stable. Importing numpy and the binding takes three quarters of a cold start with the package, and
this engine needs neither (bench/cold_start.py measures it).
"""

from __future__ import annotations


class NeedsStockEngine(Exception):
    """This engine cannot serve here; the text says why. ``engine.selection`` takes the other."""
