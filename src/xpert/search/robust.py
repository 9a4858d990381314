"""The design with the least worst regret over variants of the model.

The regret of a design under a variant is by how much its objective exceeds that of the best design known there (see
`variants`). The nominal optimum may give away much where the model is wrong; this search looks for a design whose
largest regret is least (minimax regret: L. J. Savage, "The theory of statistical decision", JASA 46(253), 1951):

1. The optima under each variant, by phase 1's own search. They are what regrets are against, and candidates.
2. A surrogate that sees all variants at once, the weighted product of their objectives. Its logarithm is concave in the
   sums over layers, so its tangent at a design lies above it, and the least design of the tangent is not above the
   first (majorise, minimise: D. R. Hunter, K. Lange, "A tutorial on MM algorithms", The American Statistician 58(1),
   2004).
   The tangent is one sum over layers, which every strategy solves. Between rounds the weight of a variant grows
   exponentially with its regret (multiplicative weights: S. Arora, E. Hazan, S. Kale, Theory of Computing 8, 2012).
3. All mixtures of two of the best designs of one network, layer by layer.
4. Local search on the worst regret itself: one layer's option, one channel decision, or two layers at a time.
   Tables in the design's own context under each variant propose, full evaluation decides.

Whatever is found is evaluated in full under every variant and kept, the nominal optimum among it: the result never has
a larger worst regret than that. Budgets hold on the chip as it is and under every variant; one that the nominal optimum
exceeds under a variant becomes what that costs there (`variants.relaxed`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError, InfeasibleError
from xpert.hardware import PeripheryArrays, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.variants import NOMINAL, VARIANTS, Variant
from xpert.networks.spaces import Space
from xpert.progress import Progress, Report
from xpert.search.architecture import QualityFloor, pose, search_architecture, tabulate
from xpert.search.context import Effort
from xpert.search.objectives import ENERGY_PER_OPERATION, PER_SI, Goal
from xpert.search.quality.additive import Quality, is_sum
from xpert.search.robust_bound import BoundCase, bound_worst_regret
from xpert.search.tabulate import chosen_of, design_of
from xpert.search.together import together
from xpert.search.variants import EVALUATIONS, Regret, relaxed
from xpert.solver.polish import neighbour_totals
from xpert.solver.problem import Problem
from xpert.solver.strategies import solve
from xpert.workload.layers import Workload

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROUNDS = 6
"""Rounds of the surrogate from every start, each with new weights."""

_RATE = 8.0
"""How fast weights grow: by a factor e for every eighth of regret between the variants."""

_TRIED = 24
"""Changes of two layers that are evaluated in full in a step of the local search, the most promising ones."""

_STARTS = 3
"""Designs from which the local search starts, the best of different networks or peripheries."""

_MIXTURES = 1 << 12
"""Mixtures of two designs that are evaluated, at most."""

_PAIRS = 3
"""Pairs of variants for which a bound is tried, those that known designs please least."""

_ROUNDING = 1e-12
"""Relative improvements below this are none."""

_SURROGATE = "tangent"
"""Name of the surrogate among a problem's quantities."""


@dataclass(frozen=True)
class RobustResult:
    """The outcome of a search for the least worst regret."""

    design: Design
    """The design that has it, on the chip as it is."""

    regrets: dict[str, Regret]
    """Its regret, by variant."""

    nominal: dict[str, Regret]
    """The nominal optimum's, by variant."""

    lower_bound: float
    """No design of the space has a smaller worst regret."""

    @property
    def worst(self) -> float:
        """Its worst regret."""
        return worst_of(self.regrets)


def worst_of(regrets: Mapping[str, Regret]) -> float:
    """The largest regret."""
    return max(regret.regret for regret in regrets.values())


