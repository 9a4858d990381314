"""A problem as a layered graph, and what any completion of a partial design must cost at least.

Layers are decided one after the other. All that later layers need to know about the earlier ones is the *state*: the
widths that are still going to be read. In a chain that is the last layer's width; in a residual network it is one or
two more, so dynamic programming works there too, with as many states as combinations of widths that are alive at once.

Costs are brought to one sense, "less is better": a quantity with a lower budget appears with its sign changed. Every
*dimension* of a cost is then either a factor of the objective, or bounded from above, or both, or what such a quantity
is coupled to. A quantity inside a two-sided window appears twice.

With V[l, s] the least weighted cost of layers l, l + 1, ... from state s on (`complete`),

    V[l, s] = min over entries e of  w . cost[l, s, e] + V[l + 1, state that e leads to],     V[last, 0] = 0.        (1)

A `Resource` splits every state by how much of one budget is left, in bins, so that V respects that budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from xpert.errors import ConfigError
from xpert.solver.problem import ROUNDING, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_STATES = 1 << 16
"""States per layer beyond which a graph is refused; chains have as many as a layer has widths."""


@dataclass(frozen=True)
class Stage:
    """The entries (width, option) that one layer offers in every state; rows are padded to the same length.

    Attributes:
        costs: Signed costs [states, entries, dims]; zero in the padding.
        barred: Zero, or infinite in the padding, [states, entries].
        following: The state that an entry leads to, [states, entries].
        choices: Width and option index, [states, entries, 2].
    """

    costs: Floats
    barred: Floats
    following: Ints
    choices: Ints


@dataclass(frozen=True)
class Coupling:
    """A quantity S_q + S_a (S_b - c), of which its dimension holds the largest sum that is never above it.

    With S_a >= a and S_b - c >= b in all designs the product is at least b S_a + a (S_b - c) - a b, as (S_a - a) (S_b -
    c - b) >= 0 (McCormick 1976). What is left out is such a product again: more of either is never better.

    Attributes:
        dim: The quantity's dimension.
        one: That of S_a.
        other: That of S_b.
        slopes: b and a.
        constant: -a (b + c).
    """

    dim: int
    one: int
    other: int
    slopes: tuple[float, float]
    constant: float

    def add(self, parts: Floats) -> None:
        """Add its share of the product to parts of sums, [..., dims]."""
        forbidden = np.isinf(parts[..., self.dim])
        ahead, behind = (np.where(forbidden, 0.0, parts[..., dim]) for dim in (self.one, self.other))
        parts[..., self.dim] += self.slopes[0] * ahead + self.slopes[1] * behind


def _couplings(problem: Problem, names: Sequence[tuple[str, float]]) -> tuple[Coupling, ...]:
    """The couplings of the quantities that are dimensions."""

    def least(name: str) -> float:
        tables = (table[np.isfinite(table)] for table in problem.costs[name])
        return problem.constants.get(name, 0.0) + sum(float(table.min(initial=np.inf)) for table in tables)

    found = []
    for dim, (name, _) in enumerate(names):
        if name in problem.coupled:
            one, other, offset = problem.coupled[name]
            a, b = max(least(one), 0.0), max(least(other) - offset, 0.0)
            if np.isfinite(a + b):
                ahead, behind = names.index((one, 1.0)), names.index((other, 1.0))
                found.append(Coupling(dim, ahead, behind, (b, a), -a * (b + offset)))
    return tuple(found)


@dataclass(frozen=True)
class Stages:
    """A problem as a layered graph.

    Attributes:
        quantities: The quantity of every dimension.
        signs: 1.0, or -1.0 for a lower budget, [dims].
        powers: Power of the dimension in the objective, 0 where it is not part of it, [dims].
        limits: Upper budgets, infinite where there is none, [dims].
        start: Signed constants, and the costs of the layers that have no stage, [dims].
        steps: One stage per layer that has a choice. Before the first and after the last there is one state.
        layers: The layers of the stages.
        decided: A design [layers, 2] with the choices of all other layers.
        couplings: Of quantities that are coupled to others, what their dimension holds of that.
    """

    quantities: tuple[str, ...]
    signs: Floats
    powers: Floats
    limits: Floats
    start: Floats
    steps: tuple[Stage, ...]
    layers: tuple[int, ...]
    decided: Ints
    couplings: tuple[Coupling, ...] = ()

    def outcome(self, problem: Problem, design: Ints) -> Floats:
        """The signed sums of a design [layers, 2] of the problem, [dims]."""
        totals = dict(zip(problem.active, problem.active_totals(design)))
        result = self.signs * [totals[name] for name in self.quantities]
        for coupling in self.couplings:
            coupling.add(result)
            result[coupling.dim] += coupling.constant
        return result

    @property
    def factors(self) -> Ints:
        """The dimensions that make up the objective."""
        return np.flatnonzero(self.powers)

    @cached_property
    def unlimited(self) -> Resource:
        """No resource: every budget is left to the Lagrange multipliers."""
        shifts = tuple(np.zeros(step.following.shape, dtype=np.int64) for step in self.steps)
        return Resource(-1, 0.0, 1.0, 1, 0, shifts, _groups(self, shifts))

    @property
    def bounded(self) -> Ints:
        """The dimensions with a budget."""
        return np.flatnonzero(np.isfinite(self.limits))


@dataclass(frozen=True)
class LayerEntries:
    """All that one layer offers in every state, before anything is left out.

    Attributes:
        costs: Signed costs [states, entries, dims]; infinite where a combination is forbidden.
        useful: Which entries no other option between the same widths beats in every dimension, [states, entries].
        following: The state that an entry leads to, [states, entries].
        choices: Width and option index, [states, entries, 2].
    """

    costs: Floats
    useful: NDArray[np.bool_]
    following: Ints
    choices: Ints


@dataclass(frozen=True)
class ProblemGraph:
    """A problem as a layered graph, of which `stages` keeps what a search may choose.

    Attributes:
        problem: The problem.
        names: Quantity and sign of every dimension.
        entries: One per layer.
        couplings: Of quantities that are dimensions.
    """

    problem: Problem
    names: tuple[tuple[str, float], ...]
    entries: tuple[LayerEntries, ...]
    couplings: tuple[Coupling, ...]

    def stages(self, design: Ints | None = None, free: Sequence[int] | Ints = ()) -> Stages:
        """The graph without what is of no use, and without states that no design comes to.

        Args:
            design: If given, what the layers that are not free keep, [layers, 2].
            free: Indices of the layers that may change. A width may change if the layer that decides it may.
        """
        kept = [own.useful if design is None else self._near(layer, design, free) for layer, own in self._numbered]
        open_ = np.ones(1, dtype=bool)  # states from which some design can be completed
        for layer, own in reversed(self._numbered):
            kept[layer] = kept[layer] & open_[own.following]
            open_ = np.asarray(kept[layer].any(axis=1))
        start = np.array([sign * self.problem.constants.get(name, 0.0) for name, sign in self.names])
        for coupling in self.couplings:
            coupling.add(start)
            start[coupling.dim] += coupling.constant
        steps, layers, decided = [], [], np.zeros((len(self.entries), 2), dtype=np.int64)
        here = np.zeros(1, dtype=np.int64)  # states that some design comes to
        for layer, own in self._numbered:
            useful, following = kept[layer][here], own.following[here]
            reached = np.unique(following[useful]) if useful.any() else here[:1]
            following = np.searchsorted(reached, np.where(useful, following, reached[0]))
            if len(here) == useful.sum() == 1 and layer + 1 < len(self.entries):  # no choice
                place = here[0], int(useful[0].argmax())
                start += own.costs[place]
                decided[layer] = own.choices[place]
            else:
                layers.append(layer)
                steps.append(_pack(own.costs[here], useful, following, own.choices[here]))
            here = reached
        problem, signs = self.problem, np.array([sign for _, sign in self.names])
        bounds = [
            problem.at_most.get(name, np.inf) if sign > 0 else -problem.at_least[name] for name, sign in self.names
        ]
        return Stages(
            quantities=tuple(name for name, _ in self.names),
            signs=signs,
            powers=np.array([float(problem.minimize.count(name)) if sign > 0 else 0.0 for name, sign in self.names]),
            limits=np.array(
                [bound + ROUNDING * (abs(bound) or 1.0) if math.isfinite(bound) else bound for bound in bounds]
            ),
            start=start,
            steps=tuple(steps),
            layers=tuple(layers),
            decided=decided,
            couplings=self.couplings,
        )

    @cached_property
    def _numbered(self) -> list[tuple[int, LayerEntries]]:
        return list(enumerate(self.entries))

    def _near(self, layer: int, design: Ints, free: Sequence[int] | Ints) -> NDArray[np.bool_]:
        """Which entries agree with a design in what is not free, [states, entries]."""
        own, leader = self.entries[layer], self.problem.ties[layer]
        if layer in free:
            kept = own.useful
        else:
            kept = np.isfinite(own.costs[..., 0]) & (own.choices[..., 1] == design[layer, 1])
        return kept if leader in free else kept & (own.choices[..., 0] == design[leader, 0])


def build_stages(problem: Problem) -> Stages:
    """Lay a problem out as a graph; options that another option beats in every dimension are left out.

    It is made once for each problem, and kept as long as that.

    Raises:
        ConfigError: If too many widths are alive at once for dynamic programming.
    """
    if problem not in _STAGES:
        _STAGES[problem] = make_graph(problem).stages()
    return _STAGES[problem]


_STAGES: WeakKeyDictionary[Problem, Stages] = WeakKeyDictionary()


def make_graph(problem: Problem) -> ProblemGraph:
    """Lay a problem out as a graph.

    Raises:
        ConfigError: If too many widths are alive at once for dynamic programming.
    """
    names = [(name, 1.0) for name in dict.fromkeys([*problem.minimize, *problem.at_most])]
    sources = (source for name in problem.active for source in problem.coupled.get(name, ())[:2])
    names += [(name, 1.0) for name in dict.fromkeys(sources) if (name, 1.0) not in names]
    names += [(name, -1.0) for name in problem.at_least]
    couplings = _couplings(problem, names)
    last_use: dict[int, int] = {}
    for layer, (source, tie) in enumerate(zip(problem.inputs, problem.ties)):
        last_use[tie] = layer
        if source >= 0:
            last_use[problem.ties[source]] = layer

    alive: list[int] = []  # the layers whose width decisions make up the state
    states = np.zeros((1, 0), dtype=np.int64)  # [states, alive]: width indices
    entries = []
    for layer, (source, tie) in enumerate(zip(problem.inputs, problem.ties)):
        # The quantities become the last axis: [in_widths, out_widths, options, dims].
        costs = np.stack([sign * problem.costs[name][layer] for name, sign in names], axis=-1)
        for coupling in couplings:
            coupling.add(costs)
        options = costs.shape[2]
        rows = states  # [states * widths that the layer decides anew, alive]; all of one state next to one another
        if tie not in alive:
            fresh = np.arange(costs.shape[1])
            alive = [*alive, tie]
            rows = np.column_stack([np.repeat(states, len(fresh), axis=0), np.tile(fresh, len(states))])
        if len(rows) > MAX_STATES:
            raise ConfigError(
                f"{problem.name}: layers[{layer}]: {len(rows)} combinations of widths are alive at once;"
                f" at most {MAX_STATES} can be searched exactly"
            )
        # Input and output width of every row, [rows].
        entering = rows[:, alive.index(problem.ties[source])] if source >= 0 else np.zeros(len(rows), dtype=np.int64)
        leaving = rows[:, alive.index(tie)]
        # Widths that no later layer reads leave the state: rows that differ in them alone lead to the same state.
        kept = [index for index, decision in enumerate(alive) if last_use[decision] > layer]
        after, following = np.unique(rows[:, kept], axis=0, return_inverse=True)
        # [rows, options, ...] -> [states, entries, ...]: an entry is a width (where it is decided here) and an option.
        shape = (len(states), len(rows) // len(states) * options)
        entries.append(
            LayerEntries(
                costs[entering, leaving].reshape(*shape, -1),
                useful_options(costs)[entering, leaving].reshape(shape),
                np.repeat(following.reshape(-1), options).reshape(shape),
                np.stack([np.repeat(leaving, options), np.tile(np.arange(options), len(rows))], axis=-1).reshape(
                    *shape, 2
                ),
            )
        )
        alive = [alive[index] for index in kept]
        states = after
    return ProblemGraph(problem, tuple(names), tuple(entries), couplings)


def useful_options(costs: Floats) -> NDArray[np.bool_]:
    """Which options [in, out, options] are allowed and not dominated by another between the same widths."""
    useful: NDArray[np.bool_] = np.asarray(np.isfinite(costs).all(axis=-1))  # [in, out, options, dims] -> without dims
    for pair in np.ndindex(useful.shape[:2]):
        allowed = np.flatnonzero(useful[pair])
        useful[pair][allowed] = undominated(costs[pair][allowed])
    return useful


def _pack(costs: Floats, useful: NDArray[np.bool_], following: Ints, choices: Ints) -> Stage:
    """Move every state's useful entries to the front and cut the common tail."""
    order = np.argsort(~useful, axis=1, kind="stable")[:, : max(1, int(useful.sum(axis=1).max()))]
    rows = np.arange(len(costs))[:, None]  # [states, 1] beside order [states, longest]
    valid = useful[rows, order]
    return Stage(
        costs=np.where(valid[..., None], costs[rows, order], 0.0),
        barred=np.where(valid, 0.0, np.inf),
        following=following[rows, order],
        choices=choices[rows, order],
    )


