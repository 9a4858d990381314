"""Points of a run's fronts are designs that cost and do what the fronts say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.tiny_search import PRECISION
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design
from xpert.errors import DataError, RunError
from xpert.experiment import SearchConfig
from xpert.experiment.pipeline import run_search
from xpert.experiment.points import RunPoints, differs, read_points
from xpert.experiment.run import open_run
from xpert.experiment.workspace import Workspace
from xpert.search.precision.bench import ChipBench

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "network": {"backbone": "vgg11", "choices": [8, 16], "kernels": [0, 3]},
    "dataset": {"name": "digits", "validation": 0.6},
    "architecture": {"area_budget_mm2": 20, "minimum_quality": 0.9, "front_points": 2, "evaluations": 5000},
    "training": {"epochs": 2, "learning_rate": 0.1, "batch_size": 64, "precision": "float32"},
    "precision": PRECISION
    | {
        "joint_rounds": 1,
        "evaluations": 6,
        "measure_in_full": True,
    },
    "evaluation": {"chips": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("points") / "run"
    run_search(SearchConfig.parse(CONFIG), out)
    return out


@pytest.fixture(scope="module")
def found(run: Path) -> RunPoints:
    return read_points(run)


def test_every_front_has_points_and_each_costs_what_was_recorded(found: RunPoints) -> None:
    assert {point.front for point in found.points} == {"phase1", "precision", "joint"}
    assert [point.number for point in found.points] == [*range(1, len(found.points) + 1)]
    for point in found.points:
        evaluation = found.evaluation(point)
        assert not differs(point, evaluation)
        assert point.area_mm2 == pytest.approx(evaluation.area_mm2, rel=1e-9)
    # Layers are left out at some point: its kernels are needed to know which.
    assert any(0 in point.kernels for point in found.points)


def test_a_design_of_another_cost_is_told(found: RunPoints) -> None:
    point = found.points[0]
    assert differs(point.replace(edap=1.001 * point.edap), found.evaluation(point))


def test_measured_points_have_their_accuracy_with_the_weights_named(run: Path, found: RunPoints) -> None:
    config = SearchConfig.read(run / "config.yaml")
    settings = config.precision
    with open_run(run, config, resume=True) as opened:
        work = Workspace(opened, torch.device("cpu"))
        data = work.dataset
        for point in found.points:
            if point.ni_accuracy is None:
                continue
            assert point.as_measured
            assert point.weights is not None
            design = found.design(point)
            model = work.trained(design.network, Path(point.weights).stem)
            # A joint round is measured on the images and chips of the confirmation.
            again = point.front == "joint"
            part = slice(-settings.confirmation_images, None) if again else slice(settings.images)
            images, labels = data.in_batches(data.validation_images[part]), data.validation_labels[part]
            sampling = Sampling(config.seed, 1, config.evaluation.batch_size, 1 if again else 0)
            bench = ChipBench(model, design, TestSet(images, labels, work.calibration), sampling)
            assert float(bench(design).mean()) == point.ni_accuracy


def edited(run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> RunPoints:
    for name in ("config.yaml", "design.json"):
        (tmp_path / name).write_text((run / name).read_text())
    results = json.loads((run / "results.json").read_text())
    change(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    return read_points(tmp_path)


def test_a_run_that_did_not_record_whole_designs_is_refused(run: Path, tmp_path: Path) -> None:
    def older(results: dict[str, Any]) -> None:
        for tried in results["precision"]["front"]:
            del tried["adc_type"]

    found = edited(run, tmp_path, older)
    measured = [point for point in found.points if point.front == "precision"]
    with pytest.raises(DataError, match=r"point \d+: its network or periphery was not recorded whole"):
        found.design(measured[0])


def test_weights_trained_along_are_not_promised(run: Path, tmp_path: Path) -> None:
    def trained_along(results: dict[str, Any]) -> None:
        results["precision"]["front"][0]["own_weights"] = True

    found = edited(run, tmp_path, trained_along)
    assert not next(point for point in found.points if point.front == "precision").as_measured


def test_a_run_without_fronts(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.raises(RunError, match="has no fronts"):
        read_points(tmp_path)


def test_phase_1_leaves_a_design(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_search(SearchConfig.parse(CONFIG), out, stop_after="architecture")
    design = Design.read(out / "design.json")
    kept = json.loads((out / "state" / "architecture.json").read_text())["design"]
    assert design == Design.parse(kept)
    points = read_points(out).points
    assert {point.front for point in points} == {"phase1"}
    assert all(point.weights is None for point in points)
