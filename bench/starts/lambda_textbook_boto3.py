"""The textbook handler as ``awslambdaric`` imports it, beside a client of Amazon S3, as in many."""

import boto3

s3 = boto3.client("s3", region_name="us-east-1")

from bench.starts.lambda_textbook import handler  # noqa: E402

__all__ = ["handler"]
