"""Exact search: the best design, with a proof.

Partial designs (*labels*) are extended layer by layer. A label is dropped when another one in the same state is at
least as good in every dimension (*dominance*), or when no completion of it can be feasible and better than the best
design known (*bound*, see `bounds`). Labels are extended in batches, the most promising first, so good designs come
early and memory stays bounded; what does not fit into a batch waits on a stack. When the stack is empty the best
design is optimal.

The bounds come in two strengths, and `exact` takes these steps:

1. Find a feasible design, budget by budget.
2. Leave all budgets to Lagrange multipliers, and improve the design by dives (a beam) and coordinate descent.
3. Extend labels. If few are needed, that is the proof.
4. Else count the budget whose large steps cause the duality gap exactly (`graph.Resource`), cover a product's outcomes
   by cells (`bounds`), and extend labels from the beginning, to the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xpert.errors import ConfigError, InfeasibleError
from xpert.solver.bounds import SLACK, Proof
from xpert.solver.graph import (
    Floats,
    Ints,
    Resource,
    Stages,
    build_stages,
    complete,
    designs_of,
    finish,
    make_resource,
    undominated,
)
from xpert.solver.polish import polish
from xpert.solver.problem import ROUNDING, Problem
from xpert.solver.solution import Record, StopSearch

BATCH = 2000
"""Labels extended at once."""

BEAM = 100
"""Labels per layer of the dives that look for a good first design."""

EASY = 2000
"""Labels, extended or waiting, beyond which the stronger bounds are worth their time."""

RIVALS = 2000
"""Labels that each label is compared with for dominance."""

MAX_TABLE = 400_000
"""States times bins of a resource's tables, summed over layers, at most."""

MAX_BINS = 2048
"""Bins of a resource at most."""

NARROW = 0.002
"""Relative duality gaps, and differences between them, below this are not worth another table."""


@dataclass(frozen=True)
class Labels:
    """Partial designs that have decided the same layers.

    Attributes:
        layer: Layers decided.
        costs: Signed sums, [labels, dims].
        states: [labels].
        paths: Entries chosen so far, [labels, layer].
    """

    layer: int
    costs: Floats
    states: Ints
    paths: Ints

    def take(self, index: Ints) -> Labels:
        """Some of the labels."""
        return Labels(self.layer, self.costs[index], self.states[index], self.paths[index])

    def __len__(self) -> int:
        return len(self.states)


def exact(problem: Problem, record: Record, seed: int = 0) -> None:
    """Find the best design and prove it.

    Args:
        problem: What to solve.
        record: Where designs and the proven bound are kept.
        seed: Not used: the search is deterministic.

    Raises:
        InfeasibleError: If no design meets all budgets together.
    """
    find_feasible(problem, record)  # step 1
    stages = build_stages(problem)
    search = LabelSearch(stages, record)
    proof = Proof(stages, stages.unlimited)
    least = _descend(problem, search, proof)  # step 2
    try:
        if search.run(proof, EASY):  # step 3
            record.raise_lower_bound(record.value)
            return
    except (StopSearch, KeyboardInterrupt):
        record.raise_lower_bound(proof.bound(record.value))
        raise
    record.raise_lower_bound(proof.bound(record.value))
    search.restart()  # step 4
    proof = with_counted_budget(problem, proof, record, least)
    _descend(problem, search, proof, proof.prices)
    if len(stages.factors) > 1:
        proof.cover(record.value, record)
    record.raise_lower_bound(proof.bound(record.value))
    search.run(proof)
    record.raise_lower_bound(record.value)


def _descend(problem: Problem, search: LabelSearch, proof: Proof, first: Floats | None = None) -> float:
    """Set the main direction, and improve the record's design with it, until it no longer changes.

    Args:
        problem: The problem.
        search: Has nothing decided yet.
        proof: Whose main direction is set.
        first: Prices that are good already, [dims].

    Returns:
        The main direction's bound relative to the value found, a fraction of it; for a product, of its tangent.
    """
    record = search.record
    while True:
        before = record.upper_bound
        center = outcome(search.stages, problem, record.best)
        prices, least = proof.tangent(center, record, first=first)
        proof.lead(center, prices)
        search.dive(proof)
        polish(problem, record, record.best)
        if record.upper_bound >= before or len(search.stages.factors) == 1:
            return least


