"""Several problems of the same choices as one, in which every quantity keeps its own name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpert.solver.problem import Problem

Floats = NDArray[np.float64]


def together(problems: Sequence[Problem]) -> tuple[Problem, list[dict[str, str]]]:
    """Problems of the same choices as one that minimises the product of their objectives.

    Equal quantities are taken once.

    Returns:
        The problem, and for each of the given ones the new names of its quantities.
    """
    costs: dict[str, tuple[Floats, ...]] = {}
    constants: dict[str, float] = {}
    names: list[dict[str, str]] = []
    for number, problem in enumerate(problems):
        own: dict[str, str] = {}
        for quantity, tables in problem.costs.items():
            constant = float(problem.constants.get(quantity, 0.0))
            same = (
                name
                for name, others in costs.items()
                if name.startswith(f"{quantity} ")
                and constants[name] == constant
                and all(np.array_equal(one, other) for one, other in zip(tables, others, strict=True))
            )
            # A coupled quantity is another one than an equal sum that is not coupled, or is to something else.
            name = None if quantity in problem.coupled else next(same, None)
            if name is None:
                name = f"{quantity} {number}"
                costs[name], constants[name] = tables, constant
            own[quantity] = name
        names.append(own)
    at_most: dict[str, float] = {}
    at_least: dict[str, float] = {}
    coupled: dict[str, tuple[str, str, float]] = {}
    for problem, own in zip(problems, names, strict=True):
        for quantity, bound in problem.at_most.items():
            at_most[own[quantity]] = min(bound, at_most.get(own[quantity], math.inf))
        for quantity, bound in problem.at_least.items():
            at_least[own[quantity]] = max(bound, at_least.get(own[quantity], -math.inf))
        for quantity, (one, other, offset) in problem.coupled.items():
            coupled[own[quantity]] = (own[one], own[other], offset)
    merged = replace(
        problems[0],
        costs=costs,
        constants=constants,
        coupled=coupled,
        at_most=at_most,
        at_least=at_least,
        minimize=tuple(
            own[quantity] for problem, own in zip(problems, names, strict=True) for quantity in problem.minimize
        ),
        units={},
    )
    return merged, names


__all__ = ["together"]
