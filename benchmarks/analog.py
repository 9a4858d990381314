"""Speed of the analog simulation: `python -m benchmarks.analog [--json] [--threads N] [--repeats N]`.

The work is that of the published comparison: 3x3 convolutions, batch 16, 8-bit weights in 4-bit cells, 64 rows, 8 input
bits, 6-bit ADCs, programming variation of 10 %. The baseline of each layer is measured in the same run, in turns: the
fp32 matrix products alone that a bit-serial simulation needs, without unrolling, conversion or shift-add.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

from xpert.analog import AnalogSettings, layer_errors, to_analog
from xpert.design import Chip, Design, Device, Network, Periphery
from xpert.networks import build, space
from xpert.networks.quantised import QuantConv2d, calibrate
from xpert.workload.trace import trace

BATCH = 16
LAYERS = {"conv_64_to_64_on_32x32": (64, 32), "conv_128_to_128_on_16x16": (128, 16)}
CHIP = Chip(rows=64, weight_bits=8, device=Device(cell_bits=4, programming_sigma=0.1))
PERIPHERY = Periphery(adc_bits=6, input_bits=8)


def in_turns(tasks: list[Callable[[], object]], repeats: int) -> list[float]:
    """Least wall time of each task; one of each per round, so that a busy moment meets all alike. [s]"""
    best = [float("inf")] * len(tasks)
    for _ in range(repeats + 1):
        for index, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def layer_speed(channels: int, side: int, repeats: int) -> dict[str, float]:
    """Images per second through one layer, and by its matrix products alone."""
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(QuantConv2d(channels, channels, 3, padding=1, bias=False))
    images = torch.randn((BATCH, channels, side, side), generator=generator).relu()
    calibrate(model, images)
    network = Network(
        backbone="custom", input_shape=(channels, side, side), layers=trace(model, (channels, side, side))
    )
    design = Design.homogeneous(network, CHIP, PERIPHERY)
    settings = AnalogSettings(reference_variation=True)
    analog = to_analog(model, design, generator=generator, settings=settings, calibration=images)
    layer = model[0]
    assert isinstance(layer, QuantConv2d)
    positions = BATCH * side * side
    planes = torch.randint(0, 2, (8192, CHIP.rows), generator=generator).float()
    cells = torch.randn((CHIP.rows, CHIP.weight_slices * channels), generator=generator)
    products = torch.empty((len(planes), cells.shape[1]))
    blocks = 9 * channels // CHIP.rows
    calls = positions * PERIPHERY.input_bits * blocks // len(planes)

    def bound() -> None:
        for _ in range(calls):
            torch.mm(planes, cells, out=products)

    with torch.no_grad():
        ours, fp32, plain = in_turns([lambda: analog(images), bound, lambda: model(images)], repeats)
    return {
        "images_per_second": BATCH / ours,
        "baseline_images_per_second": BATCH / fp32,
        "share_of_baseline": fp32 / ours,
        "quantised_layer_images_per_second": BATCH / plain,
    }


def network_speed() -> dict[str, float]:
    """Whole networks: VGG16 with 16 ... 128 channels on 32x32 images."""
    vgg = space("vgg16", (16, 32, 64, 128), input_shape=(3, 32, 32), num_classes=10)
    network = vgg.network(vgg.default_channels)
    generator = torch.Generator().manual_seed(0)
    model = build(network, generator=generator).eval()
    images = torch.randn((32, 3, 32, 32), generator=generator)
    calibrate(model, images)
    design = Design.homogeneous(network, CHIP, PERIPHERY)
    analog = to_analog(model, design, generator=generator, calibration=images)
    options = [(adc_bits, input_bits) for adc_bits in (4, 5, 6, 7, 8) for input_bits in (4, 6, 8)]
    with torch.no_grad():
        forward, plain = in_turns([lambda: analog(images), lambda: model(images)], 1)
    start = time.perf_counter()
    layer_errors(model, design, images, options, generator=generator)
    return {
        "images_per_second": len(images) / forward,
        "baseline_images_per_second": len(images) / plain,
        "layer_errors_seconds": time.perf_counter() - start,
        "layer_errors_options": len(options),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of which the best counts (default 5)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, dict[str, float]] = {
        name: layer_speed(channels, side, arguments.repeats) for name, (channels, side) in LAYERS.items()
    }
    figures["vgg16_16_to_128_channels"] = network_speed()
    if arguments.json:
        print(json.dumps({"threads": arguments.threads, "torch": torch.__version__, "figures": figures}))
        return
    for name, values in figures.items():
        print(name)
        for quantity, value in values.items():
            print(f"  {quantity:36} {value:10.3g}")


if __name__ == "__main__":
    main()
