"""Label setting: partial designs, extended layer by layer, of which only those stay that can still matter.

A label is dropped when no completion of it keeps the budgets and weighs less than a cutoff (*bound*: equation (1) of
`bounds` for what is still to come), or when another one in the same state is at least as good in what it weighs and in
every budget (*dominance*). What is left at the end weighs least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xpert.solver.bounds import Relaxation
from xpert.solver.graph import Floats, Group, Ints, Stages, complete, designs_of, undominated
from xpert.solver.solution import Record

BATCH = 20_000
"""Labels extended at once; more wait on a stack, the least promising ones longest."""

RIVALS = 500
"""Labels that each label is compared with for dominance."""

MAX_OUTCOMES = 200
"""Outcomes that are kept, those of the best designs."""

_LARGEST = float(np.finfo(np.float64).max)

_COMPARED = 4_000_000
"""Pairs of a label and an entry that are looked at in one go."""


@dataclass(frozen=True)
class Labels:
    """Partial designs that have decided the same layers.

    Attributes:
        layer: Layers decided.
        costs: Signed sums, [labels, dims].
        states: [labels].
        paths: Entries chosen so far, [labels, layer].
        bounds: What no completion can be below in the search's direction, [labels].
    """

    layer: int
    costs: Floats
    states: Ints
    paths: Ints
    bounds: Floats

    def take(self, index: Ints) -> Labels:
        """Some of the labels."""
        return Labels(self.layer, self.costs[index], self.states[index], self.paths[index], self.bounds[index])

    def __len__(self) -> int:
        return len(self.states)


class LabelSearch:
    """Searches one graph, in any direction.

    Attributes:
        stages: The graph.
        record: Counts labels, and prices the designs at the end.
        separate: Whether labels are compared in every dimension, and not in what they weigh: where quantities are
            coupled to others.
        lowest: The least sum that any design has in each dimension, [dims].
        outcomes: Of designs within the budgets that ended a search, [designs, dims].
    """

    def __init__(self, stages: Stages, record: Record) -> None:
        self.stages = stages
        self.record = record
        self.separate = bool(record.problem.coupled.keys() & set(record.problem.active))
        self.outcomes = np.empty((0, len(stages.limits)))
        units = np.eye(len(stages.limits))
        self._least = complete(stages, units, stages.unlimited)
        self.lowest = stages.start + self._least[0][0, 0]
        # Once a label is this low in a budgeted dimension no completion exceeds the budget: lower still is no merit.
        most = complete(stages, -units, stages.unlimited)
        self._clear = [stages.limits + table[:, 0] for table in most]
        # What is neither a factor nor bounded, others are coupled to: less is always better.
        self._judged = (stages.powers > 0) | ~np.isfinite(stages.limits)

    def run(
        self,
        relaxation: Relaxation,
        weights: Floats,
        prices: Floats,
        cutoff: Callable[[], float],
        width: int | None = None,
    ) -> tuple[bool, float]:
        """Find the designs within the budgets that weigh least.

        Args:
            relaxation: Bounds what is still to come.
            weights: Of the factors, [dims].
            prices: Of the budgets, [dims].
            cutoff: What designs of interest weigh at most; may fall while the search goes on.
            width: Labels per layer at most, the most promising ones.

        Returns:
            Whether all that matters was looked at, which `width` may prevent; and what the lightest design found
            weighs.
        """
        direction = weights + prices
        level = float(prices @ relaxation.used_up)
        tables, root = relaxation.tables(direction)
        zero = np.zeros(1, dtype=np.int64)
        stack = [Labels(0, self.stages.start[None], zero, zero[:, None][:, :0], np.array([root]))]
        whole, least = True, np.inf
        while stack:
            labels = stack.pop()
            self.record.count(len(labels))
            limit = min(cutoff() + level, _LARGEST)
            labels = labels.take(np.flatnonzero(labels.bounds <= limit))
            if len(labels):
                labels = self._extend(relaxation, direction, tables, labels, limit)
            if not len(labels):
                continue
            if width is not None and len(labels) > 4 * width:
                labels, whole = _most_promising(labels, 4 * width), False
            labels = labels.take(self._undominated(labels, weights))
            if labels.layer == len(self.stages.steps):
                least = min(least, float((labels.costs @ weights).min()))
                self._end(labels)
                continue
            if width is not None and len(labels) > width:
                labels, whole = _most_promising(labels, width), False
            if len(labels) > BATCH:
                labels = _most_promising(labels, len(labels))
            starts = reversed(range(0, len(labels), BATCH))
            stack.extend(labels.take(np.arange(start, min(start + BATCH, len(labels)))) for start in starts)
        return whole, least

    def _end(self, labels: Labels) -> None:
        known = np.concatenate([self.outcomes, labels.costs])
        factors, powers = self.stages.factors, self.stages.powers[self.stages.factors]
        best = np.argsort((known[:, factors] ** powers).prod(axis=1), kind="stable")
        self.outcomes = known[best[:MAX_OUTCOMES]]
        self.record.price(designs_of(self.stages, labels.paths))

    def _extend(
        self, relaxation: Relaxation, direction: Floats, tables: list[Floats], labels: Labels, limit: float
    ) -> Labels:
        """All successors that can end below a limit, within the budgets."""
        step, resource = self.stages.steps[labels.layer], relaxation.resource
        group, ahead = resource.groups[labels.layer], tables[labels.layer + 1][..., 0]
        priced = _members_priced(group, step.costs @ direction + step.barred)
        lightest = priced.min(axis=2)  # [states, groups]
        left = resource.bin(self.stages.limits[resource.dim] - labels.costs[:, resource.dim], labels.layer)
        weighed = labels.costs @ direction
        found: list[tuple[Ints, Ints, Floats]] = []
        size = max(1, _COMPARED // max(1, priced[0].size))
        for start in range(0, len(labels), size):
            rows = np.arange(start, min(start + size, len(labels)))
            states = labels.states[rows]
            bins = left[rows, None] - group.shifts[states]  # [labels, groups], as all up to `room`
            beyond = ahead[group.following[states], np.clip(bins, 0, resource.bins - 1)]
            beyond = np.where(bins < 0, np.inf, beyond + weighed[rows, None])
            row, place = np.nonzero(lightest[states] + beyond <= limit)
            total = priced[states[row], place] + beyond[row, place, None]  # [pairs of label and group, members]
            pair, member = np.nonzero(total <= limit)
            row, place = row[pair], place[pair]
            found.append((rows[row], group.members[states[row], place, member], total[pair, member]))
        parent, entry, bounds = (np.concatenate(parts) for parts in zip(*found))
        states = labels.states[parent]
        costs, following = labels.costs[parent] + step.costs[states, entry], step.following[states, entry]
        # What keeps no budget by itself is out.
        keep = (costs + self._least[labels.layer + 1][following, 0] <= self.stages.limits).all(axis=1)
        parent, entry = parent[keep], entry[keep]
        paths = np.column_stack([labels.paths[parent], entry])  # [successors, layer + 1]
        return Labels(labels.layer + 1, costs[keep], following[keep], paths, bounds[keep])

    def _undominated(self, labels: Labels, weights: Floats) -> Ints:
        bounded = self.stages.bounded
        clear = self._clear[labels.layer][labels.states]  # [labels, dims]
        if self.separate:
            costs = np.where(self._judged, labels.costs, np.maximum(labels.costs, clear))
        else:
            costs = np.column_stack([labels.costs @ weights, np.maximum(labels.costs, clear)[:, bounded]])
        keep = np.zeros(len(labels), dtype=bool)
        for state in np.unique(labels.states):
            rows = np.flatnonzero(labels.states == state)
            keep[rows] = undominated(costs[rows], rivals=RIVALS)
        return np.flatnonzero(keep)


def _most_promising(labels: Labels, count: int) -> Labels:
    """So many labels at most, those with the least bounds, the least first."""
    return labels.take(np.argsort(labels.bounds, kind="stable")[:count])


def _members_priced(group: Group, priced: Floats) -> Floats:
    """Prices [states, groups, members] of the entries [states, entries]; infinite for repeated members."""
    rows = np.arange(len(priced))[:, None, None]
    spare = np.arange(group.members.shape[2]) >= group.sizes[..., None]
    return np.where(spare, np.inf, priced[rows, group.members])
