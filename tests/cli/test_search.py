"""`xpert search` and `xpert report`: the way into the pipeline and out of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xpert.experiment import read_config

TINY: dict[str, Any] = {
    "name": "tiny",
    "network": {"backbone": "vgg11", "choices": [4, 8]},
    "dataset": {"name": "digits"},
    "architecture": {"area_budget_mm2": 20, "minimum_quality": 0.5, "evaluations": 5000, "front_points": 2},
    "training": {"epochs": 1, "batch_size": 256, "precision": "float32"},
    "precision": {
        "adc_bits": [6],
        "input_bits": [4],
        "maximum_drop": 0.9,
        "chips": 1,
        "calibration_images": 16,
        "images": 32,
    },
    "evaluation": {"chips": 1},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def test_search_stops_resumes_and_reports(xpert: Callable, refusal: Callable, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = xpert("search", config, "--out", out, "--stop-after", "architecture", "--seed", "5")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.endswith(f"Stopped after architecture; go on with --resume.\nReport: {out / 'report.html'}\n")
    found = json.loads((out / "state" / "architecture.json").read_text())
    rows = [line.split() for line in outcome.stdout.splitlines()]
    for layer, periphery in zip(found["design"]["network"]["layers"], found["design"]["periphery"], strict=True):
        (row,) = [row for row in rows if row and row[0] == layer["name"]]
        assert row[1:4] == [str(layer["in_channels"]), ">", str(layer["out_channels"])]
        assert row[4].lower() == periphery["adc_type"]
        assert row[5] == str(periphery["columns_per_adc"])
    assert "Pareto fronts of" in outcome.stdout
    assert "EDAP against quality" in (out / "report.html").read_text()
    assert read_config(out).seed == 5
    assert "holds a run already; add --resume" in refusal("search", config, "--out", out)
    assert "seed was 5, now 0" in refusal("search", config, "--out", out, "--resume")

    outcome = xpert("search", "--out", out, "--resume")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "searched" in outcome.stdout
    assert outcome.stdout.endswith(f"Report: {out / 'report.html'}\n")
    results = json.loads((out / "results.json").read_text())
    assert "vs single" in outcome.stdout
    assert "periphery" in outcome.stdout
    assert "factor by factor" in outcome.stdout
    outcome = xpert("search", "--out", out, "--resume", "--json")
    assert json.loads(outcome.stdout)["searched"] == results["searched"]

    (out / "report.html").unlink()
    assert xpert("report", out).stdout == f"{out / 'report.html'}\n"
    assert "<html" in (out / "report.html").read_text()[:500]
    figures = json.loads(xpert("evaluate", out / "design.json", "--json").stdout)
    assert figures["edap"] == results["searched"]["evaluation"]["edap"]


def test_an_area_budget_that_no_design_meets(refusal: Callable, config: Path, tmp_path: Path) -> None:
    config.write_text(yaml.safe_dump(TINY | {"architecture": {"area_budget_mm2": 0.01}}))
    message = refusal("search", config, "--out", tmp_path / "run")
    assert "area" in message
    assert "0.01" in message


def test_missing_data_are_named(refusal: Callable, config: Path, tmp_path: Path) -> None:
    config.write_text(yaml.safe_dump(TINY | {"dataset": {"name": "cifar10"}}))
    missing = tmp_path / "none" / "data"
    assert str(missing) in refusal("search", config, "--out", tmp_path / "run", "--data-dir", missing)


def test_an_unknown_stage(refusal: Callable, config: Path, tmp_path: Path) -> None:
    message = refusal("search", config, "--out", tmp_path / "run", "--stop-after", "lunch")
    assert message == (
        "--stop-after: must be one of architecture, training, baseline, precision, evaluation, got 'lunch'"
    )
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on(config: Path, tmp_path: Path, interruptible: Callable) -> None:
    config.write_text(yaml.safe_dump(TINY | {"training": {"epochs": 1000, "precision": "float32"}}))
    out = tmp_path / "my run"
    command = [sys.executable, "-m", "xpert", "search", str(config), "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = time.monotonic() + 240
        while not (out / "state" / "architecture.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == f"xpert: interrupted; go on with: xpert search --out '{out}' --resume\n"
        assert process.stdout.read() == ""
    assert process.returncode == 130
    assert (out / "state" / "architecture.json").exists()


def test_throughput_of_a_pipelined_chip(xpert: Callable, config: Path, tmp_path: Path) -> None:
    """Copies are searched where a config has options of them, and images per second follow."""
    out = tmp_path / "run"
    asked = {
        "chip": {"execution": "pipelined", "pipeline_speed_up": 4, "pes_per_tile": 4},
        "architecture": {"objective": "throughput", "minimum_quality": None, "area_budget_mm2": 10.0},
        "periphery": {"adc_types": ["sar"], "columns_per_adc": [8], "copies": [1, 8, 60]},
        "precision": TINY["precision"] | {"input_bits": [8], "weight_bits": [None, 4]},
    }
    config.write_text(yaml.safe_dump(TINY | asked))
    outcome = xpert("search", config, "--out", out, "--stop-after", "architecture")
    assert outcome.code == 0, outcome.stderr
    assert "time per image" in outcome.stdout
    assert "chosen copies" in outcome.stdout
    found = json.loads((out / "state" / "architecture.json").read_text())
    assert found["lower_bound"] <= found["value"]
    copies = [entry.get("copies") for entry in found["design"]["periphery"]]
    assert set(copies) <= {1, 8, 60}
    assert len(set(copies)) > 1
    (tmp_path / "found.json").write_text(json.dumps(found["design"]))
    evaluated = xpert("evaluate", tmp_path / "found.json", "--json")
    figures = json.loads(evaluated.stdout)
    assert figures["frames_per_second"] == pytest.approx(1e6 / found["value"], rel=1e-9)
    assert "Chosen copies" in (out / "report.html").read_text()

    # And the rest: precisions, of weights too, and ADCs and copies for them.
    outcome = xpert("search", "--out", out, "--resume", "--json")
    assert outcome.code == 0, outcome.stderr
    results = json.loads((out / "results.json").read_text())
    finished = results["searched"]["evaluation"]
    assert finished["frames_per_second"] == pytest.approx(1e6 / finished["latency_us"], rel=1e-9)
    assert max(layer["latency_us"] for layer in finished["layers"]) == pytest.approx(finished["latency_us"], rel=1e-9)
    assert {layer["copies"] for layer in finished["layers"]} <= {1, 8, 60}
    tried = results["precision"]["tried"]
    assert {bits for one in tried for bits in one.get("weight_bits", [None])} == {None, 4}
    assert not any("cell_bits" in one for one in tried)
    cells = {
        (cell["layer"], cell["adc_bits"], cell.get("weight_bits")): cell for cell in results["precision"]["sensitivity"]
    }
    assert all(cells[layer, bits, 4]["error"] > cell["error"] for (layer, bits, own), cell in cells.items() if not own)
    assert "weight bits, by ADC precision and input precision" in (out / "report.html").read_text()
