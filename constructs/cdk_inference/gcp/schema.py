"""Checks a synthesized document against what its providers take.

A provider's own schema is in the jsii assembly of its bindings: attributes, their types, which are
required, and which blocks are in which. It takes seconds to read, so what is needed of it is kept
in the cache of :mod:`cdk_inference.cache`.
"""

from __future__ import annotations

import json
import re
import tarfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.archive import digest
from cdk_inference.cache import cached

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from cdk_inference.gcp.bindings import Bindings

# https://developer.hashicorp.com/terraform/language/meta-arguments
_META_ARGUMENTS: Final = frozenset(
    {"//", "connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"}
)

_ASSEMBLY: Final = "package/.jsii"
# In the description of a class, for example …/docs/resources/cloud_run_v2_service
# google_cloud_run_v2_service}; of a provider's own, …/docs google}.
_REPRESENTS: Final = re.compile(r"/docs(?:/(?P<kind>resources|data-sources)/\S+)? (?P<type>\w+)\}")
_SECTIONS: Final = {"resources": "resource", "data-sources": "data", None: "provider"}
# In the description of a property: …#container_port CloudRunV2Service#container_port}
_TERRAFORM_NAME: Final = re.compile(r"#(\w+)\}")
_BEFORE_A_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_REFERENCE: Final = re.compile(
    r"\$\{(?P<data>data\.)?(?P<type>[a-z]\w+)\.(?P<id>\w+)\.(?P<name>\w+)"
)

_PYTHON_TYPES: Final = {"string": (str,), "number": (int, float), "boolean": (bool,)}


def check_document(document: Mapping[str, Any], bindings: Bindings) -> list[str]:
    """What is wrong with a ``cdk.tf.json``, as far as its providers' schemas tell.

    Attribute names, types, required attributes, the nesting of blocks, and references to resources
    of the same document. What values are allowed, a provider tells only when it plans.

    Args:
        document: the content of a ``cdk.tf.json``.
        bindings: those that it was synthesized with.

    Returns:
        A sentence for each fault; empty if there is none.

    Raises:
        PackagingError: the cache cannot be written.

    Example:
        >>> document = json.loads(Path("cdktf.out/stacks/Shop/cdk.tf.json").read_text())
        >>> check_document(document, Bindings.CDKTN)
        ['google_cloud_run_v2_service.Digits: location is required']
    """
    return [
        *_faults_of_resources("resource", document, bindings),
        *_faults_of_resources("data", document, bindings),
        *_faults_of_providers(document, bindings),
        *_faults_of_references(document, bindings),
    ]


class _Schema:
    """What a resource, a data source or a provider takes, and what it can be asked for.

    Attributes:
        attributes: what it can be asked for.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.attributes: Final = frozenset(content["attributes"])
        self._root: str = content["root"]
        self._blocks: Mapping[str, Mapping[str, Any]] = content["blocks"]

    def faults(self, where: str, values: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with ``values``."""
        yield from self._of_block(where, values, self._root)

    def _of_block(self, where: str, values: Mapping[str, Any], block: str) -> Iterator[str]:
        fields = self._blocks[block]
        for name, field in fields.items():
            if field["required"] and name not in values:
                yield f"{where}: {name} is required"
        for name, value in values.items():
            if name not in fields:
                yield f"{where}: {name} is not known"
            else:
                yield from self._of_value(f"{where}.{name}", value, fields[name])

    def _of_value(self, where: str, value: Any, field: Mapping[str, Any]) -> Iterator[str]:
        if isinstance(value, str) and "${" in value:
            return  # what a reference stands for is known at plan only
        match field["kind"]:
            case "block":
                yield from self._of_nested(where, value, field)
            case "list" | "map" as kind:
                if not isinstance(value, list if kind == "list" else dict):
                    yield f"{where} is {value!r}, and takes a {kind}"
                    return
                items = value.items() if isinstance(value, dict) else enumerate(value)
                for key, item in items:
                    yield from self._of_value(f"{where}[{key!r}]", item, field["items"])
            case primitive if primitive in _PYTHON_TYPES:
                is_number_for_boolean = primitive != "boolean" and isinstance(value, bool)
                if is_number_for_boolean or not isinstance(value, _PYTHON_TYPES[primitive]):
                    yield f"{where} is {value!r}, and takes a {primitive}"

    def _of_nested(self, where: str, value: Any, field: Mapping[str, Any]) -> Iterator[str]:
        blocks = value if isinstance(value, list) else [value]
        if len(blocks) > 1 and not field["many"]:
            yield f"{where} is there {len(blocks)} times, and only once allowed"
        for index, block in enumerate(blocks):
            if isinstance(block, dict):
                at = f"{where}[{index}]" if isinstance(value, list) else where
                yield from self._of_block(at, block, field["block"])
            else:
                yield f"{where} is {block!r}, and takes a block"


