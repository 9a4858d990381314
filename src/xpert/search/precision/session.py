"""Phase 2: ADC precision and input precision of every layer, with the measured NI-accuracy in the loop.

A strategy looks for the cheapest precisions whose accuracy on simulated chips is high enough (`strategies.py` names
those that there are). It asks questions of a `Session`, which measures designs and remembers them. ADC type and column
sharing change no column sum, so they may follow the precisions: every design gets the cheapest ones, proven optimal at
its precisions (`converters.py`).

Predictions only rank: only measured designs are returned. All designs are measured on the same images and chips, so
that few images tell differences between them, and a measurement ends where its verdict is clear (`looks.py`). What is
returned is measured on all images. The cheapest of many noisy measurements flatters itself, so the winner is measured
again, on other chips and more images. `search_precision` has the steps.

What the layers' own peripheries are worth shows beside one periphery for all layers of the same network (`single.py`).
The best of these is found first, strategies start from it, and no result is dearer than it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.design import PRECISION_FIELDS, Design
from xpert.hardware import Evaluation, evaluate
from xpert.progress import Progress, Report
from xpert.search.objectives import Goal, objective_value
from xpert.search.precision.converters import (
    Kind,
    Precision,
    cheapest,
    cheapest_converters,
    peripheries,
)
from xpert.search.precision.looks import Enough, Looks, Outlook, clearly_below, judged_accuracy, outlook
from xpert.search.precision.single import SingleCandidate, Verdict, candidates, cheapest_passing
from xpert.search.tabulate import network_tables
from xpert.solver.graph import undominated
from xpert.statistics import Bools, Interval

if TYPE_CHECKING:
    from torch import Tensor

ROUNDS = 5
"""Searches, each of which asks for another accuracy, at most."""

Weights: TypeAlias = "Mapping[str, Tensor]"
"""Weights of a network, by name."""

Choice = tuple[int, ...]
"""Index into the options, for every layer."""


class Looking(Protocol):
    """A bench that can stop when a verdict is clear, such as `ChipBench`."""

    looks: Looks | None

    def __call__(self, design: Design) -> Bools:
        """Which images a design gets right on which chips, [chips, images]."""
        ...

    def nominal(self, design: Design) -> Bools:
        """The same of the design that others are compared with; puts hard images first."""
        ...

    def until(self, design: Design, enough: Enough) -> Bools:
        """The same for the first images, until these are enough."""
        ...


@dataclass(frozen=True)
class Bench:
    """Where designs are measured. `reference` belongs to the design that `search_precision` starts from."""

    correct: Callable[[Design], Bools]
    """Which images a design gets right on which chips, [chips, images]; the same images and chips for all designs."""

    reference: Bools
    """The same of the design that others are compared with: the trained network at the typical precisions."""

    floor: float
    """Least NI-accuracy on these images and chips."""

    until: Callable[[Design, Enough], Bools] | None = None
    """The same on the first images, until these are enough; None where all are always measured."""

    looks: Looks | None = None
    """The order of images; needed with `until`."""

    share: float | None = None
    """The floor is for the accuracy that this share of the chips is not above; None: for the mean over chips."""

    @classmethod
    def of(
        cls,
        correct: Callable[[Design], Bools],
        nominal: Design,
        maximum_drop: float | None,
        minimum_accuracy: float | None,
        share: float | None = None,
    ) -> Bench:
        """A bench whose floor is at most `maximum_drop` below a nominal design's own accuracy, or an absolute one.

        Every design is measured on all images.
        """
        reference = correct(nominal)
        return cls(correct, reference, _floor(reference, maximum_drop, minimum_accuracy, share), share=share)

    @classmethod
    def looking(
        cls,
        bench: Looking,
        nominal: Design,
        maximum_drop: float | None,
        minimum_accuracy: float | None,
        share: float | None = None,
    ) -> Bench:
        """The same, where designs are measured until their verdicts are clear."""
        reference = bench.nominal(nominal)
        floor = _floor(reference, maximum_drop, minimum_accuracy, share)
        return cls(bench, reference, floor, bench.until, bench.looks, share)

    def measure(self, design: Design, enough: Enough) -> Bools:
        """Which of the first images a design gets right, until these are enough."""
        return self.correct(design) if self.until is None else self.until(design, enough)

    def outlook(self, correct: Bools) -> Outlook:
        """What answers on the first images say of a design."""
        return outlook(correct, self.reference, self.floor, self.looks, self.share)

    @property
    def nominal(self) -> float:
        """The nominal design's accuracy, as the floor is meant."""
        return judged_accuracy(self.reference, self.share)

    def clearly_failed(self, correct: Bools) -> bool:
        """Whether the interval of a design's difference is below what the floor asks for."""
        least = self.floor - (float(self.reference.mean()) if self.share is None else 0.0)
        return clearly_below(correct, self.reference, least, self.share)


