"""`xpert runs`, `xpert compare` of runs, and `xpert report --follow`."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xpert.design import Design, Periphery
from xpert.experiment import SearchConfig, typical_design
from xpert.hardware import evaluate

CONFIG: dict[str, Any] = {
    "name": "small",
    "network": {"backbone": "vgg11", "choices": [8, 16]},
    "dataset": {"name": "digits"},
}


def log(path: Path, *events: dict[str, Any]) -> None:
    lines = [{"time": f"2026-11-23T14:00:{10 * index:02d}+00:00"} | event for index, event in enumerate(events)]
    (path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a finished run, one under way and one that stopped; the first two differ in seed and budget."""
    for name, seed, budget in (("a", 1, 20.0), ("deep/b", 2, 20.0), ("deep/c", 1, 40.0)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        config = SearchConfig.parse(CONFIG | {"seed": seed, "architecture": {"area_budget_mm2": budget}})
        (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json") | {"versions": {"x": name}}))
    runs = tmp_path / "runs"
    design = typical_design(SearchConfig.parse(CONFIG)).replace(name="small")
    design.write(runs / "a" / "design.json")
    flash = Design.homogeneous(design.network, design.chip, Periphery(adc_type="flash"), name="small")
    flash.write(runs / "deep" / "c" / "design.json")
    searched = {"name": "small", "evaluation": evaluate(design).to_dict(), "accuracy": {"ni_mean": 0.91}}
    (runs / "a" / "results.json").write_text(json.dumps({"name": "small", "searched": searched, "wall_seconds": 250.0}))
    log(runs / "a", {"stage": "run", "event": "started"}, {"stage": "run", "event": "finished"})
    log(runs / "deep" / "b", {"stage": "run", "event": "started"}, {"stage": "training", "event": "started"})
    stopped = {"stage": "run", "event": "stopped", "after": "architecture"}
    log(runs / "deep" / "c", {"stage": "run", "event": "started"}, {"stage": "architecture", "event": "x"}, stopped)
    return runs


def test_runs_are_found_and_told_apart(xpert: Callable, runs: Path) -> None:
    out = runs.parent / "runs.csv"
    rows = json.loads(xpert("runs", runs, "--json", "--csv", out).stdout)["runs"]
    assert [Path(row["run"]).name for row in rows] == ["a", "b", "c"]
    assert [row["state"] for row in rows] == ["finished", "in training", "stopped after architecture"]
    assert [row["seconds"] for row in rows] == [250.0, 10.0, 20.0]
    assert [row["ni_accuracy"] for row in rows] == [0.91, None, None]
    design = Design.read(runs / "a" / "design.json")
    assert rows[0]["edap"] == evaluate(design).to_dict()["edap"]
    assert "edap" not in rows[1]
    flash = Design.read(runs / "deep" / "c" / "design.json")
    assert rows[2]["edap"] == evaluate(flash).to_dict()["edap"]
    assert [row["settings"] for row in rows] == [
        {"seed": 1, "architecture.area_budget_mm2": 20.0},
        {"seed": 2, "architecture.area_budget_mm2": 20.0},
        {"seed": 1, "architecture.area_budget_mm2": 40.0},
    ]
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert [line["architecture.area_budget_mm2"] for line in lines] == ["20.0", "20.0", "40.0"]
    assert "settings" not in lines[0]


def test_the_table_names_what_differs(xpert: Callable, runs: Path) -> None:
    shown = xpert("runs", runs).stdout
    assert f"Runs in {runs}".split() == shown.split()[:3]
    assert "4 min 10 s" in shown
    assert "91.0 %" in shown
    settings = shown.split("Settings in which they differ")[1]
    named = re.findall(r"^ +(seed|architecture\.area_budget_mm2)", settings, re.MULTILINE)
    assert sorted(named) == ["architecture.area_budget_mm2", "seed"]  # each is said once
    # One run differs from nothing.
    assert "Settings" not in xpert("runs", runs / "a").stdout


def test_folders_without_runs_are_refused(refusal: Callable, runs: Path) -> None:
    (runs / "empty").mkdir()
    assert "has no run in it" in refusal("runs", runs / "empty")
    assert "no such folder" in refusal("runs", runs / "none")


def test_compare_tells_equal_names_apart(xpert: Callable, runs: Path) -> None:
    out = runs.parent / "compared.csv"
    folders = (runs / "a", runs / "deep" / "c")
    shown = xpert("compare", *folders, "--csv", out).stdout
    assert "small (a)" in shown
    assert "small (deep/c)" in " ".join(shown.split())
    assert "NI-accuracy" in shown
    assert "91.0 %" in shown
    first, second = csv.DictReader(out.read_text().splitlines())
    assert (first["ni_accuracy"], second["ni_accuracy"]) == ("0.91", "")
    assert float(second["edap ratio"]) == pytest.approx(float(second["edap"]) / float(first["edap"]))
    figures = json.loads(xpert("compare", *folders, "--json").stdout)
    assert [row["ni_accuracy"] for row in figures["designs"]] == [0.91, None]
    # The file in the run folder has the accuracy, too; elsewhere nothing is known of one.
    (runs / "copy.json").write_text((runs / "a" / "design.json").read_text())
    again = json.loads(xpert("compare", runs / "a" / "design.json", runs / "copy.json", "--json").stdout)
    assert [row["ni_accuracy"] for row in again["designs"]] == [0.91, None]


def test_compare_writes_one_page_of_runs(xpert: Callable, runs: Path) -> None:
    points = [
        {"area_mm2": 5 + k, "latency_us": 9 - k, "energy_uj": 1, "edap": 45 + k, "quality": 0.5} for k in range(2)
    ]
    fronts = [{"objective": "latency", "along": "area", "points": points}]
    tried = {"adc_bits": [4], "input_bits": [4], "ni_accuracy": 0.9, "edap": 3.0, "energy_uj": 1, "latency_us": 1}
    results = json.loads((runs / "a" / "results.json").read_text())
    results |= {"architecture": {"fronts": fronts}, "precision": {"front": [tried]}}
    (runs / "a" / "results.json").write_text(json.dumps(results))
    named = Design.read(runs / "deep" / "c" / "design.json").replace(name="</script><b>own</b>")
    named.write(runs / "own.json")
    out = runs.parent / "page.html"
    shown = xpert("compare", runs / "a", runs / "deep" / "c", runs / "own.json", "--html", out).stdout
    assert shown.endswith(f"Report: {out}\n")
    page = out.read_text()
    assert 'href="runs/a/report.html"' in page
    assert "<code>architecture.area_budget_mm2</code>" in page
    assert 'id="plot-latency_area"' in page
    assert 'id="plot-precision"' in page
    assert 'id="plot-edap_quality"' not in page  # no run has that front
    assert "<b>own</b>" not in page
    assert "://" not in re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert len(page) < 6e6


def asked(address: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 (the address of the test's own server)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_run_is_followed_until_ctrl_c(runs: Path, interruptible: Callable) -> None:
    run = runs / "deep" / "c"
    command = [sys.executable, "-m", "xpert", "report", str(run), "--follow"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        status, page = asked(address)
        assert status == 200
        assert "location.reload" in page
        assert "in architecture" not in page
        before = asked(f"{address}version")
        time.sleep(0.01)
        log(run, {"stage": "precision", "event": "started"})
        assert asked(f"{address}version") != before
        assert "precision: started" in asked(address)[1]
        # The file is as it always is: it asks nobody.
        assert "location.reload" not in (run / "report.html").read_text()
        assert asked(address, Host="somewhere.example")[0] == 403
        assert asked(f"{address}config.yaml")[0] == 404
        (run / "events.jsonl").write_text("broken\n")
        assert asked(address)[0] == 503
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "xpert: interrupted\n"
    assert process.returncode == 130


def test_a_port_without_follow(refusal: Callable, runs: Path) -> None:
    assert refusal("report", runs / "a", "--port", "8000") == "--port: says where --follow listens; give that, too"
