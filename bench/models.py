"""Models of known shapes with random weights, for the benchmarks and the tests.

The weights are random and the answers meaningless; operators, sizes and the way of a request are
those of the models that people serve: a small perceptron, ResNet-18 (47 MB), and the encoders
MiniLM-L6 (90 MB) and BERT-base (436 MB).

Run it with ``uv run python -m bench.models`` to write them all to ``.cache/bench/``.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
SEED = 20261122
OPSET = 18
IR_VERSION = 9


class Graph:
    """An ONNX graph in the making; each method adds an operator and gives its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(SEED)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Add one node; its output is named ``output``, or after the node."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        """Add an initializer."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def random(self, *shape: int) -> str:
        """Add random weights, scaled so that activations keep their size from layer to layer."""
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        weights = self._random.standard_normal(shape, dtype=np.float32)
        return self.constant(weights / np.float32(np.sqrt(fan_in)))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """``x @ weights + bias``."""
        return self.add("Add", self.add("MatMul", x, self.random(inputs, outputs)),
                        self.random(outputs))  # fmt: skip

    def convolution(self, x: str, inputs: int, outputs: int, size: int, stride: int) -> str:
        """A convolution with bias, as exporters leave one after folding batch normalisation."""
        return self.add(
            "Conv", x, self.random(outputs, inputs, size, size), self.random(outputs),
            strides=[stride] * 2, pads=[size // 2] * 4,
        )  # fmt: skip

    def normalize(self, x: str, width: int) -> str:
        """Layer normalisation over the last dimension."""
        return self.add("LayerNormalization", x, self.random(width), self.random(width))

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(self.nodes, "bench", inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def perceptron(widths: tuple[int, ...] = (256, 512, 256, 10)) -> onnx.ModelProto:
    """Dense layers with ReLU between; 1 MB by default."""
    graph = Graph()
    x = "features"
    for inputs, outputs in pairwise(widths[:-1]):
        x = graph.add("Relu", graph.dense(x, inputs, outputs))
    graph.add("Softmax", graph.dense(x, *widths[-2:]), output="probabilities", axis=-1)
    return graph.model(
        [_floats("features", "batch", widths[0])], [_floats("probabilities", "batch", widths[-1])]
    )


def resnet(
    widths: tuple[int, ...] = (64, 128, 256, 512), blocks: int = 2, image: int = 224
) -> onnx.ModelProto:
    """A residual network of basic blocks; ResNet-18 by default: 11.7 M weights.

    Source of the shape: He et al., Deep Residual Learning, table 1 (arXiv:1512.03385).
    """
    graph = Graph()
    x = graph.add("Relu", graph.convolution("image", 3, widths[0], 7, 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _basic_block(graph, x, before, width, stride)
            before = width
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.add("Identity", graph.dense(x, before, 1000), output="scores")
    return graph.model(
        [_floats("image", "batch", 3, image, image)], [_floats("scores", "batch", 1000)]
    )


def encoder(
    layers: int = 6, width: int = 384, heads: int = 12, inner: int = 1536, vocabulary: int = 30522,
    positions: int = 512,
) -> onnx.ModelProto:  # fmt: skip
    """A BERT encoder; MiniLM-L6 by default: 22.7 M weights.

    Source of the shape: config.json of sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face
    hub, and Devlin et al., BERT (arXiv:1810.04805).
    """
    graph = Graph()
    x = graph.normalize(_embeddings(graph, width, vocabulary, positions), width)
    mask = _attention_mask(graph)
    for _ in range(layers):
        x = graph.normalize(graph.add("Add", x, _attention(graph, x, mask, width, heads)), width)
        hidden = _gelu(graph, graph.dense(x, width, inner))
        x = graph.normalize(graph.add("Add", x, graph.dense(hidden, inner, width)), width)
    graph.add("Identity", x, output="last_hidden_state")
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in names
    ]
    return graph.model(ids, [_floats("last_hidden_state", "batch", "sequence", width)])


def bert_base() -> onnx.ModelProto:
    """BERT-base: 109 M weights."""
    return encoder(layers=12, width=768, heads=12, inner=3072)


def wide_perceptron() -> onnx.ModelProto:
    """Dense layers of 52 MB."""
    return perceptron((1024, 2560, 3584, 320, 10))


def wide_resnet() -> onnx.ModelProto:
    """ResNet-18 with twice the channels: 45 M weights."""
    return resnet(widths=(128, 256, 512, 1024))


MAKERS = {
    "mlp": perceptron, "mlp52": wide_perceptron, "resnet18": resnet, "wide_resnet": wide_resnet,
    "minilm": encoder, "bert": bert_base,
}  # fmt: skip


def path_of(name: str) -> Path:
    """The file of the model ``name`` of ``MAKERS``, written on first use."""
    path = CACHE / f"{name}.onnx"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        onnx.save(MAKERS[name](), unfinished)
        unfinished.rename(path)
    return path


def _floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _basic_block(graph: Graph, x: str, inputs: int, outputs: int, stride: int) -> str:
    hidden = graph.add("Relu", graph.convolution(x, inputs, outputs, 3, stride))
    hidden = graph.convolution(hidden, outputs, outputs, 3, 1)
    same = inputs == outputs and stride == 1
    shortcut = x if same else graph.convolution(x, inputs, outputs, 1, stride)
    return graph.add("Relu", graph.add("Add", hidden, shortcut))


def _embeddings(graph: Graph, width: int, vocabulary: int, positions: int) -> str:
    zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
    length = graph.add("Gather", graph.add("Shape", "input_ids"), one)
    places = graph.add("Range", zero, length, one)
    words = graph.add("Gather", graph.random(vocabulary, width), "input_ids")
    order = graph.add("Gather", graph.random(positions, width), places)
    kinds = graph.add("Gather", graph.random(2, width), "token_type_ids")
    return graph.add("Add", graph.add("Add", words, kinds), order)


def _attention_mask(graph: Graph) -> str:
    """0 where a token counts and a very low score where it is padding, for each head and query."""
    axes = graph.constant(np.array([1, 2], np.int64))
    mask = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    one, lowest = (graph.constant(np.array(v, np.float32)) for v in (1, np.finfo(np.float32).min))
    return graph.add("Mul", graph.add("Sub", one, mask), lowest)


def _attention(graph: Graph, x: str, mask: str, width: int, heads: int) -> str:
    split = graph.constant(np.array([0, 0, heads, width // heads], np.int64))
    query, key, value = (
        graph.add("Reshape", graph.dense(x, width, width), split) for _ in range(3)
    )
    query = graph.add("Transpose", query, perm=[0, 2, 1, 3])
    key = graph.add("Transpose", key, perm=[0, 2, 3, 1])
    value = graph.add("Transpose", value, perm=[0, 2, 1, 3])
    scale = graph.constant(np.array(np.sqrt(width // heads), np.float32))
    scores = graph.add("Add", graph.add("Div", graph.add("MatMul", query, key), scale), mask)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    joined = graph.constant(np.array([0, 0, width], np.int64))
    mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
    return graph.dense(mixed, width, width)


def _gelu(graph: Graph, x: str) -> str:
    half, one, root = (graph.constant(np.array(v, np.float32)) for v in (0.5, 1, np.sqrt(2)))
    erf = graph.add("Erf", graph.add("Div", x, root))
    return graph.add("Mul", graph.add("Mul", x, graph.add("Add", erf, one)), half)


if __name__ == "__main__":
    for model in MAKERS:
        print(f"{path_of(model)}: {path_of(model).stat().st_size / 1e6:.1f} MB")
