"""The templates of an app as one graph: which resource mentions which, across stacks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.contract import MODEL_URI

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FUNCTION: Final = "AWS::Lambda::Function"
_QUALIFIED: Final = frozenset({"AWS::Lambda::Alias", "AWS::Lambda::Version"})
_NESTED_STACK: Final = "AWS::CloudFormation::Stack"
_SUBSTITUTION: Final = re.compile(r"\$\{([^!}.]+)(?:\.([^}]+))?\}")
_ASSET: Final = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Resource:
    """A resource of a template.

    Attributes:
        template: the file that it is in.
        logical_id: its name there.
        definition: as it is there: type, properties and the rest.
    """

    template: Path
    logical_id: str
    definition: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def type(self) -> str:
        """Such as ``AWS::Lambda::Function``."""
        return str(self.definition["Type"])

    def get(self, path: str) -> Any:
        """The property at ``path``, such as ``TracingConfig.Mode``, or ``None``."""
        value: Any = self.definition.get("Properties", {})
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def says(self, text: str) -> bool:
        """Whether ``text`` is anywhere in its properties."""
        return text in json.dumps(self.definition.get("Properties", {}))


class Application:
    """All templates of an app, nested stacks included, and what they say of each other.

    Args:
        templates: the files of its stacks; their assets' manifests are beside them.
        model_bytes: the size of a function's model, by template and logical id, where it is known.
    """

    def __init__(
        self, templates: list[Path], model_bytes: Mapping[tuple[str, str], int] | None = None
    ) -> None:
        self._assets = _assets(templates)
        nested = {
            template.parent / asset["source"]["path"]
            for template in templates
            for asset in self._assets["files"].values()
            if str(asset["source"].get("path", "")).endswith(".nested.template.json")
        }
        self._documents = {
            path: json.loads(path.read_text())
            for path in dict.fromkeys([*templates, *sorted(nested)])
            if path.exists()
        }
        self._model_bytes = model_bytes or {}
        self._resources = {
            (path, name): Resource(path, name, definition)
            for path, document in self._documents.items()
            for name, definition in document.get("Resources", {}).items()
        }
        self._by_type: dict[str, list[Resource]] = {}
        for resource in self._resources.values():
            self._by_type.setdefault(resource.type, []).append(resource)
        self._handles: dict[Resource, set[Resource]] = {}

    def of_type(self, *types: str) -> list[Resource]:
        """The resources of any of ``types``."""
        return [resource for type in types for resource in self._by_type.get(type, [])]

    @cached_property
    def serving(self) -> list[Resource]:
        """The functions that serve a model: those with the runtime's ``MODEL_URI``."""
        return [
            function
            for function in self.of_type(FUNCTION)
            if function.get(f"Environment.Variables.{MODEL_URI}") is not None
        ]

    def model_bytes(self, function: Resource) -> int | None:
        """The size of the model of ``function``; ``None`` where it is not known."""
        return self._model_bytes.get((function.template.name, function.logical_id))

    def docker_asset(self, image: str) -> Mapping[str, Any] | None:
        """From what the CDK builds the image whose URI has a digest of its sources in it."""
        for digest in _ASSET.findall(image):
            if asset := self._assets["dockerImages"].get(digest):
                return dict(asset["source"])
        return None

    def mentioned(self, resource: Resource, path: str) -> set[Resource]:
        """The resources that the property at ``path`` refers to."""
        return set(self.references(resource.template, resource.get(path)))

    def mentions(self, resource: Resource, function: Resource) -> bool:
        """Whether ``resource`` refers to ``function``, a version or an alias of it."""
        return not self._mentioned_by[resource].isdisjoint(self.handles(function))

    def users(self, function: Resource, *types: str) -> list[Resource]:
        """The resources of ``types`` that refer to ``function``, a version or an alias of it."""
        return [user for user in self.of_type(*types) if self.mentions(user, function)]

    def handles(self, function: Resource) -> set[Resource]:
        """``function``, its versions and its aliases."""
        if function not in self._handles:
            handles = {function}
            for qualified in self.of_type(*_QUALIFIED):
                if function in self.mentioned(qualified, "FunctionName"):
                    handles.add(qualified)
            self._handles[function] = handles
        return self._handles[function]

    @cached_property
    def _mentioned_by(self) -> dict[Resource, set[Resource]]:
        return {
            resource: set(self.references(resource.template, resource.definition))
            for resource in self._resources.values()
        }

    def references(self, template: Path, value: Any) -> Iterator[Resource]:
        """The resources that ``value``, anything in ``template``, refers to."""
        match value:
            case {"Ref": str(name)}:
                yield from self._named(template, name, "")
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                yield from self._named(template, name, attribute)
            case {"Fn::GetAtt": str(text)}:
                name, _, attribute = text.partition(".")
                yield from self._named(template, name, attribute)
            case {"Fn::Sub": str(text)}:
                yield from self._substituted(template, text)
            case {"Fn::Sub": [str(text), variables]}:
                yield from self._substituted(template, text)
                yield from self.references(template, variables)
            case {"Fn::ImportValue": name}:
                yield from self._exported(name)
            case {"Fn::GetStackOutput": {"OutputName": str(name), **rest}}:
                yield from self._put_out(rest.get("StackName"), name)
            case dict():
                for item in value.values():
                    yield from self.references(template, item)
            case list():
                for item in value:
                    yield from self.references(template, item)

    def _substituted(self, template: Path, text: str) -> Iterator[Resource]:
        for name, attribute in _SUBSTITUTION.findall(text):
            yield from self._named(template, name, attribute)

    def _named(self, template: Path, name: str, attribute: str) -> Iterator[Resource]:
        resource = self._resources.get((template, name))
        if resource is None:
            yield from self._passed(template, name)
        elif resource.type == _NESTED_STACK and attribute.startswith("Outputs."):
            nested = self._nested_template(resource)
            output = self._documents.get(nested, {}).get("Outputs", {})
            value = output.get(attribute.removeprefix("Outputs."), {}).get("Value")
            if nested is not None:
                yield from self.references(nested, value)
        else:
            yield resource

    def _passed(self, template: Path, parameter: str) -> Iterator[Resource]:
        """What a nested stack's parameter is given by the stack around it."""
        outer = self._outer.get(template)
        if outer is not None:
            given = (outer.get("Parameters") or {}).get(parameter)
            yield from self.references(outer.template, given)

    @cached_property
    def _outer(self) -> dict[Path, Resource]:
        stacks = ((self._nested_template(s), s) for s in self.of_type(_NESTED_STACK))
        return {template: stack for template, stack in stacks if template is not None}

    def _nested_template(self, stack: Resource) -> Path | None:
        for digest in _ASSET.findall(json.dumps(stack.get("TemplateURL"))):
            if asset := self._assets["files"].get(digest):
                return stack.template.parent / str(asset["source"]["path"])
        return None

    def _exported(self, name: Any) -> Iterator[Resource]:
        for template, document in self._documents.items():
            for output in document.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    yield from self.references(template, output["Value"])

    def _put_out(self, stack: Any, name: str) -> Iterator[Resource]:
        found = [
            (template, document["Outputs"][name]["Value"])
            for template, document in self._documents.items()
            if name in document.get("Outputs", {})
        ]
        named = [item for item in found if item[0].name.partition(".")[0] == stack]
        for template, value in named or found:
            yield from self.references(template, value)


def _assets(templates: list[Path]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {"files": {}, "dockerImages": {}}
    for template in templates:
        manifest = template.with_name(template.name.replace(".template.json", ".assets.json"))
        if manifest.exists():
            for kind, assets in json.loads(manifest.read_text()).items():
                if kind in merged:
                    merged[kind].update(assets)
    return merged
