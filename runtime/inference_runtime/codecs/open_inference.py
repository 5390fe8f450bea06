"""The Open Inference Protocol's inference request and response, with its binary extension.

https://github.com/open-inference/open-inference-protocol (REST) and Triton's "binary tensor data"
extension: a JSON header, whose length the header ``Inference-Header-Content-Length`` gives, and
behind it the raw tensors one after the other. A length of 0 means that the whole body is the one
input's raw tensor.

``BYTES`` elements that are not UTF-8 travel in JSON as base64, with the tensor's parameter
``content_type`` set to ``base64``; in binary they need none.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from math import prod

from inference_runtime import jsonio
from inference_runtime.codecs import nested
from inference_runtime.errors import InvalidInput, MalformedBody
from inference_runtime.tensor import (
    BYTES,
    DATATYPES,
    Tensor,
    pack_elements,
    unpack_elements,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from _typeshed import ReadableBuffer

    from inference_runtime.jsonio import Json
    from inference_runtime.signature import Dimension, Signature, TensorSpec
    from inference_runtime.tensor import Datatype

    Members = dict[str, Json]

HEADER_LENGTH: Final = "inference-header-content-length"

_NO_BINARY = memoryview(b"")
_MOST_ELEMENTS = 2**40
_MOST_LENGTH_DIGITS = 18
# Other forms of an output, by Triton's extensions that are not among ours.
_OTHER_FORMS = ("classification", "shared_memory_region")
_BASE64 = "base64"


class RequestedOutput:
    """How one output is to be sent.

    Attributes:
        name: the output's.
        binary: as raw bytes rather than JSON.
        base64: ``BYTES`` elements as base64 rather than UTF-8, in JSON.
    """

    __slots__ = ("base64", "binary", "name")

    def __init__(self, name: str, *, binary: bool, base64: bool = False) -> None:
        self.name = name
        self.binary = binary
        self.base64 = base64


class InferRequest:
    """A decoded inference request.

    Attributes:
        id: to be echoed; ``None`` when the caller sent none.
        inputs: tensors by name.
        outputs: the outputs to send, in this order; every one of the model's when empty.
        binary: whether outputs are raw bytes where ``outputs`` does not say.
    """

    __slots__ = ("binary", "id", "inputs", "outputs")

    def __init__(
        self,
        id: str | None,
        inputs: dict[str, Tensor],
        outputs: list[RequestedOutput],
        *,
        binary: bool,
    ) -> None:
        self.id = id
        self.inputs = inputs
        self.outputs = outputs
        self.binary = binary

    @property
    def output_names(self) -> list[str]:
        """The names of ``outputs``."""
        return [output.name for output in self.outputs]


def decode(body: bytes, header_length: str | None, signature: Signature) -> InferRequest:
    """Read an inference request.

    Args:
        body: the whole body.
        header_length: the value of ``Inference-Header-Content-Length``, if it was sent.
        signature: of the model.

    Raises:
        MalformedBody: it is not of the protocol's form.
        InvalidInput: a tensor does not fit its own shape, or not the model.
    """
    if header_length is None:
        return decode_object(jsonio.loads(body), signature)
    length = _header_length(header_length, len(body))
    if length == 0:
        return _decode_raw(body, signature)
    return decode_object(jsonio.loads(body[:length]), signature, memoryview(body)[length:])


def decode_object(
    value: Json, signature: Signature, binary: memoryview = _NO_BINARY
) -> InferRequest:
    """Read a parsed inference request, with the binary tensors that came behind it.

    Raises:
        MalformedBody: it is not of the protocol's form.
        InvalidInput: a tensor does not fit its own shape, or not the model.
    """
    request = _object(value, "the request")
    id_ = _optional(request, "id", str, "the request")
    if id_ is not None and not _is_unicode(id_):
        raise MalformedBody(
            "'id' of the request must be Unicode, without halves of surrogate pairs"
        )
    reader = _Reader(signature, binary)
    for item in _required_list(request, "inputs"):
        reader.read(_object(item, "an input"))
    reader.check_all_read()
    default = "parameters" in request and _binary_by_default(request)
    outputs = _requested_outputs(request, default) if "outputs" in request else []
    return InferRequest(id_, reader.tensors, outputs, binary=default)


def _binary_by_default(request: Members) -> bool:
    parameters = _parameters(request, "the request")
    return _optional(parameters, "binary_data_output", bool, "parameters") or False


def _requested_outputs(request: Members, default: bool) -> list[RequestedOutput]:
    asked = _optional(request, "outputs", list, "the request") or []
    outputs = [_requested(_object(item, "an output"), default) for item in asked]
    _check_unique([output.name for output in outputs], "output")
    return outputs


def encode(
    request: InferRequest,
    outputs: Mapping[str, Tensor],
    model_name: str,
    model_version: str,
    non_finite: str,
) -> tuple[bytes, int | None]:
    """Write the response.

    Returns:
        The body, and the length of its JSON header when raw tensors follow, else ``None``.
    """
    wanted = request.outputs or [RequestedOutput(name, binary=request.binary) for name in outputs]
    described = [_describe(output, outputs[output.name], non_finite) for output in wanted]
    header: Members = {"model_name": model_name, "model_version": model_version}
    if request.id is not None:
        header["id"] = request.id
    header["outputs"] = described  # type: ignore[assignment]
    text = jsonio.dumps(header)
    raw = [outputs[output.name].buffer for output in wanted if output.binary]
    return (b"".join((text, *raw)), len(text)) if raw else (text, None)


class _Reader:
    """Reads a request's inputs in order, each taking its share of the binary part."""

    def __init__(self, signature: Signature, binary: memoryview) -> None:
        self._signature = signature
        self._binary = binary
        self._position = 0
        self.tensors: dict[str, Tensor] = {}

    def read(self, item: Members) -> None:
        name = _required(item, "name", str, "an input")
        if name in self.tensors:
            raise InvalidInput(f"input {name!r} is given twice")
        datatype = _datatype(_of_input(item, "datatype", str, name), name)
        shape = _shape(_of_input(item, "shape", list, name), name)
        size = encoding = None
        if "parameters" in item:
            parameters = _parameters(item, f"input {name!r}")
            size = _optional(parameters, "binary_data_size", int, f"input {name!r}")
            encoding = parameters.get("content_type")
        if ("data" in item) == (size is not None):
            raise MalformedBody(f"input {name!r} must have one of 'data' and 'binary_data_size'")
        self._check_declared(name, datatype)
        if size is None:
            self.tensors[name] = _json_tensor(item["data"], datatype, shape, name, encoding)
        else:
            self.tensors[name] = _raw_tensor(self._take(size, name), datatype, shape, name)

    def check_all_read(self) -> None:
        left = len(self._binary) - self._position
        if left:
            raise MalformedBody(f"{left} bytes of binary data belong to no input")

    def _check_declared(self, name: str, datatype: Datatype) -> None:
        """Refuse before decoding what the model would refuse after."""
        spec = self._signature.inputs.get(name)
        if spec is None:
            known = ", ".join(map(repr, self._signature.inputs))
            raise InvalidInput(f"unknown input {name!r}; the inputs are {known}")
        if spec.datatype is not datatype:
            raise InvalidInput(f"input {name!r} takes {spec}, got datatype {datatype}")

    def _take(self, size: int, name: str) -> memoryview:
        left = len(self._binary) - self._position
        if not 0 <= size <= left:
            raise MalformedBody(
                f"input {name!r} says binary_data_size {size}, but {left} bytes are left"
            )
        start, self._position = self._position, self._position + size
        return self._binary[start : self._position]


