"""What a request for a model looks like, as JSON Schema made from the model's own signature.

Of JSON Schema only what draft 4, which API Gateway reads, and 2020-12, on which OpenAPI 3.1 is
based, have in common. A schema takes whatever the runtime takes, and refuses what it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.model import InferenceModel

if TYPE_CHECKING:
    from cdk_inference.model import TensorSpec
    from cdk_inference.stored_model import StoredModel

Schema = dict[str, Any]

_NUMBER: Final = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_ELEMENTS: Final[dict[str, Schema]] = {
    "BOOL": {"type": "boolean"},
    **{
        f"{kind}{bits}": {"type": "integer"} for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)
    },
    **dict.fromkeys(("FP16", "BF16", "FP32", "FP64"), _NUMBER),
    "BYTES": {"type": "string"},
}


def predict_schema(model: InferenceModel | StoredModel) -> Schema:
    """A request in the simple form: ``{"features": …}`` or ``{"inputs": {…}}``.

    Of a model that is in a store the signature is not known, and anything in that form will do.

    Example:
        >>> predict_schema(model)["anyOf"][0]["required"]
        ['features']
    """
    inputs = model.inputs if isinstance(model, InferenceModel) else None
    forms = [_named(inputs or ())]
    if inputs is None:
        forms.insert(0, _object({"features": {}}, ["features"]))
    elif len(inputs) == 1:
        forms.insert(0, _object({"features": _features(inputs[0])}, ["features"]))
    return {"type": "object", "anyOf": forms}


def infer_schema() -> Schema:
    """An inference request of the Open Inference Protocol, all of it in JSON.

    Example:
        >>> infer_schema()["required"]
        ['inputs']
    """
    tensor = _object(
        {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": list(_ELEMENTS)},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
        ["name", "shape", "datatype", "data"],
    )
    output = _object({"name": {"type": "string"}, "parameters": {"type": "object"}}, ["name"])
    members = {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": tensor},
        "outputs": {"type": "array", "items": output},
        "parameters": {"type": "object"},
    }
    return _object(members, ["inputs"])


def _named(inputs: tuple[TensorSpec, ...]) -> Schema:
    # A model may take more than it requires, so further names are allowed.
    members = {spec.name: _nested(spec.datatype, spec.shape) for spec in inputs}
    return _object({"inputs": _object(members, list(members))}, ["inputs"])


def _features(spec: TensorSpec) -> Schema:
    batch = _nested(spec.datatype, spec.shape)
    if not spec.shape or spec.shape[0] not in (None, 1):
        return batch
    return {"anyOf": [batch, _nested(spec.datatype, spec.shape[1:])]}


def _nested(datatype: str, shape: tuple[int | None, ...] | None) -> Schema:
    if shape is None:
        return {}
    if not shape:
        return _ELEMENTS.get(datatype, {})
    size, *rest = shape
    bounds = {} if size is None else {"minItems": size, "maxItems": size}
    return {"type": "array", **bounds, "items": _nested(datatype, tuple(rest))}


def _object(members: Schema, required: list[str]) -> Schema:
    # Draft 4 allows no empty list there.
    schema = {"type": "object", "properties": members}
    return {**schema, "required": required} if required else schema
