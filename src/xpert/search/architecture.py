"""Phase 1: channels, kernel, ADC type and column sharing of every layer, under budgets, without training.

The hardware model prices every layer for every choice, given what of the whole chip reaches into a layer (the
context: H-tree, bus, shared blocks). The chip that is found has a context of its own; tables and search are repeated
under it until they agree. Every design that is kept was evaluated in full, never taken from a table.

Quality is held up, at least `minimum_quality` times the backbone's own. A quality that is a sum over layers (see
`quality`) is one more table, and every design that a strategy returns meets it. Any other training-free score (see
`proxies`) grows with the number of ReLU units, which are such a sum: the strategies work with a lower bound on them,
and the score itself, computed on every network that is found, corrects the bound until it is met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import ARCHITECTURE_FIELDS, Chip, Design, Network, Periphery
from xpert.errors import ConfigError, InfeasibleError
from xpert.hardware import Evaluation, PeripheryArrays, evaluate, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.tables import Option, layer_options
from xpert.networks.spaces import Space
from xpert.progress import Tell
from xpert.search.objectives import (
    ENERGY_PER_OPERATION,
    OBJECTIVES,
    PER_SI,
    UNITS,
    Budgets,
    objective_value,
    space_tables,
)
from xpert.search.quality.additive import Quality, quality_tables, total_quality
from xpert.solver.problem import Choices, Problem
from xpert.solver.ratio import minimize_ratio
from xpert.solver.strategies import solve
from xpert.workload.layers import Workload

QUALITY = "quality"
"""Name of the tabulated quantity that stands for the network's quality; more is better."""

_ROUNDS = 6
"""Rounds of tables, search and full evaluation in which a design and its context come to agree, at most."""

_SEARCHED = 4
"""Pitches that are searched, besides the smallest."""

_REFINED = 2
"""Pitches, the most promising ones, for which that is done."""

_STEP = 1.01
"""Least factor on the bound of ReLU units where a score missed its minimum, so that every round moves."""

_ROUNDING = 1e-9
"""Relative slack of the least quality, for the rounding of sums over layers."""


@dataclass(frozen=True)
class ArchitectureResult:
    """The outcome of phase 1."""

    design: Design
    """The best design that meets budgets and quality."""

    evaluation: Evaluation
    """Its full evaluation."""

    value: float
    """Its objective, in the units of `objectives`."""

    lower_bound: float | None
    """Proven lower bound of the objective in the context of the design, where one was found."""

    problem: Problem
    """The tabulated problem in the context of the design: what Pareto fronts start from."""

    score: float | None
    """Quality of its network; None where none was asked for."""

    score_backbone: float | None
    """Quality of the unsearched backbone."""

    score_minimum: float | None
    """Least quality that was allowed."""

    trace: list[dict[str, Any]]
    """Progress of the search that found the design, for figures."""

    rounds: list[dict[str, Any]]
    """What every round found."""

    space_size: int
    """Number of designs in the space."""


