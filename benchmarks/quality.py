"""What stands in for accuracy, held against accuracy: `python -m benchmarks.quality train`.

`train` trains sampled networks of the VGG16 space (64 ... 512 channels per layer) on CIFAR-10, all with the same small
budget, and notes their accuracy on images held back from training. Networks that are in the file already are skipped,
so a stopped run goes on. It takes about one and a half CPU hours; one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.networks import build, space
from xpert.networks.quantised import unquantised
from xpert.training import Dataset, TrainingSettings, load_dataset, train

RESULTS = Path(__file__).parents[1] / "results" / "quality"
SIDE = 16
"""Images are CIFAR-10's, reduced to a quarter of their pixels by averaging: a quarter of the work. [pixel]"""

SPACE = space("vgg16", (64, 128, 256, 512), (3, SIDE, SIDE), 10)
VALIDATION = 0.2
"""Share of the training images that accuracy is measured on; the test images are not touched."""

SETTINGS = TrainingSettings(
    epochs=1, batch_size=64, learning_rate=0.1, shift=0, flip=False, calibration_images=0, precision="bfloat16"
)
"""One pass over the other 40 000 images; none is seen twice, so none need be altered."""

STRATA = 40
LARGEST_MACS = 1.3
"""Of a sampled network, relative to VGG16's own. [1]"""


@dataclass(frozen=True)
class Task:
    """One network to train."""

    group: str
    """`sample` (stratified in MACs), `reference` (homogeneous widths and VGG16's own), `replicate` (of either, with
    another seed: how far chance alone moves accuracy), or `longer` (with four times the budget)."""

    widths: tuple[int, ...]
    seed: int
    epochs: int = SETTINGS.epochs

    @property
    def key(self) -> tuple[tuple[int, ...], int, int]:
        """What makes a training the same."""
        return self.widths, self.seed, self.epochs


def sampled(strata: int, seed: int) -> list[tuple[int, ...]]:
    """One network out of each of equal steps in the logarithm of MACs, in random order.

    Uniform draws of widths would bunch at the top of the range. Here each network has its own chances of the four
    widths in each of the five stages, drawn from a Dirichlet distribution of concentration 1/2: wide at the front and
    narrow at the back, the reverse, all alike.
    """
    random = np.random.default_rng(seed)
    options = np.array(SPACE.choices[0])
    smallest = SPACE.network([options[0]] * SPACE.depth).macs
    largest = LARGEST_MACS * SPACE.network(SPACE.default_channels).macs
    edges = np.geomspace(smallest, largest, strata + 1)
    found: dict[int, tuple[int, ...]] = {}
    while len(found) < strata:
        chances = random.dirichlet([0.5] * len(options), size=5)
        stages = np.repeat(np.arange(5), (2, 2, 3, 3, 3))
        widths = tuple(int(random.choice(options, p=chances[stage])) for stage in stages)
        stratum = int(np.searchsorted(edges, SPACE.network(widths).macs, side="right")) - 1
        if 0 <= stratum < strata and widths not in found.values():
            found.setdefault(stratum, widths)
    return [found[int(stratum)] for stratum in random.permutation(strata)]


def plan() -> list[Task]:
    """All trainings, in an order of which every beginning is useful."""
    samples = sampled(STRATA, seed=4)
    vgg16 = SPACE.default_channels
    order = [Task("sample", widths, 0) for widths in samples]
    reference = [Task("reference", widths, 0) for widths in (vgg16, *((width,) * 13 for width in (64, 128)))]
    replicated = [vgg16, (64,) * 13, *sorted(samples[:12], key=lambda widths: SPACE.network(widths).macs)[:4]]
    replicates = [Task("replicate", widths, 1) for widths in replicated]
    longer = [Task("longer", widths, 0, 4) for widths in replicated[1:]]
    return reference + order[:12] + replicates + order[12:] + longer


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


def train_all(path: Path, data_dir: str, tasks: list[Task]) -> None:
    """Train what is not in the file yet."""
    done = {(tuple(row["widths"]), row["seed"], row["epochs"]) for row in read_lines(path)} if path.exists() else set()
    whole = reduced(load_dataset("cifar10", data_dir).split(VALIDATION, seed=0))
    # `train` would measure accuracy without bfloat16, after every epoch.
    alone = replace(whole, validation_images=whole.validation_images[:0], validation_labels=whole.validation_labels[:0])
    for number, task in enumerate(tasks, 1):
        if task.key in done:
            continue
        network = SPACE.network(task.widths)
        model = build(network, generator=torch.Generator().manual_seed(task.seed))
        settings = SETTINGS.model_copy(update={"epochs": task.epochs})
        started, cpu_started = time.perf_counter(), time.process_time()
        with unquantised(model):
            result = train(model, alone, settings, seed=task.seed)
            figures = measured(model, whole)
        row = {
            "group": task.group,
            "widths": task.widths,
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
            f"{' '.join(map(str, task.widths))} seed {task.seed}",
            flush=True,
        )


def main() -> None:
    """Run a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train",))
    parser.add_argument("--data-dir", default="data", help="folder of CIFAR-10 (default: data)")
    parser.add_argument("--out", type=Path, default=RESULTS / "accuracies.jsonl", help="file of the trained networks")
    parser.add_argument("--first", type=int, help="only so many trainings")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    train_all(arguments.out, arguments.data_dir, plan()[: arguments.first])


if __name__ == "__main__":
    main()
