"""Results of the stages of a search: the files under `state/`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import pydantic
from pydantic import Field

from xpert.design import OPTIONAL_FIELDS, PRECISION_FIELDS, Design, Periphery, decisions_taken
from xpert.results.accuracy import Measured
from xpert.results.designs import DesignComparison
from xpert.results.record import Number, OpenRecord, Positive, Record
from xpert.results.variants import Robust


class Stage(Record):
    """What a finished stage left, and what it took."""

    seconds: Number = None
    """Time it took. [s]"""

    peak_memory_mib: Number = None
    """Largest memory of the process until its end. [MiB]"""


class Step(OpenRecord):
    """One step of the architecture search."""

    step: int
    objective: Number = None
    """Objective of this step's design."""

    value: Number = None
    """Objective of the best design so far, from strategies that keep that one alone."""

    area_mm2: Number = None
    feasible: bool = True

    @property
    def reached(self) -> float | None:
        """The step's own objective where the strategy gives it, else the best so far."""
        return self.objective if "objective" in self.model_fields_set else self.value


class ProofStep(Record):
    """How far the proof of phase 1 was."""

    regions: int
    """Parts of the space that were solved."""

    value: Number = None
    """Objective of the best design so far."""

    lower_bound: Number = None
    """No design of the space that keeps the budgets has a smaller objective."""


class Round(OpenRecord):
    """One round of tables, search and full evaluation."""

    round: int
    area_mm2: Number = None
    score: Number = None
    feasible: bool = True


class Costs(Record):
    """A design on the axes of the Pareto fronts."""

    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    edap: Positive
    quality: pydantic.FiniteFloat


class FrontPoint(Costs):
    """A design that no other one beats on both axes of a front."""

    budget: Number = None
    """Bound on what the front runs along, under which the point is the best."""

    tabulated: Number = None
    """Its objective by the cost tables."""

    lower_bound: Number = None
    """No design that is not worse than the point along the front has a smaller objective."""

    gap: Number = None
    """`(objective - lower_bound) / objective`; 0 is proven optimal."""

    channels: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    """Of every layer, where they are not the backbone's own."""

    periphery: tuple[str, ...] = ()
    """What phase 1 decided in every layer, as `Periphery.short` writes it."""


class Front(Record):
    """A Pareto front of phase 1."""

    objective: str
    along: str
    points: tuple[FrontPoint, ...] = ()


class HomogeneousCosts(Periphery, Costs):
    """The backbone with one periphery in all layers; what phase 1 does not decide is not set."""


class Architecture(Stage):
    """Phase 1."""

    strategy: str | None = None
    objective: str | None = None
    area_budget_mm2: Positive | None = None
    budgets: dict[str, Positive] = Field(default_factory=dict)
    """Limits by name, as `latency_us`."""

    quality: str | None = None
    """What stood in for the accuracy of a network."""

    score: Number = None
    """Quality of the network that was found."""

    score_backbone: Number = None
    score_minimum: Number = None
    value: Number = None
    """Objective of the design."""

    lower_bound: Number = None
    """No design of the space that keeps the budgets has a smaller objective."""

    trace: tuple[Step, ...] = ()
    proof: tuple[ProofStep, ...] = ()
    """How bound and best design closed in, where the search proves something."""

    rounds: tuple[Round, ...] = ()
    options_per_layer: int | tuple[int, ...] | None = None
    space_size: Number = None
    found: Costs | None = None
    quality_name: str = "quality"
    """What the fronts call quality."""

    fronts: tuple[Front, ...] = ()
    homogeneous: tuple[HomogeneousCosts, ...] = ()
    robust: Robust | None = None
    """What robustness costs and saves, where it was searched for."""


class _Decided(Stage):
    """A stage that decided a design."""

    design: Design

    @pydantic.field_serializer("design")
    def _whole(self, design: Design) -> dict[str, Any]:
        # Defaults included: those of another version may differ.
        return design.model_dump(mode="json")


