"""One training loop: plain torch, data in memory or streamed, exact resume."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from xpert.design import DataModel
from xpert.errors import ConfigError, DataError, RunError
from xpert.machine import keep_freed_memory
from xpert.networks.fused import fused
from xpert.networks.images import Images
from xpert.networks.quantised import calibrate_quantisers, quantised_layers
from xpert.progress import Progress, Report
from xpert.tensors import read_tensors, write_tensors
from xpert.training import distributed
from xpert.training.data import Dataset, augmented
from xpert.training.disturbance import Disturbance, training_noise
from xpert.training.settings import TrainingSettings
from xpert.training.streaming import in_batches
from xpert.training.weights import fill

_SECONDS_BETWEEN_REPORTS = 0.5
_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_VALIDATION_IMAGES = 2000
"""On which accuracy is noted every epoch, at most; more would take a tenth of the time."""

_MODEL, _MOMENTUM, _SLOW = "model.", "momentum.", "slow."

_LOOKAHEAD_STEPS = 5
_LOOKAHEAD_DECAY = 0.95
"""Of the running mean, per step, towards the end of the training; it rises from 0 with the cube of the share of steps
done. Source: Jordan, arXiv 2404.00498, section 3.4."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training."""

    curves: tuple[dict[str, Any], ...]
    """Per epoch: `epoch` (from 1), `loss`, `train_accuracy`, `validation_accuracy` (null without validation images),
    `images_per_second`, `seconds`."""

    precision: str
    """Number format of the products."""

    operations: float
    """Arithmetic operations in all products, forward and backward; a multiplication and an addition are two."""

    @property
    def seconds(self) -> float:
        """Time spent in all epochs, over all resumed parts. [s]."""
        return sum(epoch["seconds"] for epoch in self.curves)


class _Record(DataModel):
    """What a checkpoint says beside its tensors."""

    origin: dict[str, Any]
    """Seed, settings and data of the training."""

    precision: str
    """Number format of the products."""

    curves: list[dict[str, Any]]
    """As in `TrainingResult`, of the finished epochs."""

    step: int
    """Steps done in the epoch under way."""

    loss_sum: float
    """Loss summed over the images of those steps."""

    correct: int
    """Images that were right in those steps."""

    seconds: float
    """Time spent on them. [s]"""


@dataclass
class _State:
    """Where a training stands; beside model and optimiser, all that a checkpoint holds."""

    precision: str
    curves: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    """Loss and number of right images, summed over the steps done in the epoch under way."""

    seconds: float = 0.0


def train(
    model: nn.Module,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    seed: int,
    disturbance: Disturbance | None = None,
    checkpoint: Path | None = None,
    progress: Report | None = None,
) -> TrainingResult:
    """Train a model in place, on its own device.

    Everything random in a step comes from `seed` and the step's number alone, so that a training that was killed and
    goes on from its checkpoint ends, on the same processor and number of threads, with the same bits as one that was
    not. Any module can be trained; what its forward pass adds (noise, converters) is trained against.

    Within `distributed.torchrun_group` several processes share every batch; the one of rank 0 writes and reports. On
    CPUs batch norm takes the statistics of each process's share.

    Args:
        model: Maps normalised images [n, channels, height, width] to logits [n, classes].
        dataset: Its `train` images are trained on; accuracy on the first 2000
            `validation` images, if any, is noted every epoch.
        settings: How.
        seed: Of data order, augmentation, noise and dropout.
        disturbance: What of the analogue hardware disturbs the training.
        checkpoint: File that keeps the state after every epoch, and every minute; if it exists, training goes on from
            it.
        progress: Called about twice a second, and once more at the end of every epoch, with the epoch under way. Its
            figures are `event` ("step" or "epoch"), `step` and `steps` (of the epoch), `loss`, `train_accuracy`,
            `images_per_second`, `operations_per_second`, `seconds`, `seconds_left`; at the end of an epoch
            `validation_accuracy` too.

    Raises:
        ConfigError: If there is nothing to train on, or the processes cannot share a batch evenly.
        RunError: If the loss is not finite any more, or the checkpoint is of another training, broken, or cannot be
            written.

    Source: Sutskever et al., ICML 2013 (Nesterov momentum); Smith and Topin, arXiv 1708.07120 (one rise and fall of the
    learning rate); Szegedy et al., CVPR 2016 (label smoothing); Zhang et al., NeurIPS 2019 (lookahead); Jordan, arXiv
    2404.00498 (images mirrored in every second epoch instead of at random); Joshi et al., Nature Communications 11,
    2473 (2020) (weights held within a few standard deviations).
    """
    n_images = len(dataset.train_labels)
    if not n_images:
        raise ConfigError("dataset: there are no training images")
    keep_freed_memory()
    device = next(model.parameters()).device
    dataset = dataset.to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.SGD(
        _parameter_groups(model, settings),
        lr=0.0,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        fused=True,
    )
    disturbance = disturbance or Disturbance()
    lookahead = _Lookahead(model) if settings.lookahead else None
    origin = {"seed": seed, "settings": settings.model_dump(), "dataset": dataset.name, "images": n_images}
    if checkpoint and checkpoint.exists():
        state = _read_checkpoint(checkpoint, origin, model, optimiser, lookahead)
    else:
        state = _begin(model, dataset, settings, seed)
    leader = distributed.rank() == 0
    epochs = _Epochs(model, dataset, settings, optimiser, lookahead, seed, disturbance, state)

    def save() -> None:
        if checkpoint and leader:
            _write_checkpoint(checkpoint, origin, model, optimiser, lookahead, state)

    epochs.run(save, progress if progress and leader else lambda _: None)
    per_image = training_operations(model, dataset.input_shape)
    steps = settings.epochs * epochs.n_steps
    return TrainingResult(tuple(state.curves), state.precision, steps * epochs.batch_size * per_image)


