"""A CloudFormation template without what the emulator does not know.

The emulator refuses a whole template for one unknown resource type. So the copy that is deployed
leaves out resources of such types, then everything that cannot be made without one of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Template = Mapping[str, Any]

# Resources of a type that it knows, which it refuses with such a property.
_UNKNOWN_PROPERTIES: Final = {"AWS::CloudWatch::Alarm": {"Metrics"}}

_SERVERLESS: Final = "AWS::Serverless-2016-10-31"


@dataclass(frozen=True)
class Omission:
    """Something left out of a template.

    Attributes:
        logical_id: its name in the template.
        type: its resource type, or "Output".
        needs: the logical id of the omitted resource that it refers to; None if the emulator does
            not know its own type, or not all of it.

    Example:
        >>> str(Omission("Cap", "AWS::Budgets::Budget"))
        'Cap (AWS::Budgets::Budget): unknown to the emulator'
    """

    logical_id: str
    type: str
    needs: str | None = None

    def __str__(self) -> str:
        reason = f"needs {self.needs}" if self.needs else "unknown to the emulator"
        return f"{self.logical_id} ({self.type}): {reason}"


def without_unsupported(
    template: Template, supported: Collection[str]
) -> tuple[Template, list[Omission]]:
    """``template`` without resources of types outside ``supported``, and what was left out.

    Alarms on metric math, which the emulator refuses, go too.

    Custom resources (``Custom::…``) are supported always. A kept resource keeps its properties
    whole: one whose properties refer to an omitted resource is omitted too, as is an output.
    Of a kept resource, only what orders or guides its deployment goes: ``DependsOn`` entries, and
    attributes such as ``UpdatePolicy`` that refer to an omitted resource.

    Example:
        >>> without_unsupported({"Resources": {"A": {"Type": "AWS::X::Y"}}}, {"AWS::S3::Bucket"})
        ({'Resources': {}, 'Outputs': {}}, [Omission(logical_id='A', type='AWS::X::Y', needs=None)])
    """
    resources: Mapping[str, Any] = template.get("Resources", {})
    omissions = _omitted_resources(resources, supported)
    gone = {omission.logical_id for omission in omissions}
    outputs = template.get("Outputs", {})
    omitted_outputs = [
        Omission(name, "Output", needs)
        for name, output in outputs.items()
        if (needs := _first_reference(output, gone))
    ]
    lost = {omission.logical_id for omission in omitted_outputs}
    kept = {
        **template,
        "Resources": {
            logical_id: _without_attributes(resource, gone)
            for logical_id, resource in resources.items()
            if logical_id not in gone
        },
        "Outputs": {name: output for name, output in outputs.items() if name not in lost},
    }
    # Only resources of types AWS::Serverless::… take it, and they are unknown.
    if kept.get("Transform") == _SERVERLESS:
        del kept["Transform"]
    return kept, [*omissions, *omitted_outputs]


def _omitted_resources(resources: Mapping[str, Any], supported: Collection[str]) -> list[Omission]:
    omitted = {
        logical_id: Omission(logical_id, resource["Type"])
        for logical_id, resource in resources.items()
        if not _is_supported(resource, supported)
    }
    while dependants := {
        logical_id: Omission(logical_id, resource["Type"], needs)
        for logical_id, resource in resources.items()
        if logical_id not in omitted
        and (needs := _first_reference(resource.get("Properties"), omitted))
    }:
        omitted |= dependants
    return list(omitted.values())


def _is_supported(resource: Template, supported: Collection[str]) -> bool:
    resource_type: str = resource["Type"]
    if _UNKNOWN_PROPERTIES.get(resource_type, set()) & resource.get("Properties", {}).keys():
        return False
    return resource_type in supported or resource_type.startswith("Custom::")


def _without_attributes(resource: Template, gone: Collection[str]) -> Template:
    kept = {
        name: value
        for name, value in resource.items()
        if name in {"Properties", "DependsOn"} or not _first_reference(value, gone)
    }
    if "DependsOn" in kept:
        depends_on = kept.pop("DependsOn")
        names = [depends_on] if isinstance(depends_on, str) else depends_on
        if remaining := [name for name in names if name not in gone]:
            kept["DependsOn"] = remaining
    return kept


def _first_reference(value: object, logical_ids: Collection[str]) -> str | None:
    return next((name for name in _references(value) if name in logical_ids), None)


def _references(value: object) -> Iterator[str]:
    """The logical ids that ``value`` refers to by Ref, Fn::GetAtt or Fn::Sub."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "Ref" and isinstance(inner, str):
                yield inner
            elif key == "Fn::GetAtt":
                yield inner.partition(".")[0] if isinstance(inner, str) else inner[0]
            elif key == "Fn::Sub":
                yield from _substitutions(inner)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


_SUBSTITUTION = re.compile(r"\$\{([^!.}][^.}]*)")  # ${Id} and ${Id.Attribute}, not ${!literal}


def _substitutions(sub: object) -> Iterator[str]:
    text, variables = sub if isinstance(sub, list) else (sub, {})
    yield from (name for name in _SUBSTITUTION.findall(str(text)) if name not in variables)
    yield from _references(variables)
