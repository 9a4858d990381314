"""The main job: phase 1, training, phase 2, evaluation, report. Every stage is kept, so that a killed run goes on."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xpert.analog import measure_activity, ni_accuracy
from xpert.design import ADC_TYPES, Design, Network, Periphery
from xpert.errors import ConfigError
from xpert.experiment.config import SearchConfig, search_space
from xpert.experiment.joint import joint_rounds
from xpert.experiment.measure import measure_accuracy
from xpert.experiment.precision import FINAL, choose_precisions
from xpert.experiment.run import Run, open_run, read_config, versions
from xpert.experiment.trainings import load_split, new_model, train_new
from xpert.experiment.workers import refuse_odd_numbers, workers
from xpert.files import jsonable, write_atomically
from xpert.hardware import evaluate
from xpert.report import write_report
from xpert.search.architecture import search_architecture
from xpert.search.fronts import architecture_fronts, figures
from xpert.search.objectives import Budgets
from xpert.search.quality.additive import ADDITIVE, LABELS, Quality, additive_quality
from xpert.search.quality.scores import score
from xpert.training import (
    Dataset,
    TrainingSettings,
    device_of,
    load_weights,
    save_weights,
)

STAGES = ("architecture", "training", "baseline", "precision", "evaluation")
"""The stages in order; `stop_after` names one of them."""

_SCORE_IMAGES = 64

Progress = Callable[[dict[str, Any]], None]


def run_search(
    config: SearchConfig | None,
    out: Path,
    *,
    resume: bool = False,
    stop_after: str | None = None,
    device: str = "cpu",
    processes: int = 1,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Run a search, or go on with one, in a run folder.

    Args:
        config: What to search; None takes the config of the folder, which needs `resume`.
        out: The run folder.
        resume: Whether to go on with what the folder holds.
        stop_after: Stop when this stage is done, one of `STAGES`; a later call with `resume` goes on.
        device: Where networks are trained and simulated: `cpu`, `cuda` or `cuda:N`.
        processes: How many train together: one per GPU, or on a share of the cores each.
        command: The command line, for the record.
        progress: Called with {"stage", ...figures} as work goes on.

    Returns:
        The report; of what there is, where it stopped earlier.

    Raises:
        ConfigError: If `stop_after` or the device is unknown, the config is broken, or so many processes cannot share
            a batch.
        DataError: If the data set is missing or broken.
        InfeasibleError: If no design meets the budget.
        RunError: If the folder cannot be used, or a worker process stops.
    """
    if stop_after is not None and stop_after not in STAGES:
        raise ConfigError(f"--stop-after: must be one of {', '.join(STAGES)}, got {stop_after!r}")
    place = device_of(device)
    refuse_odd_numbers(processes, config or read_config(out), place)
    with open_run(out, config, resume=resume) as run, workers(processes, run.path, place):
        pipeline = Pipeline(run, progress, place)
        run.event("run", "resumed" if run.resumed else "started", versions=versions())
        for stage in STAGES:
            pipeline.run_stage(stage)
            if stage == stop_after:
                run.event("run", "stopped", after=stage)
                return write_report(out)
        pipeline.finish(command)
        run.event("run", "finished")
    return write_report(out)


