"""Exact search: the best design, with a proof, or as much of one as time allows.

1. Price the budgets by Lagrange multipliers, and count the one exactly whose large steps cause the duality gap. Round
   the relaxation by label setting with few labels, and improve the design by coordinate descent (`Search.descend`).
2. If none was feasible, look for one budget by budget, which finds out whether there is any (`find_feasible`).
3. Prove that no design is below a target, which is at first just above the bound, then further and further from it, and
   at last the best design's value. A sum needs one label search. A product needs them at the corners of those cells in
   which the Lagrangian bound is not enough (`Search.close`).

Targets near the bound need few labels, and what they prove is the bound while the next one is tried. If they bring up a
design below the target, that is optimal once nothing is left below it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from xpert.errors import ConfigError, InfeasibleError
from xpert.solver.bounds import SLACK, Cover, HalfSpace, Relaxation
from xpert.solver.graph import (
    Floats,
    Ints,
    Resource,
    Stages,
    build_stages,
    complete,
    make_resource,
)
from xpert.solver.labels import LabelSearch
from xpert.solver.polish import polish
from xpert.solver.problem import ROUNDING, Problem
from xpert.solver.solution import Record, StopSearch

WIDTHS = (200, 2000)
"""Labels per layer at most of the searches before those that keep all."""

FIRST_STEP = 1 / 16
"""Part of the gap by which the first target is above the bound; it doubles from target to target."""

MAX_TABLE = 600_000
"""States times bins of a resource's tables, summed over layers, at most."""

MAX_BINS = 4096
"""Bins of a resource at most."""

MAX_GROUPS = 3000
"""Groups of a resource at most: entries of a state that differ in where they lead or in the bins that they take."""

NARROW = 5e-4
"""Relative duality gaps, and differences between them, below this are not worth another table."""

FINEST = 1e-4
"""Relative step: cells are halved until what they lack is this close to the gap at their corners, which label setting
closes by steps of this at least."""

ROUGH = 6
"""Prices that are tried for a bound that need not be good."""

ASIDE = (2.0, 0.5, 1.2, 0.8)
"""By what factors one factor's weight differs in the directions beside the best design's gradient."""

AMPLE = 1.1
"""Bounds at a corner by this factor above what its cell needs are good enough."""

FEW_CORNERS = 24
"""Corners of cells for a first bound."""

CORNERS = 60
"""Corners of cells at most where only a bound is asked for."""


def exact(problem: Problem, record: Record, seed: int = 0) -> None:
    """Find the best design and prove it.

    Args:
        problem: What to solve.
        record: Where designs and the proven bound are kept.
        seed: Not used: the search is deterministic.

    Raises:
        InfeasibleError: If no design meets all budgets together.
    """
    search = Search(problem, record, build_stages(problem))
    search.descend()  # step 1
    if record.upper_bound == np.inf:
        find_feasible(problem, record)  # step 2
        search.descend()
    search.prove()  # step 3


def relax(problem: Problem, record: Record) -> None:
    """Good first designs by rounding relaxations, and a bound: what heuristics begin with.

    Args:
        problem: What to solve.
        record: Where designs and the proven bound are kept.
    """
    search = Search(problem, record, build_stages(problem))
    search.descend(around=True)
    if record.upper_bound < np.inf:
        record.raise_lower_bound(search.bound(FEW_CORNERS))