def _json_tensor(
    data: Json, datatype: Datatype, shape: list[int], name: str, encoding: Json
) -> Tensor:
    if not isinstance(data, list):
        raise MalformedBody(f"'data' of input {name!r} must be a list")
    given, buffer = nested.read(data, datatype, name)
    if given != shape and given != [prod(shape)]:
        raise InvalidInput(f"input {name!r} has shape {shape}, but its data has shape {given}")
    if datatype is BYTES and encoding == _BASE64:
        buffer = _from_base64(buffer, name)
    return Tensor(datatype, shape, buffer)


def _from_base64(buffer: ReadableBuffer, name: str) -> bytes:
    try:
        elements = [a2b_base64(e, strict_mode=True) for e in unpack_elements(buffer)]
    except (Base64Error, ValueError) as error:
        raise InvalidInput(
            f"input {name!r} is not base64, as its content_type says: {error}"
        ) from None
    return pack_elements(elements)


def _raw_tensor(data: memoryview, datatype: Datatype, shape: list[int], name: str) -> Tensor:
    if datatype is BYTES:
        count = _count_elements(data, name)
        if count != prod(shape):
            raise InvalidInput(f"input {name!r} has shape {shape}, but {count} elements")
    elif len(data) != prod(shape) * datatype.itemsize:
        raise InvalidInput(
            f"input {name!r} is {datatype}{shape}, which takes {prod(shape) * datatype.itemsize}"
            f" bytes, but has {len(data)}"
        )
    return Tensor(datatype, shape, data)


def _count_elements(data: memoryview, name: str) -> int:
    try:
        return len(unpack_elements(data))
    except ValueError as error:
        raise InvalidInput(f"input {name!r}: {error}") from None


