"""What a store is asked first, while the rest of what fetches is imported."""

from __future__ import annotations

import posixpath
from functools import partial

from inference_runtime.manifest import MANIFEST_FILE
from inference_runtime.models.call import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.models.reader import Reader


class Opening:
    """Asks for a model, and for the manifest beside it, at the same time.

    Args:
        reader: of its store.
        name: of the ONNX file, its path in the store.

    Attributes:
        manifest: the call that gives the manifest's text; ``None`` where there is none.
        own: the call that gives the ONNX file, probed.
    """

    __slots__ = ("manifest", "own")

    def __init__(self, reader: Reader, name: str) -> None:
        beside = posixpath.join(posixpath.dirname(name), MANIFEST_FILE)
        self.manifest = Call(partial(reader.read, beside))
        self.own = Call(partial(reader.probe, name))
