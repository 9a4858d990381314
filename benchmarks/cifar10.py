"""Accuracy on CIFAR-10: `python -m benchmarks.cifar10 --out DIR --data-dir DIR [--widths W,W,... | vgg16] [--float]`.

Trains VGG16 of given widths by `xpert.training.train` and takes the test accuracy once, at the end. A killed training
goes on when the same command is given again. Prints one JSON object: accuracies, time, arithmetic operations, every
setting.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import torch

from xpert.analog import weight_deviation
from xpert.design import Chip
from xpert.experiment.run import versions
from xpert.files import write_atomically
from xpert.networks import build, space
from xpert.networks.quantised import unquantised
from xpert.progress import Progress
from xpert.training import Disturbance, TrainingSettings, accuracy, distributed, load_dataset, save_weights, train


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, weights and result")
    parser.add_argument("--data-dir", type=Path, required=True, help="holds cifar-10-batches-bin")
    parser.add_argument("--widths", default="vgg16", help="13 widths with commas, or vgg16 for the original ones")
    parser.add_argument("--float", action="store_true", help="without quantisation")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--input-bits", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", type=float, default=0.02, help="share of the training images held back")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of the training")
    return parser.parse_args()


def main() -> None:
    """Train, measure, print."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    changes: dict[str, Any] = {"epochs": arguments.epochs}
    for text in arguments.set:
        key, _, value = text.partition("=")
        with contextlib.suppress(ValueError):
            value = json.loads(value)
        changes[key] = value
    settings = TrainingSettings.parse(changes)
    data = load_dataset("cifar10", arguments.data_dir).split(arguments.validation, arguments.seed)
    vgg = space("vgg16", (64, 128, 256, 512))
    original = arguments.widths == "vgg16"
    widths = vgg.default_channels if original else [int(width) for width in arguments.widths.split(",")]
    generator = torch.Generator().manual_seed(arguments.seed)
    model = build(vgg.network(widths), input_bits=arguments.input_bits, generator=generator)

    def show(progress: Progress) -> None:
        if progress.figures["event"] == "epoch":
            print(json.dumps({"epoch": progress.done, "epochs": progress.total, **progress.figures}), flush=True)

    start = time.process_time()
    with distributed.torchrun_group() as device, unquantised(model) if arguments.float else contextlib.nullcontext():
        model.to(device)
        disturbance = Disturbance(weight_deviation=weight_deviation(Chip()))
        checkpoint = arguments.out / "checkpoint"
        result = train(
            model, data, settings, seed=arguments.seed, disturbance=disturbance, checkpoint=checkpoint, progress=show
        )
        if distributed.rank():
            return
        save_weights(model, arguments.out / "weights.safetensors")
        test = data.to(device).in_batches(data.test_images.to(device)), data.test_labels.to(device)
        found = {"test_accuracy": accuracy(model, *test)}
        with unquantised(model):
            found["test_accuracy_float"] = accuracy(model, *test)
    figures = found | {
        "validation_accuracy": result.curves[-1]["validation_accuracy"],
        "seconds": result.seconds,
        "processor_seconds_of_this_part": time.process_time() - start,
        "operations": result.operations,
        "number_format": result.precision,
        "threads": torch.get_num_threads(),
        "widths": list(widths),
        "float": arguments.float,
        "input_bits": arguments.input_bits,
        "seed": arguments.seed,
        "settings": settings.model_dump(),
        "versions": versions(),
        "curve": list(result.curves),
    }
    write_atomically(arguments.out / "result.json", json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
