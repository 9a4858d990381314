"""Lagrangian bounds, and a cover of all directions that makes one bound on a product of them.

**One sum.** Let w >= 0 weigh the factors of the objective. Of all designs that keep the budgets none has w . S below

    L(w) = max over prices y >= 0 of   min over paths of (w + y) . S  -  y . limits,                               (1)

the Lagrangian dual. The inner minimum is backward dynamic programming (`graph.complete`), in which one budget may be
counted exactly (`graph.Resource`) and needs no price. The outer one is found by cutting planes (Kelley 1960): a linear
program over the designs met so far proposes prices, dynamic programming answers with the design that is least there.

**A product.** The objective is P(S) = S1**a1 * S2**a2 * ... with p = a1 + a2 + .... For any weights w > 0 the
inequality of weighted means says w . S >= p * g(w) * P(S)**(1/p), g(w) = product of (wj / aj)**(aj / p), with equality
where w is proportional to the *gradient* (a1 / S1, a2 / S2, ...). So the least product is the least of
(L(w) / (p g(w)))**p over all w, which needs L everywhere. L is concave. So it is enough to know it, or any lower bounds
l_1 ... l_m of it, at the corners w_1 ... w_m of a *cell*, a cone of weights: w = sum of c_i w_i there with c >= 0, and
for all S

    w . S >= sum of c_i l_i.

Let Q be any positive outcome and t = min over i of l_i / (w_i . Q). Then w . S >= t w . Q in the whole cell, and for a
design whose gradient w is in the cell

    p = w . S >= t w . Q >= t p g(w) P(Q)**(1/p) = t p (P(Q) / P(S))**(1/p),    hence    P(S) >= t**p P(Q).        (2)

Every design's gradient is in some cell of a cover, so the least bound of all cells holds for all designs. The best Q is
near the solution of w_i . Q = l_i for all i. Cells are halved where the bound is least (`Cover`).
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from xpert.solver.graph import Floats, Ints, Resource, Stages, complete, designs_of, finish
from xpert.solver.solution import Record

SLACK = 1e-12
"""Improvements below this fraction of the value are not searched for: there the rounding of sums decides."""

CUTS = 25
"""Cutting planes per direction at most."""

TRUST = (3.0, 0.1)
"""How far a price may rise at once where good ones are known: a factor, and a step relative to its scale."""

FINE = 1e-5
"""Relative differences of bounds below this are not worth another cutting plane."""

KEPT = 300
"""Designs met that are kept as cutting planes, the latest ones."""

_MIX = np.linspace(0.0, 1.0, 17)[:, None]
"""Where on the edges of a cell its bound is tried."""

_NEAR_ZERO = 1e-6
"""Sums below this fraction of the largest costs count as that."""

_CEILING = 1e4
"""Largest price, in relative units of the budget and the objective."""


class Relaxation:
    """The problem with its budgets priced, one of them perhaps counted.

    Attributes:
        stages: The graph.
        resource: The budget that completions respect exactly.
    """

    def __init__(self, stages: Stages, resource: Resource) -> None:
        self.stages = stages
        self.resource = resource
        self._met = np.empty((0, len(stages.limits)))  # outcomes of designs met, the cuts of every linear program
        # Where an objective may be near zero, as a difference is, weights are relative to this.
        self._smallest = _NEAR_ZERO * np.sum([np.abs(step.costs).max(axis=(0, 1)) for step in stages.steps], axis=0)

    def counting(self, resource: Resource) -> Relaxation:
        """The same with another resource; it knows the designs met so far that keep the counted budget."""
        other = Relaxation(self.stages, resource)
        other._met = self._met[self._met[:, resource.dim] <= self.stages.limits[resource.dim]]
        return other

    @property
    def used_up(self) -> Floats:
        """The budgets' limits, and 0 where there is none, [dims]."""
        return np.where(np.isfinite(self.stages.limits), self.stages.limits, 0.0)

    def gradient(self, outcome: Floats) -> Floats:
        """Gradient of the logarithm of the objective at an outcome [dims], scaled so that it weighs that with 1."""
        stages = self.stages
        factors = stages.factors
        weights = np.zeros(len(stages.limits))
        size = np.maximum(np.abs(outcome[factors]), self._smallest[factors])
        weights[factors] = stages.powers[factors] / np.where(size > 0, size, 1.0) / stages.powers.sum()
        return weights

    def tables(self, direction: Floats) -> tuple[list[Floats], float]:
        """Least completions [states, bins, 1] in a direction [dims], and the least of all designs."""
        tables = complete(self.stages, direction[None], self.resource)
        bin_ = int(self.resource.bin(self._left, 0))
        least = np.inf if bin_ < 0 else float(tables[0][0, bin_, 0])
        return tables, float(self.stages.start @ direction) + least

    @property
    def _left(self) -> Floats:
        return self.stages.limits[self.resource.dim] - self.stages.start[self.resource.dim]

    def dual(
        self,
        weights: Floats,
        record: Record,
        *,
        first: Floats | None = None,
        worth: float = -np.inf,
        enough: float = np.inf,
        cuts: int = CUTS,
    ) -> tuple[Floats, float]:
        """The best prices of the budgets for weights, and the bound L(w) of equation (1).

        Args:
            weights: Of the factors, [dims].
            record: Prices every design that is met.
            first: Prices that are good already, [dims]. Then no price may rise to more than a few times that of the
                best ones at once: cutting planes that know little propose wild ones.
            worth: Give up as soon as it is clear that the bound will not be above this.
            enough: Stop when it is above this.
            cuts: Prices that are tried at most.

        Returns:
            The prices [dims], and the least that any design within the budgets weighs; infinite if there is none.
        """
        stages, resource, zero = self.stages, self.resource, np.zeros(1, dtype=np.int64)
        limited, level = np.isfinite(stages.limits), self.used_up
        scale = np.where(limited & (level != 0), np.abs(level), 1.0)
        size = max(float(np.abs(weights * level).sum()), self._weight(weights)) or 1.0
        ceiling = np.where(limited, _CEILING * size / scale, 0.0)
        best, most, top = np.zeros(len(weights)) if first is None else first, -np.inf, ceiling
        prices = best
        for round_ in range(cuts):
            if round_:
                if not limited.any():
                    break
                if first is not None:
                    top = np.minimum(ceiling, TRUST[0] * best + TRUST[1] * size / scale)
                prices, bound = self._plane(weights, top, scale, size)
                free = top is ceiling or bool((prices < top).all())
                if bound <= max(worth if free else -np.inf, most + FINE * size):
                    break
            tables, least = self.tables(weights + prices)
            least -= float(prices @ level)
            if least > most:
                best, most = prices, least
            if not np.isfinite(least) or most > enough:
                break
            start = resource.bin(np.array([self._left]), 0)
            path = finish(stages, (weights + prices)[None], tables, resource, 0, zero, start)
            record.price(designs_of(stages, path))
            self._met = np.concatenate([self._met, path_outcomes(stages, path)])[-KEPT:]
        return best, most

    def _weight(self, weights: Floats) -> float:
        """What the designs met weigh, roughly."""
        return float(np.abs(self._met[-1] @ weights)) if len(self._met) else 1.0

    def _plane(self, weights: Floats, top: Floats, scale: Floats, size: float) -> tuple[Floats, float]:
        """Prices under which the designs met weigh most, and how much that is.

        The linear program: maximise t such that t <= w . d + y . (d - limits) for all designs d met, 0 <= y <= top.
        """
        limited = np.flatnonzero(np.isfinite(self.stages.limits))
        excess = (self._met[:, limited] - self.stages.limits[limited]) / scale[limited]  # [designs, limited]
        result = linprog(
            np.array([-1.0, *np.zeros(len(limited))]),
            A_ub=np.column_stack([np.ones(len(excess)), -excess]),
            b_ub=self._met @ weights / size,
            bounds=[(None, None), *((0.0, high) for high in top[limited] * scale[limited] / size)],
            method="highs",
        )
        prices = np.zeros(len(weights))
        if result.x is None:  # numbers too far apart for the solver: no better prices are known
            return prices, -np.inf
        prices[limited] = np.clip(result.x[1:] * size / scale[limited], 0.0, top[limited])
        return prices, -float(result.fun) * size


