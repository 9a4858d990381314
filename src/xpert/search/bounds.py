"""Proofs that no design worth finding is left: directions, cells and cutting planes.

A *direction* is a vector of non-negative weights, one per dimension. Backward dynamic programming (`stages.complete`)
gives for every state the least weighted cost of a completion, so a partial design with costs p in state s cannot end
below

    beta = w . p + table_w[s].

An outcome worth finding keeps every budget and has its objective below the best value known. In direction w such
outcomes lie at or below some number, `reach`; a partial design with beta above it is dead. With w = objective +
Lagrange multipliers this is the Lagrangian bound, and with a unit vector it is the plain feasibility test.

The outcomes with S1 * S2 * ... < value are not a convex set, so no single direction excludes the rest. They are
covered by boxes, *cells*. In a cell the largest w . S below the contour lies on an edge of the box, and for a small
cell a direction tangent to the contour is nearly tight: a box whose edges' ratio is exp(r) leaves at most r**2 / 8
per factor. A partial design is alive if some cell is within its reach in all directions.

Directions come from cutting planes (Kelley 1960): a linear program over the designs met so far proposes the weights
that best separate them from a cell, dynamic programming returns the design that is lowest in that direction, and so
on.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

from xpert.search.solution import Record
from xpert.search.stages import Floats, Ints, Resource, Stages, complete, designs_of, finish

SLACK = 1e-12
"""Improvements below this fraction of the value are not searched for: there the rounding of sums decides."""

CUTS = 25
"""Cutting planes per direction at most."""

CELL_EDGE = 0.2
"""Cells are split until the logarithm of their edges' ratio is below this, which leaves 0.5 % per factor."""

MAX_CELLS = 64
"""Cells that are kept at most; then the remaining ones stay larger."""

_NEAR_ZERO = 1e-6
"""Sums below this fraction of the largest costs count as that."""

_CEILING = 1e4
"""Largest multiplier, in relative units of the budget and the objective."""


