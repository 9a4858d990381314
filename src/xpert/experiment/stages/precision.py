"""The precision stage: phase 2 on the trained network, then a short training at what it found."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from xpert.analog.sampling import Sampling
from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery, by_field
from xpert.experiment.config import PeripheryOptions, PrecisionSettings
from xpert.experiment.run import Run
from xpert.experiment.tasks import Images, RunTasks
from xpert.experiment.trainings import finetune
from xpert.files import copy_atomically, jsonable
from xpert.progress import Report
from xpert.results import (
    Epoch,
    Finetuning,
    Measured,
    PrecisionStage,
    Sensitivity,
    SinglePeriphery,
    TriedDesign,
    lists_of,
)
from xpert.search.objectives import Budgets, Goal
from xpert.search.precision.bench import ChipBench
from xpert.search.precision.converters import Kind, Precision
from xpert.search.precision.looks import Looks, judged_accuracy
from xpert.search.precision.session import Bench, MeasuredDesign, Weights, search_precision
from xpert.search.precision.single import SINGLE_NAME
from xpert.search.precision.strategies import PRECISION_STRATEGIES, Prepared, TrainedNetwork
from xpert.training import Dataset, TrainingSettings, save_weights

FINAL = "final"
"""Name of the weights that the stage leaves."""


def single_weights(name: str) -> str:
    """Name of the weights that the stage leaves for the best single periphery, from that of the result's."""
    return f"{name}-single"


def single_design(design: Design, single: SinglePeriphery) -> Design:
    """The network of a design with the best single periphery that was found for it."""
    entry = Periphery.parse(single.model_dump(include=set(Periphery.decisions())))
    return Design.homogeneous(design.network, design.chip, entry, name=SINGLE_NAME)


class Floors(NamedTuple):
    """Least NI-accuracy on the images and chips of the search, and on those of the confirmation."""

    search: float
    confirmation: float


@dataclass(frozen=True)
class Phase2:
    """The parts of the config that phase 2 needs."""

    settings: PrecisionSettings
    periphery: PeripheryOptions
    """ADC types and sharings that may follow the precisions."""

    budgets: Budgets
    training: TrainingSettings
    """Of the found network, for fine-tuning."""

    seed: int
    batch_size: int
    """Images at a time on each chip."""

    @property
    def options(self) -> list[Precision]:
        """Values of `PRECISION_FIELDS` from which every layer chooses."""
        return self.settings.combinations(PRECISION_FIELDS)

    def kinds(self, found: Design) -> list[Kind]:
        """Values of `KIND_FIELDS` from which every layer chooses; a design is measured with its own."""
        return self.single_kinds if self.settings.choose_adcs_again else []

    @property
    def single_kinds(self) -> list[Kind]:
        """Values of `KIND_FIELDS` from which a single periphery for all layers is chosen."""
        return self.periphery.combinations(KIND_FIELDS)


def choose_precisions(
    run: Run,
    found: Design,
    model: nn.Module,
    dataset: Dataset,
    phase: Phase2,
    progress: Report,
    tasks: RunTasks,
    *,
    name: str = FINAL,
    floors: Floors | None = None,
) -> PrecisionStage:
    """Search the precisions of a design's layers, fine-tune, and leave the weights as `state/NAME.safetensors`.

    The network at its best single periphery is fine-tuned likewise; those weights go under `single_weights(NAME)`.

    Args:
        run: Keeps working files, so that a killed search goes on, and notes events.
        found: From phase 1, at the typical precisions.
        model: Its trained network.
        dataset: Split.
        phase: What to do.
        progress: Called as work goes on.
        tasks: Where designs are measured.
        name: Of the weights that are left, and of working files.
        floors: Least accuracies in the place of those that the config sets relative to the trained network.
    """
    settings = phase.settings
    files = (run.working_file(f"{name}-measured.json"), run.working_file(f"{name}-confirmed.json"))
    benches = _Benches(found, model, dataset, phase, floors, tasks, *files)
    nominal = float(benches.search.reference.mean())
    run.event("precision", "nominal", ni_accuracy=nominal)
    prepared = _prepared(found, model, dataset, phase, benches, progress)
    result = search_precision(
        found,
        prepared.strategy,
        options=phase.options,
        goal=Goal(settings.objective, phase.budgets),
        bench=benches.search,
        kinds=phase.kinds(found),
        single_kinds=phase.single_kinds,
        confirmation=benches.confirmation if settings.confirmation_images else None,
        seed=phase.seed,
        evaluations=settings.evaluations,
        progress=progress,
    )

    def shown(entries: Iterable[MeasuredDesign]) -> tuple[TriedDesign, ...]:
        return tuple(_tried(one, _loss(one.design, phase, prepared)) for one in entries)

    tried = shown(result.measured)
    for entry in tried:
        run.event("precision", "tried", **entry.to_dict())
    best, single = result.best, result.single
    if single is not None:
        figures = {"ni_accuracy": single.accuracy.mean, "edap": single.evaluation.to_dict()["edap"]}
        run.event("precision", "single", periphery=single.design.periphery[0].short(), **figures)

    def finish(one: MeasuredDesign, weights: str) -> Finetuning | None:
        return _finish(run, one, model, dataset, phase, benches, weights, progress)

    tuning = finish(best, name)
    single_tuning = None
    if single is not None:
        if best.weights is None and _same_sums(best.design, single.design):
            single_tuning = tuning
            copy_atomically(
                run.working_file(f"{name}.safetensors"), run.working_file(f"{single_weights(name)}.safetensors")
            )
        else:
            single_tuning = finish(single, single_weights(name))
    floor = benches.search.floor
    return PrecisionStage(
        design=best.design,
        strategy=settings.strategy,
        status=result.status,
        objective=settings.objective,
        maximum_drop=settings.maximum_drop,
        minimum_accuracy=settings.minimum_accuracy,
        percentile=settings.percentile,
        nominal_ni_accuracy=nominal,
        floor=floor,
        confirmation_floor=benches.confirmation(None).floor if settings.confirmation_images else floor,
        met=best.feasible,
        ni_accuracy=Measured(**best.accuracy._asdict()),
        difference=Measured(**best.difference._asdict()),
        predicted_loss=_loss(best.design, phase, prepared),
        confirmed=shown(result.confirmed),
        tried=tried,
        front=shown(result.front),
        sensitivity=_error_table(found, phase, prepared),
        finetuning=tuning,
        single=None if single is None else _single(single, single_tuning),
    )