def path_outcomes(stages: Stages, paths: Ints) -> Floats:
    """Outcomes [n, dims] of complete paths of entries [n, stages]."""
    costs = np.tile(stages.start, (len(paths), 1))
    states = np.zeros(len(paths), dtype=np.int64)
    for layer, step in enumerate(stages.steps):
        # [states, entries, dims] -> [n, dims]: every path's own state and entry.
        costs += step.costs[states, paths[:, layer]]
        states = step.following[states, paths[:, layer]]
    return costs


@dataclass
class HalfSpace:
    """What is known in one direction: every design that is still of interest weighs at least `least`.

    Attributes:
        weights: Of the factors, relative to the cover's scale, [factors].
        prices: Of the budgets, [dims].
        least: The bound.
        solved: Whether no bound can be higher: some design weighs just that.
    """

    weights: Floats
    prices: Floats
    least: float
    solved: bool = False


class Cover:
    """Cells that cover all gradients that designs can have, with bounds at their corners.

    Attributes:
        powers: Powers of the factors, [factors].
        scale: Outcome that factors and weights are relative to, so that all are near 1, [factors].
        spaces: The corners of all cells.
        cells: Bound when it was last looked at, number, and corners of each; a heap.
    """

    def __init__(self, powers: Floats, scale: Floats, share: float) -> None:
        """One cell that holds all weights of which each is at least a share of their sum."""
        self.powers, self.scale = powers, scale
        self.spaces: list[HalfSpace] = []
        count = len(powers)
        # The corners have one weight of `top` and else 1: w = sum of c_i corner_i has c_i >= 0 where w_i is at least
        # the sum of all weights over top + count - 1.
        top = max(1.0 / share - (count - 1), 2.0)
        self.corners = np.ones((count, count)) + (top - 1.0) * np.eye(count)
        self.cells: list[tuple[float, int, tuple[int, ...]]] = []
        self._numbers = itertools.count()
        self._middles: dict[tuple[int, int], int] = {}

    def push(self, bound: float, cell: tuple[int, ...]) -> None:
        """Add a cell by the indices of its corners, and a bound that is known of it."""
        heapq.heappush(self.cells, (max(bound, self.bound(cell)[0]), next(self._numbers), cell))

    def worst(self) -> tuple[float, tuple[int, ...]]:
        """The cell with the least bound, and that bound, which holds for all designs."""
        while True:
            known, _, cell = self.cells[0]
            bound = max(known, self.bound(cell)[0])  # corners may have risen since
            if bound == known:
                return bound, cell
            heapq.heapreplace(self.cells, (bound, next(self._numbers), cell))

    def bound(self, cell: tuple[int, ...], least: Floats | None = None) -> tuple[float, Floats]:
        """Equation (2) for a cell, and the outcome Q [factors] behind it, in the cover's scale.

        Args:
            cell: Its corners.
            least: Bounds at the corners other than those known, [corners].
        """
        weights = np.array([self.spaces[index].weights for index in cell])
        least = np.array([self.spaces[index].least for index in cell]) if least is None else least
        return self.bound_between(weights, least)

    def bound_between(self, weights: Floats, least: Floats) -> tuple[float, Floats]:
        """Equation (2) for corners [corners, factors] with bounds [corners]."""
        total = self.powers.sum()
        if len(weights) == 1:  # one factor: the bound itself, of any sign
            value = least / weights[:, 0]
            return float(value[0]) if total == 1.0 else float(max(value[0], 0.0) ** total), value
        # Outcomes Q worth trying: those whose gradients are on an edge of the cell, and the one that fits the bounds.
        pairs = itertools.combinations(range(len(weights)), 2)
        sides = np.concatenate([weights[one] * _MIX + weights[other] * (1 - _MIX) for one, other in pairs])
        outcomes = self.powers / sides
        try:
            corner = np.linalg.solve(weights, least)
        except np.linalg.LinAlgError:  # a cell too small to tell its corners apart
            corner = least
        if (corner > 0).all():
            outcomes = np.concatenate([outcomes, corner[None]])
        sizes = (least / (outcomes @ weights.T)).min(axis=1)  # t in equation (2), [outcomes]
        bounds = np.maximum(sizes, 0.0) ** total * (outcomes**self.powers).prod(axis=1)
        best = int(np.argmax(bounds))
        return float(bounds[best]), outcomes[best]

    def needed(self, cell: tuple[int, ...], value: float) -> Floats:
        """Bounds at a cell's corners [corners] with which the cell's bound is `value`, in the cover's scale."""
        _, outcome = self.bound(cell)
        weights = np.array([self.spaces[index].weights for index in cell])
        size = (value / float((outcome**self.powers).prod())) ** (1.0 / self.powers.sum())
        return weights @ outcome * size

    def longest(self, cell: tuple[int, ...]) -> tuple[int, int]:
        """The two corners of a cell whose weights differ most in their ratios."""
        logs = np.log([self.spaces[index].weights for index in cell])
        edges = [
            (float(np.ptp(logs[one] - logs[other])), one, other)
            for one, other in itertools.combinations(range(len(cell)), 2)
        ]
        _, one, other = max(edges)
        return cell[one], cell[other]

    def middle(self, one: int, other: int) -> tuple[int | None, Floats]:
        """The corner halfway between two, if there is one already, and its weights."""
        first, second = self.spaces[one].weights, self.spaces[other].weights
        ratio = second / first
        between = first * np.sqrt(ratio.max() * ratio.min()) + second
        return self._middles.get((min(one, other), max(one, other))), between / between.sum()

    def halve(self, cell: tuple[int, ...], one: int, other: int, middle: int) -> None:
        """Replace a cell, the worst one, by its halves; what is known of it holds for both."""
        bound, _, _ = heapq.heappop(self.cells)
        self._middles[min(one, other), max(one, other)] = middle
        for gone in (one, other):
            self.push(bound, tuple(middle if index == gone else index for index in cell))
