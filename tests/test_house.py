"""The rules of the house: docs/architecture.md says what is where; this holds the code to it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "xpert"
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS = (
    {"errors", "progress", "text"},
    {"files", "lazy_registry", "statistics"},
    {"design"},
    {"results", "workload", "solver"},
    {"hardware", "networks"},
    {"analog", "training"},
    {"search", "report"},
    {"experiment"},
    {"cli"},
    {"__main__"},
)
"""A room may use the rooms on floors below its own, and no others."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

TORCH_FREE = (
    "xpert.cli",
    "xpert.cli.app",
    "xpert.design",
    "xpert.experiment",
    "xpert.experiment.config",
    "xpert.experiment.presets",
    "xpert.experiment.run",
    "xpert.hardware",
    "xpert.networks.spaces",
    "xpert.progress",
    "xpert.report",
    "xpert.results",
    "xpert.search",
    "xpert.search.objectives",
    "xpert.search.precision.strategies",
    "xpert.search.quality",
    "xpert.lazy_registry",
    "xpert.solver",
    "xpert.solver.problem",
    "xpert.training.settings",
    "xpert.workload.layers",
)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at the top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down_the_house(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports(path):
        package, _, rest = name.partition(".")
        used = rest.split(".")[0]
        if package == "xpert" and used not in {"", room}:
            assert FLOOR[used] < FLOOR[room], f"{room} must not import {name}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_a_fast_start_needs_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_nothing_is_unpickled() -> None:
    forbidden = ("import pickle", "from pickle", "torch.load(", "allow_pickle=True", "cloudpickle", "joblib")
    assert [(path.name, word) for path in FILES for word in forbidden if word in path.read_text(encoding="utf-8")] == []


def test_the_map_of_the_house_is_true() -> None:
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert len(named) > 20
    assert {name for name in named if not (SOURCE.parents[1] / name).exists() and not list(SOURCE.rglob(name))} == set()
    rooms = {room for room in FLOOR if (SOURCE / room).is_dir()}
    assert {room for room in rooms if f"- `{room}/`:" not in text} == set()