def _same_sums(one: Design, other: Design) -> bool:
    """Whether two designs of one network compute the same, so that one training serves both."""
    if one.chip.analog.adcs_differ:
        return one.periphery == other.periphery
    return [entry.sums_key() for entry in one.periphery] == [entry.sums_key() for entry in other.periphery]


class _Benches:
    """Where a network is measured: the first validation images, or, to confirm, the last ones and other chips."""

    def __init__(
        self,
        found: Design,
        model: nn.Module,
        dataset: Dataset,
        phase: Phase2,
        floors: Floors | None,
        tasks: RunTasks,
        file: Path,
        confirmed: Path,
    ) -> None:
        self.found, self.model, self.dataset, self.phase, self.floors = found, model, dataset, phase, floors
        self._tasks, self._confirmed = tasks, confirmed
        self.calibration = dataset.normalised(dataset.train_images[: phase.settings.calibration_images])
        # What may be given up counts against the design as phase 1 left it, at the typical precisions.
        self._nominal: Bench | None = None
        self._looks: dict[bool, Looks | None] = {}
        self.search = self._with_floor(self.bench(model, file=file), None if floors is None else floors.search)
        self._looks[False] = self.search.looks

    def _with_floor(self, bench: ChipBench, floor: float | None) -> Bench:
        settings = self.phase.settings
        limits = (settings.maximum_drop, settings.minimum_accuracy) if floor is None else (None, floor)
        make = Bench.of if settings.measure_in_full else Bench.looking
        return make(bench, self.found, *limits, settings.share_of_chips)

    def bench(self, model: nn.Module, *, confirmation: bool = False, file: Path | None = None) -> ChipBench:
        """The images and chips of the search, or those of the confirmation, for a network.

        Images are in the order of the trained network's bench, once there is that.
        """
        settings = self.phase.settings
        part = (-settings.confirmation_images, None) if confirmation else (None, settings.images)
        images = Images("validation", *part, settings.calibration_images)
        first = settings.chips if confirmation else 0
        sampling = Sampling(self.phase.seed, settings.chips, self.phase.batch_size, first)
        split = self._tasks.split(model, self.found, images)
        looks = self._looks.get(confirmation)
        return ChipBench(model, self.found, images.of(self.dataset), sampling, file, looks, split)

    def confirmation(self, weights: Weights | None) -> Bench:
        """The bench of the second measurement, for the network or for other weights of it."""
        if self._nominal is None:
            floor = None if self.floors is None else self.floors.confirmation
            self._nominal = self._with_floor(self.bench(self.model, confirmation=True, file=self._confirmed), floor)
            self._looks[True] = self._nominal.looks
        bench = self._nominal
        if weights is None:
            return bench
        tuned = self.with_weights(weights)
        own = self.bench(tuned, confirmation=True)
        return replace(bench, correct=own, until=None if bench.until is None else own.until)

    def accuracy(self, one: MeasuredDesign) -> float:
        """What the floor is for, of a design with its weights, in the second measurement where there is one."""
        if self.phase.settings.confirmation_images:
            correct = self.confirmation(one.weights).correct
        else:
            correct = self.search.correct if one.weights is None else self.bench(self.with_weights(one.weights))
        return judged_accuracy(correct(one.design), self.phase.settings.share_of_chips)

    def with_weights(self, weights: Weights) -> nn.Module:
        """The network with other weights."""
        tuned = copy.deepcopy(self.model)
        tuned.load_state_dict(weights)
        return tuned


