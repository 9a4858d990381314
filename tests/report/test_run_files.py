from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import DataError, RunError
from xpert.report.run_files import read_run

Write = Callable[[dict[str, Any]], Path]


def test_a_whole_run(results: dict[str, Any], write_run: Write):
    run = read_run(write_run(results))
    assert run.absent == ()
    assert run.results.searched is not None
    assert run.results.searched.evaluation.edap == results["searched"]["evaluation"]["edap"]
    assert run.design is not None
    assert len(run.design.network.layers) == 14
    assert [event.stage for event in run.events[::2]] == [
        "architecture",
        "baseline",
        "training",
        "precision",
        "evaluation",
    ]


def test_no_run_folder(tmp_path: Path):
    with pytest.raises(RunError, match="no such folder"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not a folder"):
        read_run(tmp_path / "file")
    with pytest.raises(RunError, match=r"none of results\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", "", r"line 1, column 1: not JSON"),
        ("results.json", '{"searched": {"evalu', r"line 1, column \d+: not JSON"),
        ("results.json", "[]", "is a mapping"),
        ("results.json", '{"schema_version": 2}', "reads version 1, got 2"),
        ("results.json", '{"searched": {"evaluation": {"area_mm2": -4}}}', r"searched\.evaluation\.area_mm2"),
        ("results.json", '{"training": {"searched": [{"loss": 1}]}}', r"training\.searched\.0\.epoch: required"),
        ("results.json", '{"ratios": {"typical": {"edap": 0}}}', r"ratios\.typical\.edap"),
        ("results.json", b"\xff\xfe\x00", "not a text file"),
        ("design.json", '{"name": "x"}', "network: required"),
        ("config.yaml", "seed: [1", "not YAML"),
        ("events.jsonl", "{\n", "line 1: not a JSON object"),
        ("events.jsonl", "7\n", "line 1"),
        ("events.jsonl", '{"time": "noon", "stage": "training"}\n', "line 1: time"),
    ],
)
def test_broken_files_are_named(
    results: dict[str, Any], write_run: Write, name: str, content: str | bytes, message: str
):
    folder = write_run(results)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        read_run(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_a_diverged_run_lacks(results: dict[str, Any], write_run: Write):
    results["training"]["searched"][3]["loss"] = float("nan")
    results["architecture"]["trace"][0]["objective"] = float("inf")
    run = read_run(write_run(results))
    assert run.results.training["searched"][3].loss is None
    assert run.results.architecture is not None
    assert run.results.architecture.trace[0].objective is None


def test_a_line_that_a_kill_cut_off_is_left_out(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    whole = len(read_run(folder).events)
    with (folder / "events.jsonl").open("a") as log:
        log.write('{"time": "2026-11-23T14:')
    assert len(read_run(folder).events) == whole


def test_an_unfinished_run_is_read_from_its_stages_and_log(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    (folder / "results.json").unlink()
    design = json.loads((folder / "design.json").read_text())
    (folder / "design.json").unlink()
    (folder / "state").mkdir()
    stage = results["architecture"] | {"design": design, "seconds": 3.0}
    (folder / "state" / "architecture.json").write_text(json.dumps(stage))
    (folder / "state" / "training.json").write_text(json.dumps({"curve": results["training"]["searched"]}))
    time = "2026-11-23T14:09:00+01:00"
    events = [
        {"time": time, "stage": "baseline", "event": "epoch", "epoch": epoch, "loss": loss}
        for epoch, loss in ((1, 2.0), (2, 1.0), (2, 1.0), (3, 0.5))
    ]
    events.append(
        {"time": time, "stage": "precision", "event": "tried", **results["precision"]["tried"][0], "predicted_loss": 1}
    )
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    run = read_run(folder)
    assert run.absent == ("results.json", "design.json")
    assert run.design is not None
    assert run.results.searched is None
    assert run.results.architecture is not None
    assert len(run.results.architecture.trace) == len(results["architecture"]["trace"])
    assert len(run.results.training["searched"]) == 24
    assert [epoch.loss for epoch in run.results.training["typical"]] == [2.0, 1.0, 0.5]
    assert run.results.precision is not None
    assert run.results.precision.tried[0].ni_accuracy == results["precision"]["tried"][0]["ni_accuracy"]


def test_a_broken_stage_is_named(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    (folder / "results.json").unlink()
    (folder / "state").mkdir()
    (folder / "state" / "architecture.json").write_text('{"design": {}}')
    with pytest.raises(DataError, match=r"architecture\.json: design\.network: required"):
        read_run(folder)
