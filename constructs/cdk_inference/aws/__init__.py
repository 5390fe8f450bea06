"""Constructs for AWS: one construct, one file. Import them from ``cdk_inference``."""
