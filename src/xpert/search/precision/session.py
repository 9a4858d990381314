"""Phase 2: ADC precision and input precision of every layer, with the measured NI-accuracy in the loop.

Three strategies look for the cheapest precisions whose accuracy on simulated chips is high enough:

- `sensitivity`: every layer's choices are priced by the hardware model and by an additive error model: the relative
  output error of the layer's crossbars at that precision (measured by the analog simulation) times what such an error
  costs the network (see `sensitivity.py`). Choosing one precision per layer for the least cost under a bound on the
  predicted loss is a multiple-choice knapsack, solved exactly. Which bound is admissible is decided by bisection on the
  measured accuracy of the joint designs; then single layers are tried one step coarser.
- `gradient` (`precision_gradient.py`): the choices' logits are learned on the simulation, the weights along with them.
- `evolution` (`precision_evolution.py`): NSGA-II on cost and measured accuracy.

ADC type and column sharing change no column sum, so they may follow the precisions: every joint design gets the
cheapest ones, proven optimal at its precisions (`converters.py`).

Predictions only rank: only measured designs are returned. All designs are measured on the same images and chips, so
that differences between them are told with few images. The cheapest of many noisy measurements flatters itself; so the
winner is measured again, on other chips and more images. Where it fails, the search goes on: bisection finds how much
accuracy must be asked for between the floor, which was too little, and the nominal design's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design
from xpert.hardware import Evaluation, evaluate
from xpert.search.objectives import OBJECTIVES, Budgets, network_tables, objective_value
from xpert.search.precision.converters import Kind, cheapest, cheapest_converters, peripheries
from xpert.statistics import Bools, Interval, accuracy_interval, difference_interval

BISECTIONS = 7
"""Steps on the bound of the predicted loss."""

ROUNDS = 5
"""Searches, each of which asks for another accuracy, at most."""

Choice = tuple[int, ...]
"""Index into the options, for every layer."""


@dataclass(frozen=True)
class Bench:
    """Where designs are measured. `reference` belongs to the design that `search_precision` starts from."""

    correct: Callable[[Design], Bools]
    """Which images a design gets right on which chips, [chips, images]; the same images and chips for all designs."""

    reference: Bools
    """The same of the design that others are compared with: the trained network at the typical precisions."""

    floor: float
    """Least NI-accuracy on these images and chips."""

    @classmethod
    def of(
        cls,
        correct: Callable[[Design], Bools],
        nominal: Design,
        maximum_drop: float | None,
        minimum_accuracy: float | None,
    ) -> Bench:
        """A bench whose floor is at most `maximum_drop` below a nominal design's own accuracy, or an absolute one."""
        reference = correct(nominal)
        floors = [-math.inf if minimum_accuracy is None else minimum_accuracy]
        if maximum_drop is not None:
            floors.append(float(reference.mean()) - maximum_drop)
        return cls(correct, reference, max(floors))


@dataclass(frozen=True)
class Tried:
    """One joint design whose NI-accuracy was measured."""

    design: Design
    evaluation: Evaluation
    predicted_loss: float | None
    """By the additive error model, where the strategy has one. [nat]"""

    accuracy: Interval
    """Measured NI-accuracy."""

    difference: Interval
    """Measured NI-accuracy less the nominal design's, on the same images and chips."""

    accurate: bool
    """Whether the mean reaches the floor."""

    feasible: bool
    """Whether it also keeps the budgets."""

    weights: dict[str, Any] | None = None
    """The network's weights, where the strategy trained them along."""


@dataclass(frozen=True)
class PrecisionResult:
    """The outcome of phase 2."""

    best: Tried
    """The cheapest design found that reaches the floor, in the second measurement too; where none does, the most
    accurate."""

    tried: tuple[Tried, ...]
    """All measured designs, in order."""

    confirmed: tuple[Tried, ...]
    """The designs that were measured again, on other chips and more images, in order; the last one is the best."""

    status: str
    """`finished`, or `evaluations` where that limit ended the search."""

    @property
    def front(self) -> tuple[Tried, ...]:
        """Measured designs that no other one beats in energy-delay-area product and accuracy, cheap ones first."""
        ordered = sorted(self.tried, key=lambda one: (objective_value(one.evaluation, "edap"), -one.accuracy.mean))
        kept: list[Tried] = []
        for entry in ordered:
            if not kept or entry.accuracy.mean > kept[-1].accuracy.mean:
                kept.append(entry)
        return tuple(kept)


class _Spent(Exception):
    """No more designs may be measured."""