def _floor(reference: Bools, maximum_drop: float | None, minimum_accuracy: float | None, share: float | None) -> float:
    floors = [-math.inf if minimum_accuracy is None else minimum_accuracy]
    if maximum_drop is not None:
        floors.append(judged_accuracy(reference, share) - maximum_drop)
    return max(floors)


@dataclass(frozen=True)
class MeasuredDesign:
    """A design whose NI-accuracy was measured."""

    design: Design
    evaluation: Evaluation
    accuracy: Interval
    """Measured NI-accuracy."""

    difference: Interval
    """Measured NI-accuracy less the nominal design's, on the same images and chips."""

    judged: float
    """What the floor is for: the mean, or a percentile over chips."""

    accurate: bool
    """Whether that reaches the floor."""

    feasible: bool
    """Whether it also keeps the budgets."""

    images: int
    """Images that it was measured on."""

    complete: bool = True
    """Whether these are all; else the means are estimates, and their ends what they cannot be beyond."""

    weights: Weights | None = None
    """The network's weights, where the strategy trained them along."""


@dataclass(frozen=True)
class PrecisionResult:
    """The outcome of phase 2."""

    best: MeasuredDesign
    """The cheapest design found that reaches the floor, in the second measurement too; where none does, the most
    accurate."""

    measured: tuple[MeasuredDesign, ...]
    """All measured designs, in order."""

    confirmed: tuple[MeasuredDesign, ...]
    """The designs that were measured again, on other chips and more images, in order; the last one is the best."""

    status: str
    """`finished`, or `evaluations` where that limit ended the search."""

    single: MeasuredDesign | None = None
    """The cheapest design of one periphery in all layers that reaches the floor, in the second measurement too; None
    where none does, or none was looked for."""

    @property
    def front(self) -> tuple[MeasuredDesign, ...]:
        """Measured designs that no other one beats in energy-delay-area product and accuracy, cheap ones first."""
        costs = np.array([[objective_value(one.evaluation, "edap"), -one.accuracy.mean] for one in self.measured])
        kept = np.flatnonzero(undominated(costs))
        return tuple(self.measured[index] for index in kept[np.argsort(costs[kept, 0])])


class _EvaluationsExhausted(Exception):
    """No more designs may be measured."""