def _decode_raw(body: bytes, signature: Signature) -> InferRequest:
    """The whole body is the one input; the one dynamic dimension follows from its length."""
    required = [spec for spec in signature.inputs.values() if not spec.optional]
    if len(required) != 1:
        raise MalformedBody(f"a raw request needs a model with one input; this has {len(required)}")
    (spec,) = required
    data = pack_elements([body]) if spec.datatype is BYTES else body
    count = 1 if spec.datatype is BYTES else len(body) // spec.datatype.itemsize
    tensor = _raw_tensor(memoryview(data), spec.datatype, _raw_shape(spec, count), spec.name)
    return InferRequest(None, {spec.name: tensor}, [], binary=True)


def _raw_shape(spec: TensorSpec, count: int) -> list[int]:
    fixed = prod(size for size in spec.shape if isinstance(size, int))
    dynamic = [size for size in spec.shape if not isinstance(size, int)]
    if len(dynamic) > 1:
        raise MalformedBody(f"a raw request needs one dynamic dimension at most; input is {spec}")

    def resolve(size: Dimension) -> int:
        return size if isinstance(size, int) else count // fixed if fixed else 0

    return [resolve(size) for size in spec.shape]


def _requested(item: Members, default: bool) -> RequestedOutput:
    name = _required(item, "name", str, "an output")
    parameters = _parameters(item, f"output {name!r}")
    for form in _OTHER_FORMS:
        if form in parameters:
            raise InvalidInput(
                f"output {name!r} asks for {form!r}, which is not among the extensions"
            )
    binary = _optional(parameters, "binary_data", bool, f"output {name!r}")
    return RequestedOutput(
        name,
        binary=default if binary is None else binary,
        base64=parameters.get("content_type") == _BASE64,
    )


def _describe(output: RequestedOutput, tensor: Tensor, non_finite: str) -> Members:
    described: Members = {
        "name": output.name,
        "datatype": tensor.datatype.name,
        "shape": list(tensor.shape),
    }
    if output.binary:
        described["parameters"] = {"binary_data_size": tensor.buffer.nbytes}
    elif tensor.datatype is BYTES:
        described |= _text_data(tensor, output.base64)
    else:
        described["data"] = nested.elements(tensor, non_finite)
    return described


def _text_data(tensor: Tensor, base64: bool) -> Members:
    """Strings as they are, or as base64 where asked for or where one is not UTF-8."""
    elements = unpack_elements(tensor.buffer)
    if not base64:
        try:
            return {"data": [element.decode() for element in elements]}
        except UnicodeDecodeError:
            pass
    encoded: list[Json] = [b2a_base64(e, newline=False).decode() for e in elements]
    return {"data": encoded, "parameters": {"content_type": _BASE64}}


def _header_length(text: str, body_length: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_LENGTH_DIGITS
    if not is_number or int(text) > body_length:
        raise MalformedBody(
            f"Inference-Header-Content-Length is {text!r}; it must be a number from 0 to the"
            f" body's {body_length} bytes"
        )
    return int(text)


def _datatype(name: str, tensor: str) -> Datatype:
    datatype = DATATYPES.get(name)
    if datatype is None:
        raise InvalidInput(
            f"input {tensor!r} has datatype {name!r}; there is {', '.join(DATATYPES)}"
        )
    return datatype


def _shape(sizes: list[Json], name: str) -> list[int]:
    count = 1
    for size in sizes:
        if type(size) is not int or size < 0:
            raise InvalidInput(f"input {name!r} has shape {sizes}; sizes are whole numbers from 0")
        count *= size or 1  # so that it bounds every size
        if count > _MOST_ELEMENTS:
            raise InvalidInput(
                f"input {name!r} has a shape of more than {_MOST_ELEMENTS:,} elements; sizes"
                " are whole numbers from 0"
            )
    return sizes  # type: ignore[return-value]


def _check_unique(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"{what} {name!r} is given twice")
        seen.add(name)


def _is_unicode(text: str) -> bool:
    """Whether it can be written again; a platform's own JSON parser may have let in what cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(value: Json, what: str) -> Members:
    if not isinstance(value, dict):
        raise MalformedBody(f"{what} must be an object")
    return value


def _parameters(members: Members, where: str) -> Members:
    return _optional(members, "parameters", dict, where) or {}


def _required_list(members: Members, key: str) -> list[Json]:
    items: list[Json] = _required(members, key, list, "the request")
    return items


def _required(members: Members, key: str, kind: type, where: str) -> Any:
    value = members.get(key)
    if type(value) is not kind and _optional(members, key, kind, where) is None:
        raise MalformedBody(f"{where} has no {key!r}")
    return value


def _of_input(item: Members, key: str, kind: type, name: str) -> Any:
    value = item.get(key)
    return value if type(value) is kind else _required(item, key, kind, f"input {name!r}")


def _optional(members: Members, key: str, kind: type, where: str) -> Any:
    value = members.get(key)
    if value is None or type(value) is kind:
        return value
    kinds = {str: "a string", bool: "true or false", int: "a whole number", list: "a list"}
    raise MalformedBody(f"{key!r} of {where} must be {kinds.get(kind, 'an object')}")
