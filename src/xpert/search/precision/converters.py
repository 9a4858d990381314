"""ADC type and column sharing for given precisions: they change costs, and no column sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.search.objectives import OBJECTIVES, UNITS, Budgets, network_tables, objective_value
from xpert.solver.problem import Choices, Problem
from xpert.solver.strategies import solve

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
    context: Design,
    choices: Sequence[Sequence[Periphery]],
    objective: str,
    budgets: Budgets,
    loss: tuple[NDArray[np.float64], float] | None = None,
) -> NDArray[np.int64]:
    """Which periphery every layer of a network takes for the least objective, proven optimal in a context, [layers].

    Args:
        context: Network and chip; the design whose chip the layers are assumed to be part of.
        choices: Peripheries that each layer may have.
        objective: `latency`, `energy`, `edp` or `edap`.
        budgets: What the chip may cost. Where nothing keeps them, they are disregarded: the caller sees what was found.
        loss: Predicted loss of every layer with every periphery, [layers, peripheries], and the bound on its sum.
    """
    tables, constants = network_tables(context, choices)
    costs = {name: tuple(row[None, None] for row in rows) for name, rows in tables.items()}
    if loss is not None:
        costs["loss"] = tuple(row[None, None] for row in loss[0])
    problem = Problem(
        layers=tuple(
            Choices(layer.name, (layer.out_channels,), tuple(range(len(row))))
            for layer, row in zip(context.network.layers, choices, strict=True)
        ),
        costs=costs,
        minimize=OBJECTIVES[objective],
        at_most={} if loss is None else {"loss": loss[1]},
        constants=constants,
        units=UNITS,
        name="precision",
    )
    try:
        solution = solve(budgets.restrict(problem), strategy="exact")
    except InfeasibleError:
        solution = solve(problem, strategy="exact")
    if solution.status == "interrupted":
        raise KeyboardInterrupt
    return solution.design[:, 1]


def cheapest_converters(design: Design, kinds: Sequence[Kind], objective: str, budgets: Budgets) -> Design:
    """The same network and precisions with the ADC types and column sharings of the least objective.

    Args:
        design: At its precisions. Its own kinds are kept where no others are better.
        kinds: From which every layer chooses.
        objective: `latency`, `energy`, `edp` or `edap`.
        budgets: What the chip may cost.
    """
    choices = [peripheries(kinds, entry, [entry.values(PRECISION_FIELDS)]) for entry in design.periphery]
    best = context = design
    least = _rank(best, objective, budgets)
    for _ in range(ROUNDS):
        chosen = cheapest(context, choices, objective, budgets)
        found = design.replace(periphery=tuple(row[index] for row, index in zip(choices, chosen, strict=True)))
        if found == context:
            break
        if (rank := _rank(found, objective, budgets)) < least:
            best, least = found, rank
        context = found
    return best


def _rank(design: Design, objective: str, budgets: Budgets) -> tuple[bool, float]:
    evaluation = evaluate(design)
    return not budgets.met(evaluation), objective_value(evaluation, objective)


__all__ = ["ROUNDS", "Kind", "Precision", "cheapest", "cheapest_converters", "peripheries"]