def undominated(points: Floats, rivals: int | None = None, block: int = 256) -> NDArray[np.bool_]:
    """Which points [n, dims] no other point beats or equals in every dimension; of equals the first stays.

    Args:
        points: Less is better.
        rivals: Compare with so many of the strongest only. Some dominated points may then stay, which costs time but
            is
            never wrong: the work is n * rivals * dims instead of n**2 * dims.
        block: Points compared at once.
    """
    count = len(points)
    keep = np.zeros(count, dtype=bool)
    if not count:
        return keep
    spread = np.ptp(points, axis=0)
    points = points[:, spread > 0]
    if points.shape[1] <= 2:
        # Sorted by the first dimension, a point stays if its second is below all before it.
        order = np.lexsort((*points.T[::-1], np.zeros(count)))
        last = points[order, -1] if points.shape[1] == 2 else np.concatenate([[0.0], np.ones(count - 1)])
        keep[order] = np.concatenate([[True], last[1:] < np.minimum.accumulate(last)[:-1]])
        return keep
    # A dominating point has a smaller sum (rounding is monotone), so points only need to look at those before them.
    order = np.argsort((points / spread[spread > 0]).sum(axis=1), kind="stable")
    ranked = points[order]
    front = np.empty((0, points.shape[1]))
    for start in range(0, count, block):
        part = ranked[start : start + block]
        open_ = np.arange(len(part))
        for first in range(0, len(front), 4 * block):
            # [points still open, rivals] -> [points still open]
            open_ = open_[~_beaten(part[open_], front[first : first + 4 * block]).any(axis=1)]
        inner = part[open_]  # among themselves: only those before a point, the lower triangle, can beat it
        open_ = open_[~(_beaten(inner, inner) & np.tri(len(inner), k=-1, dtype=bool)).any(axis=1)]
        keep[order[start + open_]] = True
        if rivals is None or len(front) < rivals:
            front = np.concatenate([front, part[open_]])
    return keep