def search_robust(
    nominal: Design,
    space: Space,
    options: Sequence[Periphery],
    goal: Goal,
    quality: Quality,
    minimum_quality: float | None,
    variants: Sequence[Variant],
    *,
    strategy: str = "exact",
    seed: int = 0,
    seconds: float | None = None,
    evaluations: int | None = EVALUATIONS,
    progress: Report | None = None,
) -> RobustResult:
    """Find the design with the least worst regret over variants.

    Args:
        nominal: What phase 1 found on the chip as it is.
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
        goal: What is minimised, and what the chip may cost.
        quality: What is held up, a sum over layers.
        minimum_quality: Least quality relative to the backbone's own; None for no limit.
        variants: Over which the worst is taken, of `hardware.variants.TABULATED`.
        strategy: Of phase 1.
        seed: Of the strategy.
        seconds: Time limit of one search. [s]
        evaluations: Limit on the designs that one search looks at.
        progress: Called as work goes on.

    Raises:
        ConfigError: If a variant has no figures for an option, or the quality is no sum over layers.
    """
    if not is_sum(quality.name):
        raise ConfigError(f"architecture.robust: needs a quality that is a sum over layers, got {quality.name}")
    effort = Effort(strategy, seed, seconds, evaluations)
    floor = QualityFloor(space, quality, minimum_quality)
    search = _Search(nominal, space, options, goal, floor, effort, variants)
    total = len(search.asked) + 2

    def report(done: int, what: str) -> None:
        if progress is not None:
            progress(Progress(unit="step", done=done, total=total, figures={"robust": what}))

    for number, case in enumerate(search.asked):
        report(number + 1, case.variant.name)
        search.optimum(number, minimum_quality)
    report(total - 1, "all variants at once")
    for start in search.best(len(search.asked) + 1):
        search.surrogate(start)
    search.mix()
    report(total, "local search")
    design = search.descend()
    report(total, "lower bound")
    return RobustResult(design, search.regrets(design), search.regrets(nominal), search.lower_bound())


@dataclass(frozen=True)
class _Case:
    """A variant, the chip under it, and what is asked of designs there."""

    variant: Variant
    chip: Chip
    goal: Goal


