"""Both phases in one problem: channels, ADC type, column sharing, ADC bits and input bits of every layer at once.

Two phases in turn cannot trade a wider layer at a lower precision against a narrower one at a higher. Here precisions
are options like the others, and accuracy enters through the additive error model of phase 2: each layer's predicted
loss is its measured output error at a precision times what output error in that layer costs the network, both measured
on a network that was trained (see `sensitivity.py`). Their sum has an upper bound, the quality of the widths a lower
one, and everything is a table, so that the exact solver applies. The model is that of the measured network, and other
widths bend it: what is found must be trained, measured and, where it falls short, measured anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design, Periphery
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.tables import Option, layer_options
from xpert.networks.spaces import Space
from xpert.search.architecture import design_of
from xpert.search.objectives import OBJECTIVES, UNITS, objective_value, space_tables
from xpert.search.precision.converters import Kind, Precision, peripheries
from xpert.solver.problem import Choices, Problem
from xpert.solver.strategies import solve

ROUNDS = 3
"""Rounds of tables and search in which a design and its context come to agree, at most."""


@dataclass(frozen=True)
class JointResult:
    """The outcome of one joint search."""

    design: Design
    """The best design."""

    evaluation: Evaluation
    """Its full evaluation."""

    predicted_loss: float
    """By the additive error model. [nat]"""

    quality: float
    """Of its widths."""

    lower_bound: float | None
    """Proven lower bound of the objective in the last context, where the strategy gives one."""


def search_joint(
    space: Space,
    design: Design,
    *,
    kinds: Sequence[Kind],
    precisions: Sequence[Precision],
    losses: NDArray[np.float64],
    most_loss: float,
    quality: Sequence[NDArray[np.float64]],
    least_quality: float,
    objective: str,
    area_budget: float | None,
    strategy: str,
    seed: int = 0,
    seconds: float | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> JointResult:
    """Search widths and whole peripheries together.

    Args:
        space: Networks to choose from; every layer has one kernel, or is left out in all of them, as its block may be.
        design: Where to start: its chip, and the context of the first tables.
        kinds: Pairs (ADC type, columns per ADC) to choose from.
        precisions: Pairs (ADC bits, input bits) to choose from.
        losses: Predicted loss of every layer that is there at every precision, [layers, precisions]. [nat]
        most_loss: Upper bound on their sum. [nat]
        quality: What every layer adds to the quality of the widths, [in_widths, out_widths, 1] each.
        least_quality: Lower bound on their sum.
        objective: `latency`, `energy`, `edp` or `edap`.
        area_budget: Largest chip area; None for no limit. [mm2]
        strategy: `exact`, `gradient`, `evolution` or `random`.
        seed: Of the strategy.
        seconds: Time limit of one search. [s]
        progress: Called with figures as work goes on.

    Raises:
        InfeasibleError: If no design meets the bounds.
    """
    options = peripheries(kinds, design.periphery[0], precisions)
    # Precisions are the options' innermost axis.
    option_losses = np.tile(losses, len(kinds))
    best: JointResult | None = None
    context = design
    for _ in range(ROUNDS):
        problem = _problem(
            space, context, options, option_losses, most_loss, quality, least_quality, objective, area_budget
        )
        solution = solve(problem, strategy=strategy, seed=seed, seconds=seconds, progress=progress)
        if solution.status == "interrupted":
            raise KeyboardInterrupt
        found = design_of(space, context.chip, options, solution.design).replace(name=context.name)
        result = JointResult(
            found, evaluate(found), solution.totals["loss"], solution.totals["quality"], solution.lower_bound
        )
        if best is None or _value(result, objective) < _value(best, objective):
            best = result
        if found == context:
            break
        context = found
    assert best is not None  # noqa: S101 (there is at least one round)
    return best


def _value(result: JointResult, objective: str) -> float:
    return objective_value(result.evaluation, objective)


def _problem(
    space: Space,
    context: Design,
    options: Sequence[Periphery],
    losses: NDArray[np.float64],
    most_loss: float,
    quality: Sequence[NDArray[np.float64]],
    least_quality: float,
    objective: str,
    area_budget: float | None,
) -> Problem:
    tables, constants = space_tables(space, context.chip, options, context)
    costs = {name: list(tables[name]) for name in ("area", "latency", "energy")}
    choices = layer_options(space, options)
    of_layers = iter(losses)
    # A layer that is left out, in all networks or none, loses nothing at any precision.
    present = space.present([min(options) for options in space.choices], [min(row) for row in space.kernels])
    rows = [next(of_layers) if there else np.zeros(1) for there in present]
    costs["loss"] = [np.broadcast_to(row, table.shape).copy() for row, table in zip(rows, tables["area"], strict=True)]
    costs["quality"] = [
        np.broadcast_to(part, table.shape).copy() for part, table in zip(quality, tables["area"], strict=True)
    ]
    for layer in range(len(choices)):
        beaten = _dominated(np.stack([costs[name][layer] for name in ("area", "latency", "energy", "loss")], axis=-1))
        for parts in costs.values():
            parts[layer] = np.where(beaten, np.inf, parts[layer])
    widths = [space.choices[decision] if decision >= 0 else (space.num_classes,) for decision in space.decisions]
    labels = [tuple(_label(option) for option in row) for row in choices]
    limits = {"loss": most_loss} | ({} if area_budget is None else {"area": area_budget})
    return Problem(
        layers=tuple(
            Choices(place.name, width, row) for place, width, row in zip(space.positions, widths, labels, strict=True)
        ),
        costs={name: tuple(parts) for name, parts in costs.items()},
        minimize=OBJECTIVES[objective],
        at_most=limits,
        at_least={"quality": least_quality},
        constants=constants,
        inputs=space.inputs,
        ties=tuple(space.decisions.index(decision) for decision in space.decisions),
        units=UNITS,
        name="joint",
    )


def _dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which options another one of the same widths beats or equals in every cost, [in_widths, out_widths, options].

    They can be left out: no bound holds from below what they cost.
    """
    result = np.zeros(costs.shape[:-1], dtype=bool)
    for place in np.ndindex(costs.shape[:2]):
        own = costs[place]
        order = np.lexsort(own.T[::-1])
        kept: list[int] = []
        for option in order:
            if kept and (own[kept] <= own[option]).all(axis=1).any():
                result[(*place, option)] = True
            else:
                kept.append(int(option))
    return result


def _label(option: Option) -> str:
    return "left out" if option.periphery is None else option.periphery.short()


__all__ = ["ROUNDS", "JointResult", "search_joint"]
