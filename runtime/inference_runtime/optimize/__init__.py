"""Build-time work on models: make candidates, measure each, choose, and write what serves best.

Never imported while serving. Needs the extra ``optimize``.

`inference-runtime optimize` and `inspect` are thin command lines over ``pipeline.optimize`` and
``inspection.inspect_model``.
"""
