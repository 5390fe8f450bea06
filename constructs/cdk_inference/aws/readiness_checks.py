"""The production-readiness checklist, as a validation plugin of the CDK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import jsii
from aws_cdk import (
    CfnResource,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
    Stack,
)

from cdk_inference.aws.ml_inference_function import MLInferenceFunction
from cdk_inference.aws.readiness.application import Application
from cdk_inference.aws.readiness.checklist import PLUGIN, RULES, acknowledge
from cdk_inference.aws.readiness.rule import Severity

if TYPE_CHECKING:
    from aws_cdk import IPolicyValidationContext

    from cdk_inference.aws.readiness.rule import Finding, Rule
    from constructs import IConstruct


@jsii.implements(IPolicyValidationPlugin)
class ReadinessChecks:
    """Checks at synth whether what serves models is ready for production.

    It reads the synthesized templates of the whole app, nested stacks and references between stacks
    included, so it does not matter who made a resource, or with which constructs. A function serves
    a model if it has the runtime's variable ``MODEL_URI``. Errors fail the synth, as with cdk-nag;
    warnings are told. Each names the rule, the resource, what is so, and what to do;
    `docs/constructs.md` lists the rules.

    What is meant to be otherwise is acknowledged, with a reason, where it is so or above it: the
    report keeps both.

    Example:
        >>> Validations.of(app).add_plugins(ReadinessChecks())
        >>> ReadinessChecks.acknowledge(stack, "Budget", "the account has one for all stacks")
    """

    @property
    def name(self) -> str:
        """As the report calls it."""
        return PLUGIN

    @property
    def version(self) -> None:
        """It has none of its own."""
        return None

    @property
    def rule_ids(self) -> list[str]:
        """All rules, in the order of the checklist."""
        return list(RULES)

    @staticmethod
    def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
        """Record in ``construct`` why what a rule finds there or below is meant.

        Without the plugin in the app this changes nothing.

        Args:
            construct: the one that is found, or one above it: a stack, or the app itself.
            rule: its id, for example ``Budget``.
            reason: why it is meant.

        Raises:
            ConfigurationError: there is no such rule, or no reason.
        """
        acknowledge(construct, rule, reason)

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """What is not ready, as the CDK asks for it."""
        templates = [Path(path) for path in context.template_paths]
        app = Application(templates, _model_bytes(context.app_construct))
        violations = [
            _violation(rule, finding) for rule in RULES.values() for finding in rule.find(app)
        ]
        failed = any(violation.severity == Severity.ERROR.value for violation in violations)
        return PolicyValidationPluginReport(success=not failed, violations=violations)


def _model_bytes(app: IConstruct) -> dict[tuple[str, str], int]:
    """The sizes of models, which no template has."""
    sizes = {}
    for construct in app.node.find_all():
        if isinstance(construct, MLInferenceFunction):
            stack = Stack.of(construct)
            resource = cast("CfnResource", construct.function.node.default_child)
            sizes[stack.template_file, stack.resolve(resource.logical_id)] = (
                construct.model.size_bytes
            )
    return sizes


def _violation(rule: Rule, finding: Finding) -> PolicyViolation:
    resource = finding.resource
    return PolicyViolation(
        rule_name=rule.id,
        severity=rule.severity.value,
        description=f"{rule.title}. {resource.logical_id} {finding.given}.",
        fix=rule.remedy,
        violating_resources=[
            PolicyViolatingResource(
                resource_logical_id=resource.logical_id,
                template_path=str(resource.template),
                locations=[finding.location],
            )
        ],
    )
