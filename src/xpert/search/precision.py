"""Phase 2: ADC precision and input precision of every layer, with the measured NI-accuracy in the loop.

Every layer's choices are priced by the hardware model and by an additive error model: the relative output error of the
layer's crossbars at that precision (measured by the analog simulation) times what such an error costs the network (see
`sensitivity.py`). Choosing one precision per layer for the least cost under a bound on the predicted loss is a
multiple-choice knapsack, solved exactly. The prediction only ranks: which bound is admissible is decided by bisection
on the *measured* NI-accuracy of the joint design, and only measured designs are returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design, Periphery
from xpert.hardware import Evaluation, evaluate
from xpert.search.objectives import OBJECTIVES, network_tables, objective_value
from xpert.search.problem import Choices, Problem
from xpert.search.strategies import solve


@dataclass(frozen=True)
class Tried:
    """One joint design whose NI-accuracy was measured."""

    design: Design
    evaluation: Evaluation
    predicted_loss: float
    """By the additive error model. [nat]"""

    accuracy: float
    """Measured NI-accuracy."""

    feasible: bool
    """Whether it reaches the floor."""


@dataclass(frozen=True)
class PrecisionResult:
    """The outcome of phase 2."""

    best: Tried
    """The cheapest measured design that reaches the floor; where none does, the most accurate one."""

    tried: tuple[Tried, ...]
    """All measured designs, in order."""


def search_precision(
    design: Design,
    *,
    options: Sequence[tuple[int, int]],
    errors: NDArray[np.float64],
    sensitivity: NDArray[np.float64],
    objective: str,
    accuracy: Callable[[Design], float],
    floor: float,
    rounds: int = 7,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> PrecisionResult:
    """Choose the precisions of every layer.

    Args:
        design: From phase 1; its networks, ADC types and column sharing stay.
        options: Pairs (ADC bits, input bits) from which every layer chooses.
        errors: Relative output error (noise-to-signal power) of every layer with every option, [layers, options].
        sensitivity: Loss per unit of that error, [layers]. [nat]
        objective: `latency`, `energy`, `edp` or `edap`.
        accuracy: Measures the NI-accuracy of a joint design.
        floor: Least NI-accuracy.
        rounds: Bisection steps on the bound of the predicted loss.
        progress: Called with figures after every measured design.

    Raises:
        ConfigError: If the objective is unknown.
    """
    losses = errors * sensitivity[:, None]
    tried: dict[tuple[Periphery, ...], Tried] = {}

    def measure(candidate: Design, predicted: float) -> Tried:
        if candidate.periphery not in tried:
            measured = accuracy(candidate)
            entry = Tried(candidate, evaluate(candidate), predicted, measured, measured >= floor)
            tried[candidate.periphery] = entry
            if progress:
                progress(
                    {
                        "tried": len(tried),
                        "of": rounds + 2,
                        "ni_accuracy": measured,
                        "feasible": entry.feasible,
                        objective: objective_value(entry.evaluation, objective),
                    }
                )
        return tried[candidate.periphery]

    def cheapest(bound: float, context: Design) -> tuple[Design, float]:
        chosen = _knapsack(context, options, losses, objective, bound)
        return _with_precisions(design, [options[k] for k in chosen]), float(
            losses[np.arange(len(losses)), chosen].sum()
        )

    finest_choice = losses.argmin(axis=1)
    finest = measure(
        _with_precisions(design, [options[k] for k in finest_choice]),
        float(losses[np.arange(len(losses)), finest_choice].sum()),
    )
    current, predicted = cheapest(math.inf, finest.design)
    coarsest = measure(current, predicted)
    if finest.feasible and not coarsest.feasible:
        low, high = finest.predicted_loss, coarsest.predicted_loss
        for _ in range(rounds):
            bound = math.sqrt(low * high)
            current, predicted = cheapest(bound, current)
            if measure(current, predicted).feasible:
                low = bound
            else:
                high = bound
    feasible = [entry for entry in tried.values() if entry.feasible]
    if feasible:
        best = min(feasible, key=lambda entry: objective_value(entry.evaluation, objective))
    else:
        best = max(tried.values(), key=lambda entry: entry.accuracy)
    return PrecisionResult(best, tuple(tried.values()))


def _with_precisions(design: Design, precisions: Sequence[tuple[int, int]]) -> Design:
    periphery = tuple(
        entry.model_copy(update={"adc_bits": adc_bits, "input_bits": input_bits})
        for entry, (adc_bits, input_bits) in zip(design.periphery, precisions, strict=True)
    )
    return design.model_copy(update={"periphery": periphery})


def _knapsack(
    context: Design,
    options: Sequence[tuple[int, int]],
    losses: NDArray[np.float64],
    objective: str,
    bound: float,
) -> NDArray[np.int64]:
    """Every layer's option, for the least objective with a summed loss of at most the bound, in a design's context."""
    minimize = OBJECTIVES[objective]
    tables, constants = network_tables(context, options)
    costs = {name: tables[name] for name in minimize} | {"loss": losses}
    problem = Problem(
        layers=tuple(
            Choices(layer.name, (layer.out_channels,), tuple(f"{adc}/{bits}" for adc, bits in options))
            for layer in context.network.layers
        ),
        costs={name: tuple(table[:, None, None, :]) for name, table in costs.items()},
        minimize=minimize,
        at_most={} if math.isinf(bound) else {"loss": bound},
        constants={name: value for name, value in constants.items() if name in costs},
        name="precision",
    )
    solution = solve(problem, strategy="exact")
    if solution.status == "interrupted":
        raise KeyboardInterrupt
    return solution.design[:, 1]


__all__ = ["PrecisionResult", "Tried", "search_precision"]