def _beaten(points: Floats, rivals: Floats) -> NDArray[np.bool_]:
    """Whether rivals are at most as large in every dimension, [points, rivals]."""
    beaten = rivals[:, 0] <= points[:, None, 0]  # [points, rivals]; one dimension at a time keeps it that small
    for dim in range(1, points.shape[1]):
        beaten &= rivals[:, dim] <= points[:, None, dim]
    return beaten


@dataclass(frozen=True)
class Group:
    """The entries of one stage, gathered where they lead to the same state and bin: only the cheapest can matter.

    Attributes:
        members: Entries of a group, [states, groups, members]; short groups repeat their first entry.
        sizes: How many different members a group has, [states, groups]; none for padding.
        following: The state that a group leads to, [states, groups].
        shifts: The bins that it takes, [states, groups].
        barred: Zero, or infinite for padding, [states, groups].
    """

    members: Ints
    sizes: Ints
    following: Ints
    shifts: Ints
    barred: Floats


@dataclass(frozen=True)
class Resource:
    """One budget that completions respect exactly, or nearly so: the budget left is counted in bins.

    Widths come in powers of two, so a quantity such as "ReLU units at least n" moves in large steps. A Lagrange
    multiplier prices the average step and leaves a wide duality gap; remembering how much is still missing closes it.
    Where all entries are multiples of one number the bins are exact; elsewhere each entry is rounded in the direction
    that keeps the bound valid.

    Attributes:
        dim: The dimension; -1 for none, which leaves a single bin.
        low: Budget left that belongs to bin 0.
        step: Width of a bin.
        bins: Number of bins; the last one also holds all that is above, where the budget cannot be exceeded any more.
        exact_from: The stage from which on all entries are multiples of a bin.
        shifts: For every stage the bins that an entry takes, [states, entries].
        groups: The entries of every stage, gathered.
    """

    dim: int
    low: float
    step: float
    bins: int
    exact_from: int
    shifts: tuple[Ints, ...]
    groups: tuple[Group, ...]

    def bin(self, left: Floats, layer: int) -> Ints:
        """The bin of a budget left after some layers; negative where the budget is sure to be exceeded.

        Rounded up, as all rounding is in favour of the budget; but down, to the same effect, where only multiples
        follow.
        """
        if self.dim < 0:
            return np.zeros(left.shape, dtype=np.int64)
        place = (left - self.low) / self.step
        place = np.floor(place + _SNAP) if layer >= self.exact_from else np.ceil(place - _SNAP)
        return np.minimum(place, self.bins - 1).astype(np.int64)

    def allowed(self) -> NDArray[np.bool_]:
        """Which bins [bins] may be left at the end."""
        return self.low + np.arange(self.bins) * self.step >= -_SNAP * self.step


