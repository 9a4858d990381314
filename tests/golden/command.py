"""Records of what commands print: searches, problems, evaluations."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.tiny_search import PRECISION
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
        {"architecture": {"objective": "latency", "energy_budget_uj": 3.3}},
    ),
    "vgg11, energy, latency budget": (
        _NARROW,
        {"architecture": {"objective": "energy", "latency_budget_us": 100.0}},
    ),
    "vgg11, area, power budget": (_NARROW, {"architecture": {"objective": "area", "power_budget_mw": 30.0}}),
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
    "vgg11, evolution": (
        _NARROW,
        {"architecture": {"strategy": "evolution", "evaluations": 2000}, "periphery": {"columns_per_adc": [8]}},
    ),
    "vgg11, random": (
        _NARROW,
        {"architecture": {"strategy": "random", "evaluations": 5000}, "periphery": {"columns_per_adc": [8]}},
    ),
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
        {"architecture": {"quality": "synflow", "minimum_quality": 0.9}, "periphery": {"columns_per_adc": [8]}},
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
        answer = printed("search", file, "--out", Path(folder) / "run", "--stop-after", "architecture")
    found = answer["architecture"]
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


# The whole run

_RUN = _DIGITS | {
    "name": "tiny",
    "dataset": {"name": "digits", "validation": 0.6},
    "network": {"backbone": "vgg11", "choices": [8, 16]},
    "architecture": {"area_budget_mm2": 20, "minimum_quality": 0.9, "front_points": 0},
    "training": {"epochs": 2, "learning_rate": 0.1, "batch_size": 64, "precision": "float32"},
    "precision": PRECISION,
    "evaluation": {"chips": 1},
}

_PRECISION: dict[str, dict[str, Any]] = {
    "sensitivity": {"evaluations": 10, "finetune_epochs": 1, "finetune": "converters"},
    "gradient": {"strategy": "gradient", "evaluations": 4},
    "evolution": {"strategy": "evolution", "evaluations": 12, "finetune_epochs": 1, "finetune": "cells"},
    "joint": {"evaluations": 6, "joint_rounds": 1},
}

_UNSTEADY = ("seconds", "peak_memory_mib", "images_per_second")
"""Figures of results that are not the same twice."""


def runs() -> dict[str, Any]:
    """Runs that share their first stages; what the precision search is told, by name."""
    return {name: {"config": _RUN, "precision": changes} for name, changes in _PRECISION.items()}


def run(given: dict[str, Any]) -> dict[str, Any]:
    """A whole search, from phase 1 to the evaluation of what phase 2 found."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        for name, content in _trained(json.dumps(given["config"])).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        file = folder / "config.yaml"
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        file.write_text(yaml.safe_dump(changed(config, {"precision": given["precision"]})), encoding="utf-8")
        results = _steady(printed("search", "--out", folder, "--resume"))
        design = json.loads((folder / "design.json").read_text(encoding="utf-8"))
    accuracies = {"searched": results["searched"]["accuracy"]}
    accuracies |= {name: row["accuracy"] for name, row in results["baselines"].items()}
    measured = results["measured_activity"]["evaluations"]["searched"]
    return decided(design) | {
        "evaluation": {key: value for key, value in results["searched"]["evaluation"].items() if key != "layers"},
        "activity": [[layer["input_bit_density"], layer["cell_conductance_us"]] for layer in measured["layers"]],
        "accuracies": accuracies,
        "ratios": results["ratios"],
        "accuracy_vs_precision": results["accuracy_vs_precision"],
        "training": results["training"],
        "precision": results["precision"],
    }


@cache
def _trained(config: str) -> dict[str, bytes]:
    """The files of a run folder once its networks are trained."""
    with tempfile.TemporaryDirectory() as temporary:
        file, folder = Path(temporary) / "config.yaml", Path(temporary) / "run"
        file.write_text(config, encoding="utf-8")  # JSON is YAML
        printed("search", file, "--out", folder, "--stop-after", "baseline")
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _steady(data: Any) -> Any:
    """Results without what differs from one run to the next."""
    if isinstance(data, dict):
        return {key: _steady(value) for key, value in data.items() if key not in _UNSTEADY}
    return [_steady(entry) for entry in data] if isinstance(data, list) else data


# Commands that evaluate

_COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", "a.yaml"],
    "evaluate, reference": ["evaluate", "a.yaml", "--switches", "reference"],
    "evaluate, sweep": ["evaluate", "a.yaml", "--sweep", "adc_type=sar,flash", "--sweep", "node_nm=22,45"],
    "evaluate, sweep of parts": ["evaluate", "a.yaml", "--sweep", "device=pcm-joshi-2020,sram-neurosim"],
    "compare": ["compare", "a.yaml", "b.json"],
}


def commands() -> dict[str, Any]:
    """Command lines by name; `a.yaml` is the quickstart's config, `b.json` a design made from it."""
    return _COMMANDS


def evaluated(arguments: list[str]) -> Any:
    """What one of them prints."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        main_quietly("init", "a.yaml")
        config = yaml.safe_load(Path("a.yaml").read_text(encoding="utf-8"))
        typical = {"adc_type": "flash", "columns_per_adc": 16, "adc_bits": 5, "input_bits": 6}
        Path("b.yaml").write_text(yaml.safe_dump(changed(config, {"baselines": {"typical": typical}})))
        main_quietly("evaluate", "b.yaml", "--write", "b.json")
        return printed(*arguments)


def main_quietly(*arguments: str) -> None:
    """Run a command that prints no JSON, and that must succeed."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(list(arguments)) == 0