class ArchitectureStage(_Decided, Architecture):
    """Phase 1 when it is finished."""

    def figures(self) -> Architecture:
        """The part that is in results.json: the design has a file of its own."""
        return Architecture.parse(self.to_dict())


class Epoch(OpenRecord):
    """One epoch of training."""

    epoch: int | float
    loss: Number = None
    train_accuracy: Number = None
    validation_accuracy: Number = None
    images_per_second: Number = None


class Training(Stage):
    """The training of one network."""

    curve: tuple[Epoch, ...] = ()
    number_format: str | None = None
    """Numbers that it was computed with, as `bfloat16`."""

    operations: Number = None
    """Two per multiply-accumulate, backward passes included."""


class PrecisionLists(Record):
    """What phase 2 decided in every layer: for each of `PRECISION_FIELDS` a list, [layers].

    The same of `ARCHITECTURE_FIELDS`, which may follow the precisions; empty in files of versions that did not say it.
    """

    @property
    def precisions(self) -> dict[str, tuple[Any, ...]]:
        """The lists, by field."""
        return {name: self._list(name) for name in PRECISION_FIELDS}

    def _list(self, name: str) -> tuple[Any, ...]:
        """The list of a field; None of every layer where no layer decided it."""
        row: tuple[Any, ...] = getattr(self, name)
        absent = name in OPTIONAL_FIELDS and not row
        return (None,) * len(getattr(self, PRECISION_FIELDS[0])) if absent else row

    @property
    def peripheries(self) -> tuple[Periphery, ...]:
        """The whole periphery of every layer; empty where the file does not say it."""
        fields = tuple(Periphery.decisions())
        lists = [self._list(name) for name in fields]
        if not all(lists):
            return ()
        rows = zip(*lists, strict=True)
        return tuple(Periphery().with_values(fields, row) for row in rows)


def lists_of(periphery: Sequence[Periphery]) -> dict[str, tuple[Any, ...]]:
    """Every decision as a list, [layers], as records of designs hold it; none of a precision that no layer decides."""
    taken = decisions_taken(periphery)
    return {
        name: tuple(getattr(entry, name) for entry in periphery)
        for name, decision in Periphery.decisions().items()
        if name in taken or decision.phase == "architecture"
    }


def precision_lists() -> type[PrecisionLists]:
    """The model with those lists."""
    lists: dict[str, Any] = {}
    for name in Periphery.decisions():
        field = Periphery.model_fields[name]
        value: Any = Annotated[(field.annotation, *field.metadata)]  # type: ignore[valid-type]
        lists[name] = (tuple[value, ...], ... if name in PRECISION_FIELDS and name not in OPTIONAL_FIELDS else ())
    return pydantic.create_model("PrecisionLists", __base__=PrecisionLists, **lists)


class TriedDesign(precision_lists()):
    """One design that the precision search measured."""

    images: int | None = None
    """Images that it was measured on. Where its verdict was clear before the last, accuracies are estimates."""

    ni_accuracy: Number = None
    ni_accuracy_interval: tuple[float, float] | None = None
    """Its 95 % interval; None where not all images were measured."""

    difference: Number = None
    """NI-accuracy less the nominal design's, on the same chips and images."""

    difference_interval: tuple[float, float] | None = None
    energy_uj: Positive | None = None
    latency_us: Positive | None = None
    edap: Positive | None = None
    predicted_loss: Number = None
    """By the additive error model, where the strategy has one. [nat]"""

    own_weights: bool = False
    """Whether it was measured with weights that the strategy trained along; those of the result alone are kept."""

    feasible: bool = True


class Sensitivity(Periphery, Record):
    """What one precision does to one layer; the rest of the periphery is not set."""

    layer: str | int
    error: Number = None
    """Noise-to-signal power of the layer's output."""

    loss: Number = None
    """What that error costs the network, by phase 2's additive model. [nat]"""


class Finetuning(Record):
    """NI-accuracy before and after the training at the chosen precisions."""

    before: float
    after: float
    kept: bool
    curve: tuple[Epoch, ...] = ()


