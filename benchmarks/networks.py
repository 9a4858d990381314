"""What it takes to evaluate networks of others: `python -m benchmarks.networks [--json] [--repeats N] [--page FILE]`.

For each network a process of its own imports the framework, then makes the network, traces it and evaluates the design
on the default chip. Beside the processor time of these stands that of the import, which every use of torch pays, and
the peak memory of the process. Goals: under 2 s and under 1 GiB. Networks of timm are left out where it is not
installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from xpert.files import write_atomically
from xpert.machine import cores, cpu_name, peak_memory_mib

PAGE = Path(__file__).parents[1] / "results" / "networks.md"

TIMM = {
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "MobileNetV2": "mobilenetv2_100",
    "MobileNetV3-large": "mobilenetv3_large_100",
    "EfficientNet-B0": "efficientnet_b0",
    "ViT-tiny": "vit_tiny_patch16_224",
    "DeiT-S": "deit_small_patch16_224",
}
"""Networks for images of 224 x 224, by their names in timm."""

SECONDS, MIB = 2.0, 1024.0
"""Goals."""


def measure(name: str) -> dict[str, Any]:
    """Evaluate one network in this process."""
    import torch

    torch.set_num_threads(1)
    if name in TIMM:
        import timm

        make = lambda: timm.create_model(TIMM[name])  # noqa: E731
        shape: tuple[int, ...] = (3, 224, 224)
    else:
        from benchmarks.tiny_networks import TINY

        make, shape = TINY[name], TINY[name].input_shape
    from xpert.design import Chip, Design, Network, Periphery
    from xpert.hardware import evaluate
    from xpert.workload.trace import trace

    imported, marks = time.process_time(), [time.process_time()]
    module = make().eval()
    marks.append(time.process_time())
    layers = trace(module, shape)
    marks.append(time.process_time())
    network = Network(backbone="custom", input_shape=shape, num_classes=1000, layers=layers)
    figures = evaluate(Design.homogeneous(network, Chip(), Periphery(columns_per_adc=8))).to_dict()
    marks.append(time.process_time())
    made, traced, evaluated = (after - before for before, after in pairwise(marks))
    return {
        "network": name,
        "layers": len(layers),
        "macs": network.macs,
        "area_mm2": figures["area_mm2"],
        "energy_uj": figures["energy_uj"],
        "import_s": imported,
        "make_s": made,
        "trace_s": traced,
        "evaluate_s": evaluated,
        "cpu_s": made + traced + evaluated,
        "peak_mib": peak_memory_mib(),
    }


def measured(name: str, repeats: int) -> dict[str, Any]:
    """The least of some processes, each of its own."""
    runs = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks.networks", "--one", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (our own command)
        runs.append(json.loads(done.stdout.splitlines()[-1]))  # packages may print before
    return min(runs, key=lambda run: run["cpu_s"])


def page(rows: list[dict[str, Any]], command: str) -> str:
    """The page of results."""
    lines = [
        "# Evaluating networks of others\n",
        f"    {command}\n",
        f"Date {date.today().isoformat()}. Machine: {cores()} cores, {cpu_name()}; one thread, other work beside it.\n"
        "Seconds are processor time: to make the network, to trace it, to evaluate it. What the import of torch (and\n"
        f"timm) takes before that stands beside them. Goals: under {SECONDS:g} s and {MIB:g} MiB.\n",
        "| network | layers | MACs | make | trace | evaluate | all | import | peak memory |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['network']} | {row['layers']} | {row['macs'] / 1e6:,.1f} M | "
        f"{row['make_s']:.2f} s | {row['trace_s']:.2f} s | {row['evaluate_s']:.2f} s | {row['cpu_s']:.2f} s | "
        f"{row['import_s']:.1f} s | {row['peak_mib']:.0f} MiB |"
        for row in rows
    ]
    slow = [row["network"] for row in rows if row["cpu_s"] >= SECONDS or row["peak_mib"] >= MIB]
    beyond = ", ".join(slow) or "none"
    lines.append(f"\nBeyond the goals: {beyond}. Chip: the default one, a SAR ADC for 8 columns.\n")
    return "\n".join(lines)


def main() -> None:
    """Measure all networks, and write the page where one is asked for."""
    from benchmarks.tiny_networks import TINY

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--page", type=Path, nargs="?", const=PAGE)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one)))
        return
    there = importlib.util.find_spec("timm") is not None
    rows = [measured(name, given.repeats) for name in (*(TIMM if there else ()), *TINY)]
    if given.page:
        write_atomically(given.page, page(rows, "OMP_NUM_THREADS=1 python -m benchmarks.networks --page"))
    if given.json:
        print(json.dumps({"networks": rows, "goal_cpu_s": SECONDS, "goal_peak_mib": MIB}))
    else:
        for row in rows:
            print(
                f"{row['network']:40} {row['cpu_s']:6.2f} s {row['peak_mib']:6.0f} MiB {row['macs'] / 1e6:10.1f} MMAC"
            )


if __name__ == "__main__":
    main()