def _faults_of_resources(
    section: str, document: Mapping[str, Any], bindings: Bindings
) -> Iterator[str]:
    for resource_type, resources in document.get(section, {}).items():
        schema = _schema(bindings, section, resource_type)
        for name, values in resources.items():
            where = f"{'data.' if section == 'data' else ''}{resource_type}.{name}"
            if schema is None:
                yield f"{where}: no installed provider of {bindings.value} has {resource_type}"
            else:
                yield from schema.faults(where, _without(values, _META_ARGUMENTS))


def _faults_of_providers(document: Mapping[str, Any], bindings: Bindings) -> Iterator[str]:
    for provider, configurations in document.get("provider", {}).items():
        schema = _schema(bindings, "provider", provider)
        for values in configurations:
            if schema is None:
                yield f"provider {provider}: its package for {bindings.value} is not installed"
            else:
                yield from schema.faults(f"provider {provider}", _without(values, {"alias"}))


def _without(values: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _faults_of_references(document: Mapping[str, Any], bindings: Bindings) -> Iterator[str]:
    for match in sorted(set(_REFERENCE.findall(json.dumps(document)))):
        data, resource_type, name, attribute = match
        section = "data" if data else "resource"
        schema = _schema(bindings, section, resource_type)
        if schema is None:
            continue  # a variable, a local value, or reported as a resource
        where = f"{data}{resource_type}.{name}"
        if name not in document.get(section, {}).get(resource_type, {}):
            yield f"{where} is referred to, and is not there"
        elif attribute not in schema.attributes:
            yield f"{where} is asked for {attribute}, which it has not"


@cache
def _schema(bindings: Bindings, section: str, name: str) -> _Schema | None:
    """``None`` if no installed provider has it."""
    folder = _extracted(bindings.package(name.partition("_")[0]))
    file = None if folder is None else folder / section / f"{name}.json"
    if file is None or not file.exists():
        return None
    return _Schema(json.loads(file.read_text()))


@cache
def _extracted(package: str) -> Path | None:
    """A folder with a file for each schema of the provider ``package``; ``None`` without one."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], "_jsii")
    (assembly,) = folder.glob("*.jsii.tgz")
    key = digest(Path(__file__), package, assembly.name)
    return cached(f"schemas/{key}", lambda path: _extract(assembly, path))


def _extract(assembly: Path, folder: Path) -> None:
    with tarfile.open(assembly) as archive:
        content = archive.extractfile(_ASSEMBLY)
        types = json.loads(content.read())["types"] if content else {}
    for section in _SECTIONS.values():
        (folder / section).mkdir(parents=True)
    for one in types.values():
        match = _REPRESENTS.search(one.get("docs", {}).get("summary", ""))
        if one["kind"] == "class" and match and "initializer" in one:
            root = one["initializer"]["parameters"][-1]["type"]["fqn"]
            schema = {
                "attributes": [_snake(each["name"]) for each in one.get("properties", ())],
                "root": root,
                "blocks": _blocks(types, root),
            }
            file = folder / _SECTIONS[match["kind"]] / f"{match['type']}.json"
            file.write_text(json.dumps(schema))


def _blocks(types: Mapping[str, Any], root: str) -> dict[str, dict[str, Any]]:
    """The fields of the block ``root``, and of all that can be in it, by the blocks' names."""
    blocks: dict[str, dict[str, Any]] = {}
    pending = [root]
    while pending:
        name = pending.pop()
        if name not in blocks:
            blocks[name] = {
                _terraform_name(one): {
                    **_kind(types, one["type"]),
                    "required": not one.get("optional", False),
                }
                for one in types[name].get("properties", ())
            }
            pending += [field["block"] for field in blocks[name].values() if "block" in field]
    return blocks


def _terraform_name(described: Mapping[str, Any]) -> str:
    match = _TERRAFORM_NAME.search(described.get("docs", {}).get("remarks", ""))
    return match[1] if match else _snake(described["name"])


def _snake(name: str) -> str:
    return _BEFORE_A_CAPITAL.sub("_", name).lower()


def _kind(types: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """What kind of value a type is, without the tokens that each may be instead."""
    match described:
        case {"primitive": primitive}:
            return {"kind": primitive}
        case {"union": {"types": choices}}:
            (chosen,) = (one for one in choices if not _is_token(one))
            return _kind(types, chosen)
        case {"collection": {"kind": "array", "elementtype": element}}:
            item = _kind(types, element)
            if item["kind"] == "block":
                return {**item, "many": True}
            return {"kind": "list", "items": item}
        case {"collection": {"elementtype": element}}:
            return {"kind": "map", "items": _kind(types, element)}
        case {"fqn": name} if name in types:
            return {"kind": "block", "many": False, "block": name}
        case _:
            return {"kind": "any"}


def _is_token(described: Mapping[str, Any]) -> bool:
    return str(described.get("fqn", "")).endswith(".IResolvable")