class Session:
    """One search under way: what strategies ask questions of.

    Attributes:
        design: From phase 1; its network stays.
        options: Values of `PRECISION_FIELDS` from which every layer chooses; what they leave out is the chip's.
        kinds: ADC types and column sharings from which every layer chooses; none: those of the design stay.
        goal: What is minimised, and what a design may cost.
        bench: Where designs are measured.
        seed: Of everything random in a strategy.
        measured: Measured designs by choice, in order.
        singles: Measured designs of one periphery in all layers, where no choice has their sums.
        confirmed: Those that were measured again, as they did then, in order.
        report: Called as the search goes on.
    """

    def __init__(
        self,
        design: Design,
        options: Sequence[Precision],
        kinds: Sequence[Kind],
        goal: Goal,
        bench: Bench,
        seed: int = 0,
        evaluations: int | None = None,
        progress: Report | None = None,
    ) -> None:
        self.design = design
        self.options = [(*option, *[None] * (len(PRECISION_FIELDS) - len(option))) for option in options]
        self.kinds = list(kinds)
        self.goal = goal
        self.bench = bench
        self.seed = seed
        self.measured: dict[Choice, MeasuredDesign] = {}
        self.singles: dict[Design, MeasuredDesign] = {}
        self.confirmed: dict[Choice, MeasuredDesign] = {}
        self.report = progress or (lambda _: None)
        self._evaluations = evaluations
        self._designs: dict[Choice, Design] = {}
        self._answers: dict[Design, Bools] = {}
        self._knapsacks: dict[tuple[bytes, float, Design], NDArray[np.int64]] = {}
        self._singles_again: dict[Design, MeasuredDesign] = {}
        self._shortfalls: dict[Choice, float] = {}

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.design.periphery)

    @property
    def start(self) -> Choice | None:
        """The cheapest measured design of one precision in all layers that keeps budgets and least accuracy."""
        return next((choice for choice in self.feasible() if len(set(choice)) == 1), None)

    def design_of(self, choice: Sequence[int] | NDArray[np.int64]) -> Design:
        """The design with these precisions, and the ADC types and sharings that are cheapest for them."""
        key: Choice = tuple(int(k) for k in choice)
        if key not in self._designs:
            # Most layers are as in some design before, and so will be their kinds.
            near = max(self._designs, key=lambda one: sum(np.equal(one, key)), default=None)
            base = self.design if near is None else self._designs[near]
            fixed = base.with_values(PRECISION_FIELDS, [self.options[k] for k in key])
            self._designs[key] = cheapest_converters(fixed, self.kinds, self.goal) if self.kinds else fixed
        return self._designs[key]

    def tables(self, context: Design) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Costs in the context of a design, with its ADC types and sharings, for every factor of the objective.

        Returns:
            [factors, layers, options], and what is added to the sum over layers, [factors].
        """
        tables, constants = network_tables(
            context, [peripheries((), entry, self.options) for entry in context.periphery]
        )
        factors = np.stack([np.stack(tables[name]) for name in self.goal.factors])
        return factors, np.array([constants.get(name, 0.0) for name in self.goal.factors])

    def costs(self, choices: NDArray[np.int64], context: Design) -> NDArray[np.float64]:
        """The objective [n] of choices [n, layers] by the tables of a context."""
        tables, constants = self.tables(context)  # [factors, layers, options], [factors]
        # Every layer's entry, [factors, n, layers], summed over layers: [factors, n].
        sums = tables[:, np.arange(self.n_layers), choices].sum(axis=2) + constants[:, None]
        return sums.prod(axis=0)

    def measure(
        self,
        choice: Sequence[int] | NDArray[np.int64],
        *,
        correct: Callable[[Design], Bools] | None = None,
        weights: Weights | None = None,
        in_full: bool = False,
    ) -> MeasuredDesign:
        """Measure a design until its verdict is clear; what was measured before is not measured again.

        Args:
            choice: Option of every layer.
            correct: Measures it in the place of the bench, on the same images and chips: for weights of its own.
            weights: Those weights.
            in_full: Measure it on all images, for its accuracy.

        Raises:
            _EvaluationsExhausted: If no more designs may be measured; ends the strategy.
        """
        key: Choice = tuple(int(k) for k in choice)
        before = self.measured.get(key)
        if before is None or weights is not None:
            self._count()
        elif before.complete or (not in_full and self._clear(before.design)):
            return before
        design = self.design_of(key)
        if correct is None:
            entry = self._looked_at(design, in_full=in_full, clearly=len(set(key)) == 1)
        else:
            answers = correct(design)
            if weights is None:
                self._answers[design] = answers
            entry = _judged(design, answers, self.bench, self.goal, weights)
        if weights is None or before is None or entry.accuracy.mean > before.accuracy.mean:
            self.measured[key] = entry
        figures = {
            "tried": len(self.measured),
            "ni_accuracy": entry.accuracy.mean,
            "feasible": entry.feasible,
            self.goal.objective: self.goal.value(entry.evaluation),
        }
        self.report(Progress(figures=figures))
        return entry

    def complete(self, choice: Choice) -> MeasuredDesign:
        """Measure a design on all images that was measured on some."""
        return self.measure(choice, in_full=True)

    def _looked_at(self, design: Design, *, in_full: bool = False, clearly: bool = False) -> MeasuredDesign:
        """Measure a design on more images than it was before.

        Args:
            design: The design.
            in_full: On all of them.
            clearly: Where it fails, until the whole interval is below the floor, or all hard images are seen.
        """
        bench, known = self.bench, self._answers.get(design)
        least = 0 if known is None else known.shape[1]

        def enough(seen: Bools) -> bool:
            found = bench.outlook(seen)
            if seen.shape[1] < least or not found.clear or bench.looks is None:
                return False
            return found.passed or not clearly or seen.shape[1] >= bench.looks.hard or bench.clearly_failed(seen)

        self._answers[design] = bench.correct(design) if in_full else bench.measure(design, enough)
        return _judged(design, self._answers[design], bench, self.goal, None)

    def _clear(self, design: Design) -> bool:
        """Whether more images would not change a design's verdict."""
        return design not in self._answers or self.bench.outlook(self._answers[design]).clear

    def confirm(self, choice: Choice, confirmation: Callable[[Weights | None], Bench]) -> float:
        """By how much a design falls short of the floor of a second measurement, which is made once.

        Not above 0 is good enough.
        """
        if choice not in self.confirmed:
            entry = self.measured[choice]
            bench = confirmation(entry.weights)
            again = _judged(entry.design, bench.correct(entry.design), bench, self.goal, entry.weights)
            self.confirmed[choice], self._shortfalls[choice] = again, bench.floor - again.judged
            figures = {
                "confirmed": len(self.confirmed),
                "ni_accuracy": again.accuracy.mean,
                "feasible": again.feasible,
            }
            self.report(Progress(figures=figures))
        return self._shortfalls[choice]

    def measure_single(self, candidate: SingleCandidate, *, in_full: bool = False) -> MeasuredDesign:
        """Measure a design of one periphery in all layers.

        Where kinds change no sum, its accuracy is that of the layer-wise design of the same precisions, which is
        measured along: strategies may start from that one.

        Args:
            candidate: The design.
            in_full: Measure it on all images.

        Raises:
            _EvaluationsExhausted: If no more designs may be measured.
        """
        if not self.design.chip.analog.adcs_differ:
            entry = self.measure((candidate.option,) * self.n_layers, in_full=in_full)
            return _as_single(entry, candidate, self.goal)
        known = self.singles.get(candidate.design)
        if known is None:
            self._count()
        if known is None or (in_full and not known.complete):
            self.singles[candidate.design] = self._looked_at(candidate.design, in_full=in_full, clearly=True)
        return self.singles[candidate.design]

    def clearly_failed(self, candidate: SingleCandidate) -> bool:
        """Whether the interval of a measured design's difference is below what the floor asks for."""
        differ = self.design.chip.analog.adcs_differ
        design = candidate.design if differ else self.design_of((candidate.option,) * self.n_layers)
        return self.bench.clearly_failed(self._answers[design])

    def confirm_single(
        self, candidate: SingleCandidate, confirmation: Callable[[Weights | None], Bench]
    ) -> MeasuredDesign:
        """Measure a design of one periphery again, that was measured before."""
        if not self.design.chip.analog.adcs_differ:
            choice = (candidate.option,) * self.n_layers
            self.confirm(choice, confirmation)
            return _as_single(self.confirmed[choice], candidate, self.goal)
        if candidate.design not in self._singles_again:
            bench = confirmation(None)
            # On all images, unless it fails for certain.
            correct = bench.measure(candidate.design, lambda seen: bench.outlook(seen).judged.high < bench.floor)
            self._singles_again[candidate.design] = _judged(candidate.design, correct, bench, self.goal, None)
        return self._singles_again[candidate.design]

    def _count(self) -> None:
        """Raise if no more designs may be measured."""
        if self._evaluations is not None and len(self.measured) + len(self.singles) >= self._evaluations:
            raise _EvaluationsExhausted

    def set_floor(self, floor: float) -> None:
        """Judge all designs by another least accuracy, those too that were measured before."""
        self.bench = replace(self.bench, floor=floor)
        for choice, entry in self.measured.items():
            known = None if entry.weights is not None else self._answers.get(entry.design)
            accurate = entry.judged >= floor if known is None else self.bench.outlook(known).passed
            feasible = accurate and self.goal.met(entry.evaluation)
            self.measured[choice] = replace(entry, accurate=accurate, feasible=feasible)

    def feasible(self) -> list[Choice]:
        """Measured designs that keep budgets and least accuracy, the cheapest first."""
        return sorted(
            (choice for choice, entry in self.measured.items() if entry.feasible),
            key=self.cost,
        )

    def promising(self) -> list[Choice]:
        """Measured designs that are feasible, or may be as far as they were measured, the cheapest first."""
        return sorted(
            (
                choice
                for choice, entry in self.measured.items()
                if entry.feasible or (not self._clear(entry.design) and self.goal.met(entry.evaluation))
            ),
            key=self.cost,
        )

    def reached(self, *, layer_wise: bool = False) -> list[Choice]:
        """Choices that the second measurement found feasible.

        Args:
            layer_wise: Only those whose precisions differ between layers.
        """
        return [
            choice
            for choice, entry in self.confirmed.items()
            if entry.feasible and (len(set(choice)) > 1 or not layer_wise)
        ]

    def cost(self, choice: Choice) -> float:
        """The objective of a measured design."""
        return self.goal.value(self.measured[choice].evaluation)

    def knapsack(self, losses: NDArray[np.float64], bound: float, context: Design) -> NDArray[np.int64]:
        """Every layer's option, for the least objective with a summed loss of at most the bound, in a context.

        Args:
            losses: Predicted loss of every layer with every option, [layers, options].
            bound: On their sum.
            context: The design whose chip the layers are assumed to be part of.
        """
        key = losses.tobytes(), bound, context
        if key not in self._knapsacks:  # a search for another floor begins with the same ones
            rows = [peripheries(self.kinds, entry, self.options) for entry in context.periphery]
            # Precisions are the innermost axis of the peripheries: [layers, options] -> [layers, kinds * options].
            repeated = np.tile(losses, max(1, len(self.kinds)))
            taken = cheapest(context, rows, self.goal, None if math.isinf(bound) else (repeated, bound))
            self._knapsacks[key] = taken % len(self.options)
        return self._knapsacks[key]


