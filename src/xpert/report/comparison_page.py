"""One page for several runs and designs, on common axes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from xpert.files import write_atomically
from xpert.report import palette, plots, tables
from xpert.report.page import template
from xpert.report.run_files import RunFiles
from xpert.results import EvaluationRecord


@dataclass(frozen=True)
class ComparedDesign:
    """A design on the page."""

    label: str
    evaluation: EvaluationRecord
    ni_accuracy: float | None

    @classmethod
    def of(cls, label: str, evaluation: Mapping[str, Any], ni_accuracy: float | None) -> Self:
        """A design from what `Evaluation.to_dict` gave."""
        return cls(label, EvaluationRecord.parse(evaluation), ni_accuracy)


@dataclass(frozen=True)
class ComparedRun:
    """A run on the page."""

    label: str
    files: RunFiles
    state: str
    seconds: float | None
    differing: Mapping[str, Any]
    """Settings in which the runs differ."""


def write_comparison(path: Path, designs: Sequence[ComparedDesign], runs: Sequence[ComparedRun]) -> Path:
    """Write one page of several runs and designs, which needs no network.

    Args:
        path: The file.
        designs: What is compared; ratios are to the first.
        runs: Those whose fronts are shown.

    Raises:
        RunError: If the file cannot be written.
    """
    fronts = {run.label: run.files.results for run in runs}
    figures: dict[str, go.Figure | None] = {
        "edap_quality": plots.fronts_of_runs(fronts, "edap"),
        "latency_area": plots.fronts_of_runs(fronts, "latency"),
        "precision": plots.measured_of_runs(fronts),
    }
    evaluations = {design.label: design.evaluation for design in designs}
    for field in tables.SHARED:
        figures[f"breakdown_{field}"] = plots.breakdown(evaluations, field)
    components = list(
        dict.fromkeys(name for one in evaluations.values() for part in one.breakdown.values() for name in part)
    )
    folder = path.resolve().parent
    page = template("comparison.html.j2").render(
        plotly_js=get_plotlyjs(),
        designs=designs,
        runs=runs,
        settings=list(dict.fromkeys(key for run in runs for key in run.differing)),
        links={run.label: os.path.relpath(run.files.folder.resolve() / "report.html", folder) for run in runs},
        figures={name: figure for name, figure in figures.items() if figure is not None},
        components=palette.component_colours(components),
        tables=tables,
    )
    write_atomically(path, page)
    return path


__all__ = ["ComparedDesign", "ComparedRun", "write_comparison"]