class Pipeline:
    """One run under way: the stages' results, and the data and networks that they share."""

    def __init__(self, run: Run, progress: Progress | None, device: torch.device) -> None:
        self.run = run
        self.config = run.config
        self.results: dict[str, dict[str, Any]] = {}
        self._progress = progress
        self.space = search_space(self.config)
        self.device = device
        self.dataset: Dataset = load_split(self.config, device)

    # What stages share

    def tell(self, stage: str, **figures: Any) -> None:
        """Pass on figures of progress."""
        if self._progress:
            self._progress({"stage": stage, **figures})

    def design(self, stage: str) -> Design:
        """The design that a finished stage decided."""
        return Design.parse(self.results[stage]["design"], str(self.run.working_file(f"{stage}.json")))

    def typical(self) -> Design:
        """The typical homogeneous design."""
        network = self.space.network(self.space.default_channels)
        return Design.homogeneous(network, self.config.chip, self.config.baselines.typical, name="typical")

    def trained(self, network: Network, name: str) -> nn.Module:
        """A network with the weights that a stage left under a name."""
        model = new_model(self.config, network, self.device)
        load_weights(model, self.run.working_file(f"{name}.safetensors"))
        return model.eval()

    def calibration(self) -> Tensor:
        """The images on which ADC ranges are set."""
        return self.dataset.normalised(self.dataset.train_images[: self.config.precision.calibration_images])

    def validation(self) -> tuple[Tensor, Tensor]:
        """The images, held back from training, on which phase 2 measures, and their classes."""
        count = self.config.precision.images
        return self.dataset.normalised(self.dataset.validation_images[:count]), self.dataset.validation_labels[:count]

    def run_stage(self, stage: str) -> None:
        """Run a stage, or read its result back."""
        if self.run.done(stage):
            self.results[stage] = self.run.stage(stage, dict)
            return
        self.run.event(stage, "started")
        started = time.perf_counter()

        def compute() -> dict[str, Any]:
            result = getattr(self, f"_{stage}")()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return result | {"seconds": time.perf_counter() - started, "peak_memory_mib": peak}

        self.results[stage] = self.run.stage(stage, compute)
        self.run.event(stage, "finished", seconds=self.results[stage]["seconds"])

    # The stages

    def _architecture(self) -> dict[str, Any]:
        settings = self.config.architecture
        nominal = self.config.baselines.typical
        options = [
            nominal.replace(adc_type=adc_type, columns_per_adc=columns)
            for adc_type in self.config.periphery.adc_types
            for columns in self.config.periphery.columns_per_adc
        ]

        def told(figures: dict[str, Any]) -> None:
            self.tell("architecture", **figures)

        quality = self._quality(settings.quality)
        found = search_architecture(
            self.space,
            self.config.chip,
            options,
            objective=settings.objective,
            budgets=Budgets(**settings.budgets),
            quality=quality,
            minimum_quality=settings.minimum_quality,
            strategy=settings.strategy,
            seed=self.config.seed,
            seconds=settings.seconds,
            evaluations=settings.evaluations,
            progress=told,
        )
        for entry in found.rounds:
            self.run.event("architecture", "round", **entry)
        fronts = []
        if settings.front_points:
            fronts = architecture_fronts(
                found.problem,
                self.space,
                self.config.chip,
                options,
                quality.tabulated,
                settings.front_points,
                progress=told,
            )
        typical = self.typical()
        return {
            "design": found.design.replace(name=self.config.name).model_dump(mode="json"),
            "strategy": settings.strategy,
            "objective": settings.objective,
            "area_budget_mm2": settings.area_budget_mm2,
            "budgets": {name: limit for name, limit in settings.budgets.items() if limit is not None},
            "quality": settings.quality,
            "score": found.score,
            "score_backbone": found.score_backbone,
            "score_minimum": found.score_minimum,
            "value": found.value,
            "lower_bound": found.lower_bound,
            "trace": found.trace,
            "rounds": found.rounds,
            "options_per_layer": len(options),
            "space_size": float(found.space_size),
            "found": figures(found.design, quality.tabulated),
            "quality_name": LABELS[quality.tabulated],
            "fronts": fronts,
            "homogeneous": [
                {"adc_type": option.adc_type, "columns_per_adc": option.columns_per_adc}
                | figures(_with(typical, option.adc_type, option.columns_per_adc), quality.tabulated)
                for option in options
            ],
        }

    def _quality(self, name: str) -> Quality:
        if name in ADDITIVE:
            return additive_quality(name)
        # Scores build networks of their own, a batch of images each: the processor is fast enough.
        images = self.dataset.normalised(self.dataset.train_images[:_SCORE_IMAGES]).cpu()
        labels = self.dataset.train_labels[:_SCORE_IMAGES].cpu()
        return Quality(name, lambda network: score(name, network, images, labels, seed=self.config.seed))

    def _training(self) -> dict[str, Any]:
        return self.train(self.design("architecture").network, self.config.training, "searched", "training")

    def _baseline(self) -> dict[str, Any]:
        settings = self.config.baselines.training or self.config.training
        return self.train(self.typical().network, settings, "typical", "baseline")

    def train(self, network: Network, settings: TrainingSettings, name: str, stage: str) -> dict[str, Any]:
        """Train a network and leave its weights under a name; the curve, and how much work it was."""

        def told(figures: dict[str, Any]) -> None:
            self.tell(stage, **figures)
            if figures["event"] == "epoch":
                self.run.event(stage, **figures)

        checkpoint = self.run.working_file(f"{name}-checkpoint")
        model, result = train_new(network, settings, self.dataset, self.config, checkpoint, told)
        save_weights(model, self.run.working_file(f"{name}.safetensors"))
        return {
            "curve": list(result.curves),
            "number_format": result.precision,
            "operations": result.operations,
        }

    def _precision(self) -> dict[str, Any]:
        found = self.design("architecture")

        def told(figures: dict[str, Any]) -> None:
            self.tell("precision", **figures)

        model = self.trained(found.network, "searched")
        result = choose_precisions(self.run, found, model, self.dataset, told)
        return joint_rounds(self, result) if self.config.precision.joint_rounds else result

    def _evaluation(self) -> dict[str, Any]:
        searched = self.design("precision")
        typical = self.typical()
        self.tell("evaluation", what="NI-accuracy of the searched design")
        model = self.trained(searched.network, FINAL)
        accuracy = self._accuracy(model, searched)
        self.tell("evaluation", what="NI-accuracy of the baseline")
        baseline_model = self.trained(typical.network, "typical")
        baseline_accuracy = self.typical_accuracy()

        # ADC type and column sharing change no accuracy: one measurement stands for all homogeneous designs.
        designs = [
            _with(typical, adc_type, columns)
            for adc_type in dict.fromkeys((*ADC_TYPES, *self.config.periphery.adc_types))
            for columns in sorted({*self.config.periphery.columns_per_adc, typical.periphery[0].columns_per_adc})
        ]
        homogeneous = [_row(design, baseline_accuracy) for design in designs]
        best = min(range(len(designs)), key=lambda index: homogeneous[index]["evaluation"]["edap"])
        rows = {"typical": _row(typical, baseline_accuracy), "best": homogeneous[best]}
        found = _row(searched, accuracy)
        # Searches assume the chip's activity; here all designs are costed with what their trained networks have. One
        # network at one precision has one activity.
        images = self.calibration()
        measured_typical = measure_activity(baseline_model, typical, images)
        measured = {
            "searched": evaluate(measure_activity(model, searched, images)).to_dict(),
            "typical": evaluate(measured_typical).to_dict(),
            "best": evaluate(designs[best].replace(activity=measured_typical.activity)).to_dict(),
        }
        self.tell("evaluation", what="accuracy against precision")
        return {
            "searched": found,
            "baselines": rows,
            "homogeneous": homogeneous,
            "ratios": {name: _ratios(found["evaluation"], row["evaluation"]) for name, row in rows.items()},
            "measured_activity": {
                "evaluations": measured,
                "ratios": {name: _ratios(measured["searched"], measured[name]) for name in rows},
            },
            "accuracy_vs_precision": self._accuracy_against_precision(model, searched),
        }

    def typical_accuracy(self) -> dict[str, Any]:
        """Accuracies of the typical design on test images; measured once."""
        typical = self.typical()
        return self.run.stage(
            "typical_accuracy", lambda: self._accuracy(self.trained(typical.network, "typical"), typical)
        )

    def _accuracy(self, model: nn.Module, design: Design) -> dict[str, Any]:
        """Accuracies of a trained network on test images."""
        return measure_accuracy(
            model,
            design,
            self.dataset.normalised(self.dataset.test_images),
            self.dataset.test_labels,
            self.calibration(),
            seed=self.config.seed,
            chips=self.config.evaluation.chips,
            batch_size=self.config.evaluation.batch_size,
        )

    def _accuracy_against_precision(self, model: nn.Module, design: Design) -> list[dict[str, Any]]:
        """NI-accuracy on the validation images with one precision in all layers, along both axes."""
        images, labels = self.validation()
        options = self.config.precision
        finest = max(options.adc_bits), max(options.input_bits)
        points = {(adc, finest[1]) for adc in options.adc_bits} | {(finest[0], bits) for bits in options.input_bits}
        curve = []
        for adc, bits in sorted(points):
            uniform = design.replace(
                periphery=tuple(entry.replace(adc_bits=adc, input_bits=bits) for entry in design.periphery)
            )
            mean, _, _ = ni_accuracy(
                model,
                uniform,
                images,
                labels,
                self.calibration(),
                seed=self.config.seed,
                chips=1,
                batch_size=self.config.evaluation.batch_size,
            )
            curve.append({"adc_bits": adc, "input_bits": bits, "ni_accuracy": mean})
        return curve

    def finish(self, command: Sequence[str]) -> None:
        """Write the run's products from the stages' results."""
        path = self.run.path
        evaluation, architecture, precision = (self.results[s] for s in ("evaluation", "architecture", "precision"))
        design = self.design("precision")
        design.write(path / "design.json")
        save_weights(self.trained(design.network, FINAL), path / "weights.safetensors")
        stages = self.results.values()
        results = {
            "schema_version": 1,
            "name": self.config.name,
            "seed": self.config.seed,
            "machine": machine(),
            "date": date.today().isoformat(),
            "command": " ".join(command),
            "wall_seconds": sum(stage["seconds"] for stage in stages),
            "peak_memory_mib": max(stage["peak_memory_mib"] for stage in stages),
            **{key: evaluation[key] for key in _FIGURES},
            "architecture": {k: v for k, v in architecture.items() if k != "design"},
            "training": {"searched": self.results["training"]["curve"], "typical": self.results["baseline"]["curve"]},
            "precision": {k: v for k, v in precision.items() if k != "design"},
        }
        write_atomically(path / "results.json", json.dumps(jsonable(results), indent=1) + "\n")


