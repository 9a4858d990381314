"""`xpert compare`: designs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.evaluation import HEADLINE
from xpert.cli.inputs import accuracy_beside, designs_of, read_design, short_paths
from xpert.cli.options import Json
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.results import FactorShare


def compare(
    files: Annotated[list[Path], typer.Argument(metavar="A B ...", help="Run folders, designs and configs.")],
    factors: Annotated[
        bool, typer.Option("--factors", help="Of two designs: what their ratio is made of, by Shapley shares.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write a line per design, too.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a report of them all, on common axes, too.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Designs side by side, with ratios to the first: an energy ratio of 0.5 is half the first design's energy.

    A run folder stands for its newest design and for the same network with the best single periphery. Accuracies are
    those of its test images.

    Example: **xpert compare runs/a/design.json runs/b/design.json**

    **xpert compare runs/a runs/b --html comparison.html**
    """
    folders = [path for path in files if path.is_dir()]
    files = [file for path in files for file in designs_of(path)]
    if factors and len(files) != 2:
        raise ConfigError(f"compare: --factors needs two designs, got {len(files)}")
    if len(files) < 2:
        raise ConfigError(f"compare: needs at least two designs, got {len(files)}")
    designs = [read_design(file) for file in files]
    for file, design in zip(files[1:], designs[1:], strict=True):
        if (design.activity is None) != (designs[0].activity is None):
            measured, assumed = (file, files[0]) if design.activity is not None else (files[0], file)
            raise ConfigError(
                f"compare: {measured} has measured activity and {assumed} has not, so energies are not comparable; "
                "measure all of them (xpert evaluate --weights W --dataset NAME --write FILE) or none"
            )

    from xpert.hardware import evaluate

    figures = [evaluate(design).to_dict() for design in designs]
    accuracies = [accuracy_beside(file) for file in files]
    labels = _labels(files, [design.name for design in designs])
    shares = _shares(*designs) if factors else []
    rows = _rows(files, figures, accuracies)
    ratios = [{key: entry[key] / figures[0][key] for key in HEADLINE} for entry in figures]
    if csv is not None:
        lines = zip(rows, ratios, strict=True)
        output.write_csv(csv, [row | {f"{key} ratio": value for key, value in own.items()} for row, own in lines])
    if html is not None:
        _write_page(html, folders, labels, figures, accuracies)
    if as_json:
        output.write_json(
            {"designs": rows, "ratios": ratios} | ({"factors": [one.to_dict() for one in shares]} if factors else {})
        )
    else:
        from xpert.report import comparison_table, factor_table

        output.show(comparison_table(figures, labels, accuracies))
        if factors:
            output.write("How many times lower each quantity of the second is, factor by factor (Shapley shares)\n")
            output.show(factor_table(shares))
        if html is not None:
            output.write(f"Report: {html}\n")
    return 0


def _rows(
    files: Sequence[Path], figures: Sequence[dict[str, Any]], accuracies: Sequence[float | None]
) -> list[dict[str, Any]]:
    """A line per design; accuracies only where there is one at all."""
    measured = any(accuracy is not None for accuracy in accuracies)
    return [
        {"file": str(file), "name": entry["name"]}
        | {key: entry[key] for key in HEADLINE}
        | ({"ni_accuracy": accuracy} if measured else {})
        for file, entry, accuracy in zip(files, figures, accuracies, strict=True)
    ]


def _labels(files: Sequence[Path], names: Sequence[str]) -> list[str]:
    """What designs are called: their names, and where several have the same one, also where they lie."""
    _, places = short_paths(files)
    # Of a run, the folder says enough.
    shown = [str(Path(place).parent) if Path(place).name == "design.json" else place for place in places]
    return [
        name if names.count(name) == 1 else f"{name} ({place if place != '.' else file.name})"
        for file, name, place in zip(files, names, shown, strict=True)
    ]


def _write_page(
    path: Path,
    folders: Sequence[Path],
    labels: Sequence[str],
    figures: Sequence[dict[str, Any]],
    accuracies: Sequence[float | None],
) -> None:
    from xpert.experiment.runs import read_runs
    from xpert.report import ComparedDesign, ComparedRun, write_comparison

    _, places = short_paths(folders)
    write_comparison(
        path,
        [ComparedDesign.of(label, entry, accuracy) for label, entry, accuracy in zip(labels, figures, accuracies)],
        [
            ComparedRun(place, line.files, line.state, line.seconds, line.differing)
            for place, line in zip(places, read_runs(folders), strict=True)
        ],
    )


def _shares(before: Design, after: Design) -> list[FactorShare]:
    from xpert.results import FactorShare
    from xpert.search.factors import factors

    return [FactorShare.parse(one.to_dict()) for one in factors(before, after)]
