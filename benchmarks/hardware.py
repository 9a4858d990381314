"""Speed of the hardware model: `python -m benchmarks.hardware [--json] [--repeats N] [--designs N] [--switches]`.

One process, one core. The work is VGG16 on 32x32 images with 64 to 512 channels. The baseline of the batched figures is
a loop of our own `evaluate` in the same run; that of one evaluation is the reference simulator, DNN+NeuroSim V1.3, with
53 CPU seconds for one VGG16 chip once its traces are written (median of five runs on a comparable core).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from xpert.design import Chip, Design, Periphery
from xpert.hardware import PHYSICAL, PeripheryArrays, Switches, cost_tables, evaluate, evaluate_batch
from xpert.networks.spaces import space
from xpert.workload.layers import Workload

REFERENCE_SECONDS = 53.0
CHIP = Chip()
SPACE = space("vgg16", (64, 128, 256, 512))
OPTIONS = [
    Periphery(adc_type=kind, columns_per_adc=sharing, adc_bits=bits, input_bits=inputs)
    for kind in ("sar", "flash")
    for sharing in (2, 4, 8, 16, 32)
    for bits in range(3, 9)
    for inputs in range(1, 9)
]
COLD_START = """
from xpert.design import Chip, Design, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
vgg = space("vgg16")
evaluate(Design.homogeneous(vgg.network(vgg.default_channels), Chip(), Periphery())).to_dict()
"""


def best_of(task: Callable[[], object], repeats: int) -> float:
    """Least wall time of a task. [s]"""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return min(times)


def draw(n_designs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random designs: indices of widths [designs, layers - 1] and of options [designs, layers]."""
    generator = np.random.default_rng(seed)
    widths = generator.integers(0, 4, (n_designs, SPACE.depth))
    return widths, generator.integers(0, len(OPTIONS), (n_designs, SPACE.depth + 1))


def single(repeats: int) -> dict[str, float]:
    """One VGG16 chip, in a fresh interpreter and in a running one."""
    design = Design.homogeneous(SPACE.network(SPACE.default_channels), CHIP, Periphery())
    command = [sys.executable, "-c", COLD_START]
    cold = best_of(lambda: subprocess.run(command, check=True), repeats)  # noqa: S603
    warm = best_of(lambda: evaluate(design), 5 * repeats)
    return {
        "cold_start_seconds": cold,
        "warm_seconds": warm,
        "baseline_seconds": REFERENCE_SECONDS,
        "times_faster_cold": REFERENCE_SECONDS / cold,
    }


def tables(repeats: int, n_designs: int) -> dict[str, float]:
    """Cost tables of all layers, and designs looked up in them."""
    seconds = best_of(lambda: cost_tables(CHIP, SPACE, OPTIONS), repeats)
    filled = cost_tables(CHIP, SPACE, OPTIONS)
    widths, options = draw(n_designs)
    gathered = best_of(lambda: filled.totals(widths, options), repeats)
    return {
        "entries": float(sum(table.area.size for table in filled.layers)),
        "seconds": seconds,
        "designs_per_second": n_designs / gathered,
        "baseline_designs_per_second": 1 / best_of(_one_design, 3 * repeats),
    }


def batch(repeats: int, n_designs: int) -> dict[str, float]:
    """Full evaluation, not by tables, of chips whose layers all differ."""
    widths, options = draw(n_designs)
    out = np.concatenate([np.array((64, 128, 256, 512))[widths], np.full((n_designs, 1), 10)], axis=1)
    into = np.concatenate([np.full((n_designs, 1), 3), out[:, :-1]], axis=1)
    base = Workload.from_network(SPACE.network(SPACE.default_channels))
    workload = base.with_channels(into, out)
    periphery = PeripheryArrays.of(OPTIONS)[options]
    seconds = best_of(lambda: evaluate_batch(CHIP, workload, periphery), repeats)
    return {
        "chips": float(n_designs),
        "chips_per_second": n_designs / seconds,
        "baseline_chips_per_second": 1 / best_of(_one_design, 3 * repeats),
    }


def switches() -> dict[str, dict[str, float]]:
    """Relative change of VGG16's figures (8 columns per 6-bit SAR ADC) where one switch follows the reference."""
    design = Design.homogeneous(SPACE.network(SPACE.default_channels), CHIP, Periphery())
    usual = evaluate(design)
    changes = {}
    for field in fields(Switches):
        other = evaluate(design, replace(PHYSICAL, **{field.name: False}))
        changes[field.name] = {
            name: float(getattr(other, name) / getattr(usual, name) - 1)
            for name in ("area", "latency", "energy", "edap", "tops_per_watt")
        }
    return changes


def _one_design() -> None:
    widths, options = draw(1)
    network = SPACE.network([SPACE.choices[k][w] for k, w in enumerate(widths[0])])
    evaluate(Design(chip=CHIP, network=network, periphery=tuple(OPTIONS[o] for o in options[0])))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of which the best counts (default 3)")
    parser.add_argument("--designs", type=int, default=10_000, help="chips in the batch (default 10000)")
    parser.add_argument("--switches", action="store_true", help="the effect of every switch on VGG16 instead")
    arguments = parser.parse_args()
    figures = (
        switches()
        if arguments.switches
        else {
            "one_vgg16_chip": single(arguments.repeats),
            "cost_tables_vgg16": tables(arguments.repeats, 100 * arguments.designs),
            "batch_of_vgg16_chips": batch(arguments.repeats, arguments.designs),
        }
    )
    if arguments.json:
        print(json.dumps({"numpy": np.__version__, "figures": figures}))
        return
    for name, values in figures.items():
        print(name)
        for quantity, value in values.items():
            print(f"  {quantity:36} {value:10.4g}")


if __name__ == "__main__":
    main()