def _begin(model: nn.Module, dataset: Dataset, settings: TrainingSettings, seed: int) -> _State:
    """The state before the first step, with the quantisers' ranges set."""
    device = dataset.train_images.device
    precision = settings.precision
    if precision == "auto":
        precision = "bfloat16" if bfloat16_is_native(str(device)) else "float32"
    if settings.calibration_images:
        model.train()
        with _own_randomness(device):
            _random(seed, 0)
            calibrate_quantisers(model, dataset.normalised(dataset.train_images[: settings.calibration_images]))
    return _State(precision)


def accuracy(model: nn.Module, images: Images, labels: Tensor, batch_size: int = 512) -> float:
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


def bfloat16_is_native(device: str) -> bool:
    """Whether a device has units for bfloat16 products; others emulate them, up to hundreds of times slower.

    Asked of the processor, not measured: a busy machine must not change what a seed gives.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Learning rate of a step: a linear rise to the peak, then a linear fall."""
    position = (step + 0.5) / n_steps
    if position < settings.warmup:
        edge, way = settings.learning_rate_start, position / settings.warmup
    else:
        edge, way = settings.learning_rate_end, (1 - position) / (1 - settings.warmup)
    return settings.learning_rate * (edge + (1 - edge) * way)


def weight_bound(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Standard deviations within which weights are held after a step: from start to end in half of the steps."""
    widest = max(settings.weight_clip_start, settings.weight_clip)
    return settings.weight_clip * (widest / settings.weight_clip) ** max(0.0, 1 - 2 * step / n_steps)


def training_operations(model: nn.Module, input_shape: tuple[int, int, int]) -> float:
    """Arithmetic operations to train on one image once, in the products of convolution and linear layers.

    Forward, gradient of the weights and gradient of the inputs take the same number each; the first layer needs no
    gradient of its inputs. A multiplication and an addition count as two.

    Args:
        model: Left as it is.
        input_shape: Channels, height and width of an image.
    """
    forward: list[int] = []

    def observe(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        forward.append(2 * layer.weight[0].numel() * output.numel())  # pyright: ignore[reportArgumentType, reportIndexIssue, reportCallIssue]

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(observe) for layer in layers]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape, device=next(model.parameters()).device))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return 3 * sum(forward) - sum(forward[:1])


def _parameter_groups(model: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """What is trained, by penalty and by `rate`, a factor on the learning rate."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    rates = {norm.bias: settings.norm_bias_rate for norm in norms}
    if settings.norm_scale == "fixed":
        rates |= {norm.weight: 0.0 for norm in norms}
    kinds: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_bias = parameter.dim() == 1 and name.rpartition(".")[2] == "bias"
            decay = settings.weight_decay if parameter.dim() > 1 else settings.bias_decay if is_bias else 0.0
            kinds.setdefault((decay, rates.get(parameter, 1.0)), []).append(parameter)
    return [{"params": found, "weight_decay": decay, "rate": rate} for (decay, rate), found in kinds.items()]


def _logit_scale(model: nn.Module, logit_features: float) -> float:
    """What logits are multiplied by in the loss.

    Raises:
        ConfigError: If it depends on the features of a linear layer and there is none.
    """
    if not logit_features:
        return 1.0
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError("logit_features: the network has no nn.Linear, whose features they are")
    return logit_features / linear[-1].in_features


@contextlib.contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Within this context torch's global generators are ours; then they are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _random(seed: int, *place: int) -> tuple[int, int]:
    """Seeds for the data and the noise of one place in a training; torch's own generator, for dropout, is seeded."""
    data_seed, noise_seed, global_seed = (
        int(word) for word in np.random.SeedSequence([seed, *place]).generate_state(3)
    )
    torch.manual_seed(global_seed)
    return data_seed, noise_seed


class _Lookahead:
    """Lookahead: a running mean of the weights and batch statistics, to which they return every few steps."""

    def __init__(self, model: nn.Module) -> None:
        self.fast = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
        self.slow = {name: tensor.clone() for name, tensor in self.fast.items()}

    def update(self, step: int, n_steps: int) -> None:
        if step % _LOOKAHEAD_STEPS and step < n_steps:
            return
        decay = _LOOKAHEAD_DECAY**_LOOKAHEAD_STEPS * (step / n_steps) ** 3 if step < n_steps else 1.0
        for name, slow in self.slow.items():
            self.fast[name].copy_(slow.lerp_(self.fast[name], 1 - decay))


class _Epochs:
    """The epochs of one training."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        settings: TrainingSettings,
        optimiser: torch.optim.Optimizer,
        lookahead: _Lookahead | None,
        seed: int,
        disturbance: Disturbance,
        state: _State,
    ) -> None:
        self.model = model
        self.network = distributed.parallel(model)
        self.dataset = dataset
        self.settings = settings
        self.optimiser = optimiser
        self.lookahead = lookahead
        self.logit_scale = _logit_scale(model, settings.logit_features)
        self.seed = seed
        self.disturbance = disturbance
        self.state = state
        n_images = len(dataset.train_labels)
        self.device = dataset.train_images.device
        self.batch_size = min(settings.batch_size, n_images)
        self.n_steps = n_images // self.batch_size
        workers = distributed.count()
        if self.batch_size % workers:
            raise ConfigError(f"batch_size: {workers} processes cannot share {self.batch_size} images evenly")
        share = self.batch_size // workers
        self.own = slice(distributed.rank() * share, (distributed.rank() + 1) * share)
        self.operations = training_operations(model, dataset.input_shape)
        mirror = settings.flip and dataset.mirror
        draws = torch.rand(n_images, generator=torch.Generator().manual_seed(seed)) if mirror else torch.ones(n_images)
        self.mirrored = (draws < 0.5).to(self.device)
        self.mirror = mirror

    def run(self, save: Callable[[], None], progress: Report) -> None:
        """Train what is left to train."""
        generator = torch.Generator(self.device)
        with (
            _own_randomness(self.device),
            fused(self.model),
            training_noise(self.model, self.disturbance, self.settings.weight_noise, generator) as before_step,
        ):
            for epoch in range(len(self.state.curves), self.settings.epochs):
                self._epoch(epoch, generator, before_step, save, progress)
                save()

    def _epoch(
        self,
        epoch: int,
        noise: torch.Generator,
        before_step: Callable[[], None],
        save: Callable[[], None],
        progress: Report,
    ) -> None:
        state = self.state
        before = state.seconds
        start = reported = saved = time.perf_counter()
        self.model.train()
        order = torch.randperm(
            len(self.mirrored), generator=torch.Generator().manual_seed(_random(self.seed, epoch + 1)[0])
        ).to(self.device)
        batches = list(order.split(self.batch_size)[state.step : self.n_steps])
        images = in_batches(self.dataset.train_images, [batch[self.own] for batch in batches])
        for batch in batches:
            data_seed, noise_seed = _random(self.seed, epoch + 1, state.step + 1)
            noise.manual_seed(noise_seed)
            before_step()
            done = self._step(epoch, batch, next(images), data_seed)
            state.sums += distributed.sum_over_processes(done).cpu()
            state.step += 1
            now = time.perf_counter()
            state.seconds = before + now - start
            if now - reported > _SECONDS_BETWEEN_REPORTS:
                progress(self._progress(self._row(epoch), "step"))
                reported = time.perf_counter()
            if now - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                self._row(epoch)  # a loss that is not finite is not worth saving
                save()
                saved = time.perf_counter()
        row = self._row(epoch)
        images = self.dataset.validation_images[:_VALIDATION_IMAGES]
        labels = self.dataset.validation_labels[:_VALIDATION_IMAGES]
        row["validation_accuracy"] = (
            accuracy(self.model, self.dataset.in_batches(images), labels) if len(labels) else None
        )
        row["seconds"] = before + time.perf_counter() - start
        progress(self._progress(row, "epoch"))
        state.curves.append(row)
        state.step, state.seconds = 0, 0.0
        state.sums.zero_()

    def _step(self, epoch: int, batch: Tensor, images: Tensor, data_seed: int) -> Tensor:
        """One step on this process's share of a batch, `images`; its summed loss and number of right images."""
        settings, dataset = self.settings, self.dataset
        draws = torch.rand(4, len(batch), generator=torch.Generator().manual_seed(data_seed))[:, self.own]
        batch = batch[self.own]
        mirrored = self.mirrored[batch] ^ (self.mirror and epoch % 2 == 1)
        labels = dataset.train_labels[batch]
        views = augmented(images, draws.to(self.device), settings.shift, mirrored, settings.cutout)
        done, n_steps = epoch * self.n_steps + self.state.step, settings.epochs * self.n_steps
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * learning_rate(done, n_steps, settings)
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.state.precision == "bfloat16"):
            logits = self.network(dataset.normalised(views))
        loss = F.cross_entropy(logits.float() * self.logit_scale, labels, label_smoothing=settings.label_smoothing)
        loss.backward()
        self.optimiser.step()
        if settings.weight_clip:
            self._hold_weights(weight_bound(done, n_steps, settings))
        if self.lookahead:
            self.lookahead.update(done + 1, n_steps)
        right = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach().double() * len(labels), right.double()])

    @torch.no_grad()
    def _hold_weights(self, deviations: float) -> None:
        for layer in quantised_layers(self.model).values():
            bound = deviations * layer.weight.std()
            layer.weight.clamp_(-bound, bound)

    def _row(self, epoch: int) -> dict[str, Any]:
        """Figures of the epoch so far."""
        state = self.state
        seen = state.step * self.batch_size
        loss, correct = state.sums.tolist()
        if not math.isfinite(loss):
            raise RunError(f"training: the loss became {loss} in epoch {epoch + 1}: lower learning_rate")
        return {
            "epoch": epoch + 1,
            "loss": loss / seen,
            "train_accuracy": correct / seen,
            "images_per_second": seen / state.seconds,
            "seconds": state.seconds,
        }

    def _progress(self, row: dict[str, Any], event: str) -> Progress:
        images_left = ((self.settings.epochs - row["epoch"] + 1) * self.n_steps - self.state.step) * self.batch_size
        figures = {name: value for name, value in row.items() if name != "epoch"} | {
            "event": event,
            "step": self.state.step,
            "steps": self.n_steps,
            "operations_per_second": row["images_per_second"] * self.operations,
            "seconds_left": images_left / row["images_per_second"],
        }
        return Progress(unit="epoch", done=row["epoch"], total=self.settings.epochs, figures=figures)


