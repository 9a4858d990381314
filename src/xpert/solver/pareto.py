"""Pareto fronts: what an objective costs in another quantity, every point with its certificate.

The epsilon-constraint method (Haimes et al. 1971): the objective is minimised under a budget on the other quantity, for
one budget after the other. Each point is a problem of its own, so with `exact` each is proven: no design within the
budget has a smaller objective. Unlike weighted sums it finds points in dents of the front, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.errors import InfeasibleError
from xpert.progress import Progress, Report
from xpert.solver.graph import undominated
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution
from xpert.solver.strategies import solve

STEP = 1e-9
"""By what fraction a budget goes below a design's own figure, to ask for the next one."""


@dataclass(frozen=True)
class FrontPoint:
    """One point of a front.

    Attributes:
        budget: What the other quantity was allowed to be.
        along: What the design's is.
        solution: The best design within the budget.
    """

    budget: float
    along: float
    solution: Solution


def front(
    problem: Problem,
    along: str,
    *,
    at_least: bool = False,
    points: int | None = 12,
    progress: Report | None = None,
    **options: Any,
) -> tuple[FrontPoint, ...]:
    """The least objective for every budget on another quantity.

    Args:
        problem: Objective, tables and the budgets that always hold.
        along: The other quantity.
        at_least: Whether more of it is better, as of quality; by default less is.
        points: Budgets, spaced evenly on a logarithmic axis between the extremes (evenly where one is not positive);
            None for every point that there is, each budget just below the last design's figure.
        progress: Called after every budget with the points done.
        **options: For `solve`: strategy, seed, limits.

    Returns:
        Points that no other one beats in both, from the least objective to the best of the other quantity.

    Raises:
        InfeasibleError: If no design meets the problem's own budgets.
    """
    sign = -1.0 if at_least else 1.0
    first = solve(problem, **options)
    found = [FrontPoint(first.totals[along], first.totals[along], first)]
    best = solve(_towards(problem, along, sign), **options).totals[along]
    budgets = [] if points is None else list(_spaced(found[0].along, best, points)[1:])
    done = 0
    while found[-1].solution.feasible and found[-1].solution.status != "interrupted":
        last = found[-1].along
        if points is None:
            budget = last - sign * STEP * abs(last)
        elif budgets:
            budget = budgets.pop(0)
        else:
            break
        done += 1
        if progress is not None:
            progress(Progress(unit="point", done=done, total=points))
        if points is not None and sign * last <= sign * budget:
            continue  # the last design keeps this budget already
        side = "at_least" if at_least else "at_most"
        try:
            solution = solve(replace(problem, **{side: {**getattr(problem, side), along: budget}}), **options)
        except InfeasibleError:
            break
        found.append(FrontPoint(budget, solution.totals[along], solution))
    return tuple(_undominated([point for point in found if point.solution.feasible], sign))


def _towards(problem: Problem, along: str, sign: float) -> Problem:
    """The problem of the best that the other quantity can be."""
    if sign > 0:
        return replace(problem, minimize=(along,))
    less = tuple(np.where(np.isinf(table), np.inf, -table) for table in problem.costs[along])
    constants = dict(problem.constants) | {"less": -problem.constants.get(along, 0.0)}
    return replace(problem, costs=dict(problem.costs) | {"less": less}, constants=constants, minimize=("less",))


def _spaced(start: float, end: float, points: int) -> NDArray[np.float64]:
    budgets = np.geomspace(start, end, points) if min(start, end) > 0 else np.linspace(start, end, points)
    budgets[-1] = end
    return budgets


def _undominated(points: list[FrontPoint], sign: float) -> list[FrontPoint]:
    """The points that no other one equals or beats in both, in the order of the other quantity, the best last."""
    figures = np.array([[sign * point.along, point.solution.value] for point in points]).reshape(-1, 2)
    kept = np.flatnonzero(undominated(figures))
    return [points[index] for index in kept[np.argsort(figures[kept, 0])][::-1]]


def hypervolume(points: Sequence[tuple[float, float]], reference: Sequence[float]) -> float:
    """The area that points with two figures, less is better, dominate below a reference point."""
    area, height = 0.0, float(reference[1])
    for x, y in sorted(points):
        if x < reference[0] and y < height:
            area += (reference[0] - x) * (height - y)
            height = y
    return area


def log_hypervolume(points: Sequence[tuple[float, float]], reference: Sequence[float]) -> float:
    """`hypervolume` on logarithmic axes, where a factor counts the same everywhere; figures are positive."""
    return hypervolume([(math.log(x), math.log(y)) for x, y in points], [math.log(x) for x in reference])


__all__ = ["FrontPoint", "front", "hypervolume", "log_hypervolume"]
