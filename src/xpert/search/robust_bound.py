"""A lower bound on the worst regret that holds for every design of a space.

No design is better than r in the worst of all variants unless it is so in two of them, u and v. So the question is
whether a design has f_u < (1 + r) f*_u and f_v < (1 + r) f*_v. Branch and bound over what a chip shares answers it,
as in `certificate`, with a region of contexts under u and one under v for the same design. In a region f_u is minimised
by the solver's bounds, with f_v as a budget. That is a product; its logarithm is concave in each sum, so on an interval
the chord lies below it, and with S the sums of v in [low, high]

    sum over q of (log low_q + (S_q - low_q) log(high_q / low_q) / (high_q - low_q)) <= log((1 + r) f*_v)

holds for every design in question: a budget on a sum over layers. The `low` are the least sums of the region, the
`high` what the limit on the product leaves. Intervals of latency and area are halved where that is too weak (concave
envelopes on boxes that are split: J. E. Falk, R. M. Soland, Management Science 15(9), 1969).

The best known f*_u and f*_v are at least the least there are, so the bound also holds for regrets against those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from xpert.design import Chip, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.hardware.tables import CostTables, cost_tables
from xpert.networks.spaces import Space
from xpert.search.certificate import (
    CLOSED,
    SLOTS,
    Allowed,
    Demanded,
    Region,
    region_goal,
    region_tables,
    with_a_large_tile,
)
from xpert.search.objectives import OBJECTIVES, UNITS, Goal, objective_value
from xpert.search.together import together
from xpert.solver.exact import bound_below
from xpert.solver.graph import build_stages, complete
from xpert.solver.problem import Problem
from xpert.solver.strategies import solve

LEVELS = (0.125, 0.25, 0.5, 0.75, 1.0)
"""Shares of the worst regret that was found, for which a proof is tried one after the other."""

REGIONS = 60
"""Regions that are split, at most, over all levels."""

EVALUATIONS = 20_000
"""Designs that the solver looks at in a region, at most."""

_CHORD = "limit on the other"
"""Name of the left side of the budget among a problem's quantities."""

Pose = Callable[[CostTables, Allowed, Goal], Problem]
"""The problem on tables, with the entries of each layer that may be chosen, and a goal."""


@dataclass(frozen=True)
class BoundCase:
    """A variant, as far as the bound needs it."""

    chip: Chip
    """Under the variant; PEs and tiles have given sizes."""

    goal: Goal
    """What is minimised there, a product, and the budgets."""

    best: Design
    """The best design known there, on its chip."""


@dataclass(frozen=True)
class _Node:
    """Designs whose contexts are in a region under u and in one under v, and whose sums under v are in a box."""

    regions: tuple[Region, Region]
    low: dict[str, float] = field(default_factory=dict)
    """Least sums under v, by quantity, where they were halved."""
    high: dict[str, float] = field(default_factory=dict)
    """Largest sums."""


class _Side:
    """One of the two variants."""

    def __init__(self, case: BoundCase, space: Space, options: Sequence[Periphery], pose: Pose) -> None:
        evaluation = evaluate(case.best)
        self.value = case.goal.value(evaluation)
        self.totals = {name: objective_value(evaluation, name) for name in UNITS}
        self.demanded = Demanded(case.chip, space, cost_tables(case.chip, space, options, evaluation.context))
        self._case, self._space, self._options, self._pose = case, space, options, pose
        self._context = evaluation.context

    def problem(self, region: Region, allowed: Allowed) -> Problem:
        """No design of a region is dearer than this problem has it."""
        tables = region_tables(self._case.chip, self._space, self._options, self._context, self.demanded, region)
        posed = self._pose(tables, allowed, region_goal(self._case.goal, region, tables))
        return with_a_large_tile(posed, self.demanded.large(region.slot))

    def roots(self, value: float) -> Iterator[tuple[float, Region]]:
        """The regions of all slots in which some design may be below a value, with their bounds."""
        for number, slot in enumerate(self.demanded.slots()):
            region = self.demanded.region(slot, number)
            if region is None:
                continue
            try:
                bound = bound_below(self.problem(region, self.demanded.allowed(region)), value, self.totals)
            except InfeasibleError:
                continue
            if bound < value * (1 - CLOSED):
                yield bound, region


def bound_worst_regret(
    cases: tuple[BoundCase, BoundCase],
    space: Space,
    options: Sequence[Periphery],
    pose: Pose,
    known: float,
    *,
    regions: int = REGIONS,
) -> float:
    """A regret that every design of a space has under one of two variants at least.

    Args:
        cases: The two variants.
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
        pose: Poses problems.
        known: The worst regret over the two of a design that is known, which is the most that can be proven.
        regions: How many regions are split, at most.
    """
    if known <= 0 or any(case.goal.objective not in OBJECTIVES for case in cases):
        return 0.0
    sides = (_Side(cases[0], space, options, pose), _Side(cases[1], space, options, pose))
    roots = [list(side.roots(side.value * (1 + known))) for side in sides]
    proven, left = 0.0, regions
    for share in LEVELS:
        ratio = 1 + share * known
        waiting = [
            _Node((one, other))
            for (bound, one), (below, other) in itertools.product(*roots)
            if bound < sides[0].value * ratio and below < sides[1].value * ratio
        ]
        while waiting and left > 0:
            children = _open(sides, waiting.pop(), ratio)
            if children is None:
                return proven
            left -= bool(children)
            waiting.extend(children)
        if waiting:
            return proven
        proven = ratio * (1 - CLOSED) - 1
    return max(proven, 0.0)


