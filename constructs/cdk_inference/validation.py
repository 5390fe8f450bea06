"""Gathers everything that is wrong with a configuration and reports it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdk_inference.limits import Limit


class ConfigurationError(ValueError):
    """What was configured cannot work; the message lists every problem and what to do.

    Attributes:
        where: the construct's path, or the file, that the problems are about.
        problems: one sentence for each problem: what was given, what is allowed, what to do.

    Example:
        >>> str(ConfigurationError("Stack/Digits", ["path is 'predict'; start it with '/'"]))
        "Stack/Digits: path is 'predict'; start it with '/'"
    """

    def __init__(self, where: str, problems: list[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__(f"{where}: {self._listed()}")

    def _listed(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems{lines}"


class Problems:
    """The problems found so far in the configuration of one construct or file.

    Args:
        where: the construct's path or the file's name, for the error message.

    Example:
        >>> from cdk_inference.limits import LAMBDA_TIMEOUT
        >>> problems = Problems("Stack/Digits")
        >>> problems.check_within("timeout", 1000, LAMBDA_TIMEOUT)
        >>> problems.raise_if_any()
        Traceback (most recent call last):
        ...
        cdk_inference.validation.ConfigurationError: Stack/Digits: timeout is 1000 seconds; \
AWS Lambda allows 1 to 900 in whole seconds; choose a value in that range
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[str] = []

    def add(self, given: str, *, allowed: str, remedy: str) -> None:
        """Record one problem: what was given, what is allowed, and what to do about it."""
        self._found.append(sentence(given, allowed, remedy))

    @property
    def found(self) -> list[str]:
        """One sentence for each problem recorded so far."""
        return list(self._found)

    def check_within(self, name: str, value: float, limit: Limit) -> None:
        """Record a problem unless ``value`` is a whole number within ``limit``."""
        if value != int(value) or not limit.minimum <= value <= limit.maximum:
            self.add(
                f"{name} is {value:.12g} {limit.unit}",
                allowed=f"{limit.platform} allows {limit.minimum} to {limit.maximum}"
                f" in whole {limit.unit}",
                remedy="choose a value in that range",
            )

    def check_known(self, name: str, is_known: bool) -> bool:
        """Record a problem unless a value ``is_known`` that synth itself needs; returns as much."""
        if not is_known:
            self.add(
                f"{name} is known only when the app is deployed",
                allowed="it is needed when the app is synthesized",
                remedy="give the value itself, from the app's context for example",
            )
        return is_known

    def raise_if_any(self) -> None:
        """Raise one error with every problem recorded so far.

        Raises:
            ConfigurationError: at least one problem was recorded.
        """
        if self._found:
            raise ConfigurationError(self._where, self._found)


def sentence(given: str, allowed: str, remedy: str) -> str:
    """A problem as one line: what was given, what is allowed, what to do."""
    return f"{given}; {allowed}; {remedy}"
