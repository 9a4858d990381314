"""Proofs that no design worth finding is left: directions, cells and cutting planes.

A *direction* is a vector of non-negative weights, one per dimension. Backward dynamic programming (`graph.complete`)
gives for every state the least weighted cost of a completion, so a partial design with costs p in state s cannot end
below

    beta = w . p + table_w[s].                                                                                  (1)

An outcome worth finding keeps every budget and has its objective below the best value known. In direction w such
outcomes lie at or below some number, `reach`; a partial design with beta above it is dead. With w = objective +
Lagrange multipliers this is the Lagrangian bound, and with a unit vector it is the plain feasibility test.

The outcomes with S1 * S2 * ... < value are not a convex set, so no single direction excludes the rest. They are
covered by boxes, *cells* (`cover`). In a cell the largest w . S below the contour lies on an edge of the box
(`corners`), and for a small cell a direction tangent to the contour is nearly tight: a box whose edges' ratio is exp(r)
leaves at most r**2 / 8 per factor. A partial design is alive if some cell is within its reach in all directions.

Directions come from cutting planes (Kelley 1960): a linear program over the designs met so far proposes the weights
that best separate them from a cell, dynamic programming returns the design that is lowest in that direction, and so
on (`explore`):

    maximise t - r   such that   t <= w . d for all designs d met,   r >= w . o for all outcomes o of the cell.      (2)
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

from xpert.solver.graph import Floats, Ints, Resource, Stages, complete, designs_of, finish
from xpert.solver.solution import Record

SLACK = 1e-12
"""Improvements below this fraction of the value are not searched for: there the rounding of sums decides."""

CUTS = 25
"""Cutting planes per direction at most."""

CELL_EDGE = 0.2
"""Cells are split until the logarithm of their edges' ratio is below this, which leaves 0.5 % per factor."""

MAX_CELLS = 64
"""Cells that are kept at most; then the remaining ones stay larger."""

