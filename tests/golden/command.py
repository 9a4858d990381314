"""Records of what commands print: searches, problems, evaluations."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from xpert.cli import main


def printed(*arguments: str | Path) -> Any:
    """What a command prints with --json."""
    torch.set_num_threads(1)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, arguments), "--json"])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue())


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config with changes to some fields of its parts."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = changed(merged[key], value) if both else copy.deepcopy(value)
    return merged


# Phase 1

_DIGITS = {"dataset": {"name": "digits"}, "seed": 3}

_NARROW = _DIGITS | {
    "network": {"backbone": "vgg11", "choices": [16, 32, 64]},
    "periphery": {"columns_per_adc": [4, 8, 16]},
    "architecture": {"minimum_quality": 1.1, "front_points": 0},
}

_RESIDUAL = _DIGITS | {
    "network": {"backbone": "resnet20", "choices": [8, 16]},
    "periphery": {"columns_per_adc": [4, 16]},
    "architecture": {"minimum_quality": 1.1, "front_points": 0},
}

_SEARCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vgg11, edap, area budget, fronts": (_NARROW, {"architecture": {"area_budget_mm2": 7.5, "front_points": 2}}),
    "vgg11, latency, energy budget": (
        _NARROW,
        {"architecture": {"objective": "latency", "energy_budget_uj": 1.9}},
    ),
    "vgg11, energy, latency budget": (
        _NARROW,
        {"architecture": {"objective": "energy", "latency_budget_us": 100.0}},
    ),
    "vgg11, area, power budget": (_NARROW, {"architecture": {"objective": "area", "power_budget_mw": 11.0}}),
    "vgg11, edp, window of areas": (
        _NARROW,
        {"architecture": {"objective": "edp", "least_area_mm2": 12.0, "area_budget_mm2": 12.5}},
    ),
    "vgg11, tops_per_watt, area and latency budgets": (
        _NARROW,
        {
            "architecture": {"objective": "tops_per_watt", "area_budget_mm2": 8.0, "latency_budget_us": 300.0},
            "periphery": {"columns_per_adc": [4, 16]},
        },
    ),
    "vgg11, own ADC": (
        _NARROW,
        {
            "chip": {"adcs": ["murmann-sar-median", "murmann-sar-best"]},
            "periphery": {"adc_types": ["flash", "murmann-sar-median", "murmann-sar-best"]},
            "precision": {"adc_bits": [5, 6]},
        },
    ),
    "vgg11, gradient": (_NARROW, {"architecture": {"strategy": "gradient", "evaluations": 20_000}}),
    "vgg11, evolution": (_NARROW, {"architecture": {"strategy": "evolution", "evaluations": 3000}}),
    "vgg11, random": (_NARROW, {"architecture": {"strategy": "random", "evaluations": 10_000}}),
    "vgg11, lists for each layer, no quality, sram, differential": (
        _NARROW,
        {
            "network": {
                "choices": [[8], [8, 16], [16], [16, 24], [16, 32], [32], [16, 32], [32, 48]],
                "kernels": [[3, 5], [1, 3], [3], [3], [3], [1, 3], [3], [3]],
            },
            "chip": {"device": "sram-neurosim", "analog": {"encoding": "differential"}},
            "architecture": {"quality": "macs", "minimum_quality": None, "area_budget_mm2": 8.0},
        },
    ),
    "vgg11, novel mapping, free floorplan": (
        _NARROW,
        {
            "chip": {
                "subarrays_per_pe": None,
                "pes_per_tile": None,
                "mapping": "novel",
            }
        },
    ),
    "vgg16, missing layers": (
        _NARROW,
        {
            "network": {"backbone": "vgg16", "choices": [16, 32], "kernels": [0, 3]},
            "architecture": {"minimum_quality": 1.0, "area_budget_mm2": 6.0},
        },
    ),
    "resnet20, blocks left out": (
        _RESIDUAL,
        {
            "network": {"choices": [0, 8, 16]},
            "architecture": {"quality": "parameters", "front_points": 2},
        },
    ),
    "resnet20, other kernels": (
        _RESIDUAL,
        {"network": {"kernels": [1, 3]}, "architecture": {"quality": "macs", "objective": "energy"}},
    ),
    "resnet18, edap": (
        _RESIDUAL,
        {
            "network": {"backbone": "resnet18", "choices": [16, 32, 64]},
            "architecture": {"minimum_quality": 1.05, "area_budget_mm2": 20.0},
        },
    ),
}


_SCORED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vgg11, naswot": (
        _NARROW,
        {"architecture": {"quality": "naswot", "minimum_quality": 1.04}, "periphery": {"columns_per_adc": [8]}},
    ),
    "vgg11, synflow": (
        _NARROW,
        {"architecture": {"quality": "synflow", "minimum_quality": 0.98}, "periphery": {"columns_per_adc": [8]}},
    ),
}


def searches() -> dict[str, Any]:
    """Configs of phase 1 by name."""
    return {name: changed(base, {"name": name} | changes) for name, (base, changes) in _SEARCHES.items()}


def scored_searches() -> dict[str, Any]:
    """Configs of phase 1 with a score of untrained networks, whose sums are in float32."""
    return {name: changed(base, {"name": name} | changes) for name, (base, changes) in _SCORED.items()}


def search(config: dict[str, Any]) -> dict[str, Any]:
    """The design that phase 1 finds, with its proof."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        told = printed("search", file, "--out", Path(folder) / "run", "--stop-after", "architecture")
    found = told["architecture"]
    return decided(found["design"]) | {
        key: found[key]
        for key in ("value", "lower_bound", "score", "score_backbone", "score_minimum", "space_size", "fronts", "found")
    }


def decided(design: Mapping[str, Any]) -> dict[str, Any]:
    """What a search decides of a design."""
    network = design["network"]
    return {
        "channels": network["channels"],
        "kernels": network["kernels"],
        "layers": [
            {key: layer[key] for key in ("name", "in_channels", "out_channels", "kernel_height")}
            for layer in network["layers"]
        ],
        "periphery": design["periphery"],
    }
