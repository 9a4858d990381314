"""Coordinate descent on designs: the best change of one layer or of two neighbours, until none helps."""

from __future__ import annotations

import itertools

import numpy as np

from xpert.search.problem import Problem
from xpert.search.solution import Record
from xpert.search.stages import Ints

MAX_CHANGES = 20_000
"""Pairs of layers with more combinations than this are not varied together."""


def neighbours(problem: Problem, design: Ints, layers: tuple[int, ...]) -> Ints:
    """All designs [n, layers, 2] that differ from a design [layers, 2] in the choices of the given layers only."""
    choices = [
        np.stack(np.meshgrid(np.arange(len(layer.widths)), np.arange(len(layer.options)), indexing="ij"), -1).reshape(
            -1, 2
        )
        for layer in (problem.layers[index] for index in layers)
    ]
    grid = np.stack(np.meshgrid(*[np.arange(len(part)) for part in choices], indexing="ij"), -1).reshape(
        -1, len(layers)
    )
    designs = np.tile(design, (len(grid), 1, 1))
    for column, (layer, part) in enumerate(zip(layers, choices)):
        designs[:, problem.ties[layer], 0] = part[grid[:, column], 0]
        designs[:, layer, 1] = part[grid[:, column], 1]
    return problem.tied(designs)


def polish(problem: Problem, record: Record, design: Ints) -> Ints:
    """Improve a design until no change of one layer, or of two that share a width, helps; the record keeps the result.

    Feasibility comes first: a design that breaks its budgets less is better.

    Args:
        problem: The problem.
        record: Is offered all designs tried.
        design: Where to start, [layers, 2].

    Returns:
        The design at the end, [layers, 2].
    """
    pairs = [(problem.ties[source], layer) for layer, source in enumerate(problem.inputs) if source >= 0]
    size = [len(layer.widths) * len(layer.options) for layer in problem.layers]
    moves = [(layer,) for layer in range(len(problem.layers))]
    moves += [pair for pair in dict.fromkeys(pairs) if size[pair[0]] * size[pair[1]] <= MAX_CHANGES]
    standing = (np.inf, np.inf)
    quiet = 0
    for move in itertools.cycle(moves):
        designs = neighbours(problem, design, move)
        totals, violation = record.offer(designs)
        values = problem.objective(totals)
        best = int(np.lexsort((values, violation))[0])
        quiet += 1
        if (violation[best], values[best]) < standing:
            design, standing, quiet = designs[best], (violation[best], values[best]), 0
        if quiet > len(moves):
            break
    return design
