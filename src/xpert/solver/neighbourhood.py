"""Large neighbourhoods: a few layers at a time are decided anew, by label setting, while all others stay (Shaw 1998).

Where budgets are tight, designs that differ in one layer or in two neighbours do not keep them: what one layer gains
another far away must pay. Descents that end there go on with several layers at once, anywhere in the network.

The first neighbourhood is the whole network, of which only the most promising partial designs are kept (a beam); of a
product every other one is, because its tangents differ. The size of the others depends on what can be searched: one
that was exhausted is followed by a larger one, one that was not by a smaller one. Two things make them large. The
budget whose steps a price cannot smooth, such as that on weights, is counted in the bounds (`exact.counted`). And a
product is looked for by one tangent at a time, at a point drawn near the present outcome.

Several designs are improved with few labels, the best of them with more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert.solver.bounds import Relaxation
from xpert.solver.exact import Search
from xpert.solver.graph import Ints, make_graph, make_resource
from xpert.solver.labels import LabelSearch
from xpert.solver.problem import Problem
from xpert.solver.solution import Record

FREE = 4
"""Layers that are decided together at first."""

LABELS = (100, 300)
"""Partial designs that a neighbourhood keeps per layer, the most promising ones: of all designs, and of the best."""

ROUNDS = 32
"""Neighbourhoods in a row without improvement after which a design is left."""

BINS = 512
"""Bins in which the budget is counted."""

SHIFT = 0.1
"""Standard deviation of the logarithms by which a tangent's point is away from the present outcome, at first,"""

FURTHER = 1.12
"""and by what factor it grows when the whole network was searched by a tangent."""


def best_of(problem: Problem, designs: Sequence[Ints] | Ints, count: int) -> Ints:
    """The best different designs [count, layers, 2], best first: those that keep the budgets, or nearly so."""
    different = np.unique(problem.tied(np.array(designs)), axis=0)
    totals = problem.active_totals(different)
    order = np.lexsort((problem.objective(totals), problem.violation(totals)))
    return different[order[:count]]


def revise(problem: Problem, record: Record, designs: Sequence[Ints] | Ints, generator: np.random.Generator) -> None:
    """Improve designs in neighbourhoods drawn at random; one that breaks budgets, until some design near it does not.

    Args:
        problem: The problem.
        record: Holds a design, and prices what is found.
        designs: Where to start, [n, layers, 2].
        generator: Draws the neighbourhoods.
    """
    search = NeighbourhoodSearch(problem, record)
    for labels in LABELS:
        designs = [search.improved(record, design, generator, labels) for design in designs]
        designs = best_of(problem, designs, 1)


class NeighbourhoodSearch:
    """What all neighbourhoods in a problem share: its graph, the prices of the budgets, and which one is counted."""

    def __init__(self, problem: Problem, record: Record) -> None:
        self.problem = problem
        self.graph = make_graph(problem)
        self.stages = self.graph.stages()
        search = Search(problem, record, self.stages, self.stages.outcome(problem, record.best))
        search.price()
        self._prices = search.prices
        self._counted_dim = search.relaxation.resource.dim

    def improved(self, record: Record, design: Ints, generator: np.random.Generator, labels: int) -> Ints:
        """A design after neighbourhoods that keep so many labels per layer, until they bring nothing, [layers, 2]."""
        count = len(self.problem.layers)
        own = record.child(self.problem, target=-np.inf)
        size, unimproved, shift = min(FREE, count), 0, SHIFT
        product = len(self.stages.factors) > 1  # elsewhere the whole network looks the same every time
        try:
            own.price(design[None])
            while unimproved < ROUNDS:
                before = (own.violation, own.value)
                whole = not unimproved or (product and not unimproved % 2)
                free = generator.choice(count, count if whole else size, replace=False)
                exhausted = self._search(own, free, shift, generator, labels)
                own.step()
                unimproved = 0 if (own.violation, own.value) < before else unimproved + 1
                if whole and exhausted:
                    if unimproved and not product:
                        break
                    shift *= FURTHER
                elif not whole:
                    size = min(size + 1, count) if exhausted else max(size - 1, 1)
        finally:
            record.merge(own)
        return own.best

    def _search(self, record: Record, free: Ints, shift: float, generator: np.random.Generator, labels: int) -> bool:
        """Decide the free layers of the record's design anew; whether all that is worth it was looked at."""
        part = self.graph.stages(record.best, free)
        center = part.outcome(self.problem, record.best)
        resource = make_resource(part, self._counted_dim, BINS) if self._counted_dim >= 0 else None
        relaxation = Relaxation(part, resource or part.unlimited)
        steps = shift * generator.standard_normal(len(part.factors)) if len(part.factors) > 1 else 0.0
        weights = relaxation.gradient(center)
        weights[part.factors] *= np.exp(steps)
        most = float(weights @ center) if record.violation == 0.0 else np.inf
        whole, _ = LabelSearch(part, record).run(relaxation, weights, self._prices, lambda: most, labels)
        return whole


__all__ = ["best_of", "revise"]
