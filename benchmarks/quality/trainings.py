"""Sampled networks of the VGG16 space, trained with one small budget, and their training-free scores."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quality.predictors import LONG, STAGES
from xpert.design import Network
from xpert.networks import Space, build, space
from xpert.networks.quantised import unquantised
from xpert.networks.spaces import LEFT_OUT
from xpert.search.quality.additive import total_quality
from xpert.search.quality.scores import SCORES, score
from xpert.training import Dataset, TrainingSettings, load_dataset, train

SIDE = 16
"""Images are CIFAR-10's, reduced to a quarter of their pixels by averaging: a quarter of the work. [pixel]"""

SPACE = space("vgg16", (64, 128, 256, 512), (3, SIDE, SIDE), 10)
VALIDATION = 0.2
"""Share of the training images that accuracy is measured on; the test images are not touched."""

SETTINGS = TrainingSettings(
    epochs=1, batch_size=64, learning_rate=0.1, shift=0, flip=False, calibration_images=0, precision="bfloat16"
)
"""One pass over the other 40 000 images; none is seen twice, so none need be altered."""

NARROW = space("vgg16", (16, 32, 64, 128), (3, SIDE, SIDE), 10)
"""The same backbone with a quarter of the channels: where small chips are, and the quickstart's space."""

SHALLOW = space("vgg16", (16, 32, 48, 64, 96, 128, 192, 256), (3, SIDE, SIDE), 10, kernels=(LEFT_OUT, 3))
"""The same backbone with layers that may be left out."""

LONGER = SETTINGS.replace(epochs=LONG, shift=1, flip=True)
"""Images that are seen again are mirrored and shifted: by one pixel of four, as by two at full size."""


SIZES = ("parameters", "macs", "relu_units", "log_widths")
"""Qualities that need no images."""

SCORE_IMAGES = 64
"""Training images that a score sees, and the seed of its weights is 0: as in a search."""


Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Task:
    """One network to train."""

    group: str
    """`reference` (VGG16's own and homogeneous widths), `sample` and `narrow` (of `SPACE` and `NARROW`, stratified in
    MACs), `shallow` (of `SHALLOW`, likewise, with the longer budget), or `replicate` (of one of these, with another
    seed: how far chance alone moves accuracy)."""

    widths: tuple[int, ...]
    seed: int
    epochs: int = SETTINGS.epochs
    kernels: tuple[int, ...] = ()
    """Of every layer, `LEFT_OUT` for one that is not there; empty: the backbone's own."""

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
        """What makes a training the same."""
        return self.widths, self.kernels, self.seed, self.epochs

    @property
    def network(self) -> Network:
        """What is trained."""
        return SHALLOW.network(self.widths, self.kernels)


def sampled(space: Space, largest_macs: float, strata: int, seed: int) -> list[tuple[int, ...]]:
    """One network out of each of equal steps in the logarithm of MACs, in random order.

    Uniform draws of widths would bunch at the top of the range. Here each network has its own chances of the widths in
    each of the five stages, drawn from a Dirichlet distribution of concentration 1/2: wide at the front and narrow at
    the back, the reverse, all alike.

    Args:
        space: Its smallest network is the low end.
        largest_macs: The high end, per image.
        strata: Steps.
        seed: Of the choice.
    """
    random = np.random.default_rng(seed)
    options = np.array(space.choices[0])
    least = space.network([options[0]] * space.depth).macs

    def draw() -> tuple[tuple[int, ...], float]:
        widths = _drawn_widths(random, options)
        return widths, space.network(widths).macs

    return _stratified(draw, np.geomspace(least, largest_macs, strata + 1), random)


