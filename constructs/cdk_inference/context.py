"""The context values that constructs read, beside the CDK's own."""

from typing import Final

# Set by `cdk-inference local deploy`: the emulator runs functions in this machine's own Python and
# has no Docker engine.
LOCAL: Final = "cdk-inference:local"
