"""What a load balancer refuses before it asks a service: Cloud Armor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import CLOUD_ARMOR_INTERVALS, GOOGLE_COMPUTE_NAME_LENGTH

if TYPE_CHECKING:
    from types import ModuleType

    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.validation import Problems
    from constructs import Construct

# Rules are tried from the lowest priority on, and the first that matches decides.
_FIRST_PRIORITY: Final = 1_000
_PRIORITY_STEP: Final = 10
_LAST_PRIORITY: Final = 2**31 - 1


class WafRule(Enum):
    """A preconfigured rule set of Cloud Armor, for attacks of one kind.

    https://cloud.google.com/armor/docs/waf-rules

    Example:
        >>> EdgeProtection(waf_rules=(WafRule.SQL_INJECTION, WafRule.SCANNER_DETECTION))
    """

    SQL_INJECTION = "sqli-v33-stable"
    CROSS_SITE_SCRIPTING = "xss-v33-stable"
    LOCAL_FILE_INCLUSION = "lfi-v33-stable"
    REMOTE_FILE_INCLUSION = "rfi-v33-stable"
    REMOTE_CODE_EXECUTION = "rce-v33-stable"
    PROTOCOL_ATTACK = "protocolattack-v33-stable"
    SCANNER_DETECTION = "scannerdetection-v33-stable"
    KNOWN_VULNERABILITIES = "cve-canary"


@dataclass(frozen=True)
class RateLimit:
    """How many requests one address may send before it is answered with 429.

    Attributes:
        requests: in each interval, for each service. Default: 600.
        seconds: the interval, one that Cloud Armor has, such as 10, 60 or 3,600. Default: 60.

    Example:
        >>> RateLimit(100, seconds=10)
        RateLimit(requests=100, seconds=10)
    """

    requests: int = 600
    seconds: int = 60


@dataclass(frozen=True)
class EdgeProtection:
    """What Cloud Armor refuses. Each rule has its price for each month.

    Attributes:
        rate_limit: for each client's address. Default: 600 requests a minute.
        waf_rules: sets of rules, at the least sensitive of their levels, which mistakes the fewest
            honest requests. Default: those for a service that runs what it is sent through parsers
            of JSON and paths: injection of SQL, files and code.
        preview: whether requests that a rule set matches are only told in the load balancer's log.
            Default: they are refused with 403.

    Example:
        >>> EdgeProtection(rate_limit=RateLimit(100, seconds=10), preview=True)
    """

    rate_limit: RateLimit = RateLimit()
    waf_rules: tuple[WafRule, ...] = (
        WafRule.SQL_INJECTION,
        WafRule.LOCAL_FILE_INCLUSION,
        WafRule.REMOTE_CODE_EXECUTION,
    )
    preview: bool = False

    def check(self, bindings: Bindings, problems: Problems) -> None:
        """Record what Cloud Armor does not take."""
        limit = self.rate_limit
        if are_known(bindings, limit.requests) and limit.requests < 1:
            problems.add(
                f"the rate limit is {limit.requests} requests",
                allowed="a client may send 1 or more",
                remedy="raise it",
            )
        if are_known(bindings, limit.seconds) and limit.seconds not in CLOUD_ARMOR_INTERVALS:
            problems.add(
                f"the rate limit counts in intervals of {limit.seconds} seconds",
                allowed=f"Cloud Armor has {', '.join(map(str, CLOUD_ARMOR_INTERVALS))}",
                remedy="choose one of them",
            )
        if len(set(self.waf_rules)) < len(self.waf_rules):
            problems.add(
                "waf_rules has a rule set twice",
                allowed="each is tried once",
                remedy="leave the second out",
            )

    def policy(self, scope: Construct) -> Any:
        """The ``google_compute_security_policy``, as a child of ``scope``."""
        armor = bindings_of(scope).google("compute_security_policy")
        return armor.ComputeSecurityPolicy(
            scope,
            "Protection",
            name=unique_name(scope, GOOGLE_COMPUTE_NAME_LENGTH),
            description="What the load balancer refuses",
            type="CLOUD_ARMOR",
            advanced_options_config=armor.ComputeSecurityPolicyAdvancedOptionsConfig(
                json_parsing="STANDARD"  # a value of the body is looked at, not all of it as text
            ),
            rule=[*self._waf_rules(armor), self._rate_rule(armor), _default_rule(armor)],
        )

    def _waf_rules(self, armor: ModuleType) -> list[Any]:
        return [
            armor.ComputeSecurityPolicyRule(
                action="deny(403)",
                priority=_FIRST_PRIORITY + index * _PRIORITY_STEP,
                preview=self.preview,
                description=rule.value,
                match=armor.ComputeSecurityPolicyRuleMatch(
                    expr=armor.ComputeSecurityPolicyRuleMatchExpr(
                        expression=f"evaluatePreconfiguredWaf('{rule.value}', {{'sensitivity': 1}})"
                    )
                ),
            )
            for index, rule in enumerate(self.waf_rules)
        ]

    def _rate_rule(self, armor: ModuleType) -> Any:
        threshold = armor.ComputeSecurityPolicyRuleRateLimitOptionsRateLimitThreshold(
            count=self.rate_limit.requests, interval_sec=self.rate_limit.seconds
        )
        return armor.ComputeSecurityPolicyRule(
            action="throttle",
            priority=2 * _FIRST_PRIORITY,
            description="Requests of one address",
            match=_everyone(armor),
            rate_limit_options=armor.ComputeSecurityPolicyRuleRateLimitOptions(
                conform_action="allow",
                exceed_action="deny(429)",
                enforce_on_key="IP",
                rate_limit_threshold=threshold,
            ),
        )


def _default_rule(armor: ModuleType) -> Any:
    """The one that every policy must have. The rate limit has decided on all requests before."""
    return armor.ComputeSecurityPolicyRule(
        action="deny(403)",
        priority=_LAST_PRIORITY,
        description="Whatever no rule decided on",
        match=_everyone(armor),
    )


def _everyone(armor: ModuleType) -> Any:
    return armor.ComputeSecurityPolicyRuleMatch(
        versioned_expr="SRC_IPS_V1",
        config=armor.ComputeSecurityPolicyRuleMatchConfig(src_ip_ranges=["*"]),
    )
