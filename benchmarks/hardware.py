"""Speed of the hardware model: `python -m benchmarks.hardware [--json] [--repeats N] [--designs N] [--switches]`.

One process, one thread. The work is VGG16 on 32x32 images with 64 to 512 channels, and every periphery among 2 ADC
types, 5 sharings, 6 ADC precisions and 8 input precisions. Beside each figure stands its baseline. That of the batched
figures is a loop of our own `evaluate` in the same run; that of one evaluation is the reference simulator, DNN+NeuroSim
V1.3, with 53 CPU seconds for one VGG16 chip once its traces are written (median of five runs on a comparable core).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xpert.design import Chip, Design, Periphery, options_of
from xpert.hardware import PHYSICAL, PeripheryArrays, Switches, cost_tables, evaluate, evaluate_batch
from xpert.networks.spaces import space
from xpert.workload.layers import Workload

REFERENCE_SECONDS = 53.0
CHIP = Chip()
SPACE = space("vgg16", (64, 128, 256, 512))
OPTIONS = options_of(
    Periphery(),
    adc_type=("sar", "flash"),
    columns_per_adc=(2, 4, 8, 16, 32),
    adc_bits=range(3, 9),
    input_bits=range(1, 9),
)
DESIGN = Design.homogeneous(SPACE.network(SPACE.default_channels), CHIP, Periphery())
_CHUNK = 1_000_000
"""Designs that the stream holds at a time."""


class Time(NamedTuple):
    """Of a task, the least of some rounds."""

    wall: float
    """Seconds on the clock."""
    cpu: float
    """Seconds on processors."""


def best_of(task: Callable[[], object], repeats: int) -> Time:
    """Least times of a task, of what it starts included."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, before = time.perf_counter(), os.times()
        task()
        walls.append(time.perf_counter() - wall)
        cpus.append(sum(os.times()[:4]) - sum(before[:4]))
    return Time(min(walls), min(cpus))


def draw(n_designs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random designs: indices of widths [designs, layers - 1] and of options [designs, layers]."""
    generator = np.random.default_rng(seed)
    widths = generator.integers(0, 4, (n_designs, SPACE.depth), dtype=np.uint16)
    return widths, generator.integers(0, len(OPTIONS), (n_designs, SPACE.depth + 1), dtype=np.uint16)


def single(repeats: int) -> dict[str, float]:
    """One VGG16 chip: `xpert evaluate` in a fresh interpreter, and `evaluate` in a running one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "design.json"
        DESIGN.write(file)
        command = [sys.executable, "-m", "xpert", "evaluate", str(file)]
        cold = best_of(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), repeats)  # noqa: S603
    warm = best_of(lambda: evaluate(DESIGN), 5 * repeats)
    return {
        "command_seconds": cold.wall,
        "command_cpu_seconds": cold.cpu,
        "evaluate_seconds": warm.wall,
        "baseline_cpu_seconds": REFERENCE_SECONDS,
        "command_times_faster": REFERENCE_SECONDS / cold.cpu,
    }


def tables(repeats: int) -> dict[str, float]:
    """Cost tables of all layers, and designs looked up in them."""
    spent = best_of(lambda: cost_tables(CHIP, SPACE, OPTIONS), repeats)
    filled = cost_tables(CHIP, SPACE, OPTIONS)
    entries = sum(table.area.size for table in filled.layers)
    widths, options = draw(_CHUNK)
    gathered = best_of(lambda: filled.totals(widths, options), repeats)
    one = one_by_one(repeats)
    return {
        "entries": float(entries),
        "seconds": spent.wall,
        "cpu_seconds": spent.cpu,
        "baseline_seconds": one * entries / (SPACE.depth + 1),
        "designs_per_second": _CHUNK / gathered.wall,
        "baseline_designs_per_second": 1 / one,
    }


def batch(repeats: int, n_chips: int = 10_000) -> dict[str, float]:
    """Full evaluation, not by tables, of chips whose layers all differ."""
    widths, options = draw(n_chips)
    out = np.concatenate([np.array((64, 128, 256, 512))[widths], np.full((n_chips, 1), 10)], axis=1)
    into = np.concatenate([np.full((n_chips, 1), 3), out[:, :-1]], axis=1)
    base = Workload.from_network(SPACE.network(SPACE.default_channels))
    workload = base.with_channels(into, out)
    periphery = PeripheryArrays.of(OPTIONS)[options]
    spent = best_of(lambda: evaluate_batch(CHIP, workload, periphery), repeats)
    return {
        "chips": float(n_chips),
        "chips_per_second": n_chips / spent.wall,
        "baseline_chips_per_second": 1 / one_by_one(repeats),
    }


def stream(n_designs: int) -> dict[str, float]:
    """Designs drawn, looked up and compared in chunks, of which only the best is kept. Memory is the process's peak."""
    filled = cost_tables(CHIP, SPACE, OPTIONS)
    start, best, first_peak = time.perf_counter(), np.inf, 0.0
    for seed, done in enumerate(range(0, n_designs, _CHUNK)):
        area, latency, energy = filled.totals(*draw(min(_CHUNK, n_designs - done), seed))
        best = min(best, float(np.min(area * latency * energy)))
        first_peak = first_peak or _peak_memory()
    seconds = time.perf_counter() - start
    # What the figures of all designs and the indices that they come from would take at once.
    per_design = 3 * 8 + 2 * (2 * SPACE.depth + 1)
    return {
        "designs": float(n_designs),
        "seconds": seconds,
        "designs_per_second": n_designs / seconds,
        "least_edap": best,
        "peak_memory_bytes": _peak_memory(),
        "peak_memory_after_first_chunk_bytes": first_peak,
        "baseline_memory_bytes": float(n_designs * per_design),
    }


def _peak_memory() -> float:
    """Largest resident size of this process so far. [byte]"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def one_by_one(repeats: int) -> float:
    """Time of one heterogeneous chip in a loop of `evaluate`. [s]"""
    widths, options = draw(1)
    network = SPACE.network([SPACE.choices[k][w] for k, w in enumerate(widths[0])])
    design = Design(chip=CHIP, network=network, periphery=tuple(OPTIONS[o] for o in options[0]))
    return best_of(lambda: evaluate(design), 3 * repeats).wall


def switches() -> dict[str, dict[str, float]]:
    """Relative change of VGG16's figures (8 columns per 6-bit SAR ADC) where one switch follows the reference."""
    usual = evaluate(DESIGN)
    changes = {}
    for field in fields(Switches):
        other = evaluate(DESIGN, replace(PHYSICAL, **{field.name: False}))
        changes[field.name] = {
            name: float(getattr(other, name) / getattr(usual, name) - 1)
            for name in ("area", "latency", "energy", "edap", "tops_per_watt")
        }
    return changes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of which the best counts (default 3)")
    parser.add_argument(
        "--designs", type=float, default=1e6, help="designs that are streamed, for example 1e8 (default 1e6)"
    )
    parser.add_argument("--switches", action="store_true", help="the effect of every switch on VGG16 instead")
    arguments = parser.parse_args()
    figures = (
        switches()
        if arguments.switches
        else {
            # First, while the process has held nothing else.
            "stream_of_designs": stream(int(arguments.designs)),
            "one_vgg16_chip": single(arguments.repeats),
            "cost_tables_vgg16": tables(arguments.repeats),
            "batch_of_vgg16_chips": batch(arguments.repeats),
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