def with_counted_budget(problem: Problem, proof: Proof, record: Record, least: float, most: int = MAX_BINS) -> Proof:
    """A proof that counts the budget in bins which narrows the gap most, or the old proof if none does.

    Args:
        problem: The problem.
        proof: One that leaves all budgets to the multipliers.
        record: Holds the design in whose tangent gaps are measured, and prices every design that is met.
        least: The proof's main direction's bound, as a fraction of that design's value.
        most: Bins at most.
    """
    stages = proof.stages
    bins = min(most, MAX_TABLE // sum(len(step.costs) for step in stages.steps))
    center = outcome(stages, problem, record.best)
    found = [make_resource(stages, dim, max(bins, 64)) for dim in stages.bounded]
    best: tuple[Resource, Floats, Floats] | None = None
    resources = [resource for resource in found if resource is not None]
    for resource in sorted(resources, key=lambda resource: sum(group.barred.size for group in resource.groups)):
        if least >= proof.tangent_weights(center) @ center - NARROW:
            break
        prices, lift = proof.tangent(center, record, worth=least + NARROW, resource=resource, first=proof.prices)
        if lift > least + NARROW:
            best, least = (resource, center, prices), lift
    return proof if best is None else proof.counting(*best)


def outcome(stages: Stages, problem: Problem, design: Ints) -> Floats:
    """The signed sums of a design in the graph's dimensions, [dims]."""
    totals = dict(zip(problem.active, problem.active_totals(design)))
    return stages.signs * [totals[name] for name in stages.quantities]


class LabelSearch:
    """The labels still to be extended. Proofs may be exchanged between runs: the labels do not depend on them."""

    def __init__(self, stages: Stages, record: Record) -> None:
        self.stages = stages
        self.record = record
        self._stack: list[Labels] = []
        self.restart()
        # Once a label is this low in a budgeted dimension no completion exceeds the budget: lower still is no merit.
        most = complete(stages, -np.eye(len(stages.limits)), stages.unlimited)
        self._clear = [stages.limits + table[:, 0] for table in most]
        # What is neither a factor nor bounded, others are coupled to: less is always better.
        self._judged = (stages.powers > 0) | ~np.isfinite(stages.limits)

    def restart(self) -> None:
        """Begin again with nothing decided."""
        zero = np.zeros(1, dtype=np.int64)
        self._stack = [Labels(0, self.stages.start[None], zero, zero[:, None][:, :0])]

    def run(self, proof: Proof, limit: int | None = None) -> bool:
        """Extend labels until none is left.

        Args:
            proof: What declares labels dead.
            limit: Give up when more labels than this were extended or wait.

        Returns:
            Whether none is left, which proves the record's design optimal.
        """
        extended = 0
        while self._stack:
            waiting = sum(map(len, self._stack))
            if limit is not None and max(extended, waiting) > limit:
                return False
            labels = self._stack.pop()
            extended += len(labels)
            labels, _ = self._advance(proof, labels)
            for start in reversed(range(0, len(labels), BATCH)):
                self._stack.append(labels.take(np.arange(start, min(start + BATCH, len(labels)))))
            self.record.step(waiting=waiting)
        return True

    def dive(self, proof: Proof, width: int = BEAM) -> bool:
        """Extend only the most promising labels of every layer: a quick way to a good design.

        Args:
            proof: What declares labels dead.
            width: Labels per layer at most.

        Returns:
            Whether that left none out.
        """
        labels, complete_ = self._stack[0].take(np.arange(1)), True
        while len(labels):
            labels, all_ = self._advance(proof, labels, 4 * width)
            complete_ &= all_ and len(labels) <= width
            labels = labels.take(np.arange(min(width, len(labels))))
        return complete_

    def _advance(self, proof: Proof, labels: Labels, most: int | None = None) -> tuple[Labels, bool]:
        """The labels' successors worth keeping, the most promising first; complete designs go to the record.

        Returns:
            The successors, and whether they are all there are, not only the `most` most promising.
        """
        self.record.count(len(labels))
        labels, rank = self._extend(proof, labels)
        if labels.layer == len(self.stages.steps):
            self.record.price(designs_of(self.stages, labels.paths))
            return labels.take(np.arange(0)), True
        all_ = most is None or len(labels) <= most
        labels = labels.take(np.argsort(rank, kind="stable")[:most])
        labels = labels.take(self._undominated(labels))
        self._finish(proof, labels.take(np.arange(min(16, len(labels)))))
        return labels, all_

    def _extend(self, proof: Proof, labels: Labels) -> tuple[Labels, Floats]:
        """All successors that no direction declares dead, and their bounds in the main direction."""
        step = self.stages.steps[labels.layer]
        value = self.record.upper_bound
        reach = proof.reach(value)
        # Every allowed entry of every label is a successor, [successors]: its label and its entry.
        parent, entry = np.nonzero(np.isfinite(step.barred[labels.states]))
        alive = np.ones((len(parent), len(reach)), dtype=bool)  # [successors, cells]
        rank = np.zeros(len(parent))
        directions = np.arange(len(proof.weights))
        # The unit vectors first: they are cheap to believe and drop most.
        for block in np.split(directions, range(proof.main + 1, len(directions), 8)):
            states = labels.states[parent]
            costs = labels.costs[parent] + step.costs[states, entry]
            beta = proof.beta(labels.layer + 1, costs, step.following[states, entry], block)
            # [successors, 1, block] against [cells, block]: alive in a cell is within reach in all directions.
            alive &= (beta[:, None] <= reach[:, block]).all(axis=-1)
            keep = alive.any(axis=1)  # the cells' axis vanishes: some cell is enough
            if block[0] == 0:
                rank = beta[:, proof.main]
                keep &= self._objective(beta) < value - SLACK * abs(value) if np.isfinite(value) else keep
            parent, entry, alive, rank = parent[keep], entry[keep], alive[keep], rank[keep]
        states = labels.states[parent]
        paths = np.column_stack([labels.paths[parent], entry])  # [successors, layer + 1]
        costs = labels.costs[parent] + step.costs[states, entry]
        return Labels(labels.layer + 1, costs, step.following[states, entry], paths), rank

    def _objective(self, beta: Floats) -> Floats:
        """The objective of the unit directions' bounds [n, directions]: no completion is below it."""
        factors = self.stages.factors
        return (beta[:, factors] ** self.stages.powers[factors]).prod(axis=1)

    def _undominated(self, labels: Labels) -> Ints:
        clear = self._clear[labels.layer][labels.states]  # [labels, dims]
        costs = np.where(self._judged, labels.costs, np.maximum(labels.costs, clear))
        keep = np.zeros(len(labels), dtype=bool)
        for state in np.unique(labels.states):
            rows = np.flatnonzero(labels.states == state)
            keep[rows] = undominated(costs[rows], rivals=RIVALS)
        return np.flatnonzero(keep)

    def _finish(self, proof: Proof, labels: Labels) -> None:
        """Price the cheapest completions of labels in the main direction."""
        count, main = len(labels), proof.main
        # `finish` takes a weighting per label: the main direction's column, once for each.
        tables = [np.repeat(table[..., main : main + 1], count, axis=-1) for table in proof.tables]
        weights = np.repeat(proof.weights[main][None], count, axis=0)
        bins = proof.bins(labels.costs)
        tails = finish(self.stages, weights, tables, proof.resource, labels.layer, labels.states, bins)
        self.record.price(designs_of(self.stages, np.column_stack([labels.paths, tails])))


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
    if not budgets:
        _any_design(problem, record)
        return
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


def lower_bound(problem: Problem, design: Ints) -> float:
    """A proven lower bound on the objective, without a search: how far from optimal a design [layers, 2] can be."""
    record = Record(problem)
    record.price(design[None])
    stages = build_stages(problem)
    proof = Proof(stages, stages.unlimited)
    center = outcome(stages, problem, design)
    prices, _ = proof.tangent(center, record)
    proof.lead(center, prices)
    if len(stages.factors) > 1:
        proof.cover(record.value, record)
    return proof.bound(record.value)


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
    record, proof = Record(problem), Proof(stages, stages.unlimited)
    center = np.array([totals.get(name, 0.0) for name in stages.quantities])
    prices, _ = proof.tangent(center, record)
    proof.lead(center, prices)
    if len(stages.factors) > 1:
        proof.cover(value, record)
    return proof.bound(value)


def check_budgets(problem: Problem, stages: Stages) -> None:
    """Check every budget alone, which takes a millisecond.

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


def _any_design(problem: Problem, record: Record) -> None:
    """Price the least design in the first quantity, budgets aside."""
    stages = build_stages(problem)
    tables = complete(stages, np.eye(len(stages.limits))[:1], stages.unlimited)
    zero = np.zeros(1, dtype=np.int64)
    path = finish(stages, np.eye(len(stages.limits))[:1], tables, stages.unlimited, 0, zero, zero)
    record.price(designs_of(stages, path))


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