_SNAP = 1e-6
"""Fraction of a bin within which a budget counts as the multiple next to it: covers the rounding of sums."""


def make_resource(stages: Stages, dim: int, max_bins: int, max_groups: float = math.inf) -> Resource | None:
    """Count the budget of one dimension in bins; None where it can never be exceeded or never be met.

    Args:
        stages: The graph.
        dim: The dimension.
        max_bins: Bins at most.
        max_groups: None, too, if entries make up more groups than this.
    """
    # The least and the most that any state still takes of the budget, equation (1) with w = +-unit, [all states].
    unit = np.zeros((1, len(stages.limits)))
    unit[0, dim] = 1.0
    least = np.concatenate([table[:, 0, 0] for table in complete(stages, unit, stages.unlimited)])
    most = -np.concatenate([table[:, 0, 0] for table in complete(stages, -unit, stages.unlimited)])
    costs = [np.where(np.isfinite(step.barred), step.costs[..., dim], np.nan) for step in stages.steps]
    values = np.concatenate([cost[np.isfinite(cost)] for cost in costs])
    root = float(stages.limits[dim] - stages.start[dim])
    # Below `low` no completion keeps the budget, or no partial design gets there; above `high` none exceeds it.
    low = float(least[np.isfinite(least)].min())
    if (values <= 0.0).all():
        low = max(low, root)
    highest = root - np.cumsum([0.0, *[np.nanmin(cost) for cost in costs]]).min()
    high = min(float(most[np.isfinite(most)].max()), highest)
    if not low < high:
        return None
    step = _step(costs[1:], (high - low) / (max_bins - 3))
    low = step * math.floor(low / step + _SNAP)  # nothing left falls on a bin
    bins = math.ceil((high - low) / step - _SNAP) + 1
    shifts = [np.floor(part.costs[..., dim] / step + _SNAP * _SNAP).astype(np.int64) for part in stages.steps]
    whole = [bool(np.nanmax(_beyond(cost, step)) <= 0.0) for cost in costs[1:]]
    exact_from = whole[::-1].index(False) if False in whole else len(whole)
    exact_from = len(whole) + 1 - exact_from if exact_from < len(whole) else 0
    found = Resource(dim, low, step, bins, exact_from, tuple(shifts), ())
    # What is left before the first layer is known, not only its bin, so that its entries need no rounding.
    shifts[0] = found.bin(np.array(root), 0) - found.bin(root - stages.steps[0].costs[..., dim], 1)
    if sum(_count_groups(part, shift) for part, shift in zip(stages.steps, shifts)) > max_groups:
        return None
    return replace(found, shifts=tuple(shifts), groups=_groups(stages, shifts))