def _with(design: Design, adc_type: str, columns_per_adc: int) -> Design:
    periphery = design.periphery[0].replace(adc_type=adc_type, columns_per_adc=columns_per_adc)
    name = f"homogeneous {adc_type}, {columns_per_adc} columns per ADC"
    return Design.homogeneous(design.network, design.chip, Periphery.parse(periphery.model_dump()), name=name)


def _row(design: Design, accuracy: dict[str, Any] | None) -> dict[str, Any]:
    return {"name": design.name, "evaluation": evaluate(design).to_dict(), "accuracy": accuracy}


def _ratios(found: dict[str, Any], base: dict[str, Any]) -> dict[str, float]:
    """How many times better the found design is; above 1 is better."""
    lower = {name: base[key] / found[key] for name, key in _LOWER_IS_BETTER.items()}
    return lower | {key: found[key] / base[key] for key in ("tops_per_watt", "tops_per_mm2")}


_FIGURES = ("searched", "baselines", "homogeneous", "ratios", "measured_activity", "accuracy_vs_precision")
"""What of the evaluation stage's result goes into results.json."""

_LOWER_IS_BETTER = {"edap": "edap", "energy": "energy_uj", "latency": "latency_us", "area": "area_mm2"}


def machine() -> dict[str, Any]:
    """What a run ran on, for the record."""
    found = versions()
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": found.get("torch"),
        "python": found["python"],
        "xpert": found.get("xpert"),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


__all__ = ["STAGES", "Pipeline", "machine", "run_search"]
