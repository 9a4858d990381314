"""One run under way: its folder, its images and what its stages left."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from xpert.analog.sampling import Sampling
from xpert.design import Design, Network, shown
from xpert.errors import RunError
from xpert.experiment.baselines import typical_of
from xpert.experiment.cache import StageCache
from xpert.experiment.cluster import HERE, Engine
from xpert.experiment.config import resizable_network, search_space
from xpert.experiment.measure import Answers, measure_accuracy
from xpert.experiment.run import Run
from xpert.experiment.stages.architecture import quality_of
from xpert.experiment.stages.precision import Floors, Phase2, choose_precisions
from xpert.experiment.stages.training import train_network
from xpert.experiment.tasks import Images, RunTasks
from xpert.experiment.trainings import Recipe, load_split, new_model, recipe_of
from xpert.files import copy_atomically, write_atomically
from xpert.machine import peak_memory_mib
from xpert.progress import Progress, Report, of_stage
from xpert.results import Accuracy, ImagesFile, PrecisionStage, Stage, Training
from xpert.search.objectives import Budgets
from xpert.search.precision.bench import ChipBench
from xpert.search.quality import Quality
from xpert.training import Dataset, TrainingSettings, load_weights

S = TypeVar("S", bound=Stage)

_HASHED_AT_ONCE = 1024
"""Images, or labels."""


def timed(compute: Callable[[], S]) -> S:
    """The result of a stage with what it took; one that was found ready says that already."""
    started = time.perf_counter()
    result = compute()
    if result.seconds is not None:
        return result
    return result.replace(seconds=time.perf_counter() - started, peak_memory_mib=peak_memory_mib())


def _note_images(run: Run, data: Dataset) -> None:
    """Keep what a run's images are, and refuse to go on with others.

    Raises:
        RunError: If they are not those that the run began with, or the disk refuses.
    """
    found = ImagesFile.parse(
        {
            "name": data.name,
            "input_shape": data.input_shape,
            "classes": data.classes,
            "mean": data.mean,
            "std": data.std,
            "train": len(data.train_labels),
            "validation": len(data.validation_labels),
            "test": len(data.test_labels),
        }
    )
    path = run.path / "images.json"
    if not path.exists():
        write_atomically(path, found.to_json(indent=1))
        return
    before, now = ImagesFile.read(path, "record of images").to_dict(), found.to_dict()
    changed = next((name for name in now if before.get(name) != now[name]), None)
    if changed is not None:
        raise RunError(
            f"{path}: the images are not those that the run began with: {changed} was {shown(before.get(changed))}, is "
            f"{shown(now[changed])}"
        )


class Workspace:
    """What the stages of a run share.

    Args:
        run: The open run folder.
        device: Where networks are trained and simulated.
        progress: Called as work goes on.
        cache: Results that other runs share; None shares none.
        engine: Where designs are measured.
    """

    def __init__(
        self,
        run: Run,
        device: torch.device,
        progress: Report | None = None,
        cache: StageCache | None = None,
        engine: Engine = HERE,
    ) -> None:
        self.run, self.config, self.device = run, run.config, device
        self.tasks = RunTasks(engine, self.config, run.working_file("tasks"), str(device))
        self._progress, self._cache = progress, cache
        self.space = search_space(self.config)
        self.dataset = load_split(self.config.dataset, self.config.seed, device, progress)
        _note_images(run, self.dataset)

    def report(self, stage: str) -> Report:
        """What a stage reports to."""
        return of_stage(stage, self._progress)

    # Designs and networks

    @cached_property
    def typical(self) -> Design:
        """The typical homogeneous design."""
        return typical_of(self.space, self.config.chip, self.config.baselines.typical)

    def trained(self, network: Network, name: str) -> nn.Module:
        """A network with the weights that a stage left under a name."""
        model = new_model(network, self._recipe(self.config.training), self.dataset)
        load_weights(model, self.run.working_file(f"{name}.safetensors"))
        return model.eval()

    def quality(self) -> Quality:
        """What stands in for the accuracy of an untrained network."""
        config = self.config
        own = None if config.network.source is None else resizable_network(config)
        return quality_of(config.architecture.quality, self.dataset, config.seed, own)

    # Images and chips

    @property
    def calibration(self) -> Tensor:
        """Training images on which ADC ranges are set, and batch norms and activity measured."""
        return self.dataset.normalised(self.dataset.train_images[: self.config.precision.calibration_images])

    @property
    def test(self) -> Images:
        """The test images."""
        return Images("test", None, None, self.config.precision.calibration_images)

    @property
    def validation(self) -> Images:
        """The images, held back from training, on which phase 2 measures."""
        settings = self.config.precision
        return Images("validation", None, settings.images, settings.calibration_images)

    def sampling(self, n_chips: int) -> Sampling:
        """So many sampled chips."""
        return Sampling(self.config.seed, n_chips, self.config.evaluation.batch_size)

    # Work

    def train(self, network: Network, settings: TrainingSettings, name: str, stage: str) -> Training:
        """Train a network and leave its weights under a name."""
        pass_on = self.report(stage)

        def report(progress: Progress) -> None:
            pass_on(progress)
            if progress.figures["event"] == "epoch":
                self.run.event(stage, epoch=progress.done, epochs=progress.total, **progress.figures)

        file = self.run.working_file
        recipe = self._recipe(settings)
        return train_network(
            network, recipe, self.dataset, file(f"{name}.safetensors"), file(f"{name}-checkpoint"), report
        )

    def train_typical(self) -> Training:
        """The training of the backbone, which leaves the weights "typical"; that of another run, if they share one."""

        def train() -> Training:
            return timed(lambda: self.train(self.typical.network, self._typical_settings, "typical", "baseline"))

        if self._cache is None:
            return train()
        files = [self.run.working_file("typical.safetensors")]
        return self._cache.get("baseline", self._typical_depends(), Training, train, files)

    def choose_precisions(self, found: Design, weights: str, name: str, floors: Floors | None = None) -> PrecisionStage:
        """Phase 2 of a design, from the weights under one name to those under another."""
        config = self.config
        phase = Phase2(
            config.precision,
            config.periphery,
            Budgets(**config.architecture.budgets),
            config.training,
            config.seed,
            config.evaluation.batch_size,
        )
        model = self.trained(found.network, weights)
        return choose_precisions(
            self.run, found, model, self.dataset, phase, self.report("precision"), self.tasks, name=name, floors=floors
        )

    def keep_weights(self, name: str, final: str) -> None:
        """Copy weights to another name."""
        file = self.run.working_file
        copy_atomically(file(f"{name}.safetensors"), file(f"{final}.safetensors"))

    def answers(self, model: nn.Module, design: Design) -> Answers:
        """What a trained network makes of the test images."""
        return measure_accuracy(
            model,
            design,
            self.test.of(self.dataset),
            self.sampling(self.config.evaluation.chips),
            self.report("evaluation"),
            self.tasks.split(model, design, self.test),
        )

    def bench(self, model: nn.Module, design: Design, n_chips: int, file: Path | None = None) -> ChipBench:
        """Where designs are measured on the validation images, as many as phase 2 takes."""
        split = self.tasks.split(model, design, self.validation)
        return ChipBench(model, design, self.validation.of(self.dataset), self.sampling(n_chips), file, split=split)

    # What is computed once

    def typical_accuracy(self) -> Accuracy:
        """Accuracies of the typical design on test images."""
        config = self.config

        def measure() -> Accuracy:
            return self.answers(self.trained(self.typical.network, "typical"), self.typical).accuracy

        def find() -> Accuracy:
            if self._cache is None:
                return measure()
            depends = {
                "design": self.typical.model_dump(mode="json"),
                "training": self._typical_depends(),
                "calibration_images": config.precision.calibration_images,
                "chips": config.evaluation.chips,
            }
            return self._cache.get("typical_accuracy", depends, Accuracy, measure)

        return self.run.stage("typical_accuracy", Accuracy, find)

    def _recipe(self, settings: TrainingSettings) -> Recipe:
        return recipe_of(self.config, settings)

    @property
    def _typical_settings(self) -> TrainingSettings:
        return self.config.baselines.training or self.config.training

    def _typical_depends(self) -> dict[str, Any]:
        """What decides the trained backbone."""
        recipe = self._recipe(self._typical_settings)
        return {
            "network": self.typical.network.model_dump(mode="json"),
            "settings": recipe.settings.model_dump(mode="json"),
            "chip": recipe.chip.model_dump(mode="json"),
            "input_bits": recipe.input_bits,
            "seed": recipe.seed,
            "weights": self.config.network.weights,
            "images": self._fingerprint,
        }

    @cached_property
    def _fingerprint(self) -> str:
        """A hash of all images and labels, split as they are."""
        digest = hashlib.sha256()
        data = self.dataset
        for part in (
            data.train_images, data.train_labels, data.validation_images, data.validation_labels,
            data.test_images, data.test_labels,
        ):  # fmt: skip
            digest.update(str((part.dtype, tuple(part.shape))).encode())
            for batch in part.split(_HASHED_AT_ONCE):
                digest.update(batch.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


__all__ = ["Workspace", "timed"]
