"""The Python bindings of Terraform and its providers: the one module that names them.

CDKTF (``cdktf``) and its continuation CDK Terrain (``cdktn``) have the same classes in other
modules, and do not mix in one stack. So a construct asks for the bindings of the stack it is in,
and gets its classes from there.
"""

from __future__ import annotations

import sys
from enum import Enum
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cdk_inference.validation import ConfigurationError

if TYPE_CHECKING:
    from constructs import Construct


class Bindings(Enum):
    """One of the two families of packages, by the package that holds its ``TerraformStack``.

    Example:
        >>> Bindings.CDKTN.core.TerraformStack
        <class 'cdktn.TerraformStack'>
    """

    CDKTF = "cdktf"
    """Archived in December 2025. Its provider for Google Cloud is 6.50.0 for good."""

    CDKTN = "cdktn"
    """Maintained, with a provider of today."""

    @property
    def core(self) -> ModuleType:
        """The package itself: ``TerraformStack``, ``TerraformOutput``, ``Token``, …"""
        return import_module(self.value)

    def package(self, provider: str) -> str:
        """The name of the Python package of a provider, which need not be installed.

        Example:
            >>> Bindings.CDKTN.package("google")
            'cdktn_provider_google'
        """
        return _PACKAGES[self].format(provider)

    def google(self, module: str) -> ModuleType:
        """A module of the provider for Google Cloud, for example ``cloud_run_v2_service``."""
        return import_module(f"{self.package('google')}.{module}")

    def docker(self, module: str) -> ModuleType:
        """A module of the provider for Docker, for example ``image``."""
        return import_module(f"{self.package('docker')}.{module}")


_PACKAGES = {
    Bindings.CDKTF: "cdktf_cdktf_provider_{}",
    Bindings.CDKTN: "cdktn_provider_{}",
}


def bindings_of(scope: Construct) -> Bindings:
    """The bindings of the stack that ``scope`` is in.

    Raises:
        ConfigurationError: it is in no stack of Terraform.

    Example:
        >>> bindings_of(stack).google("provider").GoogleProvider(stack, "Google", project="mine")
    """
    ancestors = scope.node.scopes
    for bindings in Bindings:
        core = sys.modules.get(bindings.value)
        if core is not None and any(isinstance(one, core.TerraformStack) for one in ancestors):
            return bindings
    raise ConfigurationError(
        scope.node.path,
        [
            "it is in no Terraform stack; its stack is a TerraformStack of cdktn or of cdktf; make"
            " one, as in `from cdktn import TerraformStack`"
        ],
    )


class _LazyPackage(ModuleType):
    """A package whose ``__init__`` was not run, but whose modules are there when asked for."""

    def __getattr__(self, name: str) -> Any:
        module = f"{self.__name__}.{name}"
        if name.startswith("_") or find_spec(module) is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return import_module(module)


def _spare_imports() -> None:
    """Keep CDKTF's providers from importing all that they have: 1,472 modules, 7 to 27 s.

    CDK Terrain's import their modules when they are asked for.
    """
    for package in map(Bindings.CDKTF.package, ("google", "docker")):
        spec = None if package in sys.modules else find_spec(package)
        if spec is not None:
            module = module_from_spec(spec)
            module.__class__ = _LazyPackage
            sys.modules[package] = module


_spare_imports()
