"""The evaluation stage: costs and accuracies of the result and of all homogeneous designs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from xpert.analog import measure_activity
from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery, by_field, in_order
from xpert.experiment.baselines import with_periphery
from xpert.experiment.config import PrecisionSettings
from xpert.experiment.variants import variant_rows
from xpert.hardware import evaluate
from xpert.results import (
    Accuracy,
    BaselineName,
    DesignName,
    EvaluationRecord,
    EvaluationStage,
    FactorShare,
    Measured,
    MeasuredActivity,
    PrecisionPoint,
    Row,
    Tiling,
    ratios,
)
from xpert.search.factors import factors
from xpert.search.objectives import Budgets
from xpert.search.organisation import best_organised, organisation_name
from xpert.search.variants import Regret
from xpert.statistics import Bools, difference_interval

_NAMES = {
    "edap": "edap",
    "energy": "energy_uj",
    "latency": "latency_us",
    "area": "area_mm2",
    "tops_per_watt": "tops_per_watt",
    "tops_per_mm2": "tops_per_mm2",
}
"""Name among the ratios of results.json -> name in an evaluation."""


def cost_of(design: Design) -> EvaluationRecord:
    """What a design costs."""
    return EvaluationRecord.parse(evaluate(design).to_dict())


@dataclass(frozen=True)
class Trained:
    """A design with its trained network, and the accuracies of the two."""

    design: Design
    model: nn.Module
    accuracy: Accuracy

    correct: Bools | None = None
    """Whether each test image is right on each chip, [chips, images], where that was kept."""

    def row(self, design: Design) -> Row:
        """The row of this design, or of one of the same accuracy."""
        return Row(name=design.name, evaluation=cost_of(design), accuracy=self.accuracy)


def compare_designs(
    searched: Trained,
    typical: Trained,
    single: Trained | None,
    kinds: Iterable[tuple[Any, ...]],
    budgets: Budgets,
    calibration: Tensor,
    *,
    network: Mapping[str, Regret],
    converters: Mapping[str, Regret],
) -> EvaluationStage:
    """The searched design beside the homogeneous ones.

    The kinds of periphery change no accuracy, so the typical design's stands for all homogeneous ones. Searches
    assume the chip's activity; here designs are also costed with what their trained networks have.

    Args:
        searched: The searched design.
        typical: The typical design.
        single: The searched network with the best periphery that all its layers can share; None where there is none.
        kinds: Values of `KIND_FIELDS` of the homogeneous designs.
        budgets: Of the search; in other tiles they bind those that keep them in their own.
        calibration: Normalised images on which activity is measured.
        network: Regrets of phase 1's design, by variant.
        converters: Regrets of the searched design, by variant.
    """
    usual = typical.design.periphery[0]
    designs = [with_periphery(typical.design, usual.with_values(KIND_FIELDS, kind)) for kind in kinds]
    rows = [typical.row(design) for design in designs]
    best = min(range(len(designs)), key=lambda index: rows[index].evaluation.edap)
    found = searched.row(searched.design)
    bases: dict[BaselineName, Row] = {"typical": typical.row(typical.design), "best": rows[best]}
    compared: dict[DesignName, Design] = {
        "searched": searched.design, "typical": typical.design, "best": designs[best]
    }  # fmt: skip
    # One network at one precision has one activity.
    measured_typical = measure_activity(typical.model, typical.design, calibration)
    active: dict[DesignName, Design] = {
        "searched": measure_activity(searched.model, searched.design, calibration),
        "typical": measured_typical,
        "best": designs[best].replace(activity=measured_typical.activity),
    }
    difference = None
    if single is not None:
        bases["single"], compared["single"] = single.row(single.design), single.design
        active["single"] = measure_activity(single.model, single.design, calibration)
        if searched.correct is not None and single.correct is not None:
            difference = Measured(**difference_interval(searched.correct, single.correct)._asdict())
    measured: dict[DesignName, EvaluationRecord] = {name: cost_of(design) for name, design in active.items()}
    organised: dict[DesignName, Tiling] = {name: organisation_of(design, budgets) for name, design in compared.items()}
    return EvaluationStage(
        searched=found,
        baselines={**bases},
        homogeneous=tuple(rows),
        ratios={name: _named_ratios(found.evaluation, row.evaluation) for name, row in bases.items()},
        single_difference=difference,
        organisations=organised,
        organisation_ratios={name: organised[name].best_edap / organised["searched"].best_edap for name in bases},
        factors=tuple(FactorShare.parse(one.to_dict()) for one in factors(typical.design, searched.design)),
        measured_activity=MeasuredActivity(
            evaluations=measured,
            ratios={name: _named_ratios(measured["searched"], measured[name]) for name in bases},
        ),
        variants=variant_rows({**active}, network=network, converters=converters),
    )


def organisation_of(design: Design, budgets: Budgets) -> Tiling:
    """A design in the tiles of its run and in those that suit it best."""
    best = best_organised(design, budgets)
    chip = best.design.chip
    return Tiling(
        own=organisation_name(design.chip),
        edap=cost_of(design).edap,
        best=organisation_name(chip),
        subarrays_per_pe=chip.subarrays_per_pe,
        pes_per_tile=chip.pes_per_tile,
        best_edap=cost_of(best.design).edap,
    )


def accuracy_against_precision(
    bench: Callable[[Design], Bools], design: Design, options: PrecisionSettings
) -> tuple[PrecisionPoint, ...]:
    """NI-accuracy of a design on a bench, with one precision in all layers, along both axes."""
    lists = options.options
    decisions = Periphery.decisions("precision")

    def number(field: str, value: Any) -> int:
        """A value, as the chip has it where it is left to it."""
        return int(getattr(design.chip.resolved(Periphery().with_values([field], [value])), field))

    finest = {
        field: (max if decisions[field].finer == "more" else min)(values, key=lambda value: number(field, value))
        for field, values in lists.items()
    }
    points = {tuple((finest | {field: value}).values()) for field, values in lists.items() for value in values}
    curve = []
    for point in sorted(points, key=in_order):
        uniform = design.with_values(PRECISION_FIELDS, [point] * len(design.periphery))
        precision = by_field(PRECISION_FIELDS, point, unset=False)
        curve.append(PrecisionPoint.parse(precision | {"ni_accuracy": float(bench(uniform).mean())}))
    return tuple(curve)


def _named_ratios(found: EvaluationRecord, base: EvaluationRecord) -> dict[str, float]:
    better = ratios(found, base)
    return {name: better[figure] for name, figure in _NAMES.items()}


__all__ = ["Trained", "accuracy_against_precision", "compare_designs", "cost_of", "organisation_of"]
