"""``inference-runtime batch``: a folder of requests, answered at once."""

from __future__ import annotations

import argparse

from inference_runtime.cli.options import MODEL, add_options, given
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_DESCRIPTION = """\
Answer every request in a folder, here or in a bucket (gs://), and write the answers beside it.

  inference-runtime batch --model models/digits/digits.onnx --input requests/

An input is a file of JSON lines (.jsonl), each a request, or one request (.json). What is done is
not done again; a request that is at fault gets its error for an answer, and the manifest says so.
On Cloud Run, the tasks of a job share the inputs.
"""

_OPTIONS: Final = {
    **MODEL,
    "INFERENCE_BATCH_INPUT": ("--input", "FOLDER", "the requests: a path, or gs://BUCKET/FOLDER/"),
    "INFERENCE_BATCH_OUTPUT": ("--output", "FOLDER", "where results go; default: beside the input"),
}


def add(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    parser = subparsers.add_parser(
        "batch",
        help="answer a folder of requests at once",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, _OPTIONS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Answer this task's share.

    Raises:
        InferenceError: as ``batch.job.run``.
    """
    settings = Settings.read(arguments=given(arguments, _OPTIONS))
    from inference_runtime.batch import job

    job.run(settings)