Confirmation: TypeAlias = "Callable[[Weights | None], Bench]"
"""The bench of a second measurement, for weights of a design's own or (None) those of the network."""


class Strategy(Protocol):
    """Looks for good designs; what it finds, it measures."""

    def __call__(self, session: Session) -> None:
        """Search until done."""


def search_precision(
    design: Design,
    strategy: Strategy,
    *,
    options: Sequence[Precision],
    goal: Goal,
    bench: Bench,
    kinds: Sequence[Kind] = (),
    single_kinds: Sequence[Kind] = (),
    confirmation: Confirmation | None = None,
    seed: int = 0,
    evaluations: int | None = None,
    progress: Report | None = None,
) -> PrecisionResult:
    """Choose the precisions of every layer.

    First the best single periphery is found: the cheapest for all layers at once that reaches the floor. It may be the
    result, and no result costs more.

    Without a second measurement the cheapest feasible design of one search wins. With one, the winner must pass it:

    1. The strategy searches, with a least accuracy on its bench: at first the bench's own floor.
    2. The cheapest feasible design is measured again, on other images and chips.
    3. Bisection finds which least accuracy on the first bench suffices for the second::

           floor                  asked for next                 the nominal design's own
           |------ too little ----|------ middle ------|------ enough ------|

       A failure raises the lower end to what was asked for, a success (or no feasible design at all) lowers the upper
       end. The next search asks for the middle, or for what the failure was short of, if that is less.
    4. After `ROUNDS` searches, or when the ends meet, the cheapest of all confirmed designs wins.
    5. If none with precisions of each layer's own was confirmed, designs that were measured on the way are, by
       bisection along their costs: dearer ones stand a better chance.
    6. If still none was, designs on the way from the best single periphery to the layer-wise design that failed least
       are measured and confirmed, by bisection.

    If no design passes, and no single periphery did, the most accurate is returned, as not feasible.

    Args:
        design: From phase 1; its network stays.
        strategy: One of the strategies of `strategies.py`, ready to run.
        options: Values of `PRECISION_FIELDS` from which every layer chooses.
        goal: What is minimised, and what a design may cost.
        bench: Where designs are measured during the search.
        kinds: Pairs (ADC type, columns per ADC) from which every layer chooses; none: those of the design stay.
        single_kinds: The same for one periphery in all layers; none: no single periphery is looked for.
        confirmation: Gives the bench of the second measurement; None takes the first one for good.
        seed: Of everything random in the strategy.
        evaluations: Designs that may be measured; None for as many as the strategy wants.
        progress: Called after every measured design.
    """
    session = Session(design, options, kinds, goal, bench, seed, evaluations, progress)
    present = [entry.values(PRECISION_FIELDS) for entry in design.periphery]
    if all(pair in session.options for pair in present):  # measured already, as the reference
        # With other ADCs it is another design where ADCs have errors.
        other = bool(session.kinds) and design.chip.analog.adcs_differ
        known = None if other else (lambda _: bench.reference)
        session.measure([session.options.index(pair) for pair in present], correct=known)
    single = _best_single(session, single_kinds, confirmation)
    if confirmation is None:
        status = _run(strategy, session)
        confirmed: list[MeasuredDesign] = []
    else:
        status = _search_until_confirmed(strategy, session, confirmation)
        session.set_floor(bench.floor)
        if session.confirmed and not session.reached(layer_wise=True):
            _confirm_dearer(session, confirmation)
        if not session.reached(layer_wise=True):
            _from_single(session, confirmation)
        confirmed = list(session.confirmed.values())
    found = session.reached() if confirmed else session.feasible()
    feasible = [session.confirmed[choice] if confirmed else session.measured[choice] for choice in found]
    if feasible:
        best = min(feasible, key=lambda entry: goal.value(entry.evaluation))
    else:
        tried = confirmed or [*session.measured.values(), *session.singles.values()]
        best = max(tried, key=lambda entry: entry.accuracy.mean)
        if not best.complete:  # what is returned is measured on all images
            place = confirmation(best.weights) if confirmed and confirmation is not None else bench
            again = _judged(best.design, place.correct(best.design), place, goal, best.weights)
            confirmed = [again if entry is best else entry for entry in confirmed]
            best = again
    if single is not None and not (best.feasible and goal.value(best.evaluation) < goal.value(single.evaluation)):
        best = single
        confirmed += [single] if confirmation is not None else []
    ordered = sorted(confirmed, key=lambda entry: entry is best)
    return PrecisionResult(best, tuple(session.measured.values()), tuple(ordered), status, single)


