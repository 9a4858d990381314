"""`xpert pick`: any point of a run's fronts as a design."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.options import Json
from xpert.errors import ConfigError, InfeasibleError
from xpert.text import plain_number, plain_percent

if TYPE_CHECKING:
    from xpert.experiment.points import RunPoints
    from xpert.results import Point


class Front(StrEnum):
    """Where points come from."""

    phase1 = "phase1"
    precision = "precision"
    joint = "joint"


def pick(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
    point: Annotated[int | None, typer.Option("--point", help="The point of this number in the list.")] = None,
    edap_below: Annotated[
        float | None,
        typer.Option("--edap-below", metavar="EDAP", help="The most accurate point of at most this EDAP."),
    ] = None,
    accuracy_above: Annotated[
        float | None,
        typer.Option("--accuracy-above", metavar="SHARE", help="The point of least EDAP with at least this accuracy."),
    ] = None,
    front: Annotated[Front | None, typer.Option(help="Only points of this front.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DESIGN.json", help="Write the point's design to this file.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the list to a CSV file, too.")] = None,
    as_json: Json = False,
) -> int:
    """Make a point of a run's fronts a design; without a condition, list the points.

    Fronts are those of phase 1, the designs that phase 2 measured, and those of joint search. Conditions look among
    measured points where there are any, else among phase 1's, whose accuracy is the predicted one; `--front` says
    otherwise. Both conditions together take the least EDAP.

    Example: **xpert pick runs/quickstart**

    **xpert pick runs/quickstart --accuracy-above 0.97 --out cheap.json**
    """
    if point is not None and (edap_below is not None or accuracy_above is not None):
        raise ConfigError("pick: give --point or conditions, not both")
    chosen = point is not None or edap_below is not None or accuracy_above is not None
    if out is not None and not chosen:
        raise ConfigError("--out: says where a design goes; choose it with --point, --edap-below or --accuracy-above")

    from xpert.experiment.points import read_points

    found = read_points(run)
    points = [entry for entry in found.points if front is None or entry.front == front]
    if not points:
        fronts = ", ".join(dict.fromkeys(entry.front for entry in found.points))
        raise ConfigError(f"--front: {run} has no points of {front}; it has those of {fronts}")
    if csv is not None:
        output.write_csv(csv, [_row(entry) for entry in points])
    if not chosen:
        if as_json:
            output.write_json({"run": str(run), "quality": found.quality_name, "points": [_row(one) for one in points]})
        else:
            _show(found, points)
        return 0

    if point is not None:
        taken = next((entry for entry in points if entry.number == point), None)
        if taken is None:
            raise ConfigError(
                f"--point: must be one of {points[0].number} to {points[-1].number}, got {point}; "
                "`xpert pick RUN` lists them"
            )
    else:
        taken = _best(points, edap_below, accuracy_above)
    design = found.design(taken)  # one that cannot be made is refused before anything is said of it
    _warn(found, taken)
    if out is not None:
        design.write(out)
    if as_json:
        output.write_json(
            {"run": str(run), "point": _row(taken), "out": None if out is None else str(out)}
            | {"design": design.model_dump(mode="json")}
        )
        return 0
    _show(found, [taken])
    output.write(f"{_weights(found, taken)}\n")
    if out is not None:
        output.write(f"Design: {out}\n")
    else:
        output.write("Add --out DESIGN.json to write its design.\n")
    return 0


def _best(points: Sequence[Point], edap_below: float | None, accuracy_above: float | None) -> Point:
    """The point that conditions ask for."""
    measured = [entry for entry in points if entry.ni_accuracy is not None]
    among = measured or points
    allowed = [
        entry
        for entry in among
        if (edap_below is None or entry.edap <= edap_below)
        and (accuracy_above is None or (entry.worth is not None and entry.worth >= accuracy_above))
    ]
    if not allowed:
        worths = [entry.worth for entry in among if entry.worth is not None]
        best = f", the largest accuracy {plain_number(max(worths))}" if worths else ""
        raise InfeasibleError(
            f"no point keeps these conditions: the least EDAP is {plain_number(min(one.edap for one in among))}{best}"
        )
    if accuracy_above is not None:
        return min(allowed, key=lambda entry: entry.edap)
    return max(allowed, key=lambda entry: (entry.worth or 0.0, -entry.edap))


def _row(point: Point) -> dict[str, Any]:
    """A point as one flat line: the peripheries of its layers in the least space."""
    line = point.model_dump(mode="json", exclude={"periphery", "channels", "kernels", "ni_accuracy_interval"})
    low, high = point.ni_accuracy_interval or (None, None)
    return line | {
        "ni_low": low,
        "ni_high": high,
        "channels": " ".join(map(str, point.channels)),
        "kernels": " ".join(map(str, point.kernels)),
        "periphery": " ".join(entry.short() for entry in point.periphery),
    }


def _show(found: RunPoints, points: Sequence[Point]) -> None:
    """Points as tables, one for each front, on stdout."""
    groups: dict[str, list[Point]] = {}
    for entry in points:
        title = {"phase1": "Phase 1", "precision": "Phase 2", "joint": "Joint search"}[entry.front]
        along = found.quality_name if entry.along == "quality" else entry.along
        objective = {"edap": "EDAP"}.get(entry.objective, entry.objective)
        groups.setdefault(f"{title}: {objective} against {along}", []).append(entry)
    for title, entries in groups.items():
        predicted = entries[0].ni_accuracy is None
        header = ["point", "EDAP", "area mm²", "latency µs", "energy µJ"]
        header += [found.quality_name.replace(" ", "\n", 1), "proven"] if predicted else ["NI-accuracy", "95 %"]
        output.show(output.table(title, header, [_cells(entry) for entry in entries]))


def _cells(point: Point) -> list[str]:
    costs = [plain_number(getattr(point, name)) for name in ("edap", "area_mm2", "latency_us", "energy_uj")]
    if point.ni_accuracy is None:
        proven = "-" if point.gap is None else "yes" if point.gap <= 1e-9 else f"to {plain_percent(point.gap)}"
        return [str(point.number), *costs, plain_number(point.quality), proven]
    interval = "-"
    if point.ni_accuracy_interval is not None:
        low, high = point.ni_accuracy_interval
        interval = f"{100 * low:.1f} ... {plain_percent(high)}"
    return [str(point.number), *costs, plain_percent(point.ni_accuracy), interval]


def _weights(found: RunPoints, point: Point) -> str:
    """Which weights fit the design at a point, in a sentence."""
    if point.weights is None:
        return "No weights of this run fit: it has not trained this network."
    measured = "its accuracy was measured with them" if point.as_measured else "its network"
    return f"Weights that fit: {found.folder / point.weights} ({measured})."


def _warn(found: RunPoints, point: Point) -> None:
    from xpert.experiment.points import differs

    evaluation = found.evaluation(point)
    if differs(point, evaluation):
        output.note(
            f"the cost model has changed since this run: EDAP {plain_number(evaluation.edap)} now, "
            f"{plain_number(point.edap)} recorded"
        )
