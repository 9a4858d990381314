"""What several run folders hold, side by side. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from xpert.design import read_mapping
from xpert.errors import ConfigError, DataError, RunError
from xpert.experiment.run import CONFIG
from xpert.hardware import evaluate
from xpert.report.run_files import RunFiles, read_run
from xpert.results import FIGURES
from xpert.solver.graph import undominated

_NO_SETTINGS = frozenset({"name", "versions", "dataset.data_dir", "schema_version"})
"""Keys of a config that say nothing of what was searched."""

_DEEPEST = 4
"""Folders within folders in which runs are looked for."""


@dataclass(frozen=True)
class RunLine:
    """A run in a few figures."""

    files: RunFiles
    state: str
    """`finished`, `stopped after STAGE`, or `in STAGE` with what happened last there."""

    seconds: float | None
    """Time that it took so far. [s]"""

    figures: dict[str, float]
    """Costs of its newest design, by `FIGURES`; empty where it has none."""

    ni_accuracy: float | None
    """On test images, of a finished run."""

    settings: dict[str, Any]
    """Its whole config, by dotted keys."""

    differing: dict[str, Any] = field(default_factory=dict)
    """The settings that are not the same in all runs."""

    @property
    def name(self) -> str:
        """What its config calls it."""
        return self.files.results.name or self.files.folder.resolve().name


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The run folders among some folders and below them, in order.

    Raises:
        RunError: If one of them is missing, or has no run in it.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise RunError(f"{folder}: {'not a' if folder.exists() else 'no such'} folder; expected runs")
        inside = [*_below(folder, _DEEPEST)]
        if not inside:
            raise RunError(f"{folder}: has no run in it: no folder with a {CONFIG} and an event log")
        found |= dict.fromkeys(inside)
    return list(found)


def read_runs(folders: Sequence[Path]) -> list[RunLine]:
    """Runs in a few figures each, and the settings in which they differ.

    Args:
        folders: Run folders, finished or not.

    Raises:
        RunError: If one is no run folder.
        DataError: If one of its files is broken.
    """
    lines = [_line(read_run(folder)) for folder in folders]
    keys = list(dict.fromkeys(key for line in lines for key in line.settings))
    differing = [key for key in keys if len({repr(line.settings.get(key)) for line in lines}) > 1]
    return [
        RunLine(
            **{name: getattr(line, name) for name in RunLine.__dataclass_fields__ if name != "differing"},
            differing={key: line.settings[key] for key in differing if key in line.settings},
        )
        for line in lines
    ]


def best_runs(lines: Sequence[RunLine]) -> list[RunLine]:
    """Finished runs that no other beats in energy-delay-area product and accuracy, cheap ones first."""
    finished = [line for line in lines if line.ni_accuracy is not None and "edap" in line.figures]
    if not finished:
        return []
    costs = np.array([[line.figures["edap"], -(line.ni_accuracy or 0.0)] for line in finished])
    kept = np.flatnonzero(undominated(costs))
    return [finished[index] for index in kept[np.argsort(costs[kept, 0], kind="stable")]]


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / CONFIG).is_file() and (folder / "events.jsonl").is_file():
        yield folder
    elif depth:
        with os.scandir(folder) as entries:
            inside = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        for name in inside:
            yield from _below(folder / name, depth - 1)


def _line(files: RunFiles) -> RunLine:
    results = files.results
    figures: dict[str, float] = {}
    if results.searched is not None:
        figures = {name: getattr(results.searched.evaluation, name) for name in FIGURES}
    elif files.design is not None:
        try:
            costs = evaluate(files.design).to_dict()
        except ConfigError as error:
            raise DataError(f"{files.folder}: its design cannot be evaluated: {error}") from None
        figures = {name: costs[name] for name in FIGURES}
    accuracy = results.searched.accuracy if results.searched else None
    settings: dict[str, Any] = {}
    if files.config is not None:
        settings = _flat(read_mapping(files.folder / CONFIG, "config file"))
    return RunLine(
        files,
        _state(files),
        results.wall_seconds if results.wall_seconds is not None else _span(files),
        figures,
        accuracy.ni_mean if accuracy else None,
        {key: value for key, value in settings.items() if key not in _NO_SETTINGS and not key.startswith("versions.")},
    )


def _state(files: RunFiles) -> str:
    if "results.json" not in files.absent:
        return "finished"
    if not files.events:
        return "not started"
    last = files.events[-1]
    if last.stage == "run":
        after = (last.model_extra or {}).get("after")
        return f"stopped after {after}" if after else last.event
    return f"in {last.stage}"


def _span(files: RunFiles) -> float | None:
    """Time between the first and the last event."""
    times: list[datetime] = [event.time for event in files.events]
    return (max(times) - min(times)).total_seconds() if times else None


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


__all__ = ["RunLine", "best_runs", "find_runs", "read_runs"]
