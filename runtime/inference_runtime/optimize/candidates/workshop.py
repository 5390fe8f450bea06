"""What candidates are made from; steps that several share are done once."""

from __future__ import annotations

import os
from functools import cached_property

from inference_runtime.optimize import model_file
from inference_runtime.optimize.candidates import onnxruntime_tools
from inference_runtime.optimize.errors import DoesNotApply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import onnx

    from inference_runtime.optimize.samples import Samples


class Workshop:
    """A model and the intermediate files made from it.

    Args:
        original: the model's file.
        folder: for intermediate files; exists and is empty.
        samples: for calibration.
        transformer: the kind of transformer that fusion looks for.
    """

    def __init__(self, original: str, folder: str, samples: Samples, transformer: str) -> None:
        self.original = original
        self.samples = samples
        self._folder = folder
        self._transformer = transformer

    def new_file(self, name: str) -> str:
        """The path of an intermediate file."""
        return os.path.join(self._folder, name)

    @cached_property
    def slimmed(self) -> str:
        """The model after onnxslim."""
        return self._write("slimmed.onnx", onnxruntime_tools.slim(self.original))

    @cached_property
    def fused(self) -> str:
        """The slimmed model with a transformer's parts fused.

        Raises:
            DoesNotApply: there is nothing to fuse.
        """
        return self._write("fused.onnx", onnxruntime_tools.fuse(self.slimmed, self._transformer))

    @cached_property
    def base(self) -> str:
        """What lower precisions start from: fused where that applies, else slimmed."""
        try:
            return self.fused
        except DoesNotApply:
            return self.slimmed

    def _write(self, name: str, model: onnx.ModelProto) -> str:
        path = self.new_file(name)
        model_file.write(model, path)
        return path