class _Search:
    """A search under way.

    Attributes:
        asked: The variants over which the worst is taken.
        cases: The same, and the chip as it is.
        values: Objective of every design that was kept under each of the cases; infinite beyond a budget. [cases]
        best_known: The smallest objective known under each of the cases, whatever it costs under others. [cases]
        holders: The designs that have them.
    """

    def __init__(
        self,
        nominal: Design,
        space: Space,
        options: Sequence[Periphery],
        goal: Goal,
        floor: QualityFloor,
        effort: Effort,
        variants: Sequence[Variant],
    ) -> None:
        self._space, self._options, self._goal, self._floor, self._effort = space, options, goal, floor, effort
        self._nominal = nominal
        self.cases = [_case(variant, nominal, goal, options) for variant in variants]
        self.asked = list(self.cases)
        if NOMINAL not in [variant.name for variant in variants]:
            self.cases.append(_case(VARIANTS[NOMINAL], nominal, goal, options))
        self.values: dict[Design, Floats] = {}
        self.best_known = np.full(len(self.cases), np.inf)
        self.holders = [nominal] * len(self.cases)
        self.keep(nominal)

    def keep(self, design: Design) -> None:
        """Evaluate a design in full and keep it, if its network is good enough."""
        if design not in self.values and self._floor.meets(self._floor.measure(design.network)):
            self.values[design] = self.evaluate(design.network, [design.periphery])[0]

    def evaluate(self, network: Network, peripheries: Sequence[Sequence[Periphery]]) -> Floats:
        """Objectives of designs of one good network, [designs, cases]; infinite beyond a budget."""
        workload = Workload.from_network(network)
        entries = [entry for row in peripheries for entry in row]
        shape = (len(peripheries), len(network.layers))
        found = []
        for number, case in enumerate(self.cases):
            arrays = PeripheryArrays.of(entries, case.chip.adcs)
            periphery = map_arrays(lambda array, shape=shape: array.reshape(shape), arrays)
            evaluation = evaluate_batch(case.chip, workload, periphery, case.variant.switches)
            if self._goal.objective == ENERGY_PER_OPERATION:
                value = 1 / np.asarray(evaluation.tops_per_watt)
            else:
                value = np.prod([getattr(evaluation, name) * PER_SI for name in self._goal.factors], axis=0)
            value = np.where(case.goal.budgets.met(evaluation), value, np.inf)
            least = int(np.argmin(value))
            if value[least] < self.best_known[number]:
                self.best_known[number] = value[least]
                self.holders[number] = self._nominal.replace(network=network, periphery=tuple(peripheries[least]))
            found.append(value)
        return np.stack(found, axis=-1)

    def worst(self, values: Floats, under: int | None = None) -> Floats:
        """Worst regrets [...] of objectives [..., cases]; infinite where a budget is not kept under one of the cases.

        Args:
            values: From `evaluate`.
            under: The regret under this case alone, whatever the others say; by default the worst of those asked.
        """
        ratios = values / self.best_known
        if under is not None:
            return ratios[..., under] - 1
        return np.where(np.isfinite(values).all(axis=-1), ratios[..., : len(self.asked)].max(axis=-1) - 1, np.inf)

    def best(self, count: int) -> list[Design]:
        """The designs that were kept with the least worst regrets, the best first; first come wins."""
        return sorted(self.values, key=lambda design: float(self.worst(self.values[design])))[:count]

    def regrets(self, design: Design) -> dict[str, Regret]:
        """The regret of a design that was kept, by variant."""
        rows = zip(self.asked, self.values[design], self.best_known, self.holders, strict=False)
        return {case.variant.name: Regret(float(value), float(best), holder) for case, value, best, holder in rows}

    def optimum(self, number: int, minimum_quality: float | None) -> None:
        """Keep the best design under a case: phase 1's, or the nominal optimum, after local search."""
        case, effort, start = self.cases[number], self._effort, self._nominal
        if case.variant.name != NOMINAL:
            try:
                found = search_architecture(
                    self._space,
                    case.chip,
                    self._options,
                    objective=case.goal.objective,
                    budgets=case.goal.budgets,
                    quality=self._floor.quality,
                    minimum_quality=minimum_quality,
                    strategy=effort.strategy,
                    seed=effort.seed,
                    seconds=effort.seconds,
                    evaluations=effort.evaluations,
                ).design
            except InfeasibleError:  # none but the nominal optimum is known to keep the budgets
                pass
            else:
                start = self._here(found)
                self.keep(start)
        self._descend(start, number)

    def _here(self, design: Design) -> Design:
        """A design on the chip as it is, with the nominal optimum's name."""
        return design.replace(chip=self._nominal.chip, name=self._nominal.name)

    def _problems(self, context: Design, under: int | None = None) -> list[Problem]:
        """The problem under each of the cases, or one, in the context of a design there."""
        return [
            _with_operations(
                tabulate(
                    self._space,
                    case.chip,
                    self._options,
                    context.replace(chip=case.chip),
                    case.goal,
                    self._floor.quality.tabulated,
                    self._floor.least,
                ),
                case.goal,
            )
            for case in (self.cases if under is None else [self.cases[under]])
        ]

    def surrogate(self, start: Design) -> None:
        """Keep what rounds of the surrogate find from a design."""
        weights, design = np.ones(len(self.asked)), start
        for _ in range(_ROUNDS):
            regrets = (self.values[design] / self.best_known)[: len(self.asked)] - 1
            if np.isfinite(regrets).all():
                weights = weights * np.exp(_RATE * (regrets - regrets.max()))
            weights = np.maximum(weights / weights.sum(), 1e-6)
            problem = _tangent(self._problems(design), weights, chosen_of(self._space, self._options, design))
            effort = self._effort
            try:
                found = solve(
                    problem, effort.strategy, seed=effort.seed, seconds=effort.seconds, evaluations=effort.evaluations
                )
            except InfeasibleError:
                return
            if found.status == "interrupted":
                raise KeyboardInterrupt
            before, design = design, self._here(design_of(self._space, self._nominal.chip, self._options, found.design))
            known = len(self.values)
            self.keep(design)
            if design not in self.values or (design == before and len(self.values) == known):
                return

    def mix(self) -> None:
        """Keep the best mixture of any two known designs that share a network and differ in a few layers."""
        designs = dict.fromkeys([*self.holders, *self.best(_STARTS)])
        for one, other in itertools.combinations(designs, 2):
            if one.network != other.network:
                continue
            choices = [tuple(dict.fromkeys(pair)) for pair in zip(one.periphery, other.periphery, strict=True)]
            if math.prod(map(len, choices)) > _MIXTURES:
                continue
            mixtures = list(itertools.product(*choices))
            values = self.evaluate(one.network, mixtures)
            least = int(np.argmin(self.worst(values)))
            self.values[one.replace(periphery=mixtures[least])] = values[least]

    def descend(self) -> Design:
        """Local search on the worst regret from the best designs, until nothing helps; the best of all known."""
        for start in self.best(_STARTS):
            self._descend(start)
        while (best := self._descend(self.best(1)[0])) != self.best(1)[0]:
            pass
        return best

    def _descend(self, design: Design, under: int | None = None) -> Design:
        """Local search from a design that was kept, on the worst regret or that under one case."""
        while True:
            better = self._step(design, under)
            if better is None:
                return design
            design = better

    def _step(self, design: Design, under: int | None) -> Design | None:
        """The best of a design's neighbours, kept; None if none is better."""
        chosen = chosen_of(self._space, self._options, design)
        candidates = {
            self._here(design_of(self._space, self._nominal.chip, self._options, entry)): None
            for entry in self._neighbours(design, chosen, under)
        }
        candidates.pop(design, None)
        networks: dict[Network, list[Design]] = {}
        for candidate in candidates:
            networks.setdefault(candidate.network, []).append(candidate)
        found: list[tuple[Design, Floats]] = []
        for network, group in networks.items():
            if self._floor.meets(self._floor.measure(network)):
                values = self.evaluate(network, [candidate.periphery for candidate in group])
                found.extend(zip(group, values, strict=True))
        if not found:
            return None
        worst = self.worst(np.stack([values for _, values in found]), under)
        least = int(np.argmin(worst))
        if not 1 + worst[least] < (1 + self.worst(self.values[design], under)) * (1 - _ROUNDING):
            return None
        better, values = found[least]
        self.values[better] = values
        return better

    def lower_bound(self) -> float:
        """What no design of the space is below; 0 where nothing is proven."""
        floor, chip = self._floor, self._nominal.chip
        provable = chip.subarrays_per_pe is not None and self._goal.objective != ENERGY_PER_OPERATION
        if len(self.asked) < 2 or not provable:
            return 0.0
        ratios = np.stack(list(self.values.values())) / self.best_known  # [designs, cases]
        ratios = np.where(np.isfinite(ratios).all(axis=-1, keepdims=True), ratios, np.inf)
        pairs = list(itertools.combinations(range(len(self.asked)), 2))
        least = [float(ratios[:, pair].max(axis=-1).min()) for pair in pairs]
        proven = 0.0
        for place in sorted(range(len(pairs)), key=lambda place: -least[place])[:_PAIRS]:
            one, other = (
                BoundCase(case.chip, _without_least_area(case.goal), self.holders[number].replace(chip=case.chip))
                for number, case in ((number, self.cases[number]) for number in pairs[place])
            )
            posed = partial(pose, self._space, self._options, floor.quality.tabulated, floor.least)
            if least[place] - 1 > proven:
                bound = bound_worst_regret((one, other), self._space, self._options, posed, least[place] - 1)
                proven = max(proven, bound)
        return proven

    def _neighbours(self, design: Design, chosen: Ints, under: int | None) -> Iterable[Ints]:
        """Designs [layers, 2] near one: all with another option in one layer, and the most promising by the tables."""
        problems = self._problems(design, under)
        first = problems[0]
        for layer, options in enumerate(first.layers):
            for option in range(len(options.options)):
                yield _changed(first, chosen, (layer,), (chosen[layer, 0], option))
        count = len(first.layers)
        moves = [(layer,) for layer in range(count)] + list(itertools.combinations(range(count), 2))
        promising: list[tuple[float, int, tuple[int, ...], tuple[int, ...]]] = []
        for number, move in enumerate(moves):
            worst = self._tabulated(problems, chosen, move, under)
            order = np.argsort(worst, axis=None, kind="stable")[:_TRIED]
            promising += [
                (float(worst.flat[place]), number, move, tuple(map(int, np.unravel_index(int(place), worst.shape))))
                for place in order
                if np.isfinite(worst.flat[place])
            ]
        for _, _, move, changes in sorted(promising)[:_TRIED]:
            yield _changed(first, chosen, move, changes)

    def _tabulated(self, problems: Sequence[Problem], chosen: Ints, move: tuple[int, ...], under: int | None) -> Floats:
        """Worst regrets by the tables of all changes of some layers, [width, option, ...]."""
        ratios = []
        for number, problem in enumerate(problems):
            totals = neighbour_totals(problem, chosen, move)
            values = problem.objective(totals)
            if OPERATIONS in problem.active:
                values = values / totals[..., problem.active.index(OPERATIONS)]
            counts = under is not None or number < len(self.asked)
            best = self.best_known[number if under is None else under]
            ratios.append(np.where(problem.violation(totals) == 0, values / best if counts else 0.0, np.inf))
        return np.max(ratios, axis=0) - 1


