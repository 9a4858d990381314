"""Pipelined chips: every layer works on another image, and the slowest one sets the period for all.

An image leaves the chip once in a period T, the largest latency of a layer. All tiles leak all the time, so an image
takes the energy D + P T, with the dynamic energy D and the leakage power P, sums over layers both. Given a range of
periods a problem of sums is left, which every strategy solves: what is slower than its upper end is out, and energies
at its lower end are not above any in the range. So this is a branch and bound over ranges of periods, whose ends are
latencies of entries. The range with the least bound comes first. It is split until the design that its problem returns
has the period of its lower end: then the problem was exact.

For throughput alone that is a binary search for the least period at which some design keeps the budgets, the smallest
of which is taken: no layer then has more copies than the slowest leaves time for. Source: ours; thresholds for
bottleneck objectives are textbook (J. Edmonds, D. R. Fulkerson, "Bottleneck extrema", Journal of Combinatorial Theory
8(3), 1970; from memory).
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.errors import InfeasibleError
from xpert.search.objectives import Goal
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution

LATENCY, ENERGY = "latency", "energy"

LEAKAGE = "leakage"
"""Name of a leakage power, a quantity of the problems. [W]"""

SLOW = "layers that set the period"
"""Name of their number among a problem's quantities."""

_CLOSED = 1e-12
"""Relative difference between bound and best value that counts as none: sums are rounded."""


@dataclass(frozen=True, eq=False)
class PipelinedProblem(Problem):
    """The tables of a pipelined chip, from which `solve_pipelined` makes problems of sums.

    `latency` is that of each layer, of which the largest counts [us]; `energy` is dynamic energy [uJ], `leakage` the
    leakage power of tiles and, as its constant, of shared blocks [W]. Budgets on latency, energy and power are those of
    the goal: this problem's own are on all else.
    """


def solve_pipelined(
    problem: PipelinedProblem,
    goal: Goal,
    solve: Callable[..., Solution],
    *,
    seconds: float | None,
    start: NDArray[np.int64] | None = None,
    **options: Any,
) -> Solution:
    """The design of the least objective on a pipelined chip.

    Args:
        problem: Its tables.
        goal: What is minimised, a product of latency, energy and area; and the budgets.
        solve: `xpert.solver.solve`, or what takes a problem as it does.
        seconds: Time limit of all problems together. [s]
        start: A design [layers, 2] to begin with, feasible or not.
        **options: For `solve`.

    Returns:
        The solution, with its period as the latency, and what is proven. Without a feasible design it is one that its
        problem gave.

    Raises:
        InfeasibleError: If no design keeps the budgets.
    """
    began, numbers = time.perf_counter(), itertools.count()
    periods = _periods(problem, goal)
    waiting = [(-math.inf, next(numbers), 0, len(periods) - 1)]
    best, last, refusal = None, None, None
    left, evaluations, trace = math.inf, 0, []
    powers = goal.factors.count(LATENCY)
    while waiting:
        bound, _, first, final = heapq.heappop(waiting)
        spent = time.perf_counter() - began
        late = seconds is not None and spent >= seconds and last is not None
        if late or (best is not None and bound >= best.value * (1 - _CLOSED)):
            left = min(left, bound)
            break
        posed = _within(problem, goal, float(periods[first]), float(periods[final]))
        # A design that is too slow for the range holds entries that are forbidden there.
        begin = start if start is not None and max(_entries(problem, start, LATENCY)) <= periods[final] else None
        limit = None if seconds is None else max(seconds - spent, 0.0)
        try:
            found = solve(posed, seconds=limit, start=begin, **options)
        except InfeasibleError as error:
            refusal = refusal or error
            continue
        evaluations += found.evaluations
        product = -math.inf if found.lower_bound is None else found.lower_bound
        if goal.factors == (LATENCY,) * powers:
            product = 1.0
        elif product <= 0:
            product = -math.inf
        bound = max(bound, product * float(periods[first]) ** powers)
        design = _in_full(problem, goal, found)
        last = design if last is None else last
        if found.feasible and design.feasible and (best is None or design.value < best.value):
            best = design
        trace.append(_row(len(trace), time.perf_counter() - began, evaluations, best, bound))
        if found.status == "interrupted":
            best = replace(best or design, status="interrupted")
            left = min(left, bound)
            break
        place = int(np.searchsorted(periods, design.totals[LATENCY] * (1 - _CLOSED)))
        if not found.feasible or first == final or (place <= first and design.feasible):
            left = min(left, bound)
            continue
        middle = (first + max(place, first)) // 2
        for low, high in ((first, middle), (middle + 1, final)):
            if low <= high:
                below = max(bound, product * float(periods[low]) ** powers)
                heapq.heappush(waiting, (below, next(numbers), low, high))
    if last is None:
        raise refusal or InfeasibleError(f"{problem.name}: no design keeps the budgets")
    chosen = best or last
    lower = None if best is None or not math.isfinite(min(left, best.value)) else min(left, best.value)
    return replace(
        chosen,
        lower_bound=lower,
        gap=None if lower is None else max(0.0, (chosen.value - lower) / abs(chosen.value)),
        seconds=time.perf_counter() - began,
        evaluations=evaluations,
        trace=tuple(trace),
    )


