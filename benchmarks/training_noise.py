"""What training against the cells' variation is worth: `python -m benchmarks.training_noise`.

A network is trained with and without noise of the device's cells, and with its weights held within some standard
deviations; then its NI-accuracy is measured on the same chips at several precisions, with batch norms of the training
and with those that each chip measures. Without `--data-dir` VGG16 with 16 to 24 channels on handwritten digits; with
it the network of the preset `cifar10-vgg16`, on CIFAR-10.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from xpert.analog import weight_deviation
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import PRECISION_FIELDS, AnalogSettings, Chip, Design, Device, Network, Periphery
from xpert.experiment import load_preset
from xpert.networks import build, space
from xpert.search.precision.bench import ChipBench
from xpert.statistics import accuracy_interval
from xpert.training import Dataset, Disturbance, TrainingSettings, accuracy, load_dataset, train

VARIANTS: dict[str, dict[str, Any]] = {
    "neither": {},
    "noise": {"weight_noise": "device"},
    "noise, weights within 2.5": {"weight_noise": "device", "weight_clip": 2.5},
    "noise, weights within 2": {"weight_noise": "device", "weight_clip": 2.0},
    "noise, weights within 1.5": {"weight_noise": "device", "weight_clip": 1.5},
    "weights within 2.5": {"weight_clip": 2.5},
    "weights within 2": {"weight_clip": 2.0},
}
PRECISIONS = ((8, 8), (6, 8), (4, 4))
FOUND = Path(__file__).parents[1] / "results" / "cifar10" / "designs" / "ours.json"
"""What the preset `cifar10-vgg16` found."""


@dataclass(frozen=True)
class Setting:
    """What is trained and measured."""

    data: Dataset
    network: Network
    training: dict[str, Any] = field(default_factory=dict)
    images: int | None = None
    """Validation images that NI-accuracy is measured on; None for all."""
    calibration: int = 64
    chips: int = 4


def digits() -> Setting:
    """A narrow VGG16 on handwritten digits."""
    data = load_dataset("digits").split(0.25, 0)
    network = space("vgg16", (16, 24), data.input_shape, data.num_classes).network([16] * 4 + [24] * 9)
    return Setting(data, network, {"batch_size": 32, "precision": "float32"})


def cifar10(data_dir: Path) -> Setting:
    """The network that the preset `cifar10-vgg16` finds, its data and its augmentation."""
    preset = load_preset("cifar10-vgg16")
    data = load_dataset("cifar10", data_dir).split(preset.dataset.validation, preset.seed)
    augmentation = preset.training.model_dump(include={"shift", "cutout"})
    return Setting(data, Design.read(FOUND).network, augmentation, images=1000, calibration=256, chips=2)


def measure(setting: Setting, changes: dict[str, Any], sigma: float, epochs: int) -> dict[str, Any]:
    """Software accuracy of a training, and NI-accuracy at each precision."""
    data, network = setting.data, setting.network
    model = build(network, generator=torch.Generator().manual_seed(0))
    chip = Chip(device=Device(programming_sigma=sigma))
    options = {"epochs": epochs} | setting.training | changes
    disturbance = Disturbance(weight_deviation=weight_deviation(chip))
    train(model, data, TrainingSettings.parse(options), seed=0, disturbance=disturbance)
    images, labels = data.normalised(data.validation_images), data.validation_labels
    found: dict[str, Any] = {"software": accuracy(model.eval(), images, labels)}
    calibration = data.normalised(data.train_images[: setting.calibration])
    part = slice(setting.images)
    for name, adaptive in (("ni", False), ("ni_adaptive", True)):
        analog = AnalogSettings(adaptive_batch_norm=adaptive)
        design = Design.homogeneous(network, chip.replace(analog=analog), Periphery())
        bench = ChipBench(model, design, TestSet(images[part], labels[part], calibration), Sampling(0, setting.chips))
        found[name] = {
            f"{adc}/{bits}": accuracy_interval(
                bench(design.with_values(PRECISION_FIELDS, [(adc, bits)] * len(network.layers)))
            )._asdict()
            for adc, bits in PRECISIONS
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sigma", type=float, default=0.1, help="programming variation (default 0.1)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--data-dir", type=Path, help="holds cifar-10-batches-bin: CIFAR-10 in the place of digits")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="some of them, with semicolons")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variants = arguments.variants.split(";")
    if unknown := [name for name in variants if name not in VARIANTS]:
        parser.error(f"--variants: must be of {'; '.join(VARIANTS)}, got {unknown[0]!r}")
    setting = cifar10(arguments.data_dir) if arguments.data_dir else digits()
    rows = {}
    for name in variants:
        rows[name] = row = measure(setting, VARIANTS[name], arguments.sigma, arguments.epochs)
        if not arguments.json:
            print(f"{name:28} software {100 * row['software']:.1f} %", end="")
            for key in ("ni", "ni_adaptive"):
                cells = [f"{pair}: {100 * one['mean']:.1f} %" for pair, one in row[key].items()]
                print(f"   {key}  {'   '.join(cells)}", end="")
            print(flush=True)
    if arguments.json:
        setup = {"sigma": arguments.sigma, "epochs": arguments.epochs, "chips": setting.chips}
        print(json.dumps(setup | {"rows": rows}))


if __name__ == "__main__":
    main()