OPERATIONS = "operations"
"""Name of the operations among a problem's quantities. [million]"""


def _case(variant: Variant, nominal: Design, goal: Goal, options: Sequence[Periphery]) -> _Case:
    chip = variant.apply(nominal.chip)
    for entry in options:
        try:
            chip.check_adc(entry.adc_type, entry.adc_bits)
        except ConfigError as error:
            raise ConfigError(f"architecture.robust: variant {variant.name}: {error}") from None
    return _Case(variant, chip, relaxed(goal, variant.evaluate(nominal)))


def _without_least_area(goal: Goal) -> Goal:
    """Relaxed tables make areas too small for a lower limit."""
    return replace(goal, budgets=replace(goal.budgets, least_area_mm2=None))


def _with_operations(problem: Problem, goal: Goal) -> Problem:
    """A problem that counts operations where the objective is relative to them."""
    if goal.objective != ENERGY_PER_OPERATION:
        return problem
    return replace(problem, at_least=dict(problem.at_least) | {OPERATIONS: 0.0})


def _changed(problem: Problem, chosen: Ints, move: Sequence[int], changes: Sequence[int]) -> Ints:
    """A design [layers, 2] with other widths and options in some layers."""
    other = chosen.copy()
    for layer, width, option in zip(move, changes[::2], changes[1::2], strict=True):
        other[problem.ties[layer], 0], other[layer, 1] = width, option
    return problem.tied(other)