def _periods(problem: PipelinedProblem, goal: Goal) -> NDArray[np.float64]:
    """Periods that a design can have within the latency budget, rising. [us]"""
    tables = [table[np.isfinite(table)] for table in problem.costs[LATENCY]]
    least = max(float(np.min(table, initial=math.inf)) for table in tables)
    periods = np.unique(np.concatenate(tables))
    periods = periods[periods >= least]
    limit = goal.budgets.latency_us
    if limit is not None:
        periods = periods[periods <= limit]
    if not len(periods):
        raise InfeasibleError(f"{problem.name}: no design keeps latency_us at {limit}: some layer takes {least:.6g} us")
    return periods


def _within(problem: PipelinedProblem, goal: Goal, low: float, high: float) -> Problem:
    """The problem of sums in which no design with a period in a range [us] is dearer than it is."""
    costs: dict[str, tuple[NDArray[np.float64], ...]] = {
        name: tables for name, tables in problem.costs.items() if name not in (LATENCY, LEAKAGE)
    }
    slow = [latency > high for latency in problem.costs[LATENCY]]
    costs["area"] = tuple(np.where(out, np.inf, area) for out, area in zip(slow, costs["area"], strict=True))
    constants = {name: value for name, value in problem.constants.items() if name != LEAKAGE}
    costs[ENERGY] = tuple(
        energy + low * np.where(np.isfinite(energy), leakage, 0.0)
        for energy, leakage in zip(problem.costs[ENERGY], problem.costs[LEAKAGE], strict=True)
    )
    constants[ENERGY] = constants.get(ENERGY, 0.0) + low * problem.constants.get(LEAKAGE, 0.0)
    at_most, at_least, limits = dict(problem.at_most), dict(problem.at_least), []
    if goal.budgets.energy_uj is not None:
        limits.append(goal.budgets.energy_uj)
    if goal.budgets.power_mw is not None:
        # Power alone is less for being slow, so that it takes a layer which is.
        limits.append(1e-3 * goal.budgets.power_mw * high)
        costs[SLOW] = tuple(np.where(latency >= low, 1.0, 0.0) for latency in problem.costs[LATENCY])
        at_least[SLOW] = 1.0
    if limits:
        at_most[ENERGY] = min(limits)
    return Problem(
        layers=problem.layers,
        costs=costs,
        minimize=tuple(name for name in goal.factors if name != LATENCY) or ("area",),
        at_most=at_most,
        at_least=at_least,
        constants=constants,
        inputs=problem.inputs,
        ties=problem.ties,
        units={name: unit for name, unit in problem.units.items() if name in costs},
        name=problem.name,
    )


def _in_full(problem: PipelinedProblem, goal: Goal, found: Solution) -> Solution:
    """A solution of some range with its own period, and the energy that it then takes."""
    period = max(_entries(problem, found.design, LATENCY))
    power = problem.constants.get(LEAKAGE, 0.0) + sum(_entries(problem, found.design, LEAKAGE))
    energy = problem.constants.get(ENERGY, 0.0) + sum(_entries(problem, found.design, ENERGY)) + power * period
    totals: Mapping[str, float] = {**found.totals, LATENCY: period, ENERGY: energy, LEAKAGE: power}
    budgets, kept = goal.budgets, found.feasible
    for total, limit in (
        (period, budgets.latency_us),
        (energy, budgets.energy_uj),
        (energy, None if budgets.power_mw is None else 1e-3 * budgets.power_mw * period),
    ):
        kept = kept and (limit is None or total <= limit * (1 + _CLOSED))
    return replace(found, value=math.prod(totals[name] for name in goal.factors), totals=totals, feasible=kept)


def _entries(problem: PipelinedProblem, design: NDArray[np.int64], name: str) -> list[float]:
    """What every layer of a design [layers, 2] has of a quantity."""
    places = [
        (0 if source < 0 else design[problem.ties[source], 0], design[tie, 0], option)
        for source, tie, option in zip(problem.inputs, problem.ties, design[:, 1], strict=True)
    ]
    return [float(table[place]) for table, place in zip(problem.costs[name], places, strict=True)]


def _row(step: int, seconds: float, evaluations: int, best: Solution | None, bound: float) -> dict[str, Any]:
    return {
        "step": step,
        "seconds": seconds,
        "evaluations": evaluations,
        "value": None if best is None else best.value,
        "violation": 0.0 if best is not None else math.inf,
        "lower_bound": bound,
    }


__all__ = ["PipelinedProblem", "solve_pipelined"]