def search_architecture(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    *,
    objective: str,
    budgets: Budgets,
    quality: Quality,
    minimum_quality: float | None,
    strategy: str,
    seed: int,
    seconds: float | None = None,
    evaluations: int | None = None,
    progress: Tell | None = None,
) -> ArchitectureResult:
    """Find the network and the periphery of its layers that minimise an objective.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries from which every layer chooses.
        objective: One of `objectives.PHASE_1`.
        budgets: What the chip may cost.
        quality: What is held up.
        minimum_quality: Least quality relative to the backbone's own; None for no limit.
        strategy: `exact`, `gradient`, `evolution` or `random`.
        seed: Of the strategy.
        seconds: Time limit of one search. [s]
        evaluations: Limit on the designs that one search looks at.
        progress: Called with figures as work goes on.

    Raises:
        InfeasibleError: If no design meets budgets and quality.
        ConfigError: If the objective or the strategy is unknown.
    """
    tell = progress or (lambda _: None)
    backbone = space.network(space.default_channels)
    least, slope, score_backbone, score_minimum = 0.0, 0.0, None, None
    if minimum_quality is not None:
        score_backbone = quality.measure(backbone)
        if not score_backbone > 0:
            raise ConfigError(
                f"{quality.name}: the backbone's is {score_backbone:g}; a minimum relative to it needs one above 0"
            )
        score_minimum = minimum_quality * score_backbone
        if quality.tabulated == quality.name:
            least = score_minimum * (1 - _ROUNDING)
        else:
            least, slope = _units_for(space, quality.measure, score_backbone, score_minimum)

    found: dict[Design, _Found] = {}
    rounds: list[dict[str, Any]] = []
    size = 0

    def meets(entry: _Found) -> bool:
        within = bool(budgets.met(entry.evaluation))
        return within and (
            entry.score is None or score_minimum is None or entry.score >= score_minimum * (1 - _ROUNDING)
        )

    def attempt(context: Design, allowed: Sequence[Periphery]) -> Design:
        """Solve in a context, evaluate in full, and let a missed score raise the bound of ReLU units."""
        nonlocal least, size
        problem = tabulate(space, chip, allowed, context, objective, budgets, quality.tabulated, least)
        size = max(size, problem.size)

        def told(figures: dict[str, Any]) -> None:
            tell({"round": len(rounds) + 1, **figures})

        limits: dict[str, Any] = {"strategy": strategy, "seed": seed, "seconds": seconds, "evaluations": evaluations}
        if objective == ENERGY_PER_OPERATION:
            solution = minimize_ratio(problem, "energy", "operations", solve, progress=told, **limits)
        else:
            solution = solve(problem, progress=told, **limits)
        if solution.status == "interrupted":
            raise KeyboardInterrupt
        design = design_of(space, chip, allowed, solution.design)
        if design == context and design in found:
            found[design] = replace(found[design], proof=solution.lower_bound)
        if design not in found:
            design_score = quality.measure(design.network) if minimum_quality is not None else None
            found[design] = entry = _Found(evaluate(design), design_score, list(solution.trace))
            missing_by = score_minimum - design_score if score_minimum and design_score is not None else 0.0
            if missing_by > 0 and quality.tabulated != quality.name:
                units = total_quality(quality.tabulated, design.network)
                missing = math.exp(missing_by / slope) if slope > 0 else 1.0
                least = max(least, units) * max(missing, _STEP)
            rounds.append(
                {
                    "round": len(rounds) + 1,
                    objective: objective_value(entry.evaluation, objective),
                    "area_mm2": objective_value(entry.evaluation, "area"),
                    "score": design_score,
                    "feasible": meets(entry),
                }
            )
        return design

    def rank(design: Design) -> tuple[bool, float]:
        return not meets(found[design]), objective_value(found[design].evaluation, objective)

    # The largest tile sets the pitch of the H-tree, which all layers pay for. So there is a best design for every
    # pitch: it is searched with the options that fit into it, in the context of the smallest chip of that pitch.
    pitches = _pitches(space, chip, options)
    starts: list[tuple[Design, list[Periphery]]] = []
    refusals: list[InfeasibleError] = []
    for pitch, smallest in _promising(pitches, objective):
        allowed = [option for option in options if pitches[option][0] <= pitch]
        try:
            starts.append((attempt(smallest, allowed), allowed))
        except InfeasibleError as error:
            refusals.append(error)
    if not starts:
        raise refusals[0]  # of the smallest pitch, which promises the most
    for start, allowed in sorted(starts, key=lambda entry: rank(entry[0]))[:_REFINED]:
        context = start
        for _ in range(_ROUNDS):
            known = len(found)
            try:
                context = attempt(context, allowed)
            except InfeasibleError:
                break
            if len(found) == known:
                break
    best = min(found, key=rank)
    if not meets(found[best]):
        raise InfeasibleError(
            f"architecture: none of the {len(found)} designs that the search settled on keeps the budgets and the "
            "least quality in full evaluation: raise a budget, as area_budget_mm2, or lower minimum_quality"
        )
    entry = found[best]
    design = _polished(best, options, objective, budgets)
    evaluation = evaluate(design)
    return ArchitectureResult(
        design=design,
        evaluation=evaluation,
        value=objective_value(evaluation, objective),
        lower_bound=entry.proof if design == best else None,
        problem=tabulate(space, chip, options, design, objective, budgets, quality.tabulated, least),
        score=entry.score,
        score_backbone=score_backbone,
        score_minimum=score_minimum,
        trace=entry.trace,
        rounds=rounds,
        space_size=size,
    )


@dataclass(frozen=True)
class _Found:
    evaluation: Evaluation
    score: float | None
    trace: list[dict[str, Any]]
    proof: float | None = None
    """Lower bound of the tables in the design's own context, where its own entries add up to its evaluation."""


def _pitches(space: Space, chip: Chip, options: Sequence[Periphery]) -> dict[Periphery, tuple[float, Design]]:
    """For every option the side of its tiles [m] and the narrowest network's homogeneous design; small tiles first."""
    network = space.network([min(choices) for choices in space.choices])
    designs = {option: Design.homogeneous(network, chip, option) for option in options}
    pitches = {option: float(evaluate(design).context.pitch[..., 0]) for option, design in designs.items()}
    return {
        option: (pitches[option], designs[option]) for option in sorted(options, key=lambda option: pitches[option])
    }


def _promising(pitches: dict[Periphery, tuple[float, Design]], objective: str) -> list[tuple[float, Design]]:
    """The smallest pitch, for tight budgets, and those whose homogeneous designs do best; small first."""
    ordered = list(pitches.values())
    best = sorted(ordered, key=lambda entry: objective_value(evaluate(entry[1]), objective))[:_SEARCHED]
    return [entry for index, entry in enumerate(ordered) if index == 0 or entry in best]


