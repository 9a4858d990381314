"""Speed of training: `python -m benchmarks.training [--json] [--threads N] [--repeats N] [--batch N]`.

One training step of VGG16 with 64, 64, 64 and ten times 128 channels on 32x32 images: augmentation, forward, loss,
backward, optimiser, as `xpert.training.train` does it, with integer weights and inputs, and with noise on the weights.
The baseline is measured in the same run, in turns: a plain torch loop that trains the same network without any
quantisation on batches that lie ready, in float32 and in bfloat16. Times are processor times, so that other work on the
machine does not count; with `--threads` above 1 they are wall times.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import weight_deviation
from xpert.design import Chip
from xpert.networks import build, space
from xpert.networks.quantised import QuantConv2d, QuantLinear
from xpert.training import Dataset, Disturbance, TrainingSettings, train
from xpert.training.loop import training_operations

WIDTHS = (64, 64, 64, *[128] * 10)
NETWORK = space("vgg16", (64, 128)).network(WIDTHS)
STEPS = 2


def images(count: int) -> Dataset:
    """Noise in the form of a data set; what images show makes no difference to speed."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8).permute(0, 3, 1, 2)
    labels = torch.randint(0, 10, (count,), generator=generator)
    empty = pixels[:0], labels[:0]
    names = tuple(str(label) for label in range(10))
    return Dataset("noise", names, (0.5,) * 3, (0.3,) * 3, True, pixels, labels, *empty, *empty)


def plain_network() -> nn.Sequential:
    """The network of plain torch layers."""
    modules: list[nn.Module] = []
    for module in build(NETWORK):
        if isinstance(module, QuantConv2d):
            modules.append(nn.Conv2d(module.in_channels, module.out_channels, 3, padding=1, bias=False))
        elif isinstance(module, QuantLinear):
            modules.append(nn.Linear(module.in_features, module.out_features))
        else:
            modules.append(module)
    return nn.Sequential(*modules)


def plain_loop(batch: int, number_format: torch.dtype) -> Callable[[], None]:
    """A plain torch training of STEPS steps on images that lie ready."""
    model = plain_network().to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    data = images(batch)
    x, y = data.normalised(data.train_images), data.train_labels

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=number_format == torch.bfloat16):
            logits: Tensor = model(x)
        F.cross_entropy(logits.float(), y).backward()
        optimiser.step()

    def steps() -> None:
        for _ in range(STEPS):
            step()

    return steps


def our_loop(batch: int, noise: float | str) -> Callable[[], None]:
    """The same number of steps by `train`."""
    data = images(STEPS * batch)
    model = build(NETWORK)
    settings = TrainingSettings.parse(
        {
            "epochs": 1,
            "batch_size": batch,
            "learning_rate": 0.01,
            "weight_noise": noise,
            "calibration_images": 0,
            "precision": "bfloat16",
        }
    )
    disturbance = Disturbance(weight_deviation=weight_deviation(Chip()))
    return lambda: train(model, data, settings, seed=0, disturbance=disturbance) and None


def measure(batch: int, repeats: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Images and arithmetic operations per second of each loop; the best of some rounds, one of each per round."""
    loops = {
        "quantised": our_loop(batch, 0.0),
        "quantised_with_device_noise": our_loop(batch, "device"),
        "plain_torch_bfloat16": plain_loop(batch, torch.bfloat16),
        "plain_torch_float32": plain_loop(batch, torch.float32),
    }
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(repeats + 1):
        for name, loop in loops.items():
            start = clock()
            loop()
            best[name] = min(best[name], clock() - start)
    operations = training_operations(build(NETWORK), (3, 32, 32))
    return {
        name: {
            "images_per_second": STEPS * batch / seconds,
            "operations_per_second": STEPS * batch * operations / seconds,
            "ratio_to_plain_torch_bfloat16": best["plain_torch_bfloat16"] / seconds,
            "ratio_to_plain_torch_float32": best["plain_torch_float32"] / seconds,
        }
        for name, seconds in best.items()
    }


def products_alone(clock: Callable[[], float]) -> float:
    """Operations per second of a 2048 x 2048 matrix product in bfloat16: what the processor can do."""
    a = torch.randn(2048, 2048).bfloat16()
    seconds = []
    for _ in range(5):
        start = clock()
        torch.mm(a, a)
        seconds.append(clock() - start)
    return 2 * 2048**3 / min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of which the best counts (default 3)")
    parser.add_argument("--batch", type=int, default=128, help="images per step (default 128)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    figures = measure(arguments.batch, arguments.repeats, clock)
    matrix = products_alone(clock)
    per_image = training_operations(build(NETWORK), (3, 32, 32))
    if arguments.json:
        run = {"threads": arguments.threads, "batch": arguments.batch, "torch": torch.__version__, "figures": figures}
        print(json.dumps(run | {"operations_per_image": per_image, "matrix_operations_per_second": matrix}))
        return
    print(f"{per_image / 1e9:.3g} G operations per image; a matrix product alone: {matrix / 1e9:.3g} G/s")
    for name, values in figures.items():
        print(name)
        for quantity, value in values.items():
            print(f"  {quantity:32} {value:10.4g}")


if __name__ == "__main__":
    main()