def _beyond(costs: Floats, step: float) -> Floats:
    """By how much costs are above a multiple of a step, [...]."""
    return np.maximum(costs - step * np.floor(costs / step + _SNAP * _SNAP), 0.0)


def _step(costs: Sequence[Floats], least: float) -> float:
    """The width of a bin, of at least some size, which loses least by rounding.

    The entries of all layers, or of most, may be multiples of one integer: widths come in powers of two.
    """
    candidates = {least}
    finite = [cost[np.isfinite(cost)] for cost in costs]
    if all(np.abs(cost).max() < 2**53 and (cost == np.rint(cost)).all() for cost in finite):
        own = [int(np.gcd.reduce(np.abs(cost).astype(np.int64))) for cost in finite]
        for floor in set(own) - {0}:
            common = float(np.gcd.reduce([value for value in own if value >= floor]))
            candidates |= {common * max(1.0, math.ceil(least / common))} | ({common} if common >= least else set())
    # Of equal ones the widest, which makes the fewest bins.
    return min(candidates, key=lambda step: (sum(float(_beyond(cost, step).max()) for cost in finite), -step))


def _groups(stages: Stages, shifts: Sequence[Ints]) -> tuple[Group, ...]:
    return tuple(_gather(step, shift) for step, shift in zip(stages.steps, shifts))


