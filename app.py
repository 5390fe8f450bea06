"""The CDK app of this repository: a reference stack that serves the digits model."""

import aws_cdk as cdk

from stacks.digits import DigitsStack

app = cdk.App()
DigitsStack(app, "DigitsStack")
app.synth()
