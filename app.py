"""The CDK app of this repository: the digits model, in a reference stack for each capability."""

import aws_cdk as cdk

from stacks.digits import DigitsStack
from stacks.warm import KeepWarmStack, ProvisionedStack, SnapStartStack

app = cdk.App()
for stack in (DigitsStack, SnapStartStack, ProvisionedStack, KeepWarmStack):
    stack(app, stack.__name__)
app.synth()
