"""Files that commands are given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xpert.errors import DataError

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.experiment.config import SearchConfig


def read_design(path: Path) -> Design:
    """A design file, or the typical design of a config file.

    Raises:
        ConfigError: If it is neither, or breaks a rule.
    """
    from xpert.design import Design
    from xpert.experiment.config import typical_design

    found = read_design_or_config(path)
    return found if isinstance(found, Design) else typical_design(found)


def read_design_or_config(path: Path) -> Design | SearchConfig:
    """A design file or a config file, by what it holds.

    Raises:
        ConfigError: If it is neither, or breaks a rule.
    """
    from xpert.design import Design, read_mapping

    data = read_mapping(path, "design or config file")
    network, periphery = data.get("network"), data.get("periphery")
    if isinstance(periphery, list) or (isinstance(network, dict) and "layers" in network):
        return Design.parse(data, str(path), path.parent)
    from xpert.experiment.config import SearchConfig

    return SearchConfig.parse(data, str(path), path.parent)


def short_paths(paths: Sequence[Path]) -> tuple[str, list[str]]:
    """The folder that all paths lie in (empty for the present one, or where there is none), and the rest of each."""
    parents = {str(Path(os.path.normpath(path)).parent) for path in paths}
    try:
        root = os.path.commonpath(parents)
    except ValueError:  # absolute and relative ones, or several drives
        root = ""
    root = "" if root == "." else root
    return root, [os.path.relpath(path, root) if root else str(path) for path in paths]


def designs_of(path: Path) -> list[Path]:
    """Design files that a path stands for: itself, or a run's newest design and its best single periphery.

    Raises:
        DataError: If it is a folder without a design.
    """
    if not path.is_dir():
        return [path]
    found = [file for name in ("design.json", "single.json") if (file := path / name).is_file()]
    if not found:
        raise DataError(f"{path}: has no design.json; expected a design, a config or the folder of a run")
    return found


def accuracy_beside(file: Path) -> float | None:
    """NI-accuracy on test images of a run's design, from the results.json beside it; None without one.

    Raises:
        DataError: If that is broken.
    """
    from xpert.results import Results

    path = file.parent / "results.json"
    if file.name not in {"design.json", "single.json"} or not path.is_file():
        return None
    results = Results.read(path, "results file")
    row = results.searched if file.name == "design.json" else results.baselines.get("single")
    return row.accuracy.ni_mean if row and row.accuracy else None


def require_file(path: Path, what: str) -> None:
    """Complain about a missing file before the slow imports."""
    if not path.is_file():
        raise DataError(f"{path}: is a folder, not a {what}" if path.is_dir() else f"{path}: no such {what}")
