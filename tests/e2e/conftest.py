"""One deployment of this repository's own app to the emulator, for all end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cdk_inference.local import Deployment, deploy, running
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        with running(tmp_path_factory.mktemp("emulator")) as emulator:
            yield deploy(emulator, console=Console())
