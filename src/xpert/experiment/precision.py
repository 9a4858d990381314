"""The precision stage: phase 2 on the trained network, then a short training at what it found."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from xpert.analog import layer_errors
from xpert.design import Design
from xpert.errors import RunError
from xpert.experiment.run import Run
from xpert.experiment.trainings import finetune
from xpert.files import write_atomically
from xpert.search.objectives import Budgets
from xpert.search.precision.bench import ChipBench
from xpert.search.precision.converters import Kind
from xpert.search.precision.sensitivity import noise_sensitivity
from xpert.search.precision.session import Bench, PrecisionResult, Strategy, Tried, search_precision, sensitivity
from xpert.search.statistics import Bools, Interval
from xpert.training import Dataset, save_weights

FINAL = "final"
"""Name of the weights that the stage leaves."""

_SENSITIVITY_IMAGES = 256
_GRADIENT_IMAGES = 8192

Progress = Callable[[dict[str, Any]], None]


class Floors(NamedTuple):
    """Least NI-accuracy on the images and chips of the search, and on those of the confirmation."""

    search: float
    confirmation: float


def choose_precisions(
    run: Run,
    found: Design,
    model: nn.Module,
    dataset: Dataset,
    tell: Progress,
    *,
    name: str = FINAL,
    floors: Floors | None = None,
) -> dict[str, Any]:
    """Search the precisions of a design's layers, fine-tune, and leave the weights as `state/NAME.safetensors`.

    Args:
        run: The run folder, which keeps what was measured, so that a killed search goes on.
        found: From phase 1, at the typical precisions.
        model: Its trained network.
        dataset: Split.
        tell: Takes figures of progress.
        name: Of the weights that are left, and of working files.
        floors: Least accuracies in the place of those that the config sets relative to the trained network.

    Returns:
        The stage's result.
    """
    stage = _Stage(run, found, model, dataset, tell, name, floors)
    nominal = stage.bench.reference.mean()
    run.event("precision", "nominal", ni_accuracy=float(nominal))
    strategy, table = stage.strategy()
    settings = run.config.precision
    result = search_precision(
        found,
        strategy,
        options=stage.options,
        objective=settings.objective,
        bench=stage.bench,
        kinds=stage.kinds,
        budgets=Budgets(**run.config.architecture.budgets),
        confirmation=stage.confirmation if settings.confirmation_images else None,
        seed=run.config.seed,
        evaluations=settings.evaluations,
        progress=tell,
    )
    tried = [_row(one) for one in result.tried]
    for entry in tried:
        run.event("precision", "tried", **entry)
    tuning = stage.finish(result)
    return {
        "design": result.best.design.model_dump(mode="json"),
        "strategy": settings.strategy,
        "status": result.status,
        "objective": settings.objective,
        "maximum_drop": settings.maximum_drop,
        "minimum_accuracy": settings.minimum_accuracy,
        "nominal_ni_accuracy": float(nominal),
        "floor": stage.bench.floor,
        "confirmation_floor": stage.confirmation(None).floor if settings.confirmation_images else stage.bench.floor,
        "met": result.best.feasible,
        "ni_accuracy": result.best.accuracy._asdict(),
        "difference": result.best.difference._asdict(),
        "predicted_loss": result.best.predicted_loss,
        "confirmed": [_row(one) for one in result.confirmed],
        "tried": tried,
        "front": [_row(one) for one in result.front],
        "sensitivity": table,
        "finetuning": tuning,
    }


class _Stage:
    def __init__(
        self,
        run: Run,
        found: Design,
        model: nn.Module,
        dataset: Dataset,
        tell: Progress,
        name: str,
        floors: Floors | None,
    ) -> None:
        self.run, self.config, self.found, self.model, self.dataset, self.tell = (
            run, run.config, found, model, dataset, tell,
        )  # fmt: skip
        self.settings = run.config.precision
        self.options = [(adc, bits) for adc in self.settings.adc_bits for bits in self.settings.input_bits]
        analog, periphery = found.chip.analog, run.config.periphery
        shared_errors = analog.adc_offset_sigma > 0 or analog.adc_gain_sigma > 0
        self.kinds: list[Kind] = []
        if self.settings.choose_adcs_again and not shared_errors:
            self.kinds = list(itertools.product(periphery.adc_types, periphery.columns_per_adc))
        self.calibration = dataset.normalised(dataset.train_images[: self.settings.calibration_images])
        self.name, self.floors = name, floors
        kept = Kept(run.working_file(f"{name}-measured.json"), self._bench(model))
        # What may be given up counts against the design as phase 1 left it, at the typical precisions.
        self.bench = Bench.of(kept, found, *self._limits(None if floors is None else floors.search))
        self._nominal: Bench | None = None

    def _limits(self, floor: float | None) -> tuple[float | None, float | None]:
        """Largest drop and least accuracy."""
        return (self.settings.maximum_drop, self.settings.minimum_accuracy) if floor is None else (None, floor)

    def _bench(self, model: nn.Module, *, confirmation: bool = False) -> ChipBench:
        """Where a network is measured: the first validation images, or, to confirm, the last ones and other chips."""
        settings, data = self.settings, self.dataset
        part = slice(-settings.confirmation_images, None) if confirmation else slice(settings.images)
        return ChipBench(
            model,
            self.found,
            data.normalised(data.validation_images[part]),
            data.validation_labels[part],
            self.calibration,
            seed=self.config.seed,
            chips=settings.chips,
            first_chip=settings.chips if confirmation else 0,
            batch_size=self.config.evaluation.batch_size,
        )

    def confirmation(self, weights: dict[str, Any] | None) -> Bench:
        """The bench of the second measurement, for the network or for other weights of it."""
        if self._nominal is None:
            measured = self._bench(self.model, confirmation=True)
            floor = None if self.floors is None else self.floors.confirmation
            self._nominal = Bench.of(measured, self.found, *self._limits(floor))
        bench = self._nominal
        if weights is None:
            return bench
        tuned = copy.deepcopy(self.model)
        tuned.load_state_dict(weights)
        return Bench(self._bench(tuned, confirmation=True), bench.reference, bench.floor)

    def strategy(self) -> tuple[Strategy, list[dict[str, Any]]]:
        """The strategy that the config asks for, and the table of its error model where it has one."""
        data = self.dataset
        if self.settings.strategy == "evolution":
            from xpert.search.precision.evolution import evolution

            return evolution(), []
        if self.settings.strategy == "gradient":
            from xpert.search.precision.gradient import gradient

            images = data.normalised(data.train_images[:_GRADIENT_IMAGES])
            labels = data.train_labels[:_GRADIENT_IMAGES]
            return gradient(self.model, images, labels, self.calibration, self._bench), []
        weights = noise_sensitivity(
            self.model,
            self.found,
            data.normalised(data.train_images[:_SENSITIVITY_IMAGES]),
            data.train_labels[:_SENSITIVITY_IMAGES],
            seed=self.config.seed,
            progress=self.tell,
        )
        errors = layer_errors(self.model, self.found, self.calibration, self.options, progress=self.tell)
        table = [
            {
                "layer": layer.name,
                "adc_bits": adc,
                "input_bits": bits,
                "error": errors[index, choice],
                "loss": errors[index, choice] * weights[index],
            }
            for index, layer in enumerate(self.found.network.layers)
            for choice, (adc, bits) in enumerate(self.options)
        ]
        return sensitivity(errors, weights), table

    def finish(self, result: PrecisionResult) -> dict[str, Any] | None:
        """Leave the final weights: those of the search, fine-tuned at its precisions where that raises accuracy."""
        best = result.best
        if best.weights is not None:
            self.model.load_state_dict(best.weights)
        if not self.settings.finetune_epochs:
            save_weights(self.model, self.run.working_file(f"{self.name}.safetensors"))
            return None
        confirm = self.settings.confirmation_images > 0
        before = self._bench(self.model, confirmation=confirm)(best.design)
        tuned = copy.deepcopy(self.model)
        curve = finetune(
            tuned, best.design, self.dataset, self.config, self.run.working_file(f"{self.name}-finetuning"), self.tell
        )
        after = self._bench(tuned, confirmation=confirm)(best.design)
        better = bool(after.mean() > before.mean())
        save_weights(tuned if better else self.model, self.run.working_file(f"{self.name}.safetensors"))
        figures = {"before": float(before.mean()), "after": float(after.mean()), "kept": better}
        self.run.event("precision", "finetuned", **figures)
        return figures | {"curve": curve}


class Kept:
    """A bench whose measurements are kept in a file, so that a killed search does not repeat them."""

    def __init__(self, path: Path, bench: ChipBench) -> None:
        self._path, self._bench = path, bench
        self._known: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                self._known = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                raise RunError(f"{path}: not a file of measurements; delete it to have them repeated") from None

    def __call__(self, design: Design) -> Bools:
        """As `ChipBench`."""
        key = " ".join(f"{entry.adc_bits}/{entry.input_bits}" for entry in design.periphery)
        if key not in self._known:
            correct = self._bench(design)
            self._known[key] = {"shape": list(correct.shape), "correct": np.packbits(correct).tobytes().hex()}
            write_atomically(self._path, json.dumps(self._known) + "\n")
        entry = self._known[key]
        bits = np.unpackbits(
            np.frombuffer(bytes.fromhex(entry["correct"]), np.uint8), count=int(np.prod(entry["shape"]))
        )
        return bits.astype(bool).reshape(entry["shape"])


def _row(one: Tried) -> dict[str, Any]:
    return {
        "adc_bits": [entry.adc_bits for entry in one.design.periphery],
        "input_bits": [entry.input_bits for entry in one.design.periphery],
        "ni_accuracy": one.accuracy.mean,
        "ni_accuracy_interval": _ends(one.accuracy),
        "difference": one.difference.mean,
        "difference_interval": _ends(one.difference),
        "energy_uj": one.evaluation.energy * 1e6,
        "latency_us": one.evaluation.latency * 1e6,
        "edap": one.evaluation.to_dict()["edap"],
        "predicted_loss": one.predicted_loss,
        "feasible": one.feasible,
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


__all__ = ["FINAL", "Floors", "Kept", "choose_precisions"]
