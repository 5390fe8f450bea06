"""The tables of docs/runtime.md, made from the code.

``uv run python -m tests.runtime.documentation`` writes them into the page anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from inference_runtime.errors import InferenceError
from inference_runtime.settings import VARIABLES, Variable

PAGE = Path(__file__).parents[2] / "docs" / "runtime.md"
MODULE = InferenceError.__module__


def settings_table() -> str:
    rows = [_row(variable) for variable in VARIABLES]
    return "\n".join(["| variable | default | takes | what for |", "|---|---|---|---|", *rows])


def errors_table() -> str:
    errors = [cls("") for cls in InferenceError.__subclasses__() if cls.__module__ == MODULE]
    rows = [
        f"| {error.status} | `{error.code}` | {error.fault} | {_first_paragraph(error)} |"
        for error in sorted(errors, key=lambda error: (error.status, error.code))
    ]
    return "\n".join(["| status | code | whose fault | what |", "|---|---|---|---|", *rows])


TABLES = {"settings": settings_table, "errors": errors_table}


def written(page: str) -> str:
    """``page`` with each table between its two comments made anew."""
    for name, table in TABLES.items():
        between = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        (found,) = between.finditer(page)
        page = page.replace(found[0], f"{found[1]}{table()}\n{found[2]}")
    return page


def _row(variable: Variable) -> str:
    default = {None: "required", "": ""}.get(variable.default, f"`{variable.default}`")
    cells = [f"`{variable.name}`", default, variable.allowed, variable.purpose]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _first_paragraph(error: InferenceError) -> str:
    return " ".join((error.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
