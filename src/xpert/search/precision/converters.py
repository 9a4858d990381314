"""ADC type and column sharing for given precisions: they change costs, and no column sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.search.context import Candidate, Candidates, Effort, settle, solve_tables
from xpert.search.objectives import Goal
from xpert.search.tabulate import Term, build_problem, network_tables
from xpert.solver.problem import Choices
from xpert.solver.solution import Solution

Kind = tuple[Any, ...]
"""Values of the periphery's `KIND_FIELDS`: ADC type and columns per ADC."""

Precision = tuple[Any, ...]
"""Values of the periphery's `PRECISION_FIELDS`: ADC bits and input bits."""

ROUNDS = 4
"""Rounds of tables and search in which a design and its context come to agree, at most."""


def peripheries(kinds: Sequence[Kind], own: Periphery, precisions: Sequence[Precision]) -> list[Periphery]:
    """All combinations of kinds (none: the own one) and precisions, the latter innermost; the rest as it is."""
    return [
        own.with_values((*KIND_FIELDS, *PRECISION_FIELDS), (*kind, *precision))
        for kind in (kinds or [own.values(KIND_FIELDS)])
        for precision in precisions
    ]


def cheapest(
    context: Design, choices: Sequence[Sequence[Periphery]], goal: Goal, loss: tuple[NDArray[np.float64], float] | None
) -> Solution:
    """Which periphery every layer of a network takes for the least objective, proven optimal in a context.

    Args:
        context: Network and chip; the design whose chip the layers are assumed to be part of.
        choices: Peripheries that each layer may have.
        goal: What is minimised, and what the chip may cost. Where nothing keeps the budgets, they are disregarded: the
            caller sees what was found.
        loss: Predicted loss of every layer with every periphery, [layers, peripheries], and the bound on its sum; None
            for no bound.

    Returns:
        A solution whose options are indices into the choices.
    """
    tables, constants = network_tables(context, choices)
    layers = [
        Choices(layer.name, (layer.out_channels,), tuple(range(len(row))))
        for layer, row in zip(context.network.layers, choices, strict=True)
    ]
    # One width in, one width out: [peripheries] -> [1, 1, peripheries].
    costs = {name: [row[None, None] for row in rows] for name, rows in tables.items()}
    terms = {} if loss is None else {"loss": Term([row[None, None] for row in loss[0]], at_most=loss[1])}

    def solved(posed: Goal) -> Solution:
        return solve_tables(build_problem(layers, costs, constants, terms, posed, name="precision"), posed, Effort())

    try:
        return solved(goal)
    except InfeasibleError:
        return solved(Goal(goal.objective))


def cheapest_converters(design: Design, kinds: Sequence[Kind], goal: Goal) -> Design:
    """The same network and precisions with the ADC types and column sharings of the least objective.

    Args:
        design: At its precisions. Its own kinds are kept where no others are better.
        kinds: From which every layer chooses.
        goal: What is minimised, and what the chip may cost.
    """
    choices = [peripheries(kinds, entry, [entry.values(PRECISION_FIELDS)]) for entry in design.periphery]

    def propose(context: Design) -> tuple[Design, Solution]:
        solution = cheapest(context, choices, goal, None)
        periphery = tuple(row[index] for row, index in zip(choices, solution.design[:, 1], strict=True))
        return design.replace(periphery=periphery), solution

    found: Candidates = {}
    found[design] = Candidate(design, evaluate(design))
    settle(design, propose, ROUNDS, found)
    return min(found.values(), key=lambda candidate: goal.rank(candidate.evaluation)).design


__all__ = ["ROUNDS", "Kind", "Precision", "cheapest", "cheapest_converters", "peripheries"]