class SinglePeriphery(Periphery, Record):
    """The cheapest periphery that all layers of the network can share, at the least accuracy asked of the result."""

    ni_accuracy: Measured
    """On the images and chips that the result was measured on."""

    difference: Measured
    """Its NI-accuracy less the nominal design's there."""

    edap: Positive
    finetuning: Finetuning | None = None
    """The same training as the result's, at its own precisions."""


class JointRound(Record):
    """One round of joint search after phase 2."""

    channels: tuple[int, ...]
    kernels: tuple[int, ...] = ()
    """Of every layer, where they are not the backbone's own."""

    promised: float
    """Objective of the design that the round found."""

    present: float
    """Objective of the best design before it."""

    reached: Number = None
    """Objective after its precisions were chosen by measurement; None where the round ended before."""

    ni_accuracy: Measured | None = None
    design: TriedDesign | None = None
    """That design."""

    adopted: bool


class _Phase2(Stage):
    strategy: str | None = None
    status: str | None = None
    """`finished`, or `evaluations` where that limit ended the search."""

    objective: str | None = None
    maximum_drop: Number = None
    minimum_accuracy: Number = None
    percentile: Number = None
    """Of the chips, that the least accuracy is for; None: it is for the mean over chips. [%]"""

    nominal_ni_accuracy: Number = None
    """Of the trained network at the typical precisions."""

    difference: Measured | None = None
    """The result's less the nominal design's, on the same chips and images."""

    predicted_loss: Number = None
    """Of the result, by the additive error model. [nat]"""

    tried: tuple[TriedDesign, ...] = ()
    confirmed: tuple[TriedDesign, ...] = ()
    """Designs that were measured again on other chips and images; the last one is the result."""

    front: tuple[TriedDesign, ...] = ()
    """Measured designs that no other one beats in EDAP and accuracy, cheap ones first."""

    sensitivity: tuple[Sensitivity, ...] = ()
    """The error model: every precision of the first layer, then of the second, and so on."""

    finetuning: Finetuning | None = None
    single: SinglePeriphery | None = None
    """The best single periphery of the network; None where none reaches the least accuracy within the budgets."""

    joint: tuple[JointRound, ...] = ()


class Precision(_Phase2):
    """Phase 2; while it is under way, what it has logged."""

    floor: Number = None
    """Least NI-accuracy on the images and chips of the search."""

    confirmation_floor: Number = None
    """The same on those of the confirmation."""

    met: bool | None = None
    """Whether the result reaches it, within the budgets."""

    ni_accuracy: Measured | None = None
    """Of the result."""


class PrecisionStage(_Decided, _Phase2):
    """Phase 2 when it is finished; fields as in `Precision`."""

    floor: float
    confirmation_floor: float
    met: bool
    ni_accuracy: Measured

    def figures(self) -> Precision:
        """The part that is in results.json: the design has a file of its own."""
        return Precision.parse(self.to_dict())

    def losses(self) -> list[list[float]]:
        """The error model as a table [layers][options], options as in the config. [nat]"""
        rows: dict[str | int, list[float]] = {}
        for entry in self.sensitivity:
            rows.setdefault(entry.layer, []).append(math.inf if entry.loss is None else entry.loss)
        return list(rows.values())


class EvaluationStage(DesignComparison, Stage):
    """The result beside the homogeneous designs, when all are evaluated."""


STAGES: dict[str, type[Stage]] = {
    "architecture": ArchitectureStage,
    "training": Training,
    "baseline": Training,
    "precision": PrecisionStage,
    "evaluation": EvaluationStage,
}
"""The stages of a search in order, and what each leaves."""

__all__ = [
    "STAGES",
    "Architecture",
    "ArchitectureStage",
    "Costs",
    "Epoch",
    "EvaluationStage",
    "Finetuning",
    "Front",
    "FrontPoint",
    "HomogeneousCosts",
    "JointRound",
    "Precision",
    "PrecisionStage",
    "ProofStep",
    "Round",
    "Sensitivity",
    "SinglePeriphery",
    "Stage",
    "Step",
    "Training",
    "TriedDesign",
    "lists_of",
]
