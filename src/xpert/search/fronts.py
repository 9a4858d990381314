"""The Pareto fronts of phase 1: latency against area, and EDAP against quality, each point proven and evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xpert.design import ARCHITECTURE_FIELDS, Chip, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.networks.spaces import Space
from xpert.progress import Report
from xpert.results import Costs, Front, FrontPoint
from xpert.search.architecture import QUALITY
from xpert.search.objectives import OBJECTIVES, objective_value
from xpert.search.quality.additive import total_quality
from xpert.search.tabulate import design_of
from xpert.solver import pareto
from xpert.solver.problem import Problem

EVALUATIONS = 200_000
"""Partial designs per point; where that is not enough, the point's gap says how far from proven it is."""


def architecture_fronts(
    problem: Problem,
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    quality: str,
    points: int,
    progress: Report | None = None,
) -> tuple[Front, ...]:
    """Both fronts in the context of the design that phase 1 found.

    A point's certificate, and its budgets, hold for the cost tables in that context. Its figures are those of its full
    evaluation, in its own context: a point with larger tiles has a wider H-tree, which every layer pays for.

    Args:
        problem: The problem in that context, `ArchitectureResult.problem`.
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries, the meaning of the problem's options.
        quality: What the problem tabulates as quality, a sum over layers.
        points: Budgets per front.
        progress: Called as work goes on.

    Returns:
        Latency against area, and EDAP against quality.
    """
    without_area = {
        key: {name: bound for name, bound in getattr(problem, key).items() if name != "area"}
        for key in ("at_most", "at_least")
    }
    without_quality = {name: bound for name, bound in problem.at_least.items() if name != QUALITY}
    asked = (
        ("latency", "area", replace(problem, minimize=OBJECTIVES["latency"], **without_area), False),
        ("edap", QUALITY, replace(problem, minimize=OBJECTIVES["edap"], at_least=without_quality), True),
    )
    fronts = []
    for objective, along, posed, at_least in asked:
        try:
            found = pareto.front(
                posed, along, at_least=at_least, points=points, evaluations=EVALUATIONS, progress=progress
            )
        except InfeasibleError:  # in this context; the design itself keeps its budgets by full evaluation
            found = ()
        priced = (_point(one, design_of(space, chip, options, one.solution.design), quality) for one in found)
        fronts.append(Front(objective=objective, along=along, points=tuple(priced)))
    return tuple(fronts)


def _point(found: pareto.FrontPoint, design: Design, quality: str) -> FrontPoint:
    return FrontPoint(
        budget=found.budget,
        tabulated=found.solution.value,
        lower_bound=found.solution.lower_bound,
        gap=found.solution.gap,
        channels=design.network.channels,
        periphery=tuple(entry.short(ARCHITECTURE_FIELDS) for entry in design.periphery),
        **evaluate_on_axes(design, quality).to_dict(),
    )


def evaluate_on_axes(design: Design, quality: str) -> Costs:
    """A design on the axes of the fronts, by full evaluation; its quality is a sum over layers."""
    evaluation = evaluate(design)
    return Costs(
        area_mm2=objective_value(evaluation, "area"),
        latency_us=objective_value(evaluation, "latency"),
        energy_uj=objective_value(evaluation, "energy"),
        edap=objective_value(evaluation, "edap"),
        quality=total_quality(quality, design.network),
    )


__all__ = ["architecture_fronts", "evaluate_on_axes"]
