"""What another package brings, one of each kind, goes through the product; without the package it is refused.

The package is a folder on the path with the metadata of an installed distribution. Nothing of XPert names it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from xpert.cli import main
from xpert.results import Results

PACKAGE = '''
from dataclasses import replace

import numpy as np

from xpert.design.encoding import Differential
from xpert.hardware.adcs import AdcKind
from xpert.hardware.adcs.sar import SAR
from xpert.networks.family import Family, Position, classifier
from xpert.search.quality import LayerSum
from xpert.training.source import DatasetInfo, DataSource, RawImages


def twin(process, asked):
    """A SAR ADC of twice the area."""
    (block,) = SAR.blocks(process, asked)
    return [replace(block, name="twin_adc", cost=replace(block.cost, area=2 * block.cost.area))]


def of_crossbar(effect, normal, shape):
    """The ADCs of a crossbar err alike."""
    return normal(effect, (*shape[:3], 1))


ADC = AdcKind(twin, errors=of_crossbar)


def positions(name, input_shape):
    side = input_shape[1]
    return [
        Position("conv1", source=-1, decision=0, width=8, side=side, pool=4),
        Position("conv2", source=0, decision=1, width=8, side=side // 4, pool=side // 4),
        classifier(source=1),
    ]


BACKBONE = Family(names=("plain2",), positions=positions)
INFO = DatasetInfo(name="halves", input_shape=(1, 16, 16), classes=("upper", "lower"), mirror=True)


def load(data_dir, progress):
    import torch

    labels = torch.arange(240) % 2
    images = torch.full((240, 1, 16, 16), 50, dtype=torch.uint8)
    images[labels == 0, :, :8] = 200
    images[labels == 1, :, 8:] = 200
    return RawImages(images[:200], labels[:200], images[200:], labels[200:])


DATASET = DataSource(INFO, load)


def a_few(problem, record, seed):
    """A thousand designs by chance."""
    record.price(problem.random_designs(1000, np.random.default_rng(seed)))
    record.step()


def channels(index, layer):
    return float(layer.out_channels) if layer else 0.0


CHANNELS = LayerSum("channels of all layers", lambda backbone, shape: (0.0, channels))


def uniform(trained):
    """One precision in all layers."""
    from xpert.search.precision.strategies import Prepared

    def strategy(session):
        for option in range(len(session.options)):
            session.measure([option] * session.n_layers)

    return Prepared(strategy)


class Wide(Differential):
    """Pairs with a slice more, which stays empty."""

    @property
    def code_bits(self):
        return self.weight_bits - 1 + self.cell_bits
'''

ENTRIES = """
[xpert.adcs]
twin = outside:ADC
[xpert.backbones]
plain = outside:BACKBONE
[xpert.datasets]
halves = outside:DATASET
[xpert.strategies]
a_few = outside:a_few
[xpert.precision_strategies]
uniform = outside:uniform
[xpert.qualities]
channels = outside:CHANNELS
[xpert.encodings]
wide = outside:Wide
"""

SHIPPED: dict[str, Any] = {
    "name": "outside",
    "network": {"backbone": "vgg11", "choices": [4, 8]},
    "dataset": {"name": "digits"},
    "periphery": {"adc_types": ["sar"], "columns_per_adc": [8]},
    "architecture": {"front_points": 0, "quality": "macs", "minimum_quality": 0.3},
    "training": {"epochs": 1, "batch_size": 20, "shift": 0, "precision": "float32"},
    "precision": {
        "adc_bits": [5, 6], "input_bits": [4], "images": 16, "confirmation_images": 0, "chips": 1,
        "calibration_images": 16, "maximum_drop": None, "minimum_accuracy": 0.0,
    },
    "evaluation": {"chips": 1},
}  # fmt: skip
"""A tiny search of what comes with XPert."""

OUTSIDE: dict[str, dict[str, Any]] = {
    "network": {"backbone": "plain2"},
    "dataset": {"name": "halves"},
    "periphery": {"adc_types": ["twin"]},
    "architecture": {"strategy": "a_few", "quality": "channels"},
    "precision": {"strategy": "uniform"},
    "chip": {"encoding": "wide", "analog": {"adc_offset_sigma": 0.2}},
}
"""The names of the other package, where a config has them."""


def config(folder: Path, changes: Mapping[str, dict[str, Any]]) -> Path:
    """The tiny search as a file, with other values in some parts."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(SHIPPED | {part: SHIPPED.get(part, {}) | new for part, new in changes.items()}))
    return path


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the other package on its path."""
    site = folder / "site"
    metadata = site / "outside-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    (site / "outside.py").write_text(PACKAGE)
    paths = [str(site), *sys.path]
    return subprocess.run(
        [sys.executable, "-m", "xpert", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def all_outside(tmp_path: Path) -> Path:
    return config(tmp_path, OUTSIDE)


def test_a_design_of_another_package_is_priced(all_outside: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "evaluate", all_outside, "--sweep", "adc_type=sar,twin", "--json")
    assert done.returncode == 0, done.stderr
    sar, twin = json.loads(done.stdout)["sweep"]
    assert (sar["adc_type"], twin["adc_type"]) == ("sar", "twin")
    assert twin["area_mm2"] > sar["area_mm2"]


@pytest.mark.parametrize("workers", [None, 2])
def test_a_search_of_another_package_runs_to_its_report(all_outside: Path, tmp_path: Path, workers: int | None) -> None:
    out = tmp_path / "run"
    done = run(tmp_path, "search", all_outside, "--out", out, *([] if workers is None else ["--workers", str(workers)]))
    assert done.returncode == 0, done.stderr
    report = (out / "report.html").read_text(encoding="utf-8")
    results = Results.read(out / "results.json", "results")
    assert results.architecture is not None
    assert results.precision is not None
    assert (results.architecture.strategy, results.precision.strategy) == ("a_few", "uniform")
    assert results.architecture.quality_name == "channels of all layers"
    assert {entry.precisions["adc_bits"] for entry in results.precision.tried} == {(5,) * 3, (6,) * 3}
    assert results.searched is not None
    assert {layer.adc_type for layer in results.searched.evaluation.layers} == {"twin"}
    assert {"twin", "sar"} <= {row.homogeneous.adc_type for row in results.homogeneous if row.homogeneous}
    assert results.searched.accuracy is not None
    assert (results.searched.accuracy.ideal or 0) > 0.9, "the images are easy"
    said = re.sub(r"<(script|style|pre)\b.*?</\1>", "", report, flags=re.DOTALL)
    assert len(said) < len(report) / 10
    for name in ("plain2", "twin", "a_few", "uniform"):
        assert name in said, name
    assert "halves" in report, "the config is in it"
    design = json.loads((out / "design.json").read_text(encoding="utf-8"))
    assert (design["network"]["backbone"], design["chip"]["encoding"]) == ("plain2", "wide")


@pytest.mark.parametrize(
    ("part", "key", "message"),
    [
        ("network", "backbone", r"network\.backbone: must be one of resnet20, .* \(got 'plain2'\)"),
        (
            "dataset",
            "name",
            r"dataset\.name: must be one of cifar10, cifar100, digits, imagefolder, npz, tinyimagenet \(got 'halves'\)",
        ),
        ("periphery", "adc_types", r"periphery\.adc_types\.0 must be one of sar, flash, ramp \(.*\), got 'twin'"),
        ("architecture", "strategy", r"architecture\.strategy: must be one of exact, .* \(got 'a_few'\)"),
        ("architecture", "quality", r"architecture\.quality: must be one of width_law, .* \(got 'channels'\)"),
        ("precision", "strategy", r"precision\.strategy: must be one of sensitivity, .* \(got 'uniform'\)"),
        ("chip", "encoding", r"chip\.encoding: must be one of offset, differential \(got 'wide'\)"),
    ],
)
def test_without_the_package_its_names_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, key: str, message: str
) -> None:
    file = config(tmp_path, {part: {key: OUTSIDE[part][key]}})
    assert main(["search", str(file), "--out", str(tmp_path / "run")]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(rf"xpert: error: {re.escape(str(file))}: {message}\n", found.err)
    assert not (tmp_path / "run").exists()