def _best_single(session: Session, kinds: Sequence[Kind], confirmation: Confirmation | None) -> MeasuredDesign | None:
    """The cheapest design of one periphery in all layers that reaches the floors of both measurements."""
    matter = session.design.chip.analog.adcs_differ
    left = candidates(session.design, session.options, kinds, session.goal, kinds_matter=matter)

    def judge(candidate: SingleCandidate) -> Verdict | None:
        try:
            entry = session.measure_single(candidate)
        except _EvaluationsExhausted:
            return None
        if entry.accurate:
            return Verdict.PASSED
        return Verdict.CLEARLY_FAILED if session.clearly_failed(candidate) else Verdict.FAILED

    while (found := cheapest_passing(left, judge, kinds_matter=matter)) is not None:
        # What fails on other chips does so on few images, and need not be measured on all of these.
        again = None if confirmation is None else session.confirm_single(found, confirmation)
        if again is not None and not again.feasible:
            left = [one for one in left if one is not found]
            continue
        entry = session.measure_single(found, in_full=True)
        if entry.accurate:  # it had not only seemed to pass
            return again or entry
    return None


def _as_single(entry: MeasuredDesign, candidate: SingleCandidate, goal: Goal) -> MeasuredDesign:
    """A measured design as one of the same sums with one periphery."""
    feasible = entry.accurate and goal.met(candidate.evaluation)
    return replace(entry, design=candidate.design, evaluation=candidate.evaluation, feasible=feasible)


