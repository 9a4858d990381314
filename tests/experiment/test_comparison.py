"""A whole experiment with a tiny network: every part, the table, and going on after a cut."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from xpert.design import Design
from xpert.errors import ConfigError, RunError
from xpert.experiment import read_events
from xpert.experiment.comparison import reproduce
from xpert.experiment.presets import load_preset
from xpert.experiment.published import Experiment, experiment_names, load_experiment
from xpert.hardware import evaluate
from xpert.progress import Progress

TINY: dict[str, Any] = {
    "name": "tiny",
    "target": 0.05,
    "within": 0.3,
    "homogeneous": {"adc_bits": [4, 6], "input_bits": [2, 8], "pes_per_tile": [4]},
    "common": {
        "seed": 3,
        "network": {"backbone": "vgg11", "choices": [4, 8]},
        "dataset": {"name": "digits"},
        "periphery": {"adc_types": ["flash"], "columns_per_adc": [8]},
        "training": {"epochs": 1, "batch_size": 256, "precision": "float32"},
        "precision": {
            "adc_bits": [4, 6],
            "input_bits": [4, 8],
            "maximum_drop": 0.1,
            "chips": 1,
            "calibration_images": 8,
            "images": 32,
            "confirmation_images": 32,
            "evaluations": 3,
        },
        "evaluation": {"chips": 1},
    },
    "paper": {
        "architecture": {"strategy": "random", "objective": "latency", "minimum_quality": None, "evaluations": 50},
        "precision": {"strategy": "evolution"},
    },
    "ours": [{"name": "ours", "architecture": {"strategy": "random", "minimum_quality": None, "evaluations": 50}}],
}


class Cut(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("reproduce") / "out"
    cuts: list[str] = []

    def cut(report: Progress) -> None:
        """Once in every part."""
        if report.figures["part"] not in cuts:
            cuts.append(report.figures["part"])
            raise Cut

    for _ in range(3):
        with pytest.raises(Cut):
            reproduce(Experiment.parse(TINY), out, resume=True, progress=cut)
    assert cuts == ["baseline", "paper", "ours"]
    table = reproduce(Experiment.parse(TINY), out, resume=True, progress=cut)
    assert table == out / "table.md"
    return out


def test_rows_are_those_of_the_parts(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    rows = results["rows"]
    assert set(rows) == {"typical", "best homogeneous", "best single periphery", "paper", "ours"}
    assert results["chosen"] == "ours"
    for name in ("paper", "ours"):
        part = json.loads((done / name / "results.json").read_text())
        assert rows[name]["evaluation"] == part["searched"]["evaluation"]
        assert rows[name]["accuracy"] == part["searched"]["accuracy"]
        # The baseline was trained once, and every search compares with it.
        assert part["baselines"]["typical"]["evaluation"] == rows["typical"]["evaluation"]
        assert part["baselines"]["typical"]["accuracy"] == rows["typical"]["accuracy"]
        assert part["training"]["typical"] == json.loads((done / "baseline/state/baseline.json").read_text())["curve"]
        assert not [event for event in read_events(done / name) if event["stage"] == "baseline" and "epoch" in event]
    for base, ratios in results["ratios"].items():
        assert ratios[base]["edap"] == 1
        assert ratios["ours"]["edap"] == pytest.approx(
            rows[base]["evaluation"]["edap"] / rows["ours"]["evaluation"]["edap"]
        )
        assert ratios["ours"]["tops_per_watt"] == pytest.approx(
            rows["ours"]["evaluation"]["tops_per_watt"] / rows[base]["evaluation"]["tops_per_watt"]
        )


def test_every_row_has_its_design(done: Path) -> None:
    rows = json.loads((done / "results.json").read_text())["rows"]
    for name, row in rows.items():
        design = Design.read(done / "designs" / f"{name.replace(' ', '-')}.json")
        assert evaluate(design).to_dict()["edap"] == pytest.approx(row["evaluation"]["edap"], rel=1e-12)


def test_the_single_periphery_is_that_of_the_chosen_search(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    row, part = results["rows"]["best single periphery"], json.loads((done / "ours/results.json").read_text())
    assert row["evaluation"] == part["baselines"]["single"]["evaluation"]
    assert row["accuracy"] == part["baselines"]["single"]["accuracy"]
    assert results["single_difference"] == part["single_difference"]
    assert results["factors"] == part["factors"]
    assert results["rows"]["ours"]["evaluation"]["edap"] <= row["evaluation"]["edap"]
    text = (done / "table.md").read_text()
    assert (
        f"The best single periphery is for the network of ours, at the least accuracy asked of it: {row['adc_type']}"
        in text
    )
    for name, one in results["organisations"].items():
        assert one["edap"] == pytest.approx(results["rows"][name]["evaluation"]["edap"])
        assert one["best_edap"] <= one["edap"]
        assert f"{name} {one['best_edap']:.4g} in {one['best']}" in text


def test_the_best_homogeneous_design_is_the_cheapest_that_is_accurate_enough(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    least = results["rows"]["ours"]["validation"]["mean"] - 0.3
    designs = results["homogeneous"]
    assert len(designs) == 2 * 2 * 1 * 4  # tile sizes, ADC types, degrees of sharing, precisions
    best = results["rows"]["best homogeneous"]
    assert best["validation"]["mean"] >= least
    assert best["evaluation"]["edap"] == min(row["edap"] for row in designs if row["validation"]["mean"] >= least)


def test_the_table_says_what_the_results_say(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    text = (done / "table.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(results["rows"])
    for line, (name, row) in zip(lines[2:], results["rows"].items(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == name
        assert cells[1] == f"{100 * row['accuracy']['quantised']:.2f} %"
        assert float(cells[6]) == pytest.approx(row["evaluation"]["edap"], rel=1e-3)
    assert results["target_met"] == (results["rows"]["ours"]["validation"]["mean"] >= 0.05)
    reached = "reached" if results["target_met"] else "NOT reached"
    assert f"target NI-accuracy of 5.00 % is {reached} by ours" in text
    tree = ET.fromstring((done / "front.svg").read_text())  # noqa: S314 (our own)
    fronts = [point["ni_accuracy"] for front in results["fronts"].values() for point in front]
    best = max(*fronts, *(row["validation"]["mean"] for row in results["homogeneous"]))
    shown = sum(accuracy >= best - 0.1 for accuracy in fronts)
    assert len(tree.findall(".//{*}g[@clip-path]/{*}use")) >= max(shown, 1)


def test_a_finished_experiment_is_not_run_again(done: Path) -> None:
    before = (done / "table.md").read_text()
    stages: list[str] = []
    reproduce(Experiment.parse(TINY), done, resume=True, progress=lambda report: stages.append(report.stage))
    assert (done / "table.md").read_text() == before
    assert set(stages) <= {"homogeneous"}
    with pytest.raises(RunError, match="add --resume"):
        reproduce(Experiment.parse(TINY), done)


@pytest.mark.parametrize("name", experiment_names())
def test_shipped_experiments_hold_together(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    baseline = experiment.baseline()
    for config in experiment.searches():
        assert config.dataset == baseline.dataset


def test_the_short_comparison_has_the_preset_for_ours() -> None:
    experiment, preset = load_experiment("cifar10-short"), load_preset("cifar10-vgg16")
    (ours,) = (config for config in experiment.searches() if config.name == "ours")
    for part in ("seed", "network", "dataset", "chip", "periphery", "training", "precision", "evaluation"):
        assert getattr(ours, part) == getattr(preset, part), part
    assert ours.architecture.replace(seconds=None) == preset.architecture
    assert ours.baselines.typical == preset.baselines.typical
    assert experiment.baseline().training == preset.baselines.training


def test_experiments_that_do_not_hold_together_are_refused(tmp_path: Path) -> None:
    ours = TINY["ours"][0]
    for changes, message in (
        ({"ours": [ours, ours]}, "names must differ"),
        ({"ours": [ours | {"seed": 4}]}, "ours: seed: all searches share the baseline's"),
        ({"ours": [ours | {"network": {"choices": [4, 16]}}]}, "the widest must be 8"),
        ({"ours": [ours | {"architecture": {"strategy": "luck"}}]}, "tiny: ours: architecture.strategy"),
        ({"target": 2}, "target"),
    ):
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(TINY | changes))
        with pytest.raises(ConfigError, match=message) as error:
            load_experiment(str(file))
        assert "\n" not in str(error.value)
    with pytest.raises(
        ConfigError, match="must be one of cifar10, cifar10-short, digits, or a YAML file, got 'imagenet'"
    ):
        load_experiment("imagenet")