def _prepared(
    found: Design, model: nn.Module, dataset: Dataset, phase: Phase2, benches: _Benches, progress: Report
) -> Prepared:
    """The strategy that the config asks for, ready for the trained network."""

    def training_images(count: int) -> tuple[Tensor, Tensor]:
        return dataset.normalised(dataset.train_images[:count]), dataset.train_labels[:count]

    trained = TrainedNetwork(
        model, found, phase.options, training_images, benches.calibration, benches.bench, phase.seed, progress
    )
    return PRECISION_STRATEGIES.find(phase.settings.strategy)(trained)


def _error_table(found: Design, phase: Phase2, prepared: Prepared) -> tuple[Sensitivity, ...]:
    """A row for every layer and option of the strategy's error model; none where it has no model."""
    if prepared.errors is None or prepared.losses is None:
        return ()
    return tuple(
        Sensitivity.parse(
            by_field(PRECISION_FIELDS, option, unset=False)
            | {
                "layer": layer.name,
                "error": float(prepared.errors[index, choice]),
                "loss": float(prepared.losses[index, choice]),
            }
        )
        for index, layer in enumerate(found.network.layers)
        for choice, option in enumerate(phase.options)
    )


def _finish(
    run: Run,
    best: MeasuredDesign,
    trained: nn.Module,
    dataset: Dataset,
    phase: Phase2,
    benches: _Benches,
    name: str,
    progress: Report,
) -> Finetuning | None:
    """Leave the final weights of a design: those of the search, fine-tuned at its precisions where that is better."""
    model, settings = copy.deepcopy(trained), phase.settings
    weights = run.working_file(f"{name}.safetensors")
    if best.weights is not None:
        model.load_state_dict(best.weights)
    if not settings.finetune_epochs:
        save_weights(model, weights)
        return None
    confirm = settings.confirmation_images > 0
    before = benches.accuracy(best)
    tuned = copy.deepcopy(model)
    checkpoint = run.working_file(f"{name}-finetuning")
    curve = finetune(tuned, best.design, dataset, settings, phase.training, phase.seed, checkpoint, progress)
    after = judged_accuracy(benches.bench(tuned, confirmation=confirm)(best.design), settings.share_of_chips)
    better = after > before
    save_weights(tuned if better else model, weights)
    run.event("precision", "finetuned", before=before, after=after, kept=better)
    epochs = tuple(Epoch.parse(jsonable(row)) for row in curve)
    return Finetuning(before=before, after=after, kept=better, curve=epochs)


def _single(one: MeasuredDesign, tuning: Finetuning | None) -> SinglePeriphery:
    return SinglePeriphery(
        **one.design.periphery[0].model_dump(),
        ni_accuracy=Measured(**one.accuracy._asdict()),
        difference=Measured(**one.difference._asdict()),
        edap=one.evaluation.to_dict()["edap"],
        finetuning=tuning,
    )


def _loss(design: Design, phase: Phase2, prepared: Prepared) -> float | None:
    """What the strategy's error model predicts for a design; None where it has no model."""
    if prepared.losses is None:
        return None
    chosen = [phase.options.index(entry.values(PRECISION_FIELDS)) for entry in design.periphery]
    return float(prepared.losses[range(len(chosen)), chosen].sum())


def _tried(one: MeasuredDesign, predicted: float | None) -> TriedDesign:
    return TriedDesign(
        **lists_of(one.design.periphery),
        images=one.images,
        ni_accuracy=one.accuracy.mean,
        ni_accuracy_interval=(one.accuracy.low, one.accuracy.high) if one.complete else None,
        difference=one.difference.mean,
        difference_interval=(one.difference.low, one.difference.high) if one.complete else None,
        energy_uj=float(one.evaluation.energy * 1e6),
        latency_us=float(one.evaluation.latency * 1e6),
        edap=one.evaluation.to_dict()["edap"],
        predicted_loss=predicted,
        **({} if one.weights is None else {"own_weights": True}),
        feasible=one.feasible,
    )


__all__ = ["FINAL", "Floors", "Phase2", "choose_precisions", "single_design", "single_weights"]