def _tangent(problems: Sequence[Problem], weights: Floats, chosen: Ints) -> Problem:
    """The tangent, at a design [layers, 2], of the sum of the weighted logarithms of the first problems' objectives.

    All problems' budgets hold.
    """
    merged, names = together(problems)
    slopes: dict[str, float] = {}

    def add(name: str, slope: float) -> None:
        slopes[name] = slopes.get(name, 0.0) + slope

    for weight, problem, own in zip(weights, problems, names, strict=False):
        totals = {name: float(total) for name, total in problem.totals(chosen).items()}
        for quantity in problem.minimize:
            slope = float(weight) / totals[quantity]
            add(own[quantity], slope)
            if quantity in problem.coupled:
                one, other, offset = problem.coupled[quantity]
                add(own[one], slope * (totals[other] - offset))
                add(own[other], slope * totals[one])
        if OPERATIONS in problem.active:
            add(own[OPERATIONS], -float(weight) / totals[OPERATIONS])
    tables = tuple(
        np.sum([slope * merged.costs[name][layer] for name, slope in slopes.items() if slope > 0], axis=0)
        - np.sum(
            [
                np.where(np.isfinite(part := merged.costs[name][layer]), -slope * part, 0.0)
                for name, slope in slopes.items()
                if slope < 0
            ],
            axis=0,
        )
        for layer in range(len(merged.layers))
    )
    constant = sum(slope * merged.constants[name] for name, slope in slopes.items())
    return replace(
        merged,
        costs=dict(merged.costs) | {_SURROGATE: tables},
        constants=dict(merged.constants) | {_SURROGATE: constant},
        minimize=(_SURROGATE,),
    )


__all__ = ["RobustResult", "search_robust", "worst_of"]
