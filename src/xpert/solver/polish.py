"""Coordinate descent on designs: the best change of one layer or of two neighbours, until none helps."""

from __future__ import annotations

import itertools

import numpy as np

from xpert.solver.graph import Floats, Ints
from xpert.solver.problem import Problem
from xpert.solver.solution import Record

MAX_CHANGES = 20_000
"""Pairs of layers with more combinations than this are not varied together."""


def neighbour_totals(problem: Problem, design: Ints, layers: tuple[int, ...]) -> Floats:
    """The sums of all designs that differ from a design in the choices of some layers only.

    Only the layers concerned are priced anew, and their tables are added up as they are: no design is written down.

    Args:
        problem: The problem.
        design: [layers, 2].
        layers: Which layers differ. Where two of them share a width, the last one's axis counts.

    Returns:
        Sums of the active quantities, [width, option, width, option, ..., active]. Each of the layers has two axes.
    """
    design = problem.tied(design)
    widths: list[int | Ints] = list(design[:, 0])
    options: list[int | Ints] = list(design[:, 1])

    def along(axis: int, count: int) -> Ints:
        return np.arange(count).reshape([count if axis == other else 1 for other in range(2 * len(layers))])

    for number, layer in enumerate(layers):
        widths[problem.ties[layer]] = along(2 * number, len(problem.layers[layer].widths))
        options[layer] = along(2 * number + 1, len(problem.layers[layer].options))
    terms = [np.array([float(problem.constants.get(name, 0.0)) for name in problem.active])]
    for layer, source in enumerate(problem.inputs):
        entering = widths[problem.ties[source]] if source >= 0 else 0
        terms.append(problem.table(layer)[entering, widths[problem.ties[layer]], options[layer]])
    return sum(sorted(terms, key=np.size), np.zeros(1))  # the large ones last: most sums are short


def polish(problem: Problem, record: Record, design: Ints) -> Ints:
    """Improve a design until no change of one layer, or of two that share a width, helps; the record keeps the result.

    Feasibility comes first: a design that breaks its budgets less is better.

    Args:
        problem: The problem.
        record: Prices every design that is better than the one before; counts all that are priced.
        design: Where to start, [layers, 2].

    Returns:
        The design at the end, [layers, 2].
    """
    pairs = [(problem.ties[source], layer) for layer, source in enumerate(problem.inputs) if source >= 0]
    size = [len(layer.widths) * len(layer.options) for layer in problem.layers]
    moves = [(layer,) for layer in range(len(problem.layers))]
    moves += [pair for pair in dict.fromkeys(pairs) if size[pair[0]] * size[pair[1]] <= MAX_CHANGES]
    design = problem.tied(design)
    incumbent = (np.inf, np.inf)
    unimproved = 0
    for move in itertools.cycle(moves):
        totals = neighbour_totals(problem, design, move)
        violation = problem.violation(totals)
        values = np.where(violation == violation.min(), problem.objective(totals), np.inf)
        record.count(values.size)
        best = np.unravel_index(int(values.argmin()), values.shape)
        unimproved += 1
        if (violation[best], values[best]) < incumbent:
            incumbent, unimproved = (violation[best], values[best]), 0
            for layer, width, option in zip(move, best[::2], best[1::2]):
                design[problem.ties[layer], 0], design[layer, 1] = width, option
            design = problem.tied(design)
            record.price(design[None])
        if unimproved > len(moves):
            break
    return design