def sampled_shallow(largest_macs: float, strata: int, seed: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Widths and kernels of networks of `SHALLOW`, one out of each step as in `sampled`.

    Each network has its own chance, uniform from 0 to 1, of leaving out a layer that may be left out.
    """
    random = np.random.default_rng(seed)
    options = np.array(SHALLOW.choices[0])
    optional = np.array([LEFT_OUT in kernels for kernels in SHALLOW.kernels])
    least = SHALLOW.network([options[0]] * SHALLOW.depth, np.where(optional, LEFT_OUT, _OWN).tolist()).macs

    def draw() -> tuple[tuple[tuple[int, ...], tuple[int, ...]], float]:
        kernels = np.where(optional & (random.random(len(optional)) < random.random()), LEFT_OUT, _OWN).tolist()
        widths = list(_drawn_widths(random, options))
        for index, kernel in enumerate(kernels[: SHALLOW.depth]):
            if kernel == LEFT_OUT:  # what enters it passes by
                widths[index] = widths[index - 1]
        found = tuple(widths), tuple(kernels)
        return found, SHALLOW.network(*found).macs

    return _stratified(draw, np.geomspace(2 * least, largest_macs, strata + 1), random)


_OWN = np.array([position.kernel for position in SHALLOW.positions])


def _drawn_widths(random: np.random.Generator, options: NDArray[np.int64]) -> tuple[int, ...]:
    chances = random.dirichlet([0.5] * len(options), size=5)
    return tuple(int(random.choice(options, p=chances[stage])) for stage in STAGES)


def _stratified(
    draw: Callable[[], tuple[Drawn, float]], edges: NDArray[np.float64], random: np.random.Generator
) -> list[Drawn]:
    """Draws until there is one in every step between edges; in random order."""
    found: dict[int, Drawn] = {}
    while len(found) < len(edges) - 1:
        drawn, size = draw()
        stratum = int(np.searchsorted(edges, size, side="right")) - 1
        if 0 <= stratum < len(edges) - 1 and drawn not in found.values():
            found.setdefault(stratum, drawn)
    return [found[int(stratum)] for stratum in random.permutation(len(edges) - 1)]


def plan() -> list[Task]:
    """All trainings, in an order of which every beginning is useful."""
    vgg16 = SPACE.default_channels
    alike = {width: (width,) * SPACE.depth for width in (16, 32, 64, 128)}
    samples = sampled(SPACE, 1.3 * SPACE.network(vgg16).macs, strata=40, seed=4)
    narrow = sampled(NARROW, 1.3 * SPACE.network(alike[64]).macs, strata=14, seed=5)
    cheap = sorted(samples[:12], key=lambda widths: SPACE.network(widths).macs)[:4]
    again = [Task("replicate", widths, 1) for widths in (alike[64], alike[32], *cheap, alike[128], vgg16)]
    reference = [Task("reference", widths, 0) for widths in (vgg16, *(alike[width] for width in (64, 128, 32, 16)))]
    sample = [Task("sample", widths, 0) for widths in samples]
    small = [Task("narrow", widths, 0) for widths in narrow]
    # A third of the way through, chance and the narrow end are known; what costs most comes last.
    order = reference + sample[:8] + again[:6] + small + sample[8:] + again[6:]
    dear = [task for task in order[5:] if SPACE.network(task.widths).macs > 6e7]
    return [task for task in order if task not in dear] + dear + _longer()


def _longer() -> list[Task]:
    """The trainings with the longer budget."""
    drawn = sampled_shallow(1.5e7, strata=40, seed=6)
    shallow = [Task("shallow", widths, 0, LONG, kernels) for widths, kernels in drawn]
    whole = [Task("reference", (width,) * SPACE.depth, 0, LONG) for width in (64, 32, 128)]
    again = [replace(task, group="replicate", seed=1) for task in (*shallow[:3], whole[0])]
    return shallow[:6] + whole[:1] + shallow[6:16] + again + shallow[16:] + whole[1:]


def reduced(dataset: Dataset) -> Dataset:
    """The same images, every square of pixels averaged."""

    def smaller(pixels: Tensor) -> Tensor:
        mean = F.avg_pool2d(pixels.float(), pixels.shape[-1] // SIDE) if len(pixels) else pixels[..., :SIDE, :SIDE]
        return mean.round().to(torch.uint8).contiguous(memory_format=torch.channels_last)

    parts = ("train_images", "validation_images", "test_images")
    return replace(dataset, **{part: smaller(getattr(dataset, part)) for part in parts})


@torch.inference_mode()
def measured(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Accuracy and cross-entropy [nat] on the validation images."""
    model.eval()
    loss, correct = 0.0, 0
    batches = zip(dataset.validation_images.split(500), dataset.validation_labels.split(500))
    for batch, labels in batches:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(dataset.normalised(batch)).float()
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
    count = len(dataset.validation_labels)
    return {"accuracy": correct / count, "cross_entropy": loss / count}


def read_lines(path: Path) -> Iterator[dict]:
    """The objects of a JSON-lines file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def append_line(path: Path, row: dict) -> None:
    """Add one object to a JSON-lines file; it is on disk, whole, when the call returns."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(row).encode() + b"\n")
        os.fsync(file.fileno())


def row_key(row: dict) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """`Task.key` of a line of the file."""
    return tuple(row["widths"]), tuple(row["kernels"]), row["seed"], row["epochs"]


def train_all(path: Path, data_dir: str, tasks: list[Task]) -> None:
    """Train what is not in the file yet, and add its accuracy to it."""
    whole = reduced(load_dataset("cifar10", data_dir).split(VALIDATION, seed=0))
    # `train` would measure accuracy without bfloat16, after every epoch.
    alone = replace(whole, validation_images=whole.validation_images[:0], validation_labels=whole.validation_labels[:0])
    for number, task in enumerate(tasks, 1):
        # Read anew every time: another process may be at work on the same plan.
        rows = read_lines(path) if path.exists() else ()
        if task.key in {row_key(row) for row in rows}:
            continue
        network = task.network
        model = build(network, generator=torch.Generator().manual_seed(task.seed))
        settings = SETTINGS if task.epochs == 1 else LONGER
        started, cpu_started = time.perf_counter(), time.process_time()
        with unquantised(model):
            result = train(model, alone, settings, seed=task.seed)
            figures = measured(model, whole)
        row = {
            "group": task.group,
            "widths": task.widths,
            "kernels": task.kernels,
            "seed": task.seed,
            "epochs": task.epochs,
            "images": task.epochs * len(alone.train_labels),
            "macs": network.macs,
            **figures,
            "train_loss": result.curves[-1]["loss"],
            "cpu_seconds": round(time.process_time() - cpu_started, 1),
        }
        append_line(path, row)
        wall = time.perf_counter() - started
        print(
            f"{time.strftime('%H:%M:%S')} {number}/{len(tasks)} {task.group:9} {figures['accuracy']:.4f} "
            f"{figures['cross_entropy']:.4f} {network.macs / 1e6:6.1f}M {row['cpu_seconds']} CPU s {wall:.0f} s "
            f"{' '.join(map(str, task.widths))} {''.join(map(str, task.kernels))} seed {task.seed}",
            flush=True,
        )


def about() -> dict[str, str]:
    """Where and when the trainings of both budgets ran: for the page of results."""
    here = f"a {os.cpu_count()}-core {platform.machine()}, {date.today().isoformat()}"
    return {"short": here, "long": here, "torch": torch.__version__}


def score_all(path: Path, data_dir: str, tasks: list[Task]) -> None:
    """Compute the training-free scores of networks that are not in the file yet."""
    done = {(tuple(row["widths"]), tuple(row["kernels"])) for row in read_lines(path)} if path.exists() else set()
    dataset = reduced(load_dataset("cifar10", data_dir).split(VALIDATION, seed=0))
    images = dataset.normalised(dataset.train_images[:SCORE_IMAGES])
    labels = dataset.train_labels[:SCORE_IMAGES]
    for (widths, kernels), network in {(task.widths, task.kernels): task.network for task in tasks}.items():
        if (widths, kernels) in done:
            continue
        scores, seconds = {}, {}
        for name in (*SIZES, *SCORES):
            started = time.process_time()
            scores[name] = total_quality(name, network) if name in SIZES else score(name, network, images, labels)
            seconds[name] = round(time.process_time() - started, 4)
        append_line(path, {"widths": widths, "kernels": kernels, "scores": scores, "cpu_seconds": seconds})
        print(f"{time.strftime('%H:%M:%S')} {' '.join(map(str, widths))} {''.join(map(str, kernels))}", flush=True)
