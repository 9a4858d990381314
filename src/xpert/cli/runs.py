"""`xpert runs`: what several run folders hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.inputs import short_paths
from xpert.cli.options import Json
from xpert.text import duration, plain_number, plain_percent

if TYPE_CHECKING:
    from xpert.experiment.runs import RunLine


def runs(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER ...", help="Run folders, or folders of them.")],
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the runs to a CSV file, too.")] = None,
    as_json: Json = False,
) -> int:
    """List runs, finished or not: state, time, headline figures, and the settings in which they differ.

    Costs of an unfinished run are those of its newest design.

    Example: **xpert runs runs**
    """
    from xpert.experiment.runs import find_runs, read_runs

    lines = read_runs(find_runs(folders))
    rows = [run_row(line) for line in lines]
    if csv is not None:
        flat = [{**row, **row["settings"]} for row in rows]
        output.write_csv(csv, [{key: value for key, value in row.items() if key != "settings"} for row in flat])
    if as_json:
        output.write_json({"runs": rows})
        return 0
    show_runs(lines)
    return 0


def run_row(line: RunLine) -> dict[str, Any]:
    """A run as plain data."""
    return {
        "run": str(line.files.folder),
        "name": line.name,
        "state": line.state,
        "seconds": line.seconds,
        **line.figures,
        "ni_accuracy": line.ni_accuracy,
        "settings": line.differing,
    }


def show_runs(lines: Sequence[RunLine], title: str = "Runs") -> None:
    """Tables of runs, and of the settings in which they differ."""
    root, labels = short_paths([line.files.folder for line in lines])
    cells = [
        [
            label,
            line.name,
            line.state,
            duration(line.seconds).replace("–", "-"),
            *(plain_number(line.figures.get(name)) for name in ("edap", "area_mm2", "latency_us", "energy_uj")),
            plain_percent(line.ni_accuracy),
        ]
        for label, line in zip(labels, lines, strict=True)
    ]
    header = ["run", "name", "state", "time", "EDAP", "area\nmm²", "latency\nµs", "energy\nµJ", "NI-\naccuracy"]
    output.show(output.table(f"{title} in {root}" if root and title == "Runs" else title, header, cells, left=3))
    keys = list(dict.fromkeys(key for line in lines for key in line.differing))
    if keys:
        rows = [
            [key, label, str(line.differing.get(key, "-"))]
            for key in keys
            for label, line in zip(labels, lines, strict=True)
        ]
        # A key is said once.
        shown = [["" if index % len(lines) else key, *rest] for index, (key, *rest) in enumerate(rows)]
        output.show(output.table("Settings in which they differ", ["setting", "run", "value"], shown, left=3))
