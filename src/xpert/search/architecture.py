"""Phase 1: channels, ADC type and column sharing of every layer, under an area budget, without training.

The hardware model prices every layer for every choice, given what of the whole chip reaches into a layer (the
context: H-tree, bus, shared blocks). The chip that is found has a context of its own; tables and search are repeated
under it until they agree. Every design that is kept was evaluated in full, never taken from a table.

Quality is held by a training-free score, at least `minimum_score` times the backbone's own. The score of a network is,
to within noise, a line in the logarithm of its number of ReLU units (see `proxies`), which are a sum over layers: so
the strategies work with a lower bound on ReLU units, and the score itself, computed on every network that is found,
corrects the bound until it is met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import Evaluation, evaluate
from xpert.networks.spaces import Space
from xpert.search.objectives import OBJECTIVES, UNITS, objective_value, space_tables
from xpert.search.problem import Choices, Problem
from xpert.search.solution import Solution
from xpert.search.strategies import solve

_ROUNDS = 8
"""Rounds of tables, search and full evaluation, at most; contexts agree after two to four."""

_STEP = 1.01
"""Least factor on the bound of ReLU units where a score missed its minimum, so that every round moves."""

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ArchitectureResult:
    """The outcome of phase 1."""

    design: Design
    """The best design that meets budget and score."""

    evaluation: Evaluation
    """Its full evaluation."""

    value: float
    """Its objective, in the units of `objectives`."""

    lower_bound: float | None
    """Proven lower bound of the objective under the tables that led to the design, where the strategy gives one."""

    score: float | None
    """Training-free score of its network; None where none was asked for."""

    score_backbone: float | None
    """Score of the unsearched backbone."""

    score_minimum: float | None
    """Least score that was allowed."""

    trace: list[dict[str, Any]]
    """Progress of the search that found the design, for figures."""

    rounds: list[dict[str, Any]]
    """What every round found."""

    space_size: int
    """Number of designs in the space."""


def relu_units(layer: Layer) -> int:
    """Outputs of a layer that pass a ReLU, per image."""
    return layer.out_channels * layer.out_height * layer.out_width if layer.relu else 0


def search_architecture(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    *,
    objective: str,
    area_budget: float | None,
    score: Callable[[Network], float] | None,
    minimum_score: float | None,
    strategy: str,
    seed: int,
    seconds: float | None = None,
    evaluations: int | None = None,
    progress: Progress | None = None,
) -> ArchitectureResult:
    """Find the network and the periphery of its layers that minimise an objective.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries from which every layer chooses.
        objective: `latency`, `energy`, `edp` or `edap`.
        area_budget: Largest chip area; None for no limit. [mm2]
        score: Training-free score of a network, higher is better; needed with `minimum_score`.
        minimum_score: Least score relative to the backbone's own; None for no limit.
        strategy: `exact`, `gradient`, `evolution` or `random`.
        seed: Of the strategy.
        seconds: Time limit of one search. [s]
        evaluations: Limit on the designs that one search looks at.
        progress: Called with figures as work goes on.

    Raises:
        InfeasibleError: If no design meets budget and score.
        ConfigError: If the objective or the strategy is unknown.
    """
    tell = progress or (lambda _: None)
    backbone = space.network(space.default_channels)
    least_units, slope, score_backbone, score_minimum = 0.0, 0.0, None, None
    if score is not None and minimum_score is not None:
        score_backbone = score(backbone)
        score_minimum = minimum_score * score_backbone
        least_units, slope = _units_for(space, score, score_backbone, score_minimum)

    def meets(evaluation: Evaluation, design_score: float | None) -> bool:
        within = area_budget is None or objective_value(evaluation, "area") <= area_budget
        return within and (design_score is None or score_minimum is None or design_score >= score_minimum)

    # Shared blocks grow with the chip: in the smallest chip's context no design looks larger than it is.
    context = _smallest(space, chip, options)
    found: dict[Design, _Found] = {}
    rounds: list[dict[str, Any]] = []
    size = 0
    for number in range(1, _ROUNDS + 1):
        problem = _problem(space, chip, options, context, objective, area_budget, least_units)
        size = problem.size

        def told(figures: dict[str, Any], number: int = number) -> None:
            tell({"round": number, "rounds": _ROUNDS, **figures})

        try:
            solution = solve(
                problem, strategy=strategy, seed=seed, seconds=seconds, evaluations=evaluations, progress=told
            )
        except InfeasibleError:
            if not found:
                raise
            break
        design = _design(space, chip, options, solution.design)
        if design in found:
            break
        evaluation = evaluate(design)
        design_score = score(design.network) if score is not None and minimum_score is not None else None
        found[design] = _Found(evaluation, design_score, solution)
        rounds.append(
            {
                "round": number,
                objective: objective_value(evaluation, objective),
                "area_mm2": objective_value(evaluation, "area"),
                "score": design_score,
                "feasible": meets(evaluation, design_score),
            }
        )
        context = design
        if design_score is not None and score_minimum is not None and design_score < score_minimum:
            units = sum(relu_units(layer) for layer in design.network.layers)
            missing = math.exp((score_minimum - design_score) / slope) if slope > 0 else 1.0
            least_units = max(least_units, units) * max(missing, _STEP)
    feasible = [design for design, entry in found.items() if meets(entry.evaluation, entry.score)]
    if not feasible:
        raise InfeasibleError(
            f"architecture: none of the {len(found)} designs that the search settled on meets the area budget and the "
            "minimum score in full evaluation: raise area_budget_mm2 or lower minimum_score"
        )
    best = min(feasible, key=lambda design: objective_value(found[design].evaluation, objective))
    entry = found[best]
    return ArchitectureResult(
        design=best,
        evaluation=entry.evaluation,
        value=objective_value(entry.evaluation, objective),
        lower_bound=entry.solution.lower_bound,
        score=entry.score,
        score_backbone=score_backbone,
        score_minimum=score_minimum,
        trace=list(entry.solution.trace),
        rounds=rounds,
        space_size=size,
    )


@dataclass(frozen=True)
class _Found:
    evaluation: Evaluation
    score: float | None
    solution: Solution


def _smallest(space: Space, chip: Chip, options: Sequence[Periphery]) -> Design:
    """The smallest of the homogeneous designs of the narrowest network."""
    network = space.network([min(choices) for choices in space.choices])
    designs = [Design.homogeneous(network, chip, option) for option in options]
    return min(designs, key=lambda design: objective_value(evaluate(design), "area"))


def _units_for(
    space: Space, score: Callable[[Network], float], score_backbone: float, score_minimum: float
) -> tuple[float, float]:
    """ReLU units at which a line in their logarithm, fitted to three networks, gives the least score; and its slope.

    The units are at most the widest network's, so that an impossible minimum shows as such in full evaluation. A score
    that does not grow with size asks for no units: then both are zero.
    """
    networks = [
        space.network(space.default_channels),
        space.network([min(options) for options in space.choices]),
        space.network([max(options) for options in space.choices]),
    ]
    units = [sum(relu_units(layer) for layer in network.layers) for network in networks]
    if max(units) == min(units):
        return 0.0, 0.0
    scores = [score_backbone, *(score(network) for network in networks[1:])]
    slope, offset = np.polyfit(np.log(units), scores, 1)
    if not slope > 0:
        return 0.0, 0.0
    return float(min(math.exp((score_minimum - offset) / slope), max(units))), float(slope)


def _problem(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    context: Design,
    objective: str,
    area_budget: float | None,
    least_units: float,
) -> Problem:
    """The tabulated problem under the context of a design."""
    tables, constants = space_tables(space, chip, options, context)
    widths = (*space.choices, (space.num_classes,))
    inputs = ((space.input_shape[0],), *widths[:-1])
    units = [
        np.array(
            [[[relu_units(space.layer(index, i, o))] * len(options) for o in widths[index]] for i in inputs[index]]
        )
        for index in range(len(widths))
    ]
    minimize = OBJECTIVES[objective]
    names = [space.layer(index, 1, 1).name for index in range(len(widths))]
    return Problem(
        layers=tuple(
            Choices(name, options_of_layer, tuple(f"{entry.adc_type}/{entry.columns_per_adc}" for entry in options))
            for name, options_of_layer in zip(names, widths, strict=True)
        ),
        costs={name: tables[name] for name in ("area", "latency", "energy")} | {"relu_units": tuple(units)},
        minimize=minimize,
        at_most={} if area_budget is None else {"area": area_budget},
        at_least={"relu_units": least_units} if least_units > 0 else {},
        constants=constants,
        units=UNITS,
        name="architecture",
    )


def _design(space: Space, chip: Chip, options: Sequence[Periphery], chosen: NDArray[np.int64]) -> Design:
    channels = [choices[width] for choices, width in zip(space.choices, chosen[:, 0])]
    periphery = tuple(options[option] for option in chosen[:, 1])
    return Design(name="searched", chip=chip, network=space.network(channels), periphery=periphery)


__all__ = ["ArchitectureResult", "relu_units", "search_architecture"]