class Session:
    """One search under way: what strategies ask questions of.

    Attributes:
        design: From phase 1; its network stays.
        options: Pairs (ADC bits, input bits) from which every layer chooses.
        kinds: ADC types and column sharings from which every layer chooses; none: those of the design stay.
        budgets: What a design may cost.
        objective: What is minimised.
        bench: Where designs are measured.
        seed: Of everything random in a strategy.
        tried: Measured designs by choice, in order.
        confirmed: Those that were measured again, as they did then, in order.
        tell: Takes figures of progress.
    """

    def __init__(
        self,
        design: Design,
        options: Sequence[tuple[int, int]],
        kinds: Sequence[Kind],
        budgets: Budgets,
        objective: str,
        bench: Bench,
        seed: int,
        evaluations: int | None,
        progress: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.design = design
        self.options = list(options)
        self.kinds = list(kinds)
        self.budgets = budgets
        self.objective = objective
        self.minimize = OBJECTIVES[objective]
        self.bench = bench
        self.seed = seed
        self.tried: dict[Choice, Tried] = {}
        self.confirmed: dict[Choice, Tried] = {}
        self.tell = progress or (lambda _: None)
        self._evaluations = evaluations
        self._joint: dict[Choice, Design] = {}
        self._missing: dict[Choice, float] = {}

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.design.periphery)

    def joint(self, choice: Sequence[int] | NDArray[np.int64]) -> Design:
        """The design with these precisions, and the ADC types and sharings that are cheapest for them."""
        key: Choice = tuple(int(k) for k in choice)
        if key not in self._joint:
            fixed = with_precisions(self.design, [self.options[k] for k in key])
            self._joint[key] = (
                cheapest_converters(fixed, self.kinds, self.objective, self.budgets) if self.kinds else fixed
            )
        return self._joint[key]

    def tables(self, context: Design) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Costs in the context of a design, with its ADC types and sharings, for every factor of the objective.

        Returns:
            [factors, layers, options], and what is added to the sum over layers, [factors].
        """
        tables, constants = network_tables(
            context, [peripheries((), entry, self.options) for entry in context.periphery]
        )
        factors = np.stack([np.stack(tables[name]) for name in self.minimize])
        return factors, np.array([constants.get(name, 0.0) for name in self.minimize])

    def costs(self, choices: NDArray[np.int64], context: Design) -> NDArray[np.float64]:
        """The objective [n] of joint designs [n, layers] by the tables of a context."""
        tables, constants = self.tables(context)
        sums = tables[:, np.arange(self.n_layers), choices].sum(axis=2) + constants[:, None]
        return sums.prod(axis=0)

    def measure(
        self,
        choice: Sequence[int] | NDArray[np.int64],
        *,
        predicted: float | None = None,
        correct: Callable[[Design], Bools] | None = None,
        weights: dict[str, Any] | None = None,
    ) -> Tried:
        """Measure a joint design; one that was measured before is looked up, unless its weights are others.

        Args:
            choice: Option of every layer.
            predicted: Loss by an error model.
            correct: Measures it in the place of the bench, on the same images and chips: for weights of its own.
            weights: Those weights.

        Raises:
            _Spent: If no more designs may be measured; the search ends.
        """
        key: Choice = tuple(int(k) for k in choice)
        if key in self.tried and weights is None:
            return self.tried[key]
        if self._evaluations is not None and len(self.tried) >= self._evaluations:
            raise _Spent
        design = self.joint(key)
        right = (correct or self.bench.correct)(design)
        entry = _entry(design, right, self.bench, self.budgets, predicted, weights)
        before = self.tried.get(key)
        if before is None or entry.accuracy.mean > before.accuracy.mean:
            self.tried[key] = entry
        self.tell(
            {
                "tried": len(self.tried),
                "ni_accuracy": entry.accuracy.mean,
                "feasible": entry.feasible,
                self.objective: objective_value(entry.evaluation, self.objective),
            }
        )
        return entry

    def confirm(self, choice: Choice, confirmation: Callable[[dict[str, Any] | None], Bench]) -> float:
        """By how much a design misses the floor of a second measurement, which is made once; not above 0: it does."""
        if choice not in self.confirmed:
            entry = self.tried[choice]
            bench = confirmation(entry.weights)
            correct = bench.correct(entry.design)
            again = _entry(entry.design, correct, bench, self.budgets, entry.predicted_loss, entry.weights)
            self.confirmed[choice], self._missing[choice] = again, bench.floor - again.accuracy.mean
            figures = {"ni_accuracy": again.accuracy.mean, "feasible": again.feasible}
            self.tell({"confirmed": len(self.confirmed)} | figures)
        return self._missing[choice]

    def ask_for(self, floor: float) -> None:
        """Judge all designs, those that were measured too, by another least accuracy."""
        self.bench = replace(self.bench, floor=floor)
        for choice, entry in self.tried.items():
            accurate = entry.accuracy.mean >= floor
            feasible = accurate and bool(self.budgets.met(entry.evaluation))
            self.tried[choice] = replace(entry, accurate=accurate, feasible=feasible)

    def feasible(self) -> list[Choice]:
        """Measured designs that keep budgets and least accuracy, the cheapest first."""
        return sorted(
            (choice for choice, entry in self.tried.items() if entry.feasible),
            key=lambda choice: objective_value(self.tried[choice].evaluation, self.objective),
        )

    def knapsack(self, losses: NDArray[np.float64], bound: float, context: Design) -> NDArray[np.int64]:
        """Every layer's option, for the least objective with a summed loss of at most the bound, in a context.

        Args:
            losses: Predicted loss of every layer with every option, [layers, options].
            bound: On their sum.
            context: The design whose chip the layers are assumed to be part of.
        """
        rows = [peripheries(self.kinds, entry, self.options) for entry in context.periphery]
        repeated = np.tile(losses, max(1, len(self.kinds)))
        chosen = cheapest(context, rows, self.objective, self.budgets, None if math.isinf(bound) else (repeated, bound))
        return chosen % len(self.options)


class Strategy(Protocol):
    """Looks for good designs; what it finds, it measures."""

    def __call__(self, session: Session) -> None:
        """Search until done."""


def search_precision(
    design: Design,
    strategy: Strategy,
    *,
    options: Sequence[tuple[int, int]],
    objective: str,
    bench: Bench,
    kinds: Sequence[Kind] = (),
    budgets: Budgets | None = None,
    confirmation: Callable[[dict[str, Any] | None], Bench] | None = None,
    seed: int = 0,
    evaluations: int | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> PrecisionResult:
    """Choose the precisions of every layer.

    Args:
        design: From phase 1; its network stays.
        strategy: `sensitivity(...)`, or one of the other modules'.
        options: Pairs (ADC bits, input bits) from which every layer chooses.
        objective: `latency`, `energy`, `edp` or `edap`.
        bench: Where designs are measured during the search.
        kinds: Pairs (ADC type, columns per ADC) from which every layer chooses; none: those of the design stay.
        budgets: What a design may cost; None for no limit.
        confirmation: Gives the bench on which the winner is measured again, for weights of its own or (None) those of
            the network; None takes the first measurement for good.
        seed: Of everything random in the strategy.
        evaluations: Designs that may be measured; None for as many as the strategy wants.
        progress: Called with figures after every measured design.

    Raises:
        KeyError: If the objective is unknown.
    """
    session = Session(design, options, kinds, budgets or Budgets(), objective, bench, seed, evaluations, progress)
    status = "finished"
    present = [(entry.adc_bits, entry.input_bits) for entry in design.periphery]
    if all(pair in session.options for pair in present):  # measured already, as the reference
        session.measure([session.options.index(pair) for pair in present], correct=lambda _: bench.reference)

    def outcome(best: Tried) -> PrecisionResult:
        confirmed = sorted(session.confirmed.values(), key=lambda entry: entry is best)
        session.ask_for(bench.floor)
        return PrecisionResult(best, tuple(session.tried.values()), tuple(confirmed), status)

    asked, enough = bench.floor, float(bench.reference.mean())
    too_little = asked
    for _ in range(ROUNDS):
        if status == "finished":
            try:
                strategy(session)
            except _Spent:
                status = "evaluations"
        feasible = session.feasible()
        if confirmation is None or not (feasible or session.confirmed):
            best = max(session.tried.values(), key=lambda entry: entry.accuracy.mean)
            return outcome(session.tried[feasible[0]] if feasible else best)
        missing = session.confirm(feasible[0], confirmation) if feasible else 0.0
        if missing <= 0:
            enough = asked
        else:
            too_little = asked
        if enough <= too_little:
            break
        middle = (too_little + enough) / 2
        asked = min(asked + missing, middle) if missing > 0 else middle
        session.ask_for(asked)
    assert confirmation is not None  # noqa: S101 (without one, the first round is the last)
    reached = [entry for entry in session.confirmed.values() if entry.feasible]
    if not reached:
        # Among what was measured on the way, dearer designs stand a better chance.
        session.ask_for(bench.floor)
        left = [choice for choice in session.feasible() if choice not in session.confirmed]
        while left:
            half = len(left) // 2
            left = left[:half] if session.confirm(left[half], confirmation) <= 0 else left[half + 1 :]
        reached = [entry for entry in session.confirmed.values() if entry.feasible]
    if reached:
        return outcome(min(reached, key=lambda entry: objective_value(entry.evaluation, objective)))
    return outcome(max(session.confirmed.values(), key=lambda entry: entry.accuracy.mean))


def sensitivity(errors: NDArray[np.float64], weights: NDArray[np.float64], bisections: int = BISECTIONS) -> Strategy:
    """The strategy of the additive error model.

    Args:
        errors: Relative output error (noise-to-signal power) of every layer with every option, [layers, options].
        weights: Loss per unit of that error, [layers]. [nat]
        bisections: Steps on the bound of the predicted loss.
    """
    losses = errors * weights[:, None]
    rows = np.arange(len(losses))

    def run(session: Session) -> None:
        def measured(choice: NDArray[np.int64]) -> Tried:
            return session.measure(choice, predicted=float(losses[rows, choice].sum()))

        finest = measured(losses.argmin(axis=1))
        choice = session.knapsack(losses, math.inf, finest.design)
        coarsest = measured(choice)
        best = choice if coarsest.accurate else losses.argmin(axis=1)
        if finest.accurate and not coarsest.accurate:
            low, high = float(losses.min(axis=1).sum()), float(losses[rows, choice].sum())
            for _ in range(bisections):
                bound = math.sqrt(low * high)
                choice = session.knapsack(losses, bound, session.joint(choice))
                if measured(choice).accurate:
                    low, best = bound, choice
                else:
                    high = bound
        if finest.accurate:
            _coarsen(session, best, losses, measured)

    return run


def _coarsen(
    session: Session,
    choice: NDArray[np.int64],
    losses: NDArray[np.float64],
    measured: Callable[[NDArray[np.int64]], Tried],
) -> None:
    """Try single layers at cheaper precisions: the cheapest, then what saves most per predicted loss.

    The joint bound treats all layers by one exchange rate, and predictions err; measurements tell which layers had more
    to give. Layers whose move promises most go first; at most two tries a layer.
    """
    options = np.arange(len(session.options))
    tables, constants = session.tables(session.joint(choice))
    rows = np.arange(session.n_layers)

    def saved(layer: int) -> NDArray[np.float64]:
        """What each option of a layer takes off the objective, as a share."""
        sums = tables[:, rows, choice].sum(axis=1) + constants
        others = sums[:, None] - tables[:, layer, choice[layer], None] + tables[:, layer, options]
        return 1 - (others / sums[:, None]).prod(axis=0)

    def gain(layer: int) -> NDArray[np.float64]:
        share, added = saved(layer), losses[layer] - losses[layer, choice[layer]]
        return np.where(share > 0, share / np.maximum(added, 1e-12), 0.0)

    for layer in sorted(range(session.n_layers), key=lambda layer: -gain(layer).max()):
        for option in (int(saved(layer).argmax()), int(gain(layer).argmax())):
            if saved(layer)[option] <= 0:
                continue
            other = choice.copy()
            other[layer] = option
            if measured(other).accurate:
                choice = other
                break


def _entry(
    design: Design,
    correct: Bools,
    bench: Bench,
    budgets: Budgets,
    predicted: float | None,
    weights: dict[str, Any] | None,
) -> Tried:
    accuracy, evaluation = accuracy_interval(correct), evaluate(design)
    accurate = accuracy.mean >= bench.floor
    return Tried(
        design=design,
        evaluation=evaluation,
        predicted_loss=predicted,
        accuracy=accuracy,
        difference=difference_interval(correct, bench.reference),
        accurate=accurate,
        feasible=accurate and bool(budgets.met(evaluation)),
        weights=weights,
    )


def with_precisions(design: Design, precisions: Sequence[tuple[int, int]]) -> Design:
    """The same design with other precisions, a pair (ADC bits, input bits) for every layer."""
    periphery = tuple(
        entry.replace(adc_bits=adc_bits, input_bits=input_bits)
        for entry, (adc_bits, input_bits) in zip(design.periphery, precisions, strict=True)
    )
    return design.replace(periphery=periphery)


__all__ = [
    "Bench",
    "PrecisionResult",
    "Session",
    "Strategy",
    "Tried",
    "search_precision",
    "sensitivity",
    "with_precisions",
]
