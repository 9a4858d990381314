"""One training loop: plain torch, data in memory, exact resume."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.design import Model
from xpert.errors import ConfigError, DataError, RunError
from xpert.networks.quantised import calibrate, set_weight_noise
from xpert.training.data import Dataset, augmented
from xpert.training.settings import TrainingSettings
from xpert.training.weights import fill, read_tensors, write_tensors

_SECONDS_BETWEEN_REPORTS = 0.5
_MODEL, _MOMENTUM = "model.", "momentum."


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training."""

    curves: tuple[dict[str, Any], ...]
    """Per epoch: `epoch` (from 1), `loss`, `train_accuracy`, `validation_accuracy` (null without validation images),
    `images_per_second`, `seconds`."""

    precision: str
    """Number format of the products."""

    @property
    def seconds(self) -> float:
        """Time spent in all epochs, over all resumed parts. [s]."""
        return sum(epoch["seconds"] for epoch in self.curves)


class _Record(Model):
    """What a checkpoint says beside its tensors."""

    origin: dict[str, Any]
    """Seed, settings and data of the training."""

    precision: str
    """Number format of the products."""

    curves: list[dict[str, Any]]
    """As in `TrainingResult`."""


def train(
    model: nn.Module,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> TrainingResult:
    """Train a model in place, on its own device.

    Everything random in epoch e comes from `seed` and e alone, so that a training that was killed and goes on from its
    checkpoint ends, on the same processor and number of threads, with the same bits as one that was not. Any module can
    be trained; what its forward pass adds (noise, converters) is trained against.

    Args:
        model: Maps normalised images [n, channels, height, width] to logits [n, classes].
        dataset: Its `train` images are trained on; accuracy on its `validation` images, if any, is noted every epoch.
        settings: How.
        seed: Of data order, augmentation, noise and dropout.
        checkpoint: File that keeps the state after every epoch; if it exists, training goes on from it.
        progress: Called about twice a second, and once more at the end of every epoch, with `event` ("step" or
            "epoch"), `epoch` and `epochs`, `step` and `steps` (of the epoch), `loss`, `train_accuracy`,
            `images_per_second`, `seconds_left`; at the end of an epoch `validation_accuracy` too.

    Raises:
        ConfigError: If there is nothing to train on.
        RunError: If the loss is not finite any more, or the checkpoint is of another training, broken, or cannot be
            written.

    Source: Sutskever et al., ICML 2013 (Nesterov momentum); Smith and Topin, arXiv 1708.07120 (one rise and fall of the
    learning rate); Szegedy et al., CVPR 2016 (label smoothing).
    """
    n_images = len(dataset.train_labels)
    if not n_images:
        raise ConfigError("dataset: there are no training images")
    device = next(model.parameters()).device
    dataset = dataset.to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.SGD(
        _parameter_groups(model, settings.weight_decay),
        lr=0.0,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )
    origin = {"seed": seed, "settings": settings.model_dump(), "dataset": dataset.name, "images": n_images}
    resumed = _read_checkpoint(checkpoint, origin, model, optimiser) if checkpoint and checkpoint.exists() else None
    if resumed:
        curves, precision = resumed
    else:
        curves, precision = [], settings.precision
        if precision == "auto":
            precision = "bfloat16" if bfloat16_is_faster(str(device)) else "float32"
        if settings.calibration_images:
            model.train()
            with _randomness(seed, 0, device):
                calibrate(model, dataset.normalised(dataset.train_images[: settings.calibration_images]))
    try:
        for epoch in range(len(curves), settings.epochs):
            curves.append(
                _epoch(model, dataset, settings, optimiser, seed, epoch, precision, progress or (lambda _: None))
            )
            if checkpoint:
                _write_checkpoint(checkpoint, origin, model, optimiser, curves, precision)
    finally:
        set_weight_noise(model, 0)
    return TrainingResult(tuple(curves), precision)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 512) -> float:
    """Share of images that the model, in evaluation mode, puts into the right class.

    Args:
        model: Maps images to logits; its mode is restored.
        images: Normalised images [n, channels, height, width].
        labels: [n].
        batch_size: Images per batch.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            correct = [
                (model(batch).argmax(1) == label).sum()
                for batch, label in zip(images.split(batch_size), labels.split(batch_size))
            ]
    finally:
        model.train(training)
    return int(torch.stack(correct).sum()) / len(labels)


@functools.cache
def bfloat16_is_faster(device: str) -> bool:
    """Whether a small convolution takes less time in bfloat16 than in float32 on a device: measured, about 10 ms each.

    Processors without bfloat16 units emulate it, hundreds of times slower.
    """
    image = torch.ones(8, 32, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(32, 32, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, w = image.to(dtype), weight.to(dtype)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            F.conv2d(x, w, padding=1).float().sum().item()
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Learning rate of a step: a linear rise from 0 to the peak, then a linear fall to 0."""
    position = (step + 0.5) / n_steps
    rise = position / settings.warmup if settings.warmup else 1.0
    return settings.learning_rate * min(rise, (1 - position) / (1 - settings.warmup))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() <= 1], "weight_decay": 0.0},
    ]


