"""A classifier's class labels, from the model's metadata property ``class_labels``."""

from __future__ import annotations

from inference_runtime.errors import MalformedBody, ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from inference_runtime.tensor import Datatype, Label

CLASS_LABELS: Final = "class_labels"


def parse_labels(text: str, path: str) -> list[Label]:
    """The labels that the property's ``text`` spells: a JSON list of strings or integers.

    Args:
        text: of the property.
        path: of the model, for the message.

    Raises:
        ModelNotLoaded: it is no such list.
    """
    from inference_runtime.jsonio import loads

    try:
        labels = loads(text.encode())
    except MalformedBody:
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str | int) for label in labels):
        raise ModelNotLoaded(
            f"{path} cannot be served: its metadata property {CLASS_LABELS!r} is {text!r}; it must"
            " be a JSON list of strings or integers"
        )
    return labels  # type: ignore[return-value]


def column_labels(
    labels: list[Label] | None, datatype: Datatype, shape: Sequence[int]
) -> list[Label] | None:
    """``labels`` where a tensor's columns are the classes: scores, not the label itself."""
    is_scores = datatype.kind == "float" and len(shape) > 1
    return labels if labels and is_scores and shape[-1] == len(labels) else None
