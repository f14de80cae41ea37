"""Options and fixtures that several test files share."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torchvision  # noqa: F401  Mesa and a torchvision that is imported after it don't get along

with contextlib.suppress(ImportError):  # only tests of the page need it
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # machines of continuous integration are slow

GOLDEN_DIR = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Golden:
    """A folder of golden vectors and the salt that their weights and inputs were drawn with."""

    directory: Path
    salt: str

    def case(self, name: str) -> Mapping[str, np.ndarray]:
        """The arrays of one case, e.g. `case("02_e4e_encoder")`."""
        with np.load(self.directory / f"{name}.npz", allow_pickle=False) as arrays:
            return dict(arrays)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("golden vectors")
    group.addoption("--golden-dir", type=Path, default=GOLDEN_DIR, help="folder of the .npz files")
    group.addoption("--golden-salt", default="public", help="salt of that set of vectors")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden vectors to test against; see tests/golden/fill.py for what they are."""
    option = request.config.getoption
    return Golden(option("--golden-dir"), option("--golden-salt"))