def _count_groups(step: Stage, shifts: Ints) -> int:
    """How many different ends the entries [states, entries] of a stage have: state before and after, and bins."""
    states, entries = np.nonzero(np.isfinite(step.barred))
    ends = np.stack([states, step.following[states, entries], shifts[states, entries]])[
        :, np.lexsort((shifts[states, entries], step.following[states, entries], states))
    ]
    return 1 + int((ends[:, 1:] != ends[:, :-1]).any(axis=0).sum())


def _gather(step: Stage, shifts: Ints) -> Group:
    """Group the entries of every state by where they lead."""
    found: list[list[tuple[int, int, Ints]]] = []
    for state in range(len(step.costs)):
        entries = np.flatnonzero(np.isfinite(step.barred[state]))
        order = np.lexsort((shifts[state, entries], step.following[state, entries]))
        entries = entries[order]
        ends = np.stack([step.following[state, entries], shifts[state, entries]])
        cuts = np.flatnonzero((ends[:, 1:] != ends[:, :-1]).any(axis=0)) + 1
        members = np.split(entries, cuts) if len(entries) else []
        found.append([(int(step.following[state, part[0]]), int(shifts[state, part[0]]), part) for part in members])
    width = max(1, max(len(groups) for groups in found))
    height = max([1, *[len(members) for groups in found for _, _, members in groups]])
    shape = (len(found), width)
    members, sizes = np.zeros((*shape, height), dtype=np.int64), np.zeros(shape, dtype=np.int64)
    following, taken, barred = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.full(shape, np.inf)
    for state, groups in enumerate(found):
        for number, (end, shift, entries) in enumerate(groups):
            members[state, number] = entries[0]
            members[state, number, : len(entries)] = entries
            sizes[state, number] = len(entries)
            following[state, number], taken[state, number], barred[state, number] = end, shift, 0.0
    return Group(members, sizes, following, taken, barred)