def _run(strategy: Strategy, session: Session) -> str:
    """Run a strategy, until the cheapest design that it finds passes on all images; the status of a result.

    Measurements are kept, so that it takes another way only from where a design had only seemed to pass.
    """
    while True:
        status = "finished"
        try:
            strategy(session)
        except _EvaluationsExhausted:
            status = "evaluations"
        cheapest = next(iter(session.feasible()), None)
        if cheapest is None or session.complete(cheapest).feasible:
            return status


def _search_until_confirmed(strategy: Strategy, session: Session, confirmation: Confirmation) -> str:
    """Steps 1 to 4 of `search_precision`; the status."""
    status = "finished"
    asked = too_little = session.bench.floor
    enough = session.bench.nominal
    for _ in range(ROUNDS):
        if status == "finished":
            status = _run(strategy, session)
        feasible = session.feasible()
        if not (feasible or session.confirmed):
            break  # not even the floor is reached
        shortfall = session.confirm(feasible[0], confirmation) if feasible else 0.0
        if shortfall <= 0:
            enough = asked
        else:
            too_little = asked
        if enough <= too_little:
            break
        middle = (too_little + enough) / 2
        asked = min(asked + shortfall, middle) if shortfall > 0 else middle
        session.set_floor(asked)
    return status


def _confirm_dearer(session: Session, confirmation: Confirmation) -> None:
    """Step 5 of `search_precision`: confirm designs that were measured on the way, by bisection along their costs."""
    beaten = min((session.cost(choice) for choice in session.reached()), default=math.inf)
    left = [  # cheap ones first
        choice for choice in session.promising() if choice not in session.confirmed and session.cost(choice) < beaten
    ]
    while left:
        half = len(left) // 2
        enough = session.complete(left[half]).feasible and session.confirm(left[half], confirmation) <= 0
        left = left[:half] if enough else left[half + 1 :]


