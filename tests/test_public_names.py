"""What is public explains itself: a docstring with an example, each public method described."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import FunctionType
from typing import Any

import pytest

EXPORTING = ("cdk_inference", "cdk_inference.gcp", "cdk_inference.local")
OF_FUNCTIONS_ALONE = ("cdk_inference.testing", "cdk_inference.gcp.testing")
OF_THE_RUNTIME = {
    "inference_runtime.serving": ["start"],
    "inference_runtime.settings": ["Settings"],
    "inference_runtime.dataplane": ["DataPlane"],
    "inference_runtime.messages": ["Request", "Reply"],
    "inference_runtime.errors": ["InferenceError", "InvalidInput"],
}


def functions_of(module: str) -> list[str]:
    return [
        name
        for name, value in vars(import_module(module)).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module
        and not name.startswith("_")
    ]


PUBLIC = [
    (module, name)
    for module, names in (
        *((module, import_module(module).__all__) for module in EXPORTING),
        *((module, functions_of(module)) for module in OF_FUNCTIONS_ALONE),
        *OF_THE_RUNTIME.items(),
    )
    for name in names
]
CONSTANTS = {"WORK_FOLDER"}  # described by the text beside its value


@pytest.mark.parametrize(("module", "name"), [p for p in PUBLIC if p[1] not in CONSTANTS])
def test_it_has_an_example(module: str, name: str) -> None:
    described = inspect.getdoc(getattr(import_module(module), name)) or ""
    assert "Example" in described
    assert ">>>" in described


def public_methods(owner: type[Any]) -> list[Any]:
    found = (
        getattr(value, "fget", None) or getattr(value, "__func__", value)
        for name, value in vars(owner).items()
        if not name.startswith("_")
    )
    return [function for function in found if isinstance(function, FunctionType)]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_its_methods_are_described(module: str, name: str) -> None:
    owner = getattr(import_module(module), name)
    if inspect.isclass(owner):
        undescribed = [m.__name__ for m in public_methods(owner) if not inspect.getdoc(m)]
        assert undescribed == []
