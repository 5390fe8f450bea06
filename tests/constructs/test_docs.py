"""Every example of the documentation runs, and every error that it shows is the one that comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cdk_inference
import pytest
from cdk_inference import ConfigurationError

from tests.constructs.synthesis import ROOT

API = re.compile(r"([a-z]+)\.googleapis\.com")
USED = re.compile(r"""google\("([a-z0-9_]+)"\)""")
# By what the names of the provider's modules begin with.
APIS = {
    "artifact_registry_": "artifactregistry",
    "billing_": "billingbudgets",
    "cloud_run_": "run",
    "cloudfunctions2_": "cloudfunctions",
    "compute_": "compute",
    "data_google_client_config": None,
    "data_google_project": "cloudresourcemanager",
    "data_google_storage_": "storage",
    "iap_": "iap",
    "kms_": "cloudkms",
    "logging_": "logging",
    "monitoring_": "monitoring",
    "provider": None,
    "secret_manager_": "secretmanager",
    "service_account": "iam",
    "storage_": "storage",
}
EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<error>.*?)```)?", re.DOTALL)


def examples(page: Path) -> Iterator[tuple[str, str | None]]:
    for match in EXAMPLE.finditer(page.read_text()):
        yield match["code"], match["error"]


def test_the_constructs_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for code, error in examples(ROOT / "docs" / "constructs.md"):
        if error is None:
            exec(code, names)
            continue
        with pytest.raises(ConfigurationError) as caught:
            exec(code, names)
        for line in error.splitlines():
            assert line in str(caught.value)
    names["test_shop"](names["stable_template"](names["stack"]))


def test_every_api_that_a_resource_needs_is_switched_on_first() -> None:
    page = (ROOT / "docs" / "constructs.md").read_text()
    _, _, rest = page.partition("gcloud services enable ")
    command, _, _ = rest.partition("```")
    sources = (ROOT / "constructs" / "cdk_inference" / "gcp").glob("*.py")
    used = {module for source in sources for module in USED.findall(source.read_text())}
    needed = {next(api for start, api in APIS.items() if m.startswith(start)) for m in used}
    # Functions are built by another API, of which there is no resource.
    assert set(API.findall(command)) == needed - {None} | {"cloudbuild"}


# Errors, which the page shows as text; what methods return; and what `load_from` and `model_cache`
# make.
WITHOUT_A_BLOCK = {
    *("ConfigurationError", "PackagingError"),
    *("ImportedInferenceApi", "ImportedInferenceFunctionUrl", "ImportedMultiModelApi"),
    *("InferenceFunction", "TensorSpec"),
    *("EfsModelLoader", "ModelCacheExtension"),
}


def test_each_public_name_is_in_a_block() -> None:
    code = "".join(code for code, _ in examples(ROOT / "docs" / "constructs.md"))
    missing = {name for name in cdk_inference.__all__ if not re.search(rf"\b{name}\b", code)}
    assert missing == WITHOUT_A_BLOCK
