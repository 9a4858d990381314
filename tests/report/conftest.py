"""A plausible run of a VGG16 search, made up: every sum holds, the sizes are those of a 32 nm RRAM chip."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from xpert.design import Chip, Design, Layer, Network, Periphery

VGG16 = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
SEARCHED = (64, 64, 128, 128, 128, 256, 256, 256, 256, 128, 128, 128, 128)
POOLED = (2, 4, 7, 10, 13)
TYPICAL = Periphery(adc_type="sar", columns_per_adc=8, adc_bits=6, input_bits=8)


def make_design(name: str, channels: tuple[int, ...], periphery: list[Periphery]) -> Design:
    """A VGG16 of these widths."""
    layers, side = [], 32
    for index, (inside, outside) in enumerate(pairwise((3, *channels)), 1):
        pool = 2 if index in POOLED else 1
        layers.append(
            Layer(
                name=f"conv{index}",
                in_channels=inside,
                out_channels=outside,
                in_height=side,
                in_width=side,
                kernel_height=3,
                kernel_width=3,
                padding=1,
                pool=pool,
            )
        )
        side //= pool
    layers.append(Layer(name="classifier", kind="linear", in_channels=channels[-1], out_channels=10, relu=False))
    network = Network(backbone="vgg16", channels=channels, layers=tuple(layers))
    return Design(name=name, chip=Chip(), network=network, periphery=tuple(periphery))


def make_evaluation(design: Design) -> dict[str, Any]:
    """What `xpert evaluate` might say of a design. The formulas only have the right size and direction."""
    layers = []
    for layer, periphery in zip(design.network.layers, design.periphery, strict=True):
        rows, columns = layer.in_channels * layer.kernel_height * layer.kernel_width, 2 * layer.out_channels
        tiles = math.ceil(math.ceil(rows / 64) * math.ceil(columns / 64) / 64)
        flash, bits, sharing = periphery.adc_type == "flash", periphery.adc_bits, periphery.columns_per_adc
        positions = layer.out_height * layer.out_width
        cycles = positions * periphery.input_bits * sharing
        area = {
            "array": 0.085 * tiles,
            "adc": tiles * 4096 / sharing * (3.0e-5 * 2**bits / 2 if flash else 6.5e-5 * bits),
            "accumulation": 0.1 * tiles * (8 / sharing) ** 0.5,
            "buffers": 0.12 * tiles,
            "interconnect": 0.11 * tiles,
            "other": 0.03 * tiles,
        }
        latency = {
            "array": cycles * 1e-3,
            "adc": cycles * (2e-3 if flash else 8e-3 * bits),
            "accumulation": cycles * 4e-3,
            "buffers": positions * 0.25,
            "interconnect": positions * 0.12,
            "digital": positions * 0.02,
        }
        reads = positions * periphery.input_bits * rows * columns * 1e-9
        energy = {
            "array": 0.9 * reads,
            "adc": reads * (0.045 * 2**bits if flash else 0.75 * bits),
            "accumulation": 1.6 * reads,
            "buffers": positions * (rows * periphery.input_bits + columns * 8) * 9e-8,
            "interconnect": positions * (rows * periphery.input_bits + columns * 8) * 5e-8,
            "digital": positions * columns * 2e-7,
            "leakage": 3e-5 * tiles * sum(latency.values()),
        }
        layers.append(
            {
                "name": layer.name,
                "area_mm2": sum(area.values()),
                "latency_us": sum(latency.values()),
                "energy_uj": sum(energy.values()),
                "leakage_energy_uj": energy["leakage"],
                "tiles": tiles,
                "speed_up": 32 if layer.name == "conv1" else 1,
                "utilization": rows * columns / (tiles * 64 * 64 * 64),
                **periphery.model_dump(),
                "in_channels": layer.in_channels,
                "out_channels": layer.out_channels,
                "breakdown": {"area_mm2": area, "latency_us": latency, "energy_uj": energy},
            }
        )
    breakdown: dict[str, dict[str, float]] = {}
    for field in ("area_mm2", "latency_us", "energy_uj"):
        names = dict.fromkeys(name for layer in layers for name in layer["breakdown"][field])
        breakdown[field] = {name: sum(layer["breakdown"][field][name] for layer in layers) for name in names}
    breakdown["area_mm2"] |= {"buffers": breakdown["area_mm2"]["buffers"] + 1.1, "digital": 0.2}
    area, latency, energy = (sum(part.values()) for part in breakdown.values())
    operations = 2 * design.network.macs
    return {
        "name": design.name,
        "area_mm2": area,
        "latency_us": latency,
        "energy_uj": energy,
        "edap": energy * latency * area,
        "tops_per_watt": operations / energy * 1e-6,
        "tops_per_mm2": operations / latency / area * 1e-6,
        "layers": layers,
        "breakdown": breakdown,
    }


def searched_design() -> Design:
    """A narrower network with its own periphery in every layer."""
    kinds = ["flash"] * 5 + ["sar", "flash", "flash"] + ["sar"] * 6
    sharing = (2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 32, 32, 32)
    adc_bits = (5, 5, 5, 5, 4, 6, 4, 4, 5, 5, 5, 4, 4, 6)
    input_bits = (6, 4, 4, 4, 4, 4, 4, 3, 4, 3, 3, 3, 3, 5)
    fields = ("adc_type", "columns_per_adc", "adc_bits", "input_bits")
    choices = zip(kinds, sharing, adc_bits, input_bits, strict=True)
    return make_design("searched", SEARCHED, [Periphery.model_validate(dict(zip(fields, row))) for row in choices])


def make_results() -> dict[str, Any]:
    """A whole results.json."""
    rng = random.Random(0)
    searched = make_evaluation(searched_design())
    homogeneous = []
    for kind in ("sar", "flash"):
        for sharing in (2, 4, 8, 16, 32):
            periphery = Periphery.model_validate({**TYPICAL.model_dump(), "adc_type": kind, "columns_per_adc": sharing})
            name = f"{kind}-{sharing}"
            row = {"name": name, "evaluation": make_evaluation(make_design(name, VGG16, [periphery] * 14))}
            homogeneous.append({**row, "accuracy": None})
    typical = next(row for row in homogeneous if row["name"] == "sar-8")
    best = min(homogeneous, key=lambda row: row["evaluation"]["edap"])
    typical["accuracy"] = {"ideal": 0.9789, "quantised": 0.9767, "ni_mean": 0.9633, "ni_std": 0.0042, "chips": 5}

    def ratios(baseline: dict[str, Any]) -> dict[str, float]:
        theirs, units = baseline["evaluation"], {"edap": "edap", "energy": "energy_uj", "latency": "latency_us"}
        lower = {name: theirs[field] / searched[field] for name, field in {**units, "area": "area_mm2"}.items()}
        return lower | {name: searched[name] / theirs[name] for name in ("tops_per_watt", "tops_per_mm2")}

    steps = []
    for step in range(300):
        target = 1.9e-3 + 9e-3 * math.exp(-step / 45)
        area = 52 - 16 * (1 - math.exp(-step / 60)) + rng.gauss(0, 3)
        steps.append(
            {"step": step, "objective": target * rng.lognormvariate(0, 0.12), "area_mm2": area, "feasible": area <= 40}
        )
    names = [layer["name"] for layer in searched["layers"]]
    chosen = {
        "adc_bits": [layer["adc_bits"] for layer in searched["layers"]],
        "input_bits": [layer["input_bits"] for layer in searched["layers"]],
        "ni_accuracy": 0.9612,
        **{field: searched[field] for field in ("energy_uj", "latency_us", "edap")},
        "feasible": True,
    }
    tried = [chosen]
    for _ in range(60):
        scale = rng.uniform(0.6, 2.4)
        accuracy = 0.968 - 0.03 * math.exp(-6 * (scale - 0.75)) + rng.gauss(0, 0.004)
        tried.append(
            {
                "adc_bits": [rng.randint(3, 6) for _ in names],
                "input_bits": [rng.randint(2, 8) for _ in names],
                "ni_accuracy": accuracy,
                "energy_uj": searched["energy_uj"] * scale,
                "latency_us": searched["latency_us"] * scale**0.7,
                "edap": searched["edap"] * scale**1.7,
                "feasible": accuracy >= 0.96,
            }
        )
    sensitivity = [
        {
            "layer": name,
            "adc_bits": adc,
            "input_bits": bits,
            "error": (error := (4.0**-adc + 0.3 * 4.0**-bits) * rng.uniform(0.7, 1.4)),
            "loss": error * 4.0 * 0.8**index,
        }
        for index, name in enumerate(names)
        for adc in (3, 4, 5, 6)
        for bits in (2, 4, 6, 8)
    ]
    curves = {
        name: [
            {
                "epoch": epoch,
                "loss": 0.05 + 2.2 * math.exp(-epoch / pace) + rng.uniform(0, 0.02),
                "train_accuracy": top + 0.012 - 0.85 * math.exp(-epoch / pace),
                "validation_accuracy": top - 0.87 * math.exp(-epoch / pace) - rng.uniform(0, 0.008),
                "images_per_second": 410.0,
            }
            for epoch in range(1, 25)
        ]
        for name, pace, top in (("searched", 2.4, 0.972), ("typical", 2.9, 0.978))
    }
    accuracies = {
        "ideal": 0.9744,
        "quantised": 0.9722,
        "ni_mean": 0.9612,
        "ni_std": 0.0035,
        "chips": [0.9575, 0.9583, 0.9612, 0.9632, 0.9658],
    }
    return {
        "schema_version": 1,
        "name": "vgg16 on digits",
        "seed": 7,
        "machine": {"cpu": "EPYC 7713", "cores": 2, "torch": "2.13.0", "python": "3.11.7", "xpert": "0.1.0"},
        "date": "2026-11-23T14:02:11+00:00",
        "command": "xpert search --preset quickstart --out runs/quickstart",
        "wall_seconds": 243.7,
        "peak_memory_mib": 1874.0,
        "searched": {"name": "searched", "evaluation": searched, "accuracy": accuracies},
        "baselines": {"typical": typical, "best": best},
        "homogeneous": homogeneous,
        "ratios": {"typical": ratios(typical), "best": ratios(best)},
        "measured_activity": {
            "evaluations": {"searched": searched | {"energy_uj": 23.4}, "typical": typical["evaluation"]},
            "ratios": {"typical": ratios(typical) | {"edap": 3.21}},
        },
        "architecture": {
            "strategy": "gradient",
            "objective": "latency",
            "area_budget_mm2": 40.0,
            "score": 1712.4,
            "score_backbone": 1755.2,
            "score_minimum": 1667.4,
            "value": searched["latency_us"] * 1e-6,
            "lower_bound": searched["latency_us"] * 0.97e-6,
            "rounds": [
                {"round": 1, "latency": 1.61e-3, "area_mm2": 41.2, "score": 1690.3, "feasible": False},
                {"round": 2, "latency": 1.56e-3, "area_mm2": 23.2, "score": 1712.4, "feasible": True},
            ],
            "trace": steps,
            "options_per_layer": 40,
            "space_size": 40**13 * 10,
        },
        "training": curves,
        "precision": {
            "strategy": "sensitivity",
            "objective": "edap",
            "maximum_drop": 0.01,
            "nominal_ni_accuracy": 0.97,
            "floor": 0.96,
            "met": True,
            "tried": tried,
            "confirmed": [tried[0] | {"feasible": False}, tried[0]],
            "ni_accuracy": {"mean": 0.961, "low": 0.952, "high": 0.97},
            "difference": {"mean": -0.009, "low": -0.014, "high": -0.004},
            "finetuning": {"before": 0.961, "after": 0.958, "kept": False},
            "sensitivity": sensitivity,
        },
        "accuracy_vs_precision": [
            {"adc_bits": adc, "input_bits": bits, "ni_accuracy": 0.972 - 1.9 * 3.0**-adc - 1.6 * 3.0**-bits}
            for adc in range(3, 9)
            for bits in (2, 4, 6, 8)
        ],
    }


def make_events() -> list[dict[str, Any]]:
    """A short event log."""
    stages = ("architecture", "baseline", "training", "precision", "evaluation")
    return [
        {"time": f"2026-11-23T14:{2 + index:02d}:{second:02d}+00:00", "stage": stage, "event": event}
        for index, stage in enumerate(stages)
        for second, event in ((0, "start"), (41, "done"))
    ]


@pytest.fixture
def results() -> dict[str, Any]:
    """A whole results.json, free to be changed."""
    return make_results()


@pytest.fixture
def fair_results(results: dict[str, Any]) -> dict[str, Any]:
    """The same with the best single periphery, the factors and the best tiles."""
    periphery = Periphery(adc_type="flash", columns_per_adc=4, adc_bits=5, input_bits=4)
    evaluation = make_evaluation(make_design("best single periphery", SEARCHED, [periphery] * 14))
    accuracy = {"ni_mean": 0.9605, "ni_low": 0.955, "ni_high": 0.966, "chips": 5}
    results["baselines"]["single"] = {"name": "best single periphery", "evaluation": evaluation, "accuracy": accuracy}
    ratios = {"edap": 1.53, "area": 1.1, "latency": 1.2, "energy": 1.16, "tops_per_watt": 1.16, "tops_per_mm2": 1.32}
    results["ratios"]["single"] = ratios
    results["single_difference"] = {"mean": 0.0007, "low": -0.0012, "high": 0.0026}
    results["factors"] = [
        {"name": name, "edap": edap, "area": 1.5, "latency": 0.9, "energy": 1.2, "edap_alone": 2.5, "edap_last": 1.9}
        for name, edap in (("network", 5.25), ("adc_type", 0.96), ("input_bits", 1.97))
    ]
    results["organisations"] = {
        name: {
            "own": "4 subarrays per PE, 16 PEs per tile", "edap": 10.0 + place,
            "best": "1 subarrays per PE, 64 PEs per tile", "best_edap": 8.0 + place,
        }
        for place, name in enumerate(("searched", "typical", "best", "single"))
    }  # fmt: skip
    results["organisation_ratios"] = {"typical": 41.5, "best": 7.25, "single": 1.41}
    return results


@pytest.fixture
def design() -> Design:
    """The searched design of those results."""
    return searched_design()


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A function that writes a finished run folder with these results."""

    def write(results: dict[str, Any]) -> Path:
        (tmp_path / "results.json").write_text(json.dumps(results))
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in make_events()))
        (tmp_path / "config.yaml").write_text("seed: 7\nobjective: latency\narea_budget_mm2: 40\n")
        searched_design().write(tmp_path / "design.json")
        return tmp_path

    return write