class Search:
    """A proof under way: which designs can be below a value.

    Attributes:
        problem: The problem.
        stages: Its graph.
        record: Keeps the best design and the bound.
        center: Outcome of the best design known, near which bounds should be good, [dims].
        relaxation: Bounds in any direction.
        prices: Of the budgets at the center, in the weights of its gradient, [dims].
        labels: Searches in any direction.
    """

    def __init__(
        self,
        problem: Problem,
        record: Record,
        stages: Stages,
        center: Floats | None = None,
        value: float = np.inf,
    ) -> None:
        """Begin a proof for improvements on the record's design, and on a value that is known from elsewhere."""
        self.problem, self.record, self.stages = problem, record, stages
        self.relaxation = Relaxation(stages, stages.unlimited)
        self.prices = np.zeros(len(stages.limits))
        self.labels = LabelSearch(stages, record)
        self.center = self.labels.lowest if center is None else center
        self._value = value
        self._factors = stages.factors
        self._powers = stages.powers[stages.factors]
        self._total = float(self._powers.sum())

    @property
    def goal(self) -> float:
        """Objectives below this are improvements."""
        value = min(self._value, self.record.upper_bound)
        return value - SLACK * abs(value) if np.isfinite(value) else value

    def descend(self, *, around: bool = False) -> None:
        """Set the prices, and improve the record's design with them, until it no longer changes.

        Args:
            around: Whether to look in directions beside the gradient, too. What a proof finds anyway takes as long.
        """
        record = self.record
        if record.design is None:  # the best of the designs that the first prices bring up
            self.relaxation.dual(self.relaxation.gradient(self.center), record)
        while True:
            before = record.violation, record.value
            self.center = self.stages.outcome(self.problem, record.best)
            least = self.price()
            weights = self.relaxation.gradient(self.center)
            self._round(weights, self.prices)
            polish(self.problem, record, record.best)
            record.step()
            if (record.violation, record.value) < before and least < float(weights @ self.center) - NARROW:
                continue
            if not around or len(self._factors) == 1 or not self._around(weights):
                return

    def _round(self, weights: Floats, prices: Floats) -> None:
        """Look for better designs with few labels, in a direction given by weights and prices [dims]."""
        most = float(weights @ self.center) if self.record.violation == 0.0 else np.inf
        self.labels.run(self.relaxation, weights, prices, partial(float, most), WIDTHS[0])

    def _around(self, weights: Floats) -> bool:
        """Look for better designs in directions beside weights [dims], as a product's tangent sees few; whether any."""
        before = self.record.violation, self.record.value
        for factor in self._factors:
            for scale in ASIDE:
                beside = weights.copy()
                beside[factor] *= scale
                prices, _ = self.relaxation.dual(beside, self.record, first=self.prices, cuts=ROUGH)
                self._round(beside, prices)
                if (self.record.violation, self.record.value) < before:
                    return True
        return False

    def price(self) -> float:
        """Set the prices at the center, and count the budget that narrows the gap most.

        Returns:
            The bound in the center's gradient.
        """
        weights = self.relaxation.gradient(self.center)
        most = float(weights @ self.center)
        known = self.prices if self.prices.any() else None
        self.prices, least = self.relaxation.dual(weights, self.record, first=known)
        if self.relaxation.resource.dim < 0:
            for resource in self._countable:
                if least >= most - NARROW:
                    break
                relaxation = self.relaxation.counting(resource)
                prices, lift = relaxation.dual(weights, self.record, first=self.prices, worth=least + NARROW)
                if lift > least + NARROW:
                    self.relaxation, self.prices, least = relaxation, prices, lift
        if len(self._factors) == 1:  # a bound in the only direction is one on the objective
            total = least / float(weights[self._factors[0]])
            self.record.raise_lower_bound(total if self._total == 1.0 else max(total, 0.0) ** self._total)
        return least

    @cached_property
    def _countable(self) -> list[Resource]:
        """The budgets that can be counted."""
        found = (counted(self.stages, int(dim)) for dim in self.stages.bounded)
        return [resource for resource in found if resource is not None]

    def bound(self, corners: int = CORNERS) -> float:
        """A lower bound on the objective without label setting, from a limited number of directions."""
        if self.price() == np.inf:  # no design keeps the budgets
            return min(self._value, self.record.upper_bound)
        cover = self.cover()
        while True:
            bound, cell = cover.worst()
            bound = min(bound * self._unit(cover), self._value, self.record.upper_bound)
            self.record.raise_lower_bound(bound)
            if reached(bound, self.goal) or len(cell) == 1 or len(cover.spaces) >= corners:
                return bound
            self.halve(cover, cell)

    def prove(self) -> None:
        """Raise the record's bound to the best design's value."""
        cover = self.cover()
        for width in (*WIDTHS, None):
            bound = cover.worst()[0] * self._unit(cover)
            step = FIRST_STEP * (self.record.upper_bound - bound)
            while True:
                self.record.raise_lower_bound(bound)
                self.record.step(corners=len(cover.spaces))
                if reached(bound, self.goal):
                    self.record.raise_lower_bound(self.record.value)
                    return
                before = self.record.upper_bound
                if self.close(cover, bound + step, width):
                    step *= 2
                elif self.record.upper_bound >= before:
                    break
                bound = cover.worst()[0] * self._unit(cover)

    def _unit(self, cover: Cover) -> float:
        """The objective of an outcome that is 1 in a cover's scale."""
        return float((cover.scale**self._powers).prod())

    def cover(self) -> Cover:
        """One cell for all gradients that improvements can have, with bounds at its corners."""
        scale = self._powers / self._total / self.relaxation.gradient(self.center)[self._factors]
        share = 1.0
        if len(scale) > 1:
            low = self._lowest() / scale
            value = self.goal / float((scale**self._powers).prod())
            others = float((low**self._powers).prod()) / low**self._powers
            high = np.minimum(self.stages.limits[self._factors] / scale, (value / others) ** (1.0 / self._powers))
            most, least = self._powers / low, self._powers / np.maximum(high, low)
            share = 0.999 * float((least / (least + most.sum() - most)).min())
        cover = Cover(self._powers, scale, share)
        for corner in cover.corners:
            self._add(cover, corner, self.prices / self._total * corner.sum() / len(scale))
        cover.push(-np.inf, tuple(range(len(scale))))
        return cover

    def _lowest(self) -> Floats:
        """What no design within the budgets can be below in each factor, [factors]."""
        low = self.labels.lowest[self._factors]
        for place, dim in enumerate(self._factors):
            unit = np.eye(len(self.stages.limits))[dim]
            low[place] = max(low[place], self.relaxation.dual(unit, self.record, cuts=ROUGH)[1])
        return low

    def _add(self, cover: Cover, weights: Floats, near: Floats, enough: float = np.inf) -> int:
        """Bound one more direction, given prices that may be near its best, and return the index of its corner."""
        full = self._full(cover, weights)
        prices, least = self.relaxation.dual(full, self.record, first=near, enough=enough)
        cover.spaces.append(HalfSpace(weights, prices, least))
        return len(cover.spaces) - 1

    def _full(self, cover: Cover, weights: Floats) -> Floats:
        """Weights [factors] in a cover's scale as weights [dims]."""
        full = np.zeros(len(self.stages.limits))
        full[self._factors] = weights / cover.scale
        return full

    def close(self, cover: Cover, target: float, width: int | None) -> bool:
        """Raise a cover's bound to a target, or to the best design's value where that is less.

        Args:
            cover: Whose cells are halved, and corners raised.
            target: Objective.
            width: Labels per layer at most.

        Returns:
            Whether that came about; it always does without a width.
        """
        unit = self._unit(cover)
        while True:
            bound, cell = cover.worst()
            goal = min(target, self.goal) / unit
            if reached(bound, goal):
                return True
            corner = self.corner_to_raise(cover, cell, goal)
            if corner is None:
                self.record.raise_lower_bound(bound * unit)
                self.halve(cover, cell)
                continue
            space = cover.spaces[corner]
            weights = self._full(cover, space.weights)
            if len(cell) == 1:
                cutoff = partial(self._root_of_goal, float(space.weights[0]), target, unit)
            else:
                needed = float(cover.needed(cell, goal)[cell.index(corner)])
                # Somewhat more, which is cheap, and spares searches.
                more = max(needed - space.least, FINEST * needed)
                most = needed + more
                known = float((self.labels.outcomes @ weights).min(initial=np.inf))
                if not self.labels.separate and known <= most + more:
                    most, space.solved = known, True  # all that there is
                cutoff = partial(float, most)
            whole, least = self.labels.run(self.relaxation, weights, space.prices, cutoff, width)
            if not whole:
                space.solved = False
                return False
            limit = cutoff()
            if self.labels.separate or least > limit:
                space.least = max(space.least, limit)
            elif len(cell) == 1:  # the record has the best design
                space.least = np.inf
            else:
                space.least, space.solved = max(space.least, least), True

    def _root_of_goal(self, weight: float, target: float, unit: float) -> float:
        """What designs below a target, or the goal as it is by now, weigh at most if there is one factor."""
        return weight * (min(target, self.goal) / unit) ** (1.0 / self._total)

    def corner_to_raise(self, cover: Cover, cell: tuple[int, ...], goal: float) -> int | None:
        """The corner of a cell at which label setting is worth its time; None where the cell should be halved."""
        if len(cell) == 1:
            return cell[0]
        spaces = [cover.spaces[index] for index in cell]
        weights, least = np.array([space.weights for space in spaces]), np.array([space.least for space in spaces])
        if not self.labels.separate and len(self.labels.outcomes):
            # With bounds as high as they can be at the corners, would that do?
            known = self.labels.outcomes[:, self._factors] / cover.scale
            possible = np.maximum((known @ weights.T).min(axis=0), least)
            if cover.bound_between(weights, possible)[0] < goal:
                return None
        needed = cover.needed(cell, goal)
        # As if each corner were a cell of its own: the bound that is missing there in any case.
        own = self._total * goal ** (1.0 / self._total)
        own = own * ((weights / self._powers) ** (self._powers / self._total)).prod(axis=1)
        floor = np.maximum(least, 1e-9 * needed)
        gap, lacking = float((own / floor).max()) - 1.0, needed / floor - 1.0
        open_ = [index for index, space in enumerate(spaces) if not space.solved and lacking[index] > 0]
        if not open_ or lacking.max() > 2.0 * max(gap, 0.0) + FINEST:
            return None
        return cell[max(open_, key=lambda index: lacking[index])]

    def halve(self, cover: Cover, cell: tuple[int, ...]) -> None:
        """Halve a cell at its longest edge."""
        one, other = cover.longest(cell)
        middle, weights = cover.middle(one, other)
        if middle is None:
            ends = [cover.spaces[index] for index in (one, other)]
            near = np.mean([end.prices / end.weights.sum() for end in ends], axis=0) * weights.sum()
            _, outcome = cover.bound(cell)
            size = self.goal / self._unit(cover) / float((outcome**self._powers).prod())
            middle = self._add(cover, weights, near, AMPLE * float(weights @ outcome) * size ** (1.0 / self._total))
        cover.halve(cell, one, other, middle)