def complete(stages: Stages, weights: Floats, resource: Resource) -> list[Floats]:
    """Least weighted cost of all layers still to come.

    Backward dynamic programming: the value of a state is the least, over its entries, of the entry's weighted cost
    plus the value of the state that it leads to.

    Args:
        stages: The graph.
        weights: One weighting of the dimensions per row, [weightings, dims].
        resource: The budget that completions respect.

    Returns:
        Before every layer and after the last one, a table [states, bins, weightings]; infinite where nothing
        completes.
    """
    last = np.zeros((1, resource.bins, len(weights)))  # [states, bins, weightings], as all tables
    if resource.dim >= 0:
        last[:, ~resource.allowed()] = np.inf
    tables = [last]
    for step, group in zip(reversed(stages.steps), reversed(resource.groups)):
        ahead = tables[-1]
        priced = step.costs @ weights.T  # [states, entries, weightings]
        # Of entries that lead to the same state and bin the cheapest: [states, groups, members, weightings] loses its
        # third axis.
        rows = np.arange(len(priced))[:, None, None]
        cheapest = priced[rows, group.members].min(axis=2) + group.barred[..., None]
        if resource.bins == 1:
            # Equation (1): the groups' axis vanishes, the single bin appears, [states, 1, weightings].
            tables.append((cheapest + ahead[group.following, 0]).min(axis=1)[:, None])
            continue
        # Equation (1) for all bins at once: what a group takes shifts the bins of the state that it leads to.
        table = np.full((len(priced), resource.bins, len(weights)), np.inf)
        for state, number in zip(*np.nonzero(np.isfinite(group.barred))):
            _relax(
                table[state],
                ahead[group.following[state, number]],
                cheapest[state, number],
                int(group.shifts[state, number]),
            )
        tables.append(table)
    tables.reverse()
    return tables


def _relax(table: Floats, ahead: Floats, cost: Floats, shift: int) -> None:
    """Lower a state's values [bins, weightings] to those of an entry that takes `shift` bins of the budget left."""
    bins = len(table)
    if shift >= 0:
        np.minimum(table[shift:], ahead[: bins - min(shift, bins)] + cost, out=table[shift:])
        return
    kept = max(bins + shift, 0)  # above, the budget given back exceeds all that can be needed: the last bin
    np.minimum(table[:kept], ahead[bins - kept :] + cost, out=table[:kept])
    np.minimum(table[kept:], ahead[-1] + cost, out=table[kept:])


def finish(
    stages: Stages, weights: Floats, tables: Sequence[Floats], resource: Resource, layer: int, states: Ints, bins: Ints
) -> Ints:
    """The completions that `complete` prices, one for each partial design.

    Args:
        stages: The graph.
        weights: The weighting that each partial design is completed in, [labels, dims].
        tables: What `complete` returned for each of them: column n belongs to row n of `weights`.
        resource: The resource of those tables.
        layer: Layers decided already.
        states: The state of each partial design, [labels].
        bins: The bin of its budget left, [labels].

    Returns:
        Entries of the layers still open, [labels, layers - layer].
    """
    rows = np.arange(len(states))
    path = np.empty((len(states), len(stages.steps) - layer), dtype=np.int64)
    for index in range(layer, len(stages.steps)):
        step = stages.steps[index]
        left = bins[:, None] - resource.shifts[index][states]  # [labels, entries], as all below
        following = step.following[states]
        # The entry that attains the minimum in equation (1), in every label's own weighting.
        value = np.einsum("led,ld->le", step.costs[states], weights) + step.barred[states]
        value += tables[index + 1][following, np.clip(left, 0, resource.bins - 1), rows[:, None]]
        value[left < 0] = np.inf
        entry = value.argmin(axis=1)
        path[:, index - layer] = entry
        states = following[rows, entry]
        bins = np.minimum(left[rows, entry], resource.bins - 1)
    return path


def designs_of(stages: Stages, paths: Ints) -> Ints:
    """The designs [n, layers, 2] of complete paths of entries [n, stages]."""
    states = np.zeros(len(paths), dtype=np.int64)
    designs = np.tile(stages.decided, (len(paths), 1, 1))
    for layer, step, entries in zip(stages.layers, stages.steps, paths.T):
        designs[:, layer] = step.choices[states, entries]
        states = step.following[states, entries]
    return designs