def _write_checkpoint(
    path: Path,
    origin: dict[str, Any],
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    lookahead: _Lookahead | None,
    state: _State,
) -> None:
    tensors = {_MODEL + name: tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        if "momentum_buffer" in optimiser.state.get(parameter, {}):
            tensors[_MOMENTUM + name] = optimiser.state[parameter]["momentum_buffer"]
    if lookahead:
        tensors |= {_SLOW + name: tensor for name, tensor in lookahead.slow.items()}
    loss_sum, correct = state.sums.tolist()
    record = _Record(
        origin=origin,
        precision=state.precision,
        curves=state.curves,
        step=state.step,
        loss_sum=loss_sum,
        correct=int(correct),
        seconds=state.seconds,
    )
    write_tensors(path, tensors, {"training": record.model_dump_json()})


def _read_checkpoint(
    path: Path, origin: dict[str, Any], model: nn.Module, optimiser: torch.optim.Optimizer, lookahead: _Lookahead | None
) -> _State:
    """Bring model, optimiser and lookahead to the state in a file; where the training stands."""
    try:
        tensors, metadata = read_tensors(path)
        record = _Record.parse(json.loads(metadata["training"]))
        if record.origin != origin:
            changed = next((name for name in origin if record.origin.get(name) != origin[name]), "origin")
            raise RunError(f"{path}: checkpoint of another training: its {changed} differs")
        weights = {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)}
        fill(model, weights, str(path))
        if lookahead:
            for name, tensor in lookahead.slow.items():
                tensor.copy_(tensors[_SLOW + name])
    except (ConfigError, DataError, KeyError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: not a checkpoint to go on from: {error}") from None
    for name, parameter in model.named_parameters():
        if _MOMENTUM + name in tensors:
            buffer = torch.empty_like(parameter, requires_grad=False).copy_(tensors[_MOMENTUM + name])
            optimiser.state[parameter]["momentum_buffer"] = buffer
    sums = torch.tensor([record.loss_sum, float(record.correct)], dtype=torch.float64)
    return _State(record.precision, record.curves, record.step, sums, record.seconds)


__all__ = [
    "TrainingResult",
    "accuracy",
    "bfloat16_is_native",
    "learning_rate",
    "train",
    "training_operations",
    "weight_bound",
]