def reached(bound: float, goal: float) -> bool:
    """Whether a bound is at its goal, but for rounding."""
    return bound >= goal - 0.1 * SLACK * abs(goal)


def counted(stages: Stages, dim: int) -> Resource | None:
    """The budget of one dimension counted in bins; None where it cannot be, or that takes too long."""
    bins = min(MAX_BINS, MAX_TABLE // sum(len(step.costs) for step in stages.steps))
    return make_resource(stages, dim, max(bins, 64), MAX_GROUPS)


def find_feasible(problem: Problem, record: Record) -> None:
    """Make sure that the record holds a feasible design.

    Budgets are taken up one by one: a design that keeps the earlier ones is improved in the next until it keeps that,
    too.

    Raises:
        InfeasibleError: If none exists; names the budget that cannot be kept and the best that could be.
    """
    if record.upper_bound < np.inf:
        return
    budgets = [(name, -1.0, bound) for name, bound in problem.at_least.items()]
    budgets += [(name, 1.0, bound) for name, bound in problem.at_most.items()]
    kept: list[tuple[str, float, float]] = []
    design = None
    for name, sign, bound in budgets:
        relaxed = _relaxed(problem, name, sign, kept)
        limit = sign * bound + ROUNDING * (abs(bound) or 1.0)
        child = record.child(relaxed, target=limit)
        try:
            if design is not None:
                child.price(design[None])
            exact(relaxed, child)
        except StopSearch:
            if child.lower_bound > limit:  # no need to know by how much
                least = sign * child.lower_bound
                beyond = "or more" if sign > 0 else "or less"
                raise InfeasibleError(f"{_cannot(problem, name, sign, bound, least, kept)} {beyond}") from None
            if child.upper_bound > limit:
                raise
        finally:
            record.evaluations += child.evaluations
        if child.upper_bound > limit:
            raise InfeasibleError(_cannot(problem, name, sign, bound, sign * child.value, kept))
        design = child.best
        kept.append((name, sign, bound))
    if design is not None:
        record.price(design[None])


def lower_bound(problem: Problem, design: Ints, record: Record | None = None) -> float:
    """A proven lower bound on the objective, without a search: how far from optimal a design [layers, 2] can be.

    Args:
        problem: The problem.
        design: One that keeps the budgets.
        record: Limits the work, and keeps the bound that there is when they are reached.
    """
    stages = build_stages(problem)
    center, value = stages.outcome(problem, design), float(problem.value(design))
    return Search(problem, record or Record(problem), stages, center, value).bound()


def bound_below(problem: Problem, value: float, totals: Mapping[str, float]) -> float:
    """A proven lower bound on the objective, at most a value, without any design: whether a search is worth its time.

    Args:
        problem: What would be solved.
        value: The objective of a design known from elsewhere, above 0.
        totals: Its factors, which the bound is made for.

    Raises:
        InfeasibleError: If a budget cannot be kept.
    """
    stages = build_stages(problem)
    check_budgets(problem, stages)
    center = np.array([totals.get(name, 0.0) for name in stages.quantities])
    return Search(problem, Record(problem), stages, center, value).bound()


def check_budgets(problem: Problem, stages: Stages) -> float:
    """Check every budget alone, which takes a millisecond.

    Returns:
        A lower bound on the objective, that of each factor alone.

    Raises:
        InfeasibleError: If one cannot be kept.
        ConfigError: If a factor of a product can be zero or negative.
    """
    units = np.eye(len(stages.limits))
    least = (stages.start + complete(stages, units, stages.unlimited)[0][0, 0]).tolist()
    if not np.isfinite(least).all():
        raise InfeasibleError(f"{problem.name}: every design holds a forbidden combination")
    for dim in stages.bounded:
        name, sign = stages.quantities[dim], float(stages.signs[dim])
        bound = (problem.at_most if sign > 0 else problem.at_least)[name]
        if least[dim] > stages.limits[dim]:
            raise InfeasibleError(_cannot(problem, name, sign, bound, sign * least[dim], []))
    if len(problem.minimize) > 1:
        for dim in stages.factors:
            if least[dim] <= 0.0:
                name = stages.quantities[dim]
                text = problem.quantity_text(name, least[dim])
                raise ConfigError(
                    f"{problem.name}: minimize: {name} can be as low as {text}; a product's factors are above 0"
                )
    return math.prod(least[dim] ** float(stages.powers[dim]) for dim in stages.factors)


def _relaxed(problem: Problem, name: str, sign: float, kept: list[tuple[str, float, float]]) -> Problem:
    """The problem of coming as near as possible to one budget while keeping some others."""
    costs = dict(problem.costs)
    constants = dict(problem.constants)
    goal = name
    if sign < 0:
        goal = f"less {name}"
        costs[goal] = tuple(np.where(np.isinf(table), np.inf, -table) for table in problem.costs[name])
        constants[goal] = -constants.get(name, 0.0)
    return replace(
        problem,
        costs=costs,
        constants=constants,
        minimize=(goal,),
        at_most={name: bound for name, sign, bound in kept if sign > 0},
        at_least={name: bound for name, sign, bound in kept if sign < 0},
    )


def _cannot(
    problem: Problem, name: str, sign: float, bound: float, best: float, kept: list[tuple[str, float, float]]
) -> str:
    """One line on a budget that cannot be kept."""
    given, possible = problem.quantity_text(name, bound), problem.quantity_text(name, best)
    others = " and ".join(
        f"{other} {'at most' if side > 0 else 'at least'} {problem.quantity_text(other, value)}"
        for other, side, value in kept
    )
    among = f" with {others}" if others else ""
    if sign > 0:
        return f"{problem.name}: {name} budget {given}: the smallest design{among} needs {possible}"
    return f"{problem.name}: {name} at least {given}: the largest design{among} reaches {possible}"