def _from_single(session: Session, confirmation: Confirmation) -> None:
    """Step 6 of `search_precision`: from the best single periphery towards the layer-wise design that failed least.

    One layer after the other takes the precision that it has there: those that cost more first, then those that save
    most. Bisection finds how far that goes.
    """
    start = min(session.reached(), key=session.cost, default=None)
    if start is None:
        return
    failed = [
        choice
        for choice, entry in session.confirmed.items()
        if not entry.feasible and session.cost(choice) < session.cost(start)
    ]
    if not failed:
        return
    end = min(failed, key=lambda choice: session.confirm(choice, confirmation))
    changed = [(*start[:layer], end[layer], *start[layer + 1 :]) for layer in range(session.n_layers)]
    costs = session.costs(np.array([start, *changed]), session.design_of(start))
    order = sorted(range(session.n_layers), key=lambda layer: (costs[1 + layer] <= costs[0], costs[1 + layer]))
    path = [start]
    for layer in order:
        if start[layer] != end[layer]:
            path.append((*path[-1][:layer], end[layer], *path[-1][layer + 1 :]))
    passed, beyond = 0, len(path) - 1
    while beyond - passed > 1:
        middle = (passed + beyond) // 2
        try:
            enough = (
                session.measure(path[middle]).feasible
                and session.complete(path[middle]).feasible
                and session.confirm(path[middle], confirmation) <= 0
            )
        except _EvaluationsExhausted:
            return
        passed, beyond = (middle, beyond) if enough else (passed, middle)


def _judged(
    design: Design,
    correct: Bools,
    bench: Bench,
    goal: Goal,
    weights: Weights | None,
) -> MeasuredDesign:
    """A design with its evaluation and what the bench makes of its measurement [chips, images seen]."""
    found, evaluation = bench.outlook(correct), evaluate(design)
    return MeasuredDesign(
        design=design,
        evaluation=evaluation,
        accuracy=found.accuracy,
        difference=found.difference,
        judged=found.judged.mean,
        accurate=found.passed,
        feasible=found.passed and goal.met(evaluation),
        images=correct.shape[1],
        complete=correct.shape == bench.reference.shape,
        weights=weights,
    )


__all__ = [
    "Bench",
    "Confirmation",
    "Looking",
    "MeasuredDesign",
    "PrecisionResult",
    "Session",
    "Strategy",
    "Weights",
    "search_precision",
]
