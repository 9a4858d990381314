"""The points of a run's fronts as the page shows them: each beside the design that the run took."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xpert.design import PRECISION_FIELDS, Design, decisions_taken
from xpert.hardware import evaluate
from xpert.report import palette
from xpert.report.run_files import RunFiles
from xpert.report.tables import SHARED, component_title, objective_name, shown_value
from xpert.results import EvaluationRecord, Front, Point, Precision
from xpert.text import percent

Designs = Sequence[tuple[Point, Design | None]]
"""Points with the designs that they are; None for one whose run did not record it whole."""

_FRONTS = {"phase1": "Phase 1", "precision": "Phase 2", "joint": "Joint search"}


@dataclass(frozen=True)
class PointRow:
    """A point in the table of points."""

    point: Point
    proof: str
    made: bool
    """Whether it can be made a design."""

    taken: bool
    """Whether it is the run's design."""


def point_rows(files: RunFiles, designs: Designs) -> dict[str, list[PointRow]]:
    """The points of a run in their order, by front in words: `Phase 2: EDAP against NI-accuracy`."""
    own = files.design
    rows: dict[str, list[PointRow]] = {}
    for point, design in designs:
        says = proof(point.gap) if point.front == "phase1" else ""
        taken = design is not None and own is not None and _same(design, own)
        rows.setdefault(_title(files, point), []).append(PointRow(point, says, design is not None, taken))
    return rows


def proof(gap: float | None) -> str:
    """What is proven of a point of phase 1."""
    if gap is None:
        return "not proven"
    return "proven optimal" if gap <= 1e-9 else f"at most {percent(gap)} above the optimum"


def front_numbers(designs: Designs, front: Front) -> list[int] | None:
    """Numbers of a front's points; None where they are not known."""
    found = [
        point.number
        for point, _ in designs
        if point.front == "phase1" and (point.objective, point.along) == (front.objective, front.along)
    ]
    return found if len(found) == len(front.points) else None


def measured_numbers(designs: Designs) -> dict[tuple[float, float | None], int]:
    """Numbers of the points of phase 2, by EDAP and NI-accuracy."""
    return {(point.edap, point.ni_accuracy): point.number for point, _ in designs if point.front == "precision"}


def points_json(files: RunFiles, designs: Designs) -> str:
    """What the page's script shows of every point, as JSON that may stand in a script element."""
    made = [design for _, design in designs if design is not None] + ([files.design] if files.design else [])
    decisions = decisions_taken([entry for design in made for entry in design.periphery])
    shown = {
        str(point.number): _shown(files, point, design, decisions) for point, design in designs if design is not None
    }
    own = None if files.design is None else _design(files.design, decisions)
    data = {
        "decisions": {name: decision.title for name, decision in decisions.items()},
        "quality": files.results.architecture.quality_name if files.results.architecture else "quality",
        "points": shown,
        "own": None if own is None else own | _own_accuracies(files),
        "components": _components([*shown.values(), *([own] if own else [])]),
    }
    # `</script>` in a name would end the element.
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _title(files: RunFiles, point: Point) -> str:
    quality = files.results.architecture.quality_name if files.results.architecture else "quality"
    along = quality if point.along == "quality" else point.along
    return f"{_FRONTS[point.front]}: {objective_name(point.objective)} against {along}"


def _same(one: Design, other: Design) -> bool:
    return (one.network.layers, one.periphery) == (other.network.layers, other.periphery)


def _shown(files: RunFiles, point: Point, design: Design, decisions: Iterable[str]) -> dict[str, Any]:
    out = f"point-{point.number}.json"
    run = shlex.quote(str(files.folder))
    return _design(design, decisions) | {
        "title": _title(files, point),
        "proof": proof(point.gap) if point.front == "phase1" else "",
        "quality": _short(point.quality),
        "ni": _short(point.ni_accuracy),
        "interval": None if point.ni_accuracy_interval is None else [*map(_short, point.ni_accuracy_interval)],
        "command": f"xpert pick {run} --point {point.number} --out {out}",
        "weights": point.weights,
        "asMeasured": point.as_measured,
        "accuracyCommand": None
        if point.weights is None
        else f"xpert accuracy {out} --weights {shlex.quote(str(files.folder / point.weights))} --dataset NAME",
    }


def _design(design: Design, decisions: Iterable[str]) -> dict[str, Any]:
    """A design's costs, components and layers, with these decisions."""
    evaluation = EvaluationRecord.parse(evaluate(design).to_dict())
    return {
        "costs": {name: _short(getattr(evaluation, name)) for name in (*SHARED, "edap", "tops_per_watt")},
        "breakdown": {
            field: {name: _short(value) for name, value in evaluation.breakdown.get(field, {}).items()}
            for field in SHARED
        },
        "layers": {
            layer.name: [
                f"{layer.in_channels} → {layer.out_channels}",
                *(shown_value(entry, name) for name in decisions),
                *(_short(getattr(layer, field)) for field in SHARED),
            ]
            for layer, entry in zip(evaluation.layers, design.periphery, strict=True)
        },
    }


def _own_accuracies(files: RunFiles) -> dict[str, Any]:
    """Quality of the run's design, and its accuracy on the images of the search and on test images."""
    results, design = files.results, files.design
    found = results.architecture.found if results.architecture else None
    tested = results.searched.accuracy if results.searched else None
    return {
        "quality": _short(found.quality if found else None),
        "ni": _short(_searched_accuracy(results.precision, design)),
        "test": _short(tested.ni_mean if tested else None),
    }


def _searched_accuracy(precision: Precision | None, design: Design | None) -> float | None:
    """NI-accuracy of the run's design on the images on which the search measured the points."""
    if precision is None or design is None:
        return None
    lists = {name: tuple(getattr(entry, name) for entry in design.periphery) for name in PRECISION_FIELDS}
    return next((entry.ni_accuracy for entry in precision.tried if entry.precisions == lists), None)


def _components(shown: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Title and colour of every component."""
    names = list(dict.fromkeys(name for one in shown for parts in one["breakdown"].values() for name in parts))
    colours = palette.component_colours(names)
    return {name: [component_title(name), colours[name]] for name in names}


def _short(value: float | None) -> float | None:
    """Four digits, which is what the page shows at most."""
    return None if value is None else float(f"{value:.4g}")


__all__ = ["Designs", "PointRow", "front_numbers", "measured_numbers", "point_rows", "points_json", "proof"]
