"""Phase 1: channels, kernel, ADC type and column sharing of every layer, under budgets, without training.

The hardware model prices every layer for every choice, given what of the whole chip reaches into a layer (the
context: H-tree, bus, shared blocks). Tables and search are repeated until a design and its context agree
(`context.py`). Every design that is kept was evaluated in full, never taken from a table.

Quality is held up, at least `minimum_quality` times the backbone's own. A quality that is a sum over layers (see
`quality`) is one more table, and every design that a strategy returns meets it. Any other training-free score (see
`quality.scores`) grows with the number of ReLU units, which are such a sum: the strategies work with a lower bound on
them, and the score itself, computed on every network that is found, corrects the bound until it is met.

The largest tile bounds the slot and so the pitch of the H-tree, for which all layers pay. So there is a best design
for every pitch, and the search goes in four steps:

1. For some promising pitches, search once with the options that fit into the pitch, in the context of the smallest
   chip of that pitch.
2. Let the best of these designs and their contexts agree.
3. Take the best design of all that were found, by full evaluation.
4. Change one layer's option at a time for as long as full evaluation says that it helps. The tables cannot see what
   an option changes in the context, such as the clock that the slowest layer sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError, InfeasibleError
from xpert.hardware import PHYSICAL, Evaluation, PeripheryArrays, Switches, evaluate, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.tables import CostTables, cost_tables, layer_options
from xpert.networks.spaces import Space
from xpert.progress import Progress, Report
from xpert.results import Round
from xpert.search.certificate import Allowed, Certificate, Incumbent, certify, relaxation
from xpert.search.context import Candidate, Candidates, Effort, propose_once, settle, solve_tables
from xpert.search.objectives import ENERGY_PER_OPERATION, PER_SI, UNITS, Budgets, Goal, objective_value
from xpert.search.quality.additive import Quality, quality_tables, total_quality
from xpert.search.tabulate import Tables, Term, design_of, problem_of
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution
from xpert.workload.layers import Workload

QUALITY = "quality"
"""Name of the tabulated quantity that stands for the network's quality; more is better."""

_ROUNDS = 6
"""Rounds of tables, search and full evaluation in which a design and its context come to agree, at most."""

_SEARCHED = 4
"""Pitches that are searched, besides the smallest."""