class Proof:
    """Directions, cells, and the tables of completions behind them.

    Attributes:
        stages: The graph.
        resource: The budget that completions respect exactly.
        weights: Directions, [directions, dims]: first the unit vectors, then the *main* direction, which ranks partial
            designs, then those that the cells brought.
        tables: Before every layer and after the last, least completions [states, bins, directions].
        low: Lower corners of the cells in the factors of the objective, [cells, factors].
        high: Upper corners.
    """

    def __init__(self, stages: Stages, resource: Resource) -> None:
        self.stages = stages
        self.resource = resource
        self.weights = np.eye(len(stages.limits))
        self.tables = complete(stages, self.weights, resource)
        self.low = self.root()[None, stages.factors]
        self.high = stages.limits[None, stages.factors]
        # An objective near zero, as of a difference, is not what its weight is relative to.
        self._smallest = _NEAR_ZERO * np.sum([np.abs(step.costs).max(axis=(0, 1)) for step in stages.steps], axis=0)
        self._met = np.empty((0, len(stages.limits)))  # costs of designs met, the cuts of every linear program
        self.lead(self.tangent_weights(self.root()))

    @property
    def main(self) -> int:
        """Index of the main direction."""
        return len(self.stages.limits)

    def lead(self, direction: Floats) -> None:
        """Make a direction the main one, [dims]."""
        fresh = complete(self.stages, direction[None], self.resource)
        self.weights = np.concatenate([self.weights[: self.main], direction[None], self.weights[self.main + 1 :]])
        self.tables = [
            np.concatenate([old[..., : self.main], new, old[..., self.main + 1 :]], axis=-1)
            for old, new in zip(self.tables, fresh)
        ]

    def add(self, direction: Floats) -> None:
        """Append a direction, [dims]."""
        fresh = complete(self.stages, direction[None], self.resource)
        self.weights = np.concatenate([self.weights, direction[None]])
        self.tables = [np.concatenate(pair, axis=-1) for pair in zip(self.tables, fresh)]

    def root(self) -> Floats:
        """What no design can be below in each direction, [directions]."""
        start = self.stages.start
        bin_ = int(self.bins(start))
        return start @ self.weights.T + (np.inf if bin_ < 0 else self.tables[0][0, bin_])

    def bins(self, costs: Floats) -> Ints:
        """The resource's bin that costs [..., dims] leave; negative where its budget is exceeded."""
        return self.resource.bin(self.stages.limits[self.resource.dim] - costs[..., self.resource.dim])

    def beta(self, layer: int, costs: Floats, states: Ints, directions: Ints) -> Floats:
        """What no completion of partial designs can be below.

        Args:
            layer: Layers decided.
            costs: Signed sums, [n, dims].
            states: [n].
            directions: Which directions, [directions].

        Returns:
            Bounds [n, directions].
        """
        bins = self.bins(costs)
        ahead = self.tables[layer][states[:, None], np.maximum(bins, 0)[:, None], directions]
        return np.where(bins[:, None] < 0, np.inf, costs @ self.weights[directions].T + ahead)

    def bound(self, value: float) -> float:
        """A lower bound on the objective of all designs, at most `value`, for which the cells were made."""
        stages = self.stages
        least = (self.root()[stages.factors] ** stages.powers[stages.factors]).prod()
        low, high = min(float(least), value), value
        for _ in range(40):
            middle = 0.5 * (low + high)
            if (self.root() > self.reach(middle)).any(axis=1).all():
                low = middle
            else:
                high = middle
        return low

    def reach(self, value: float) -> Floats:
        """How far outcomes worth finding reach, [cells, directions].

        Args:
            value: The objective of the best design known.
        """
        return self._reach(self.corners(self.low, self.high, value), self.weights)

    @staticmethod
    def _reach(outcomes: Floats, weights: Floats) -> Floats:
        """The largest weighted sum over the corners of each cell; -inf for an empty cell, [cells, directions]."""
        # [cells, corners, directions, dims]; what weighs nothing may be infinite.
        sums = (np.where(weights > 0, outcomes[:, :, None], 0.0) * weights).sum(axis=-1)
        sums[np.isnan(outcomes).any(axis=-1)] = -np.inf
        return sums.max(axis=1)

    def corners(self, low: Floats, high: Floats, value: float) -> Floats:
        """Outcomes among which every direction finds its largest worth finding.

        The factors' part lies on the edges of the box: all factors but one at a corner, and that one as large as the
        box and the contour of the objective allow. All other budgets are used up.

        Args:
            low: Lower corners [cells, factors].
            high: Upper corners [cells, factors].
            value: The objective's contour; infinite where no design is known.

        Returns:
            Outcomes [cells, corners, dims]; NaN where the contour passes below a corner.
        """
        stages = self.stages
        powers = stages.powers[stages.factors]
        count = len(powers)
        goal = value - SLACK * abs(value)
        points = [] if np.isfinite(value) else [high]
        for free in range(count if np.isfinite(value) else 0):
            rest = np.delete(np.arange(count), free)
            for corner in itertools.product((False, True), repeat=count - 1):
                point = np.where(np.insert(np.array(corner, dtype=bool), free, False), high, low)
                top = goal / (point[:, rest] ** powers[rest]).prod(axis=1)
                top = top if powers[free] == 1.0 else top ** (1.0 / powers[free])
                point[:, free] = np.where(top >= low[:, free], np.minimum(top, high[:, free]), np.nan)
                point[np.isnan(point[:, free])] = np.nan
                points.append(point)
        full = np.broadcast_to(stages.limits, (len(low), len(points), len(stages.limits))).copy()
        full[..., stages.factors] = np.stack(points, axis=1)
        return full

    def tangent(self, center: Floats, record: Record, *, worth: float = -np.inf) -> tuple[Floats, float]:
        """The best Lagrangian bound on the objective's tangent at some outcome.

        Args:
            center: An outcome, [dims]; its factors are positive unless there is only one.
            record: Is offered every design that is met.
            worth: Give up as soon as it is clear that the bound will not be above this.

        Returns:
            The direction, objective plus multipliers, [dims]; and the least that the tangent, scaled to 1 at
            `center`, can be.
        """
        stages = self.stages
        plain = self.tangent_weights(center)
        scale = self._scale(center)
        upper = plain + np.where(np.isfinite(stages.limits), _CEILING / scale, 0.0)
        used_up = np.where(np.isfinite(stages.limits), stages.limits, 0.0)
        # The multipliers are what the direction has beyond the objective's own weights.
        level = float(plain @ used_up)
        direction, lift = self.explore(used_up[None], plain, upper, scale, record, worth=worth - level)
        return direction, lift + level

    def tangent_weights(self, center: Floats) -> Floats:
        """Gradient of the objective's logarithm over the factors' number, so that it weighs `center` with 1."""
        factors = self.stages.factors
        weights = np.zeros(len(self.stages.limits))
        size = np.maximum(np.abs(center[factors]), self._smallest[factors])
        weights[factors] = self.stages.powers[factors] / np.where(size > 0, size, 1.0) / self.stages.powers.sum()
        return weights

    def _scale(self, center: Floats) -> Floats:
        scale = np.where(np.isfinite(self.stages.limits), np.abs(self.stages.limits), 1.0)
        factors = self.stages.factors
        scale[factors] = np.maximum(np.abs(center[factors]), self._smallest[factors])
        return np.where(scale > 0, scale, 1.0)

    def cover(self, value: float, record: Record) -> None:
        """Cover all outcomes better than a value by cells, and leave out those that some direction excludes.

        Args:
            value: The objective of the best design known, positive.
            record: Is offered every design that is met.
        """
        stages = self.stages
        factors, powers = stages.factors, stages.powers[stages.factors]
        least = self.root()[factors]  # the first directions are the unit vectors
        others = (least**powers).prod() / least**powers
        most = np.minimum(stages.limits[factors], (value / others) ** (1.0 / powers))
        cells = [(np.log(least), np.log(np.maximum(most, least)))]
        done: list[tuple[Floats, Floats]] = []
        while cells and len(cells) + len(done) < MAX_CELLS:
            cells.sort(key=lambda cell: float((powers * (cell[1] - cell[0])).max()))
            low, high = cells.pop()
            edge = powers * (high - low)
            if edge.max() <= CELL_EDGE:
                done.append((low, high))
                continue
            longest = int(edge.argmax())
            middle = 0.5 * (low[longest] + high[longest])
            axis = np.arange(len(edge)) == longest
            halves = ((low, np.where(axis, middle, high)), (np.where(axis, middle, low), high))
            cells += [half for half in halves if not self._excluded(*half, value, record)]
        done += cells
        self.low = np.exp([low for low, _ in done]).reshape(-1, len(factors))
        self.high = np.exp([high for _, high in done]).reshape(-1, len(factors))

    def _excluded(self, low: Floats, high: Floats, value: float, record: Record) -> bool:
        """Whether a direction, old or new, excludes a cell given by the logarithms of its corners."""
        stages = self.stages
        outcomes = self.corners(np.exp(low)[None], np.exp(high)[None], value)
        if not np.isfinite(outcomes).any() or (self.root() > self._reach(outcomes, self.weights)[0]).any():
            return True
        if (stages.powers[stages.factors] * (high - low)).max() > 1.0:
            return False  # too large for any tangent
        center = np.zeros(len(stages.limits))
        center[stages.factors] = np.exp(0.5 * (low + high))
        scale = self._scale(center)
        normal = np.zeros(len(center))
        normal[stages.factors] = center[stages.factors]
        direction, lift = self.explore(
            outcomes[0][np.isfinite(outcomes[0]).all(axis=-1)],
            np.zeros(len(center)),
            np.where(normal > 0, 1.0, _CEILING) / scale,
            scale,
            record,
            normal=normal,
            worth=0.0,
            enough=0.0,
        )
        self.add(direction)
        return lift > 0.0

    def explore(
        self,
        outcomes: Floats,
        lower: Floats,
        upper: Floats,
        scale: Floats,
        record: Record,
        *,
        normal: Floats | None = None,
        worth: float = -np.inf,
        enough: float = np.inf,
    ) -> tuple[Floats, float]:
        """Look for the direction that separates all designs furthest from some outcomes, by cutting planes.

        Args:
            outcomes: The outcomes worth finding, [outcomes, dims].
            lower: Least weight of every dimension, [dims].
            upper: Largest weight, [dims].
            scale: Typical size of every dimension, for the linear program, [dims].
            record: Is offered every design that is met.
            normal: If given, `normal . weights` must be 1, [dims].
            worth: Stop when it is clear that the lift will not be above this.
            enough: Stop when the lift is above this.

        Returns:
            The direction [dims], and how far it lifts the designs above the outcomes; positive excludes the outcomes.
        """
        best, margin = lower, -np.inf
        weights = lower
        for round_ in range(CUTS):
            if round_ or normal is not None:
                weights, bound = self._plane(outcomes, lower, upper, scale, normal)
                if bound <= max(worth, margin + 1e-7 * abs(bound)):
                    break
            tables = complete(self.stages, weights[None], self.resource)
            start = self.bins(self.stages.start[None])
            beta = float(self.stages.start @ weights + tables[0][0, start[0], 0])
            lift = beta - float((outcomes @ weights).max())
            if lift > margin:
                best, margin = weights, lift
            if not np.isfinite(beta) or margin > enough:
                break
            path = finish(self.stages, weights[None], tables, self.resource, 0, np.zeros(1, dtype=np.int64), start)
            record.offer(designs_of(self.stages, path))
            self._met = np.concatenate([self._met, path_costs(self.stages, path)])
        return best, margin

    def _plane(
        self, outcomes: Floats, lower: Floats, upper: Floats, scale: Floats, normal: Floats | None
    ) -> tuple[Floats, float]:
        """Weights that lift the designs met so far furthest above the outcomes, and that lift.

        The linear program: maximise t - r such that t <= w . d for all designs d and r >= w . o for all outcomes o.
        """
        dims = len(scale)
        above = np.column_stack([np.ones(len(self._met)), np.zeros(len(self._met)), -self._met / scale])
        below = np.column_stack([np.zeros(len(outcomes)), -np.ones(len(outcomes)), outcomes / scale])
        rows = np.concatenate([above, below])
        result = linprog(
            np.array([-1.0, 1.0, *np.zeros(dims)]),
            A_ub=rows,
            b_ub=np.zeros(len(rows)),
            A_eq=None if normal is None else np.array([[0.0, 0.0, *(normal / scale)]]),
            b_eq=None if normal is None else np.ones(1),
            bounds=[(None, None), (None, None), *zip(lower * scale, upper * scale)],
            method="highs",
        )
        if result.x is None:  # numbers too far apart for the solver: no better direction is known
            return lower, -np.inf
        return np.clip(result.x[2:] / scale, lower, upper), -float(result.fun)


def path_costs(stages: Stages, paths: Ints) -> Floats:
    """Signed costs [n, dims] of complete paths of entries [n, layers]."""
    costs = np.tile(stages.start, (len(paths), 1))
    states = np.zeros(len(paths), dtype=np.int64)
    for layer, step in enumerate(stages.steps):
        costs += step.costs[states, paths[:, layer]]
        states = step.following[states, paths[:, layer]]
    return costs
