"""The Pareto fronts of phase 1: latency against area, and EDAP against quality; every point has a bound."""

from __future__ import annotations

import math
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
from xpert.search.period import PipelinedProblem
from xpert.search.quality.additive import total_quality
from xpert.search.tabulate import design_of
from xpert.solver import pareto
from xpert.solver.exact import bound_below
from xpert.solver.problem import Problem

EVALUATIONS = 200_000
"""Partial designs per point."""


def architecture_fronts(
    problem: Problem,
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    quality: str,
    points: int,
    relaxed: Problem | None = None,
    progress: Report | None = None,
) -> tuple[Front, ...]:
    """Both fronts in the context of the design that phase 1 found.

    Points are found in the context of the design that phase 1 found. A point's figures are those of its full
    evaluation, in its own context, and its bound holds for every design that is not worse than it along the front.

    Args:
        problem: The problem in that context, `ArchitectureResult.problem`.
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries, the meaning of the problem's options.
        quality: What the problem tabulates as quality, a sum over layers.
        points: Budgets per front.
        relaxed: A problem in which no design is dearer than it is, for the bounds; None for no bounds.
        progress: Called as work goes on.

    Returns:
        Latency against area, and EDAP against quality; none of pipelined chips, whose problems are no sums.
    """
    if isinstance(problem, PipelinedProblem):
        return ()
    without_area = {
        key: {name: bound for name, bound in getattr(problem, key).items() if name != "area"}
        for key in ("at_most", "at_least")
    }
    without_quality = {name: bound for name, bound in problem.at_least.items() if name != QUALITY}
    asked = (
        ("latency", "area", {"minimize": OBJECTIVES["latency"], **without_area}, False),
        ("edap", QUALITY, {"minimize": OBJECTIVES["edap"], "at_least": without_quality}, True),
    )
    fronts = []
    for objective, along, changes, at_least in asked:
        posed = replace(problem, **changes)
        try:
            found = pareto.front(
                posed, along, at_least=at_least, points=points, evaluations=EVALUATIONS, progress=progress
            )
        except InfeasibleError:  # in this context; the design itself keeps its budgets by full evaluation
            found = ()
        below = None if relaxed is None else replace(relaxed, **changes)
        priced = (
            _point(one, design_of(space, chip, options, one.solution.design), quality, objective, along, below)
            for one in found
        )
        fronts.append(Front(objective=objective, along=along, points=tuple(priced)))
    return tuple(fronts)


def _point(
    found: pareto.FrontPoint, design: Design, quality: str, objective: str, along: str, relaxed: Problem | None
) -> FrontPoint:
    costs = evaluate_on_axes(design, quality)
    figures = {"latency": costs.latency_us, "energy": costs.energy_uj, "area": costs.area_mm2, QUALITY: costs.quality}
    value, bound = math.prod(figures[name] for name in OBJECTIVES[objective]), None
    if relaxed is not None:
        side = "at_least" if along == QUALITY else "at_most"
        posed = replace(relaxed, **{side: {**getattr(relaxed, side), along: figures[along]}})
        bound = bound_below(posed, value, figures)
    return FrontPoint(
        budget=found.budget,
        tabulated=found.solution.value,
        lower_bound=bound,
        gap=None if bound is None else (value - bound) / value,
        channels=design.network.channels,
        **({"kernels": design.network.kernels} if design.network.kernels else {}),
        periphery=tuple(entry.short(ARCHITECTURE_FIELDS) for entry in design.periphery),
        **costs.to_dict(),
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
