"""What each ingredient of the recipe is worth: `python -m benchmarks.recipe --data-dir DIR --rows FILE [--page FILE]`.

A network of seven layers on CIFAR-10 is trained with the whole recipe, and then with one ingredient changed at a time.
What counts is NI-accuracy: of chips whose cells vary by 5 %, with 4- and 5-bit ADCs and 5-bit inputs, on held-back
images. Every row is kept as soon as it is measured, so that a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from xpert.analog import weight_deviation
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import PRECISION_FIELDS, AnalogSettings, Chip, Design, Device, Network, Periphery
from xpert.files import write_atomically
from xpert.networks import build, space
from xpert.search.precision.bench import ChipBench
from xpert.training import Dataset, Disturbance, TrainingSettings, accuracy, load_dataset, train

RECIPE: dict[str, Any] = {
    "learning_rate": 0.163,
    "learning_rate_start": 0.2,
    "learning_rate_end": 0.07,
    "warmup": 0.23,
    "momentum": 0.85,
    "weight_decay": 1.53e-3,
    "bias_decay": 2.4e-5,
    "norm_bias_rate": 64.0,
    "norm_scale": "fixed",
    "logit_features": 28.0,
    "initialisation": "dirac",
    "label_smoothing": 0.2,
    "shift": 2,
    "lookahead": True,
    "weight_clip": 2.5,
    "weight_clip_start": 12.0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "initialisation: he": {"initialisation": "he"},
    "learned norm scale, bias rate 8": {"norm_scale": "learned", "norm_bias_rate": 8.0},
    "logits not scaled": {"logit_features": 0.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "weight decay 5e-4": {"weight_decay": 5e-4},
    "no lookahead": {"lookahead": False},
    "shift 4, cutout 8": {"shift": 4, "cutout": 8},
    "no clip": {"weight_clip": 0.0, "weight_clip_start": 0.0},
    "clip 2.5 from the start": {"weight_clip_start": 0.0},
    "noise of the cells": {"weight_noise": "device"},
    "learning rate from 0 to 0": {"learning_rate_start": 0.0, "learning_rate_end": 0.0, "warmup": 0.2},
}
DEFAULTS = {"shift": 2, "weight_noise": "device", "weight_clip": 2.0}
"""What was the recipe before, beside the defaults of the settings."""

ADC_BITS = (4, 5)
INPUT_BITS = 5
IMAGES, CHIPS, CALIBRATION = 1000, 2, 256


def network(width: float) -> Network:
    """VGG16 without six of its layers; full width has 116 million multiplications."""
    present = (3, 3, 3, 3, 0, 0, 3, 0, 0, 3, 0, 0, 3, 1)
    widths = [round(width * channels) for channels in (32, 64, 64, *[256] * 10)]
    return space("vgg16", (16, 512), kernels=(0, 3)).network(widths, present)


def measure(data: Dataset, description: Network, settings: TrainingSettings, seed: int) -> dict[str, Any]:
    """Accuracies of one training, and its time."""
    chip = Chip(device=Device(programming_sigma=0.05), analog=AnalogSettings(adaptive_batch_norm=True))
    model = build(description, generator=torch.Generator().manual_seed(seed), initialisation=settings.initialisation)
    begin = time.process_time()
    train(model, data, settings, seed=seed, disturbance=Disturbance(weight_deviation=weight_deviation(chip)))
    seconds = time.process_time() - begin
    images, labels = data.normalised(data.validation_images), data.validation_labels
    test = TestSet(images[:IMAGES], labels[:IMAGES], data.normalised(data.train_images[:CALIBRATION]))
    design = Design.homogeneous(description, chip, Periphery())
    bench = ChipBench(model, design, test, Sampling(seed, CHIPS))

    def ni_accuracy(adc_bits: int) -> float:
        pairs = [(adc_bits, INPUT_BITS)] * len(description.layers)
        return float(bench(design.with_values(PRECISION_FIELDS, pairs)).mean())

    return {
        "seconds": seconds,
        "software": accuracy(model.eval(), images, labels),
        "ni": {str(bits): ni_accuracy(bits) for bits in ADC_BITS},
    }


def page(rows: list[dict[str, Any]], command: str, about: str) -> str:
    """The table of all variants, as Markdown: means over seeds, and the range."""
    text = [
        "# The recipe, ingredient by ingredient",
        "",
        f"CIFAR-10, {about}",
        "",
        f"    {command}",
        "",
        "| change | seeds | software | NI, 4-bit ADCs | NI, 5-bit ADCs | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["variant"] for row in rows):
        of_name = [row for row in rows if row["variant"] == name]
        cells = [
            _spread([row["software"] for row in of_name]),
            *(_spread([row["ni"][str(bits)] for row in of_name]) for bits in ADC_BITS),
        ]
        minutes = mean(row["seconds"] for row in of_name) / 60
        text.append(f"| {name} | {len(of_name)} | {' | '.join(cells)} | {minutes:.1f} |")
    return "\n".join(text) + "\n"


def _spread(values: list[float]) -> str:
    middle = f"{100 * mean(values):.1f} %"
    return middle if len(values) == 1 else f"{middle} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds cifar-10-batches-bin")
    parser.add_argument("--rows", type=Path, required=True, help="where rows are kept, one JSON object a line")
    parser.add_argument("--page", type=Path, help="where the table goes, as Markdown")
    parser.add_argument("--width", type=float, default=0.5, help="of all layers, as a share of 32 to 256 channels")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", default=";".join([*VARIANTS, "before"]), help="some of them, with semicolons")
    parser.add_argument("--json", action="store_true", help="print the rows as one JSON object")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("cifar10", arguments.data_dir).split(0.1, 7)
    description = network(arguments.width)
    chosen = arguments.variants.split(";")
    if unknown := [name for name in chosen if name not in VARIANTS and name != "before"]:
        parser.error(f"--variants: must be of {'; '.join([*VARIANTS, 'before'])}, got {unknown[0]!r}")
    place = {"width": arguments.width, "epochs": arguments.epochs}
    lines = arguments.rows.read_text(encoding="utf-8").splitlines() if arguments.rows.exists() else []
    rows = [json.loads(line) for line in lines]
    for seed in range(arguments.seeds):
        for name in chosen:
            key = place | {"variant": name, "seed": seed}
            if any(key.items() <= row.items() for row in rows):
                continue
            changes = DEFAULTS if name == "before" else RECIPE | VARIANTS[name]
            settings = TrainingSettings.parse(changes | {"epochs": arguments.epochs})
            rows.append(key | measure(data, description, settings, seed))
            write_atomically(arguments.rows, "".join(json.dumps(row) + "\n" for row in rows))
            if not arguments.json:
                print(json.dumps(rows[-1]), flush=True)
    rows = [row for row in rows if place.items() <= row.items() and row["variant"] in chosen]
    if arguments.json:
        print(json.dumps({"rows": rows}))
    if arguments.page:
        command = (
            f"python -m benchmarks.recipe --data-dir data --rows rows.jsonl --page {arguments.page} "
            f"--width {arguments.width:g} --epochs {arguments.epochs} --seeds {arguments.seeds}"
        )
        about = (
            f"45,000 images, {arguments.epochs} epochs, the network of `benchmarks/recipe.py` at width "
            f"{arguments.width:g}, one thread. Software accuracy is on 5,000 held-back images, NI-accuracy on {IMAGES} "
            f"of them and {CHIPS} chips (5 % variation, {INPUT_BITS}-bit inputs). Means, and the range over seeds."
        )
        write_atomically(arguments.page, page(rows, command, about))


if __name__ == "__main__":
    main()
