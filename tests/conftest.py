"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from xpert.design import ADCS, ENCODINGS
from xpert.networks.backbones import BACKBONES
from xpert.search.precision.strategies import PRECISION_STRATEGIES
from xpert.search.quality import QUALITIES
from xpert.solver import STRATEGIES
from xpert.training.datasets import DATASETS

# Networks in tests are small: a second thread costs more than it gives, many times more on a busy machine. Torch reads
# this when it is loaded, and so do the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure; and the gate gives the same verdict twice.
settings.register_profile("xpert", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("xpert")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference data that lies beside the project; tests that use it skip where it is absent."""
    path = Path(os.environ.get("XPERT_SHARED", Path(__file__).parents[2] / "shared"))
    if not path.is_dir():
        pytest.skip(f"no reference data: {path} is absent (set XPERT_SHARED)")
    return path


@pytest.fixture
def own_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    for registry in (ADCS, BACKBONES, DATASETS, ENCODINGS, PRECISION_STRATEGIES, QUALITIES, STRATEGIES):
        monkeypatch.setattr(registry, "_added", {})
        monkeypatch.setattr(registry, "_installed", None)
