"""`xpert pick`: which point conditions take, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xpert.design import Design, Periphery, options_of
from xpert.experiment import SearchConfig
from xpert.experiment.config import search_space
from xpert.hardware import evaluate
from xpert.results import lists_of

CONFIG: dict[str, Any] = {
    "name": "small",
    "network": {"backbone": "vgg11", "choices": [8, 16]},
    "dataset": {"name": "digits"},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two points of phase 1 and three of phase 2, whose accuracies are made up."""
    config = SearchConfig.parse(CONFIG)
    networks = search_space(config)
    options = options_of(config.baselines.typical, **config.periphery.options)

    def costs(design: Design) -> dict[str, float]:
        return {name: evaluate(design).to_dict()[name] for name in ("area_mm2", "latency_us", "energy_uj", "edap")}

    points = []
    for width, option, quality in ((8, options[2], 0.4), (16, options[7], 0.5)):
        design = Design.homogeneous(networks.network([width] * 8), config.chip, option)
        points.append(
            costs(design)
            | {
                "quality": quality,
                "gap": 0.0,
                "channels": design.network.channels,
                "periphery": [option.short(("adc_type", "columns_per_adc"))] * 9,
            }
        )
    front = []
    for bits, accuracy in ((4, 0.8), (5, 0.9), (6, 0.95)):
        entry = Periphery(adc_type="flash", columns_per_adc=4, adc_bits=bits, input_bits=bits)
        design = Design.homogeneous(networks.network([8] * 8), config.chip, entry)
        figures = {name: value for name, value in costs(design).items() if name != "area_mm2"}
        front.append({**lists_of(design.periphery), **figures, "ni_accuracy": accuracy})
    Design.homogeneous(networks.network([8] * 8), config.chip, options[0]).write(tmp_path / "design.json")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    results = {
        "architecture": {
            "quality_name": "predicted accuracy",
            "fronts": [{"objective": "edap", "along": "quality", "points": points}],
        },
        "precision": {"front": front},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def listed(xpert: Callable, run: Path, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(xpert("pick", run, "--json", *arguments).stdout)["points"]


def test_points_are_listed_with_numbers_that_stay(xpert: Callable, run: Path) -> None:
    assert [point["number"] for point in listed(xpert, run)] == [1, 2, 3, 4, 5]
    assert [point["number"] for point in listed(xpert, run, "--front", "precision")] == [3, 4, 5]
    shown = xpert("pick", run).stdout
    assert "Phase 1: EDAP against predicted accuracy" in shown
    assert "Phase 2: EDAP against NI-accuracy" in shown
    xpert("pick", run, "--csv", run / "points.csv")
    rows = list(csv.DictReader((run / "points.csv").read_text().splitlines()))
    assert [row["periphery"].split()[0] for row in rows[2:]] == ["flash/4/4/4", "flash/4/5/5", "flash/4/6/6"]


@pytest.mark.parametrize(
    ("conditions", "number"),
    [
        (["--accuracy-above", "0.85"], 4),
        (["--accuracy-above", "0.9"], 4),
        (["--edap-below", "{4}"], 4),
        (["--edap-below", "{5}"], 5),
        (["--edap-below", "{5}", "--accuracy-above", "0.7"], 3),
        (["--front", "phase1", "--accuracy-above", "0.45"], 2),
        (["--front", "phase1", "--edap-below", "1e9"], 2),
        (["--point", "1"], 1),
    ],
)
def test_conditions_take_a_point(xpert: Callable, run: Path, conditions: list[str], number: int) -> None:
    edaps = {str(point["number"]): point["edap"] for point in listed(xpert, run)}
    filled = [str(edaps[words[1]]) if words.startswith("{") else words for words in conditions]
    out = run / "picked.json"
    answer = json.loads(xpert("pick", run, *filled, "--out", out, "--json").stdout)
    assert answer["point"]["number"] == number
    design = Design.read(out)
    assert design.name == f"small, point {number}"
    assert evaluate(design).to_dict()["edap"] == pytest.approx(answer["point"]["edap"], rel=1e-9)
    assert answer["design"] == json.loads(out.read_text())


def test_what_is_said_of_weights(xpert: Callable, run: Path) -> None:
    assert "No weights of this run fit" in xpert("pick", run, "--point", "3").stdout
    (run / "weights.safetensors").touch()
    assert f"Weights that fit: {run / 'weights.safetensors'} (its network)" in xpert("pick", run, "--point", "3").stdout
    (run / "state").mkdir()
    (run / "state" / "searched.safetensors").touch()
    said = xpert("pick", run, "--point", "3").stdout
    assert f"{run / 'state' / 'searched.safetensors'} (its accuracy was measured with them)" in said
    # Phase 1's first point is the same network, the second another one.
    assert "weights.safetensors" in xpert("pick", run, "--point", "1").stdout
    assert "No weights of this run fit" in xpert("pick", run, "--point", "2").stdout


def test_costs_that_have_changed_are_told(xpert: Callable, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    results["precision"]["front"][0]["edap"] *= 2
    (run / "results.json").write_text(json.dumps(results))
    assert "xpert: note: the cost model has changed since this run" in xpert("pick", run, "--point", "3").stderr
    assert xpert("pick", run, "--point", "4").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--edap-below", "1e-6"], "no point keeps these conditions: the least EDAP is "),
        (["--accuracy-above", "0.99"], "no point keeps these conditions: the least EDAP is "),
        (["--point", "6"], "--point: must be one of 1 to 5, got 6; `xpert pick RUN` lists them"),
        (["--front", "joint"], "--front: "),
        (["--point", "1", "--edap-below", "3"], "pick: give --point or conditions, not both"),
        (["--out", "d.json"], "--out: says where a design goes; choose it with --point"),
    ],
)
def test_refusals(refusal: Callable, run: Path, arguments: list[str], message: str) -> None:
    assert refusal("pick", run, *arguments).startswith(message)
