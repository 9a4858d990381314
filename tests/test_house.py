"""The rules of the house: docs/architecture.md says what is where; this holds the code to it.

Which room may use which is checked by import-linter, see pyproject.toml.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "xpert"
FILES = sorted(SOURCE.rglob("*.py"))

TORCH_FREE = (
    "xpert.cli",
    "xpert.cli.app",
    "xpert.design",
    "xpert.experiment",
    "xpert.experiment.config",
    "xpert.experiment.presets",
    "xpert.experiment.run",
    "xpert.hardware",
    "xpert.networks.backbones.resnet",
    "xpert.networks.backbones.vgg",
    "xpert.networks.sources",
    "xpert.networks.spaces",
    "xpert.progress",
    "xpert.report",
    "xpert.results",
    "xpert.search",
    "xpert.search.objectives",
    "xpert.search.precision.strategies",
    "xpert.search.quality",
    "xpert.registry",
    "xpert.solver",
    "xpert.solver.problem",
    "xpert.training.datasets.cifar10",
    "xpert.training.datasets.digits",
    "xpert.training.settings",
    "xpert.workload.layers",
)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_a_fast_start_needs_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_nothing_is_unpickled() -> None:
    forbidden = ("import pickle", "from pickle", "allow_pickle=True", "cloudpickle", "joblib", "torch.export.load(")
    texts = {str(path): path.read_text(encoding="utf-8") for path in FILES}
    assert [(name, word) for name, text in texts.items() for word in forbidden if word in text] == []
    # State dicts of torch are read without the objects that they may hold.
    loads = [call for text in texts.values() for call in re.findall(r"torch\.load\(.*", text)]
    assert loads
    assert [call for call in loads if "weights_only=True" not in call] == []


def test_the_map_of_the_house_is_true() -> None:
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert len(named) > 20
    assert {name for name in named if not (SOURCE.parents[1] / name).exists() and not list(SOURCE.rglob(name))} == set()
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    # Each room has a section of its own, and each folder that is named is there.
    assert set(re.findall(r"^### `([a-z]+)/`$", text, re.MULTILINE)) == rooms
    folders = {name.rstrip("/") for name in re.findall(r"`([a-z_/]+/)`", text)} - {"state", "cache"}
    assert {name for name in folders if not list(SOURCE.glob(name)) + list(SOURCE.glob(f"*/{name}"))} == set()