@contextlib.contextmanager
def _randomness(seed: int, part: int, device: torch.device) -> Iterator[tuple[torch.Generator, torch.Generator]]:
    """Generators of one part of a training, for data and for noise; torch's own, for dropout, is seeded too."""
    data_seed, noise_seed, global_seed = (int(word) for word in np.random.SeedSequence([seed, part]).generate_state(3))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(global_seed)
        yield torch.Generator().manual_seed(data_seed), torch.Generator(device).manual_seed(noise_seed)


def _epoch(
    model: nn.Module,
    dataset: Dataset,
    settings: TrainingSettings,
    optimiser: torch.optim.Optimizer,
    seed: int,
    epoch: int,
    precision: str,
    progress: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Train for one epoch; its row of the curves."""
    images, labels = dataset.train_images, dataset.train_labels
    device = images.device
    batch_size = min(settings.batch_size, len(labels))
    n_steps = len(labels) // batch_size
    loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device, dtype=torch.int64)
    start = reported = time.perf_counter()

    def report(step: int) -> dict[str, Any]:
        seen = step * batch_size
        loss = loss_sum.item() / seen
        if not math.isfinite(loss):
            raise RunError(f"training: the loss became {loss} in epoch {epoch + 1}: lower learning_rate")
        seconds = time.perf_counter() - start
        return {
            "epoch": epoch + 1,
            "loss": loss,
            "train_accuracy": correct.item() / seen,
            "images_per_second": seen / seconds,
            "seconds": seconds,
        }

    def told(row: dict[str, Any], event: str, step: int) -> dict[str, Any]:
        steps_left = (settings.epochs - epoch) * n_steps - step
        return row | {
            "event": event,
            "epochs": settings.epochs,
            "step": step,
            "steps": n_steps,
            "seconds_left": steps_left * batch_size / row["images_per_second"],
        }

    model.train()
    with _randomness(seed, epoch + 1, device) as (data_generator, noise_generator):
        set_weight_noise(model, settings.weight_noise, noise_generator)
        order = torch.randperm(len(labels), generator=data_generator).to(device)
        for step in range(n_steps):
            batch = order[step * batch_size : (step + 1) * batch_size]
            views = augmented(images[batch], settings.shift, settings.flip and dataset.mirror, data_generator)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(epoch * n_steps + step, settings.epochs * n_steps, settings)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model(dataset.normalised(views))
            loss = F.cross_entropy(logits.float(), labels[batch], label_smoothing=settings.label_smoothing)
            loss.backward()
            optimiser.step()
            loss_sum += loss.detach() * batch_size
            correct += (logits.detach().argmax(1) == labels[batch]).sum()
            if time.perf_counter() - reported > _SECONDS_BETWEEN_REPORTS:
                progress(told(report(step + 1), "step", step + 1))
                reported = time.perf_counter()
    row = report(n_steps)
    row["validation_accuracy"] = (
        accuracy(model, dataset.normalised(dataset.validation_images), dataset.validation_labels)
        if len(dataset.validation_labels)
        else None
    )
    row["seconds"] = time.perf_counter() - start
    progress(told(row, "epoch", n_steps))
    return row


def _write_checkpoint(
    path: Path,
    origin: dict[str, Any],
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    curves: list[dict[str, Any]],
    precision: str,
) -> None:
    tensors = {_MODEL + name: tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        if "momentum_buffer" in optimiser.state.get(parameter, {}):
            tensors[_MOMENTUM + name] = optimiser.state[parameter]["momentum_buffer"]
    record = _Record(origin=origin, precision=precision, curves=curves)
    write_tensors(path, tensors, {"training": record.model_dump_json()})


def _read_checkpoint(
    path: Path, origin: dict[str, Any], model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[list[dict[str, Any]], str]:
    """Bring model and optimiser to the state in a file; the curves so far and the number format."""
    try:
        tensors, metadata = read_tensors(path)
        record = _Record.parse(json.loads(metadata["training"]))
        if record.origin != origin:
            changed = next((name for name in origin if record.origin.get(name) != origin[name]), "origin")
            raise RunError(f"{path}: checkpoint of another training: its {changed} differs")
        weights = {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)}
        fill(model, weights, str(path))
    except (ConfigError, DataError, KeyError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: not a checkpoint to go on from: {error}") from None
    for name, parameter in model.named_parameters():
        if _MOMENTUM + name in tensors:
            buffer = torch.empty_like(parameter, requires_grad=False).copy_(tensors[_MOMENTUM + name])
            optimiser.state[parameter]["momentum_buffer"] = buffer
    return record.curves, record.precision


__all__ = ["TrainingResult", "accuracy", "bfloat16_is_faster", "learning_rate", "train"]