TRUST = (3.0, 0.1)
"""How far a weight may rise at once where a good direction is known: a factor, and a step relative to its scale."""

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
        prices: The multipliers in the main direction, [dims].
        low: Lower corners of the cells in the factors of the objective, [cells, factors].
        high: Upper corners.
    """

    def __init__(
        self, stages: Stages, resource: Resource, center: Floats | None = None, prices: Floats | None = None
    ) -> None:
        """Begin with the unit vectors and a main direction, as in `lead`; by default at the root and without prices."""
        self.stages = stages
        self.resource = resource
        self.weights = np.eye(len(stages.limits))
        self.tables = complete(stages, self.weights, resource)
        self.low = self.root()[None, stages.factors]
        self.high = stages.limits[None, stages.factors]
        # An objective near zero, as of a difference, is not what its weight is relative to.
        self._smallest = _NEAR_ZERO * np.sum([np.abs(step.costs).max(axis=(0, 1)) for step in stages.steps], axis=0)
        self._met = np.empty((0, len(stages.limits)))  # costs of designs met, the cuts of every linear program
        self.lead(self.root() if center is None else center, np.zeros(self.main) if prices is None else prices)

    @property
    def main(self) -> int:
        """Index of the main direction."""
        return len(self.stages.limits)

    def lead(self, center: Floats, prices: Floats) -> None:
        """Set the main direction: the objective's tangent at an outcome [dims], plus the prices of budgets [dims]."""
        self.prices = prices
        direction = self.tangent_weights(center) + prices
        fresh = complete(self.stages, direction[None], self.resource)  # [states, bins, 1] each
        # In the place of the old main direction, the last axis of the tables.
        self.weights = np.concatenate([self.weights[: self.main], direction[None], self.weights[self.main + 1 :]])
        self.tables = [
            np.concatenate([old[..., : self.main], new, old[..., self.main + 1 :]], axis=-1)
            for old, new in zip(self.tables, fresh)
        ]
        self._room = self.tables

    def add(self, direction: Floats) -> None:
        """Append a direction, [dims]."""
        fresh = complete(self.stages, direction[None], self.resource)
        count = len(self.weights)
        if count >= self._room[0].shape[-1]:  # room for twice as many, so that tables are seldom copied
            self._room = [np.concatenate([table, np.empty_like(table)], axis=-1) for table in self.tables]
        for room, new in zip(self._room, fresh):
            room[..., count] = new[..., 0]  # [states, bins, directions] gets one more direction
        self.tables = [room[..., : count + 1] for room in self._room]
        self.weights = np.concatenate([self.weights, direction[None]])

    def counting(self, resource: Resource, center: Floats, prices: Floats) -> Proof:
        """A proof with another resource and main direction, that knows the designs met so far."""
        other = Proof(self.stages, resource, center, prices)
        other._met = self._respecting(resource.dim)
        return other

    def _respecting(self, dim: int) -> Floats:
        """The designs met that keep the budget of a dimension: cuts for whatever counts it, [designs, dims]."""
        return self._met if dim < 0 else self._met[self._met[:, dim] <= self.stages.limits[dim]]

    def confine(self, center: Floats, ratio: float) -> None:
        """Look only for outcomes near one, as is worth it where no proof is asked for: in a single small cell.

        Args:
            center: An outcome whose factors are positive, [dims].
            ratio: How far, as a factor, an outcome's factors may be above or below.
        """
        factors = self.stages.factors
        self.low, self.high = center[None, factors] / ratio, center[None, factors] * ratio

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
        # Equation (1): [states, bins, directions] -> [n, directions], each label at its own state and bin.
        ahead = self.tables[layer][states[:, None], np.maximum(bins, 0)[:, None], directions]
        return np.where(bins[:, None] < 0, np.inf, costs @ self.weights[directions].T + ahead)

    def bound(self, value: float) -> float:
        """A lower bound on the objective of all designs, at most `value`, for which the cells were made."""
        # Bisection on the contour: no design is below a value whose cells are all out of some direction's reach.
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
        return sums.max(axis=1)  # the corners' axis vanishes

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
            # The contour S1**p1 * S2**p2 * ... = goal, solved for the free factor at every corner of the others.
            rest = np.delete(np.arange(count), free)
            for corner in itertools.product((False, True), repeat=count - 1):
                point = np.where(np.insert(np.array(corner, dtype=bool), free, False), high, low)  # [cells, factors]
                top = goal / (point[:, rest] ** powers[rest]).prod(axis=1)
                top = top if powers[free] == 1.0 else top ** (1.0 / powers[free])
                point[:, free] = np.where(top >= low[:, free], np.minimum(top, high[:, free]), np.nan)
                point[np.isnan(point[:, free])] = np.nan
                points.append(point)
        # The corners become an axis, and the budgets the other dimensions: [cells, corners, dims].
        full = np.broadcast_to(stages.limits, (len(low), len(points), len(stages.limits))).copy()
        full[..., stages.factors] = np.stack(points, axis=1)
        return full

    def tangent(
        self,
        center: Floats,
        record: Record,
        *,
        worth: float = -np.inf,
        resource: Resource | None = None,
        first: Floats | None = None,
    ) -> tuple[Floats, float]:
        """The best Lagrangian bound on the objective's tangent at some outcome.

        Args:
            center: An outcome, [dims]; its factors are positive unless there is only one.
            record: Prices every design that is met.
            worth: Give up as soon as it is clear that the bound will not be above this.
            resource: The budget that completions are to respect; by default the proof's own.
            first: Prices that are good already; by default budgets cost nothing at first, [dims].

        Returns:
            The prices of the budgets, [dims]; and the least that the tangent, scaled to 1 at `center`, can be.
        """
        stages = self.stages
        plain = self.tangent_weights(center)
        scale = self._scale(center)
        upper = plain + np.where(np.isfinite(stages.limits), _CEILING / scale, 0.0)
        used_up = np.where(np.isfinite(stages.limits), stages.limits, 0.0)
        # The multipliers are what the direction has beyond the objective's own weights.
        level = float(plain @ used_up)
        direction, lift = self.explore(
            used_up[None],
            plain,
            upper,
            scale,
            record,
            worth=worth - level,
            resource=resource,
            first=None if first is None else plain + first,
        )
        return direction - plain, lift + level

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
            record: Prices every design that is met.
        """
        stages = self.stages
        factors, powers = stages.factors, stages.powers[stages.factors]
        least = self.root()[factors]  # the first directions are the unit vectors
        others = (least**powers).prod() / least**powers
        most = np.minimum(stages.limits[factors], (value / others) ** (1.0 / powers))
        cells = [(np.log(least), np.log(np.maximum(most, least)))]  # the whole box; split where it is longest
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
        first = self.tangent_weights(center) + self.prices
        # What is neither a factor nor bounded has no weight: outcomes may be as large in it as they like.
        free = (normal == 0) & ~np.isfinite(stages.limits)
        corners = np.where(free, 0.0, outcomes[0])
        direction, lift = self.explore(
            corners[np.isfinite(corners).all(axis=-1)],
            np.zeros(len(center)),
            np.where(normal > 0, 1.0, np.where(free, 0.0, _CEILING)) / scale,
            scale,
            record,
            normal=normal,
            worth=0.0,
            enough=0.0,
            first=first / (normal @ first),
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
        resource: Resource | None = None,
        first: Floats | None = None,
    ) -> tuple[Floats, float]:
        """Look for the direction that separates all designs furthest from some outcomes, by cutting planes.

        Args:
            outcomes: The outcomes worth finding, [outcomes, dims].
            lower: Least weight of every dimension, [dims].
            upper: Largest weight, [dims].
            scale: Typical size of every dimension, for the linear program, [dims].
            record: Prices every design that is met.
            normal: If given, `normal . weights` must be 1, [dims].
            worth: Stop when it is clear that the lift will not be above this.
            enough: Stop when the lift is above this.
            resource: The budget that completions respect; by default the proof's own.
            first: A direction that is good already, [dims]. Then, unless there is a normal, no weight may rise to more
                than a few times that of the best one at once: cutting planes that know little propose wild ones.

        Returns:
            The direction [dims], and how far it lifts the designs above the outcomes; positive excludes the outcomes.
        """
        resource = resource or self.resource
        dim, zero = resource.dim, np.zeros(1, dtype=np.int64)
        start = resource.bin(self.stages.limits[[dim]] - self.stages.start[[dim]])
        met = self._met if resource is self.resource else self._respecting(dim)
        best, margin = lower if first is None else first, -np.inf
        weights, top = best, upper
        for round_ in range(CUTS):
            if round_ or (first is None and normal is not None):
                if first is not None and normal is None:
                    top = np.minimum(upper, TRUST[0] * best + TRUST[1] / scale)
                weights, bound = self._plane(met, outcomes, lower, top, scale, normal)
                free = top is upper or bool((weights < top).all())
                if bound <= max(worth if free else -np.inf, margin + 1e-7 * abs(bound)):
                    break
            tables = complete(self.stages, weights[None], resource)
            beta = float(self.stages.start @ weights + tables[0][0, start[0], 0])
            lift = beta - float((outcomes @ weights).max())
            if lift > margin:
                best, margin = weights, lift
            if not np.isfinite(beta) or margin > enough:
                break
            path = finish(self.stages, weights[None], tables, resource, 0, zero, start)
            record.price(designs_of(self.stages, path))
            costs = path_costs(self.stages, path)
            met, self._met = np.concatenate([met, costs]), np.concatenate([self._met, costs])
        return best, margin

    @staticmethod
    def _plane(
        met: Floats, outcomes: Floats, lower: Floats, upper: Floats, scale: Floats, normal: Floats | None
    ) -> tuple[Floats, float]:
        """Weights that lift the designs met, [designs, dims], furthest above the outcomes, and that lift.

        The linear program (2) in the variables (t, r, w * scale).
        """
        dims = len(scale)
        # t - w . d <= 0, [designs, 2 + dims]; w . o - r <= 0, [outcomes, 2 + dims].
        above = np.column_stack([np.ones(len(met)), np.zeros(len(met)), -met / scale])
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
        # [states, entries, dims] -> [n, dims]: every path's own state and entry.
        costs += step.costs[states, paths[:, layer]]
        states = step.following[states, paths[:, layer]]
    return costs
