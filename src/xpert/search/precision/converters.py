"""ADC type and column sharing for given precisions: they change costs, and no column sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.search.context import Candidate, Candidates, Effort, settle, solve_tables
from xpert.search.objectives import Goal
from xpert.search.tabulate import Term, build_problem, network_tables
from xpert.solver.problem import Choices
from xpert.solver.solution import Solution

Kind = tuple[str, int]
"""ADC type and columns per ADC."""

ROUNDS = 4
"""Rounds of tables and search in which a design and its context come to agree, at most."""


def peripheries(kinds: Sequence[Kind], own: Periphery, precisions: Sequence[tuple[int, int]]) -> list[Periphery]:
    """All combinations of kinds (none: the own one) and precisions (ADC bits, input bits), the latter innermost."""
    return [
        Periphery(adc_type=adc_type, columns_per_adc=columns, adc_bits=adc_bits, input_bits=input_bits)
        for adc_type, columns in (kinds or [(own.adc_type, own.columns_per_adc)])
        for adc_bits, input_bits in precisions
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
    choices = [peripheries(kinds, entry, [(entry.adc_bits, entry.input_bits)]) for entry in design.periphery]

    def propose(context: Design) -> tuple[Design, Solution]:
        solution = cheapest(context, choices, goal, None)
        periphery = tuple(row[index] for row, index in zip(choices, solution.design[:, 1], strict=True))
        return design.replace(periphery=periphery), solution

    found: Candidates = {}
    found[design] = Candidate(design, evaluate(design))
    settle(design, propose, ROUNDS, found)
    return min(found.values(), key=lambda candidate: goal.rank(candidate.evaluation)).design


__all__ = ["ROUNDS", "Kind", "cheapest", "cheapest_converters", "peripheries"]