_REFINED = 2
"""Pitches, the most promising ones, for which design and context come to agree."""

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
    """No design of the space that keeps the budgets has a smaller objective; None where nothing is proven."""

    problem: Problem
    """The tabulated problem in the context of the design: what Pareto fronts start from."""

    relaxed: Problem | None
    """A problem in which no design is dearer than it is, for bounds on the fronts; None where there is none."""

    score: float | None
    """Quality of its network; None where none was asked for."""

    score_backbone: float | None
    """Quality of the unsearched backbone."""

    score_minimum: float | None
    """Least quality that was allowed."""

    trace: list[dict[str, Any]]
    """Progress of the search that found the design, for figures."""

    proof: tuple[tuple[int, float, float], ...]
    """How bound and best design closed in, `Certificate.steps`; empty where nothing is proven."""

    rounds: tuple[Round, ...]
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
    prove: bool = True,
    tilings: Sequence[Chip] = (),
    progress: Report | None = None,
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
        seconds: Limit on the CPU time of one search, and of the proof in one tiling. [s]
        evaluations: Limit on the designs that one search looks at.
        prove: Whether bounds that hold for every design are looked for, and `exact` goes on until the best design is
            proven, see `certificate`; that may find better ones.
        tilings: The same chip in other tiles, among which the design may choose, too; see `organisations`. What is
            proven then holds in all of them.
        progress: Called as work goes on.

    Raises:
        InfeasibleError: If no design meets budgets and quality.
        ConfigError: If the objective or the strategy is unknown, or energy per operation is asked of a pipelined chip.
    """
    if chip.execution == "pipelined" and objective == ENERGY_PER_OPERATION:
        raise ConfigError(f"objective: {ENERGY_PER_OPERATION} is no product, and not searched on pipelined chips")
    goal = Goal(objective, budgets)
    floor = QualityFloor(space, quality, minimum_quality)
    search = _Search(space, chip, goal, floor, Effort(strategy, seed, seconds, evaluations), progress)
    refusal = None
    certificates: list[Certificate | None] = []
    for tiled in (chip, *tilings):
        search.on(tiled)
        starts, refused = search.starts(options)
        refusal = refusal or refused
        for start, allowed in sorted(starts, key=lambda entry: search.rank(entry[0]))[:_REFINED]:
            settle(start.design, partial(search.propose, allowed), _ROUNDS, search.found)
        certificates.append(search.certify(options) if prove else None)
    if not search.found:
        raise refusal or InfeasibleError("architecture: no design meets the budgets and the least quality")
    best = min(search.found.values(), key=search.rank)
    if not search.meets(best):
        raise InfeasibleError(
            f"architecture: none of the {len(search.found)} designs that the search settled on keeps the budgets and "
            "the least quality in full evaluation: raise a budget, as area_budget_mm2, or lower minimum_quality"
        )
    search.on(best.design.chip)
    proofs = [one for one in certificates if one is not None]
    proven = len(proofs) == len(certificates)
    design = polished(best.design, [options] * len(best.design.periphery), goal)
    evaluation = evaluate(design)
    return ArchitectureResult(
        design=design,
        evaluation=evaluation,
        value=goal.value(evaluation),
        lower_bound=min(one.lower_bound for one in proofs) if proven else None,
        problem=search.tabulate(options, design),
        relaxed=search.relaxed(options) if prove else None,
        score=search.scores[best.design],
        score_backbone=floor.backbone,
        score_minimum=floor.minimum,
        trace=[] if best.solution is None else list(best.solution.trace),
        proof=_closing_in(proofs) if proven else (),
        rounds=search.rounds,
        space_size=search.space_size,
    )


def _closing_in(proofs: Sequence[Certificate]) -> tuple[tuple[int, float, float], ...]:
    """`Certificate.steps` of one tiling after the other; before the last is looked at, there is no bound for all."""
    steps: list[tuple[int, float, float]] = []
    solved, before = 0, math.inf
    for proof in proofs:
        for regions, value, bound in proof.steps:
            steps.append((solved + regions, value, min(before, bound) if proof is proofs[-1] else -math.inf))
        solved, before = solved + proof.regions, min(before, proof.lower_bound)
    return tuple(steps)


class QualityFloor:
    """The least quality, and the bound on a sum over layers that stands for it in the tables.

    Attributes:
        quality: What is held up.
        backbone: Quality of the unsearched backbone; None where there is no limit.
        minimum: Least quality; None where there is no limit.
        least: Bound of the tabulated quantity; 0 for none.
    """

    def __init__(self, space: Space, quality: Quality, relative: float | None) -> None:
        self.quality = quality
        self.backbone: float | None = None
        self.minimum: float | None = None
        self.least = 0.0
        self._slope = 0.0
        if relative is None:
            return
        self.backbone = quality.measure(space.network(space.default_channels))
        if not self.backbone > 0:
            raise ConfigError(
                f"{quality.name}: the backbone's is {self.backbone:g}; a minimum relative to it needs one above 0"
            )
        self.minimum = relative * self.backbone
        if quality.tabulated == quality.name:
            self.least = self.minimum * (1 - _ROUNDING)
        else:
            self.least, self._slope = _units_for(space, quality.measure, self.backbone, self.minimum)

    def meets(self, score: float | None) -> bool:
        """Whether a network's quality is high enough."""
        return score is None or self.minimum is None or score >= self.minimum * (1 - _ROUNDING)

    def measure(self, network: Network) -> float | None:
        """The quality of a network that was found; raises the bound where it falls short. None without a limit."""
        if self.minimum is None:
            return None
        score = self.quality.measure(network)
        missing_by = self.minimum - score
        if missing_by > 0 and self.quality.tabulated != self.quality.name:
            units = total_quality(self.quality.tabulated, network)
            missing = math.exp(missing_by / self._slope) if self._slope > 0 else 1.0
            self.least = max(self.least, units) * max(missing, _STEP)
        return score


