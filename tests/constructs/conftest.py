from __future__ import annotations

import os

# The template validator of the first synth in a process costs seconds; tests/constructs/test_app.py
# runs with it. The setting is read when aws_cdk starts its Node process, so it comes first.
os.environ.setdefault("CDK_VALIDATION", "false")