def _polished(design: Design, options: Sequence[Periphery], objective: str, budgets: Budgets) -> Design:
    """Change one layer's option at a time, for as long as full evaluation says that it helps; the network stays."""
    while True:
        neighbours = [
            design.replace(periphery=(*design.periphery[:layer], option, *design.periphery[layer + 1 :]))
            for layer, present in enumerate(design.periphery)
            for option in options
            if option != present
        ]
        candidates = [design, *neighbours]
        entries = [entry for candidate in candidates for entry in candidate.periphery]
        batch = (len(candidates), len(design.periphery))
        periphery = map_arrays(
            lambda array, batch=batch: array.reshape(batch), PeripheryArrays.of(entries, design.chip.adcs)
        )
        evaluations = evaluate_batch(design.chip, Workload.from_network(design.network), periphery)
        # Operations do not change here: there, energy per operation is the energy.
        factors = OBJECTIVES.get(objective, ("energy",))
        values = np.prod([getattr(evaluations, name) * PER_SI for name in factors], axis=0)
        values = np.where(budgets.met(evaluations), values, np.inf)
        best = int(np.argmin(values))
        if not values[best] < values[0]:
            return design
        design = candidates[best]


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
    units = [total_quality("relu_units", network) for network in networks]
    if max(units) == min(units):
        return 0.0, 0.0
    scores = [score_backbone, *(score(network) for network in networks[1:])]
    slope, offset = np.polyfit(np.log(units), scores, 1)
    if not slope > 0:
        return 0.0, 0.0
    return float(min(math.exp((score_minimum - offset) / slope), max(units))), float(slope)


def tabulate(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    context: Design,
    objective: str,
    budgets: Budgets,
    quality: str,
    least_quality: float,
) -> Problem:
    """The tabulated problem in the context of a design.

    Quality is one more tabulated quantity with a lower bound, one of `quality.ADDITIVE`.
    """
    tables, constants = space_tables(space, chip, options, context)
    widths = [space.choices[decision] if decision >= 0 else (space.num_classes,) for decision in space.decisions]
    choices = layer_options(space, options)
    worth = quality_tables(quality, space)

    def for_all_options(parts: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
        """From one entry per kernel to one per option."""
        kernels = [[own.index(option.kernel) for option in row] for own, row in zip(space.kernels, choices)]
        return tuple(part[..., index] for part, index in zip(parts, kernels, strict=True))

    costs = {name: tables[name] for name in UNITS} | {QUALITY: for_all_options(worth.tables)}
    constants = constants | {QUALITY: worth.constant}
    if objective == ENERGY_PER_OPERATION:
        macs = quality_tables("macs", space).tables
        costs["operations"] = for_all_options([2e-6 * part for part in macs])  # in millions: uJ over them is pJ each
    names = [position.name for position in space.positions]
    problem = Problem(
        layers=tuple(
            Choices(name, out_widths, tuple(_label(option, len(own) > 1) for option in row))
            for name, out_widths, own, row in zip(names, widths, space.kernels, choices, strict=True)
        ),
        costs=costs,
        minimize=OBJECTIVES.get(objective, ("energy",)),
        at_least={QUALITY: least_quality} if least_quality > 0 else {},
        constants=constants,
        inputs=space.inputs,
        ties=_leaders(space),
        units=UNITS,
        name="architecture",
    )
    return budgets.restrict(problem)


def _label(option: Option, with_kernel: bool) -> str:
    """What a layer chose, for people."""
    if option.periphery is None:
        return "left out"
    kernel = f"{option.kernel}x{option.kernel}/" if with_kernel else ""
    return kernel + option.periphery.short(ARCHITECTURE_FIELDS)


def _leaders(space: Space) -> tuple[int, ...]:
    """For every layer the first one that takes the same channel decision."""
    return tuple(space.decisions.index(decision) for decision in space.decisions)


def design_of(space: Space, chip: Chip, options: Sequence[Periphery], chosen: NDArray[np.int64]) -> Design:
    """The design that a problem's solution [layers, 2] stands for."""
    leaders = [space.decisions.index(decision) for decision in range(len(space.choices))]
    channels = [choices[chosen[leader, 0]] for choices, leader in zip(space.choices, leaders)]
    taken = [row[option] for row, option in zip(layer_options(space, options), chosen[:, 1], strict=True)]
    kernels = [option.kernel for option in taken]
    network = space.network(channels, kernels)
    periphery = tuple(
        option.periphery
        for option, there in zip(taken, space.present(channels, kernels), strict=True)
        if there and option.periphery is not None
    )
    return Design(name="searched", chip=chip, network=network, periphery=periphery)


__all__ = [
    "QUALITY",
    "ArchitectureResult",
    "design_of",
    "search_architecture",
    "tabulate",
]