class _Search:
    """A search under way.

    Attributes:
        found: Designs that were evaluated in full.
        scores: Their networks' qualities; None where there is no limit.
        space_size: Number of designs in the largest problem that was solved.
    """

    def __init__(
        self, space: Space, chip: Chip, goal: Goal, floor: QualityFloor, effort: Effort, progress: Report | None
    ) -> None:
        self._space, self._chip, self._goal, self._floor = space, chip, goal, floor
        self._effort, self._progress = effort, progress
        self.found: Candidates = {}
        self.scores: dict[Design, float | None] = {}
        self.space_size = 0

    def on(self, chip: Chip) -> None:
        """From now on search on another chip; what was found on those before stays, and bounds need not reach below."""
        self._chip = chip

    def tabulate(self, allowed: Sequence[Periphery], context: Design) -> Problem:
        """The problem in a context, with the bound on quality as it is."""
        return tabulate(
            self._space, self._chip, allowed, context, self._goal, self._floor.quality.tabulated, self._floor.least
        )

    def propose(self, allowed: Sequence[Periphery], context: Design) -> tuple[Design, Solution]:
        """The best design by the tables of a context; see `context.Propose`."""
        problem = self.tabulate(allowed, context)
        self.space_size = max(self.space_size, problem.size)
        solution = solve_tables(problem, self._goal, self._effort, self._report)
        design = design_of(self._space, self._chip, allowed, solution.design)
        if design not in self.scores:
            self.scores[design] = self._floor.measure(design.network)
        return design, solution

    @property
    def _provable(self) -> bool:
        quality = self._floor.quality
        additive = self._floor.minimum is None or quality.tabulated == quality.name
        if self._chip.execution == "pipelined" and any(0 in row for row in (*self._space.widths, *self._space.kernels)):
            return False  # trees of a pipelined chip grow with the number of its layers
        return additive and self._chip.subarrays_per_pe is not None

    def relaxed(self, options: Sequence[Periphery]) -> Problem | None:
        """A problem in which no design is dearer than it is; None where there is no proof, or no fronts for it."""
        if not self._provable or self._chip.execution == "pipelined":
            return None
        tables = relaxation(self._chip, self._space, options)
        goal = replace(self._goal, budgets=replace(self._goal.budgets, least_area_mm2=None))
        return pose(self._space, options, self._floor.quality.tabulated, self._floor.least, tables, None, goal)

    def certify(self, options: Sequence[Periphery]) -> Certificate | None:
        """Prove the best design, and find better ones; None where there is no proof.

        That is for other strategies than `exact`, where the chip's tiles are chosen for the network, where the quality
        is no sum over layers, and where time ran out before every slot was looked at.
        """
        quality = self._floor.quality
        if self._effort.strategy != "exact" or not self._provable:
            return None

        def consider(chosen: NDArray[np.int64] | None) -> Incumbent | None:
            design = None if chosen is None else design_of(self._space, self._chip, options, chosen)
            if design is not None and design not in self.found:
                self.found[design] = Candidate(design, evaluate(design))
                self.scores[design] = self._floor.measure(design.network)
            best = min(self.found.values(), key=self.rank, default=None)
            if best is None or not self.meets(best):
                return None
            totals = {name: objective_value(best.evaluation, name) for name in UNITS}
            return Incumbent(self._goal.value(best.evaluation), totals)

        def solve(problem: Problem, seconds: float | None) -> Solution:
            return solve_tables(problem, self._goal, replace(self._effort, seconds=seconds), self._report)

        found = certify(
            self._chip,
            self._space,
            options,
            partial(pose, self._space, options, quality.tabulated, self._floor.least),
            solve,
            consider,
            self._goal,
            seconds=self._effort.seconds,
        )
        return None if found.lower_bound == -math.inf else found

    @property
    def rounds(self) -> tuple[Round, ...]:
        """What every round found, for the record."""
        return tuple(
            Round(
                round=number,
                area_mm2=objective_value(candidate.evaluation, "area"),
                score=self.scores[candidate.design],
                feasible=self.meets(candidate),
                **{self._goal.objective: self._goal.value(candidate.evaluation)},
            )
            for number, candidate in enumerate(self.found.values(), start=1)
        )

    def _report(self, step: Progress) -> None:
        if self._progress is not None:
            self._progress(replace(step, figures={"round": len(self.found) + 1, **step.figures}))

    def starts(
        self, options: Sequence[Periphery]
    ) -> tuple[list[tuple[Candidate, list[Periphery]]], InfeasibleError | None]:
        """The best design for every promising pitch with the options that fit into it; and why a pitch has none.

        The refusal is about the smallest pitch that has none, which promises the most.
        """
        pitches = _pitches(self._space, self._chip, options)
        starts: list[tuple[Candidate, list[Periphery]]] = []
        refusal: InfeasibleError | None = None
        for pitch, smallest in _promising(pitches, self._goal):
            allowed = [option for option in options if pitches[option][0] <= pitch]
            try:
                candidate, _ = propose_once(smallest, partial(self.propose, allowed), self.found)
            except InfeasibleError as error:
                refusal = refusal or error
            else:
                starts.append((candidate, allowed))
        return starts, refusal

    def meets(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps all budgets, and its network is good enough."""
        return self._goal.met(candidate.evaluation) and self._floor.meets(self.scores[candidate.design])

    def rank(self, candidate: Candidate) -> tuple[bool, float]:
        """What sorts candidates, the best first."""
        return not self.meets(candidate), self._goal.value(candidate.evaluation)


def _pitches(space: Space, chip: Chip, options: Sequence[Periphery]) -> dict[Periphery, tuple[float, Design]]:
    """For every option the side of its tiles [m] and the narrowest network's homogeneous design; small tiles first."""
    network = space.network([min(choices) for choices in space.choices])
    designs = {option: Design.homogeneous(network, chip, option) for option in options}
    pitches = {option: float(evaluate(design).context.pitch[..., 0]) for option, design in designs.items()}
    return {
        option: (pitches[option], designs[option]) for option in sorted(options, key=lambda option: pitches[option])
    }


def _promising(pitches: dict[Periphery, tuple[float, Design]], goal: Goal) -> list[tuple[float, Design]]:
    """The smallest pitch, for tight budgets, and those whose homogeneous designs do best; small first."""
    # Tiles are the same however many copies there are: of options that differ in copies alone the best stands for all.
    best_of: dict[Periphery, tuple[float, tuple[float, Design]]] = {}
    for option, entry in pitches.items():
        ranked = goal.value(evaluate(entry[1])), entry
        tile = option.replace(copies=None)
        best_of[tile] = min(best_of.get(tile, ranked), ranked, key=lambda one: one[0])
    ordered = [entry for _, entry in best_of.values()]
    best = [entry for _, entry in sorted(best_of.values(), key=lambda one: one[0])[:_SEARCHED]]
    return [entry for index, entry in enumerate(ordered) if index == 0 or entry in best]


def polished(
    design: Design, options: Sequence[Sequence[Periphery]], goal: Goal, switches: Switches = PHYSICAL
) -> Design:
    """Change one layer's option at a time, for as long as full evaluation says that it helps; the network stays.

    Args:
        design: To start from.
        options: Peripheries that each layer may have.
        goal: What is minimised, and what the chip may cost.
        switches: Where to follow physics and where the reference simulator.
    """
    while True:
        neighbours = [
            design.replace(periphery=(*design.periphery[:layer], option, *design.periphery[layer + 1 :]))
            for layer, (present, allowed) in enumerate(zip(design.periphery, options, strict=True))
            for option in allowed
            if option != present
        ]
        candidates = [design, *neighbours]
        entries = [entry for candidate in candidates for entry in candidate.periphery]
        batch = (len(candidates), len(design.periphery))
        periphery = map_arrays(
            lambda array, batch=batch: array.reshape(batch), PeripheryArrays.of(entries, design.chip.adcs)
        )
        evaluations = evaluate_batch(design.chip, Workload.from_network(design.network), periphery, switches)
        # Operations do not change here: there, energy per operation is the energy.
        values = np.prod([getattr(evaluations, name) * PER_SI for name in goal.factors], axis=0)
        values = np.where(goal.budgets.met(evaluations), values, np.inf)
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
    goal: Goal,
    quality: str,
    least_quality: float,
) -> Problem:
    """The problem of phase 1 in the context of a design.

    Quality is one more tabulated quantity with a lower bound, a sum over layers; 0 is no bound.
    """
    tables = cost_tables(chip, space, options, evaluate(context).context)
    return pose(space, options, quality, least_quality, tables, None, goal)


