"""Options that are variables of ``settings`` too; what is said here comes first."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Final

    Options = Mapping[str, tuple[str, str, str]]

MODEL: Final = {
    "MODEL_URI": ("--model", "PATH_OR_URI", "the ONNX model"),
    "MODEL_NAME": ("--name", "NAME", "the model's name in paths, answers and logs"),
    "MODEL_VERSION": ("--version", "VERSION", "the model's version"),
}


def add_options(parser: ArgumentParser, options: Options) -> None:
    """Add an option for each variable: its name, what it takes, and what for."""
    for variable, (option, value, text) in options.items():
        parser.add_argument(option, dest=variable, metavar=value, help=f"{text} (${variable})")


def given(arguments: Namespace, options: Options) -> dict[str, str]:
    """What was said, by the variables' names."""
    said = vars(arguments)
    return {name: said[name] for name in options if said[name] is not None}
