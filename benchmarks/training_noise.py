"""What training against the cells' variation is worth: `python -m benchmarks.training_noise [--json] [--sigma S]`.

VGG16 with 16 to 24 channels on handwritten digits is trained with and without noise of the device's cells, and with its
weights held within some standard deviations; then its NI-accuracy is measured on the same chips at several precisions.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from xpert.analog import weight_deviation
from xpert.design import Chip, Design, Device, Periphery
from xpert.networks import build, space
from xpert.search.chip_bench import ChipBench
from xpert.search.precision import with_precisions
from xpert.search.statistics import accuracy_interval
from xpert.training import Hardware, TrainingSettings, accuracy, load_dataset, train

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
CHIPS = 4


def measure(changes: dict[str, Any], sigma: float, epochs: int) -> dict[str, Any]:
    """Software accuracy of a training, and NI-accuracy at each precision."""
    data = load_dataset("digits").split(0.25, 0)
    network = space("vgg16", (16, 24), data.input_shape, data.num_classes).network([16] * 4 + [24] * 9)
    model = build(network, generator=torch.Generator().manual_seed(0))
    chip = Chip(device=Device(programming_sigma=sigma))
    told = {"epochs": epochs, "batch_size": 32, "precision": "float32"} | changes
    hardware = Hardware(weight_deviation=weight_deviation(chip))
    train(model, data, TrainingSettings.parse(told), seed=0, hardware=hardware)
    images, labels = data.normalised(data.validation_images), data.validation_labels
    design = Design.homogeneous(network, chip, Periphery())
    calibration = data.normalised(data.train_images[:64])
    bench = ChipBench(model.eval(), design, images, labels, calibration, seed=0, chips=CHIPS)
    found = {}
    for pair in PRECISIONS:
        interval = accuracy_interval(bench(with_precisions(design, [pair] * len(network.layers))))
        found[f"{pair[0]}/{pair[1]}"] = interval._asdict()
    return {"software": accuracy(model, images, labels), "ni": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sigma", type=float, default=0.1, help="programming variation (default 0.1)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = {}
    for name, changes in VARIANTS.items():
        rows[name] = row = measure(changes, arguments.sigma, arguments.epochs)
        if not arguments.json:
            cells = [f"{key}: {100 * one['mean']:.1f} %" for key, one in row["ni"].items()]
            print(f"{name:28} software {100 * row['software']:.1f} %   NI  {'   '.join(cells)}", flush=True)
    if arguments.json:
        print(json.dumps({"sigma": arguments.sigma, "epochs": arguments.epochs, "chips": CHIPS, "rows": rows}))


if __name__ == "__main__":
    main()