def pose(
    space: Space,
    options: Sequence[Periphery],
    quality: str,
    least_quality: float,
    tables: CostTables,
    allowed: Allowed | None,
    goal: Goal,
) -> Problem:
    """The problem of phase 1 on tables, of which some entries may be allowed only."""
    choices = layer_options(space, options)
    # From one entry per kernel to one per option: [in_widths, out_widths, kernels] -> [in_widths, out_widths, options].
    kernels = [[own.index(option.kernel) for option in row] for own, row in zip(space.kernels, choices, strict=True)]

    def for_all_options(parts: Tables) -> Tables:
        return [part[..., index] for part, index in zip(parts, kernels, strict=True)]

    worth = quality_tables(quality, space)
    at_least = least_quality if least_quality > 0 else None
    terms = {QUALITY: Term(for_all_options(worth.tables), worth.constant, at_least=at_least)}
    if goal.objective == ENERGY_PER_OPERATION:
        macs = quality_tables("macs", space).tables
        terms["operations"] = Term(for_all_options([2e-6 * part for part in macs]))  # in millions: uJ over them is pJ
    return problem_of(space, options, tables, terms, goal, allowed=allowed, name="architecture")


__all__ = [
    "QUALITY",
    "ArchitectureResult",
    "QualityFloor",
    "polished",
    "pose",
    "search_architecture",
    "tabulate",
]