def _open(sides: tuple[_Side, _Side], node: _Node, ratio: float) -> list[_Node] | None:
    """The parts of a node in which some design may be below a ratio under both variants; None if it has no parts."""
    one, other = sides
    value, limit = one.value * ratio, other.value * ratio
    allowed = [
        first & second
        for first, second in zip(*(side.demanded.allowed(part) for side, part in zip(sides, node.regions)), strict=True)
    ]
    if not all(entries.any() for entries in allowed):
        return []
    try:
        problems = [side.problem(part, allowed) for side, part in zip(sides, node.regions, strict=True)]
        limited = _limited(problems, node, limit)
        if limited is None:
            return []
        problem, low, high = limited
        totals = {f"{name} 0": total for name, total in one.totals.items()}
        if bound_below(problem, value, totals) >= value * (1 - CLOSED):
            return []
        solution = solve(problem, "exact", evaluations=EVALUATIONS)
    except InfeasibleError:
        return []
    if solution.status == "interrupted":
        raise KeyboardInterrupt
    if solution.lower_bound is not None and solution.lower_bound >= value * (1 - CLOSED):
        return []
    for index, (side, part) in enumerate(zip(sides, node.regions, strict=True)):
        at = side.demanded.split(part, solution.design)
        if at is not None:
            return [replace(node, regions=halves) for halves in _halves(sides, node.regions, index, *at)]
    widths = {name: high[name] / low[name] for name in ("latency", "area") if name in low}
    widest = max(widths, key=widths.__getitem__, default=None)
    if widest is None or widths[widest] < 1 + 1e-3:
        return None
    middle = math.sqrt(low[widest] * high[widest])
    return [
        replace(node, low=node.low | {widest: low[widest]}, high=node.high | {widest: middle}),
        replace(node, low=node.low | {widest: middle}, high=node.high | {widest: high[widest]}),
    ]


def _halves(
    sides: tuple[_Side, _Side], regions: tuple[Region, Region], index: int, name: str, value: float
) -> Iterator[tuple[Region, Region]]:
    """Two regions split where one demands a value of a shared quantity, and the other's as far as they agree in it."""
    values = [side.demanded.values.get(name) for side in sides]
    alike = (
        name != SLOTS
        and all(own is not None for own in values)
        and all(np.array_equal(a, b) for a, b in zip(*values, strict=True))  # type: ignore[arg-type]
    )
    below = sides[index].demanded.below(name, value)

    def cut(place: int, region: Region, *, upper: bool) -> Region:
        if place != index and not alike:
            return region
        if upper:
            return replace(region, low={**region.low, name: max(region.low[name], value)})
        return replace(region, high={**region.high, name: min(region.high[name], below)})

    for upper in (False, True):
        first, second = (cut(place, region, upper=upper) for place, region in enumerate(regions))
        if all(part.low[key] <= part.high[key] for part in (first, second) for key in part.low):
            yield first, second


def _limited(
    problems: Sequence[Problem], node: _Node, limit: float
) -> tuple[Problem, dict[str, float], dict[str, float]] | None:
    """The first problem with a limit on the second's objective, and the box of its sums; None if that is empty."""
    merged, (_, names) = together(problems)
    minimized = problems[1].minimize
    factors = tuple(names[quantity] for quantity in minimized)
    plain = replace(merged, minimize=factors, at_most={}, at_least={}, coupled={})  # the sums alone: what chords are of
    stages = build_stages(plain)
    units = np.eye(len(stages.limits))
    least = stages.start + complete(stages, units, stages.unlimited)[0][0, 0]
    sums = dict(zip(stages.quantities, least.tolist(), strict=True))
    low = {quantity: max(sums[names[quantity]], node.low.get(quantity, 0.0)) for quantity in minimized}
    if not all(math.isfinite(sum_) and sum_ > 0 for sum_ in low.values()):
        return None
    product = math.prod(low.values())
    if product >= limit:
        return None
    high = {quantity: min(limit / product * sum_, node.high.get(quantity, math.inf)) for quantity, sum_ in low.items()}
    if any(high[quantity] < low[quantity] * (1 - 1e-12) for quantity in low):
        return None
    slopes = {
        quantity: math.log(high[quantity] / low[quantity]) / (high[quantity] - low[quantity])
        if high[quantity] > low[quantity] * (1 + 1e-9)
        else 1 / high[quantity]
        for quantity in low
    }
    chord = tuple(
        np.sum([slope * merged.costs[names[quantity]][layer] for quantity, slope in slopes.items()], axis=0)
        for layer in range(len(merged.layers))
    )
    constant = sum(slope * merged.constants[names[quantity]] for quantity, slope in slopes.items())
    most = math.log(limit) - sum(math.log(low[quantity]) - slope * low[quantity] for quantity, slope in slopes.items())
    at_most = dict(merged.at_most) | {_CHORD: most + 1e-9}
    at_least = dict(merged.at_least)
    for quantity, sum_ in node.high.items():
        at_most[names[quantity]] = min(sum_ * (1 + 1e-12), at_most.get(names[quantity], math.inf))
    for quantity, sum_ in node.low.items():
        at_least[names[quantity]] = max(sum_ * (1 - 1e-12), at_least.get(names[quantity], -math.inf))
    if any(at_least[name] > at_most.get(name, math.inf) for name in at_least):
        return None
    return (
        replace(
            merged,
            costs=dict(merged.costs) | {_CHORD: chord},
            constants=dict(merged.constants) | {_CHORD: constant},
            minimize=tuple(f"{quantity} 0" for quantity in problems[0].minimize),
            at_most=at_most,
            at_least=at_least,
        ),
        low,
        high,
    )


__all__ = ["BoundCase", "bound_worst_regret"]
