"""Ratios of two sums, such as energy per operation: a sequence of plain problems (Dinkelbach 1967).

With r the ratio n / d of the best design so far, any design with n - r * d below zero has a smaller ratio, and if none
is below zero r is the least. Each problem is one in sums, so every strategy solves it, and `exact` proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.errors import ConfigError
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution

STEPS = 50
"""Problems at most; the ratios converge superlinearly, a handful is the rule."""

SMALLEST = 1e-10
"""Improvements below this fraction of the numerator end the search."""


def minimize_ratio(
    problem: Problem,
    numerator: str,
    denominator: str,
    solve: Callable[..., Solution],
    *,
    start: NDArray[np.int64] | None = None,
    **options: Any,
) -> Solution:
    """The design with the least ratio of two quantities.

    Args:
        problem: Tables and budgets; what it minimises is not read.
        numerator: A quantity.
        denominator: A quantity that is positive for every design.
        solve: `xpert.solver.solve`, or what takes a problem as it does.
        start: A design [layers, 2] to begin with, feasible or not.
        **options: For `solve`.

    Returns:
        The solution, with the ratio as its value and a lower bound of the ratio.

    Raises:
        ConfigError: If the denominator can be zero or negative.
    """
    least = problem.constants.get(denominator, 0.0) + sum(
        float(np.min(table[np.isfinite(table)], initial=np.inf)) for table in problem.costs[denominator]
    )
    if not least > 0:
        raise ConfigError(f"{problem.name}: {denominator} can be as low as {least:.6g}; a denominator is above 0")
    parts = (numerator, denominator)
    best = solve(replace(problem, minimize=(numerator,)), start=start, **options)
    evaluations, seconds = best.evaluations, best.seconds
    trace = list(best.trace)
    ratio, bound = best.totals[numerator] / best.totals[denominator], None
    for _ in range(STEPS):
        if not best.feasible or best.status == "interrupted":
            break
        excess = tuple(
            np.where(np.isfinite(over), over - ratio * np.where(np.isfinite(over), under, 0.0), np.inf)
            for over, under in zip(*(problem.costs[part] for part in parts))
        )
        constant = problem.constants.get(numerator, 0.0) - ratio * problem.constants.get(denominator, 0.0)
        coupled = dict(problem.coupled)
        if numerator in coupled:
            coupled["excess"] = coupled[numerator]
        lifted = replace(
            problem,
            costs=dict(problem.costs) | {"excess": excess},
            coupled=coupled,
            constants=dict(problem.constants) | {"excess": constant},
            minimize=("excess",),
        )
        found = solve(lifted, start=best.design, **options)
        evaluations, seconds = evaluations + found.evaluations, seconds + found.seconds
        trace += found.trace
        # n - r d >= b for all designs: then n / d >= r + b / d, and b <= 0.
        bound = None if found.lower_bound is None else ratio + min(found.lower_bound, 0.0) / least
        step = -found.value / abs(found.totals[numerator])
        best = found
        ratio = best.totals[numerator] / best.totals[denominator]
        if step <= SMALLEST:
            break
    rows = tuple(row | {"step": step, "value": None, "lower_bound": None} for step, row in enumerate(trace))
    return replace(
        best,
        value=ratio,
        lower_bound=bound,
        gap=None if bound is None else max(0.0, (ratio - bound) / abs(ratio)),
        totals={name: total for name, total in best.totals.items() if name != "excess"},
        seconds=seconds,
        evaluations=evaluations,
        trace=rows,
    )


__all__ = ["minimize_ratio"]
