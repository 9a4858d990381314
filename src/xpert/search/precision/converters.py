"""ADC type and column sharing for given precisions: they change costs, and no column sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import Evaluation, evaluate
from xpert.search.context import Effort, solve_tables
from xpert.search.objectives import Goal
from xpert.search.tabulate import Term, build_problem, network_tables
from xpert.solver.graph import undominated
from xpert.solver.problem import Choices

Kind = tuple[Any, ...]
"""Values of the periphery's `KIND_FIELDS`: ADC type, columns per ADC and so on; without the last ones these stay."""

Precision = tuple[Any, ...]
"""Values of the periphery's `PRECISION_FIELDS`: ADC bits, input bits and so on; without the last ones these stay."""

ROUNDS = 4
"""Rounds of tables and search in which a design and its context come to agree, at most."""


def peripheries(kinds: Sequence[Kind], own: Periphery, precisions: Sequence[Precision]) -> list[Periphery]:
    """All combinations of kinds (none: the own one) and precisions, the latter innermost; the rest as it is."""
    return [
        own.with_values(KIND_FIELDS, kind).with_values(PRECISION_FIELDS, precision)
        for kind in (kinds or [own.values(KIND_FIELDS)])
        for precision in precisions
    ]


def cheapest(
    context: Design,
    choices: Sequence[Sequence[Periphery]],
    goal: Goal,
    loss: tuple[NDArray[np.float64], float] | None = None,
    evaluation: Evaluation | None = None,
) -> NDArray[np.int64]:
    """Which periphery every layer of a network takes for the least objective, proven optimal in a context.

    Args:
        context: Network and chip; the design whose chip the layers are assumed to be part of.
        choices: Peripheries that each layer may have.
        goal: What is minimised, and what the chip may cost. Where nothing keeps the budgets, they are disregarded: the
            caller sees what was found.
        loss: Predicted loss of every layer with every periphery, [layers, peripheries], and the bound on its sum; None
            for no bound.
        evaluation: Of the context, where that is known already.

    Returns:
        Which of its choices every layer takes, [layers].
    """
    tables, constants = network_tables(context, choices, None if evaluation is None else evaluation.context)
    losses = [] if loss is None else [loss[0]]
    kept = [_worthwhile(np.column_stack([*of_layer]), goal) for of_layer in zip(*tables.values(), *losses, strict=True)]
    layers = [
        Choices(layer.name, (layer.out_channels,), tuple(row.tolist()))
        for layer, row in zip(context.network.layers, kept, strict=True)
    ]
    # One width in, one width out: [peripheries] -> [1, 1, peripheries].
    costs = {name: [row[index][None, None] for row, index in zip(rows, kept)] for name, rows in tables.items()}
    terms = {}
    if loss is not None:
        terms["loss"] = Term([row[index][None, None] for row, index in zip(loss[0], kept)], at_most=loss[1])
    # The least loss, else what is there: likely within the budgets.
    first = [
        int(loss[0][layer][index].argmin()) if loss is not None else _place(choices[layer], index, own)
        for layer, (index, own) in enumerate(zip(kept, context.periphery, strict=True))
    ]
    start = np.column_stack([np.zeros_like(first), first])

    def solved(posed: Goal) -> NDArray[np.int64]:
        pipelined = context.chip.execution == "pipelined"
        problem = build_problem(layers, costs, constants, terms, posed, pipelined=pipelined, name="precision")
        return solve_tables(problem, posed, Effort(), start=start).design[:, 1]

    try:
        taken = solved(goal)
    except InfeasibleError:
        taken = solved(Goal(goal.objective))
    return np.array([index[entry] for index, entry in zip(kept, taken, strict=True)])


def _worthwhile(costs: NDArray[np.float64], goal: Goal) -> NDArray[np.int64]:
    """Indices of a layer's choices that no other one equals or beats in all costs, [choices, costs]."""
    if goal.budgets.least_area_mm2 is not None or goal.budgets.power_mw is not None:
        return np.arange(len(costs))  # more area, or more time, may be of use
    return np.flatnonzero(undominated(costs))


def _place(choices: Sequence[Periphery], kept: NDArray[np.int64], wanted: Periphery) -> int:
    """Where a periphery is among the choices that are kept; the first one if it is not."""
    return next((place for place, index in enumerate(kept) if choices[index] == wanted), 0)


def cheapest_converters(design: Design, kinds: Sequence[Kind], goal: Goal) -> Design:
    """The same network and precisions with the ADC types and column sharings of the least objective.

    Args:
        design: At its precisions. Its own kinds are kept where no others are better.
        kinds: From which every layer chooses.
        goal: What is minimised, and what the chip may cost.
    """
    choices = [peripheries(kinds, entry, [entry.values(PRECISION_FIELDS)]) for entry in design.periphery]

    found: dict[Design, Evaluation] = {}
    found[design] = evaluate(design)
    context = design
    for _ in range(ROUNDS):
        taken = cheapest(context, choices, goal, evaluation=found[context])
        periphery = tuple(row[index] for row, index in zip(choices, taken, strict=True))
        context = design.replace(periphery=periphery)
        if context in found:
            break
        found[context] = evaluate(context)
    return min(found, key=lambda one: goal.rank(found[one]))


__all__ = ["ROUNDS", "Kind", "Precision", "cheapest", "cheapest_converters", "peripheries"]
