"""The whole job on a small network: every stage runs, and a run that was cut anywhere ends as one that was not."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from tests.tiny_search import PRECISION
from xpert.analog.accuracy import SampledChips
from xpert.design import PRECISION_FIELDS, Design
from xpert.errors import ConfigError, InfeasibleError
from xpert.experiment import SearchConfig
from xpert.experiment.cluster import HERE
from xpert.experiment.pipeline import STAGES, _JointWork, run_search
from xpert.experiment.points import read_points
from xpert.experiment.run import open_run
from xpert.experiment.stages.joint import JointSettings, _as_found, joint_rounds
from xpert.experiment.stages.precision import FINAL, Phase2, choose_precisions
from xpert.experiment.tasks import RunTasks
from xpert.experiment.workspace import Workspace
from xpert.hardware import REFERENCE, evaluate
from xpert.hardware.variants import VARIANTS
from xpert.networks import build, space
from xpert.progress import Progress
from xpert.results import ArchitectureStage, PrecisionStage
from xpert.search.objectives import Budgets
from xpert.training import load_dataset, load_weights

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "network": {"backbone": "vgg11", "choices": [8, 16]},
    "dataset": {"name": "digits"},
    "periphery": {"columns_per_adc": [4, 16]},
    "architecture": {"area_budget_mm2": 20, "minimum_quality": 0.9, "evaluations": 20_000, "front_points": 2},
    "training": {"epochs": 2, "learning_rate": 0.1, "batch_size": 256, "precision": "float32"},
    "precision": PRECISION | {"finetune_epochs": 1},
    "evaluation": {"chips": 1},
}


class Cut(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    torch.set_num_threads(1)
    return SearchConfig.parse(TINY)


def test_the_same_threads_give_the_same_bytes(tmp_path: Path) -> None:
    """However many the environment asks for; with 32 channels one thread and two add up in different orders."""
    file = tmp_path / "threads.yaml"
    wide = {"network": {"backbone": "vgg11", "choices": [32]}, "architecture": {"front_points": 0}}
    file.write_text(yaml.safe_dump(TINY | wide | {"threads": 2}))
    weights, machines = [], []
    for environment in ("1", "2"):
        out = tmp_path / environment
        command = [sys.executable, "-m", "xpert", "search", file, "--out", out, "--stop-after", "training"]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": environment}, check=True, capture_output=True)
        weights.append((out / "state" / "searched.safetensors").read_bytes())
        machines.append(yaml.safe_load((out / "config.yaml").read_text())["threads"])
    assert weights[0] == weights[1]
    assert machines == [2, 2]


@pytest.fixture(scope="module")
def unbroken(config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert run_search(config, out) == out / "report.html"
    return out


def products(run: Path) -> tuple[Design, dict[str, torch.Tensor], dict[str, Any]]:
    results = json.loads((run / "results.json").read_text())
    names = (
        "searched", "baselines", "ratios", "homogeneous", "measured_activity", "variants", "accuracy_vs_precision",
        "single_difference", "organisations", "organisation_ratios", "factors",
    )  # fmt: skip
    decided = {name: results[name] for name in names}
    return Design.read(run / "design.json"), safetensors.torch.load_file(run / "weights.safetensors"), decided


def assert_same_products(run: Path, other: Path) -> None:
    design, weights, results = products(run)
    other_design, other_weights, other_results = products(other)
    assert design == other_design
    assert results == other_results
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def test_a_run_leaves_its_products(unbroken: Path, config: SearchConfig) -> None:
    design, _, results = products(unbroken)
    assert design.network.backbone == "vgg11"
    assert set(design.network.channels) <= {8, 16}
    assert results["searched"]["evaluation"]["area_mm2"] <= config.architecture.area_budget_mm2  # type: ignore[operator]
    assert {row["evaluation"]["layers"][0]["adc_type"] for row in results["homogeneous"]} == {"sar", "flash"}
    best = min(results["homogeneous"], key=lambda row: row["evaluation"]["edap"])
    assert results["baselines"]["best"] == best
    edap = {name: row["evaluation"]["edap"] for name, row in results["baselines"].items()}
    for name, ratios in results["ratios"].items():
        assert ratios["edap"] == pytest.approx(edap[name] / results["searched"]["evaluation"]["edap"])
    assert SearchConfig.parse(yaml.safe_load((unbroken / "config.yaml").read_text())).seed == config.seed
    stages = [json.loads(line)["stage"] for line in (unbroken / "events.jsonl").read_text().splitlines()]
    assert set(STAGES) <= set(stages)


def test_all_designs_are_also_evaluated_with_measured_activity(unbroken: Path) -> None:
    design, _, results = products(unbroken)
    measured = results["measured_activity"]["evaluations"]
    assumed = {"searched": results["searched"], **results["baselines"]}
    for name, evaluation in measured.items():
        before = assumed[name]["evaluation"]
        assert evaluation["area_mm2"] == before["area_mm2"]
        assert {layer["input_bit_density"] for layer in before["layers"]} == {0.3}
        assert len({layer["input_bit_density"] for layer in evaluation["layers"]}) == len(design.network.layers)
    # One network and one precision in all homogeneous designs, hence one activity.
    density = [[layer["input_bit_density"] for layer in measured[name]["layers"]] for name in ("typical", "best")]
    assert density[0] == density[1]
    for name, ratios in results["measured_activity"]["ratios"].items():
        assert ratios["energy"] == pytest.approx(measured[name]["energy_uj"] / measured["searched"]["energy_uj"])


def test_a_search_says_whether_its_answer_survives(unbroken: Path) -> None:
    design, _, results = products(unbroken)
    rows = {row["variant"]: row for row in results["variants"]}
    assert list(rows) == list(VARIANTS)
    assumed = {"searched": results["searched"], **results["baselines"]}
    for name, row in assumed.items():
        assert rows["nominal"]["costs"][name]["edap"] == pytest.approx(row["evaluation"]["edap"])
        measured = results["measured_activity"]["evaluations"][name]["edap"]
        assert rows["measured-activity"]["costs"][name]["edap"] == pytest.approx(measured)
    for name, row in rows.items():
        for base in ("typical", "best"):
            assert row["ratios"][base] == pytest.approx(row["costs"][base]["edap"] / row["costs"]["searched"]["edap"])
        assert ("converter_regret" in row) == ("network_regret" in row) == (name != "measured-activity")
        for kind in ("converter_regret", "network_regret"):
            if kind in row:
                assert row[kind]["regret"] >= 0
                assert row[kind]["regret"] == pytest.approx(row[kind]["value"] / row[kind]["best"] - 1)
    reference = evaluate(design, REFERENCE).edap * 1e18
    assert rows["reference"]["costs"]["searched"]["edap"] == pytest.approx(float(reference))


def test_a_run_has_its_best_single_periphery(unbroken: Path) -> None:
    design, _, results = products(unbroken)
    precision = json.loads((unbroken / "results.json").read_text())["precision"]
    single, row = Design.read(unbroken / "single.json"), results["baselines"]["single"]
    assert single.network == design.network
    assert single.chip == design.chip
    (periphery,) = set(single.periphery)
    assert periphery.model_dump() == {field: precision["single"][field] for field in periphery.taken()}
    assert row["evaluation"] == json.loads(json.dumps(evaluate(single).to_dict()))
    assert row["evaluation"]["edap"] == precision["single"]["edap"]
    assert row["evaluation"]["edap"] >= results["searched"]["evaluation"]["edap"]
    assert precision["single"]["ni_accuracy"]["mean"] >= precision["confirmation_floor"]
    difference = results["single_difference"]
    assert difference["low"] <= difference["mean"] <= difference["high"]
    mean = results["searched"]["accuracy"]["ni_mean"] - row["accuracy"]["ni_mean"]
    assert difference["mean"] == pytest.approx(mean)


def test_ratios_are_taken_apart_and_taken_in_the_best_tiles(unbroken: Path) -> None:
    _, _, results = products(unbroken)
    for field in ("edap", "area", "latency", "energy"):
        product = math.prod(one[field] for one in results["factors"])
        assert product == pytest.approx(results["ratios"]["typical"][field])
    organised = results["organisations"]
    assert organised.keys() == {"searched", *results["baselines"]}
    for name, one in organised.items():
        row = results["searched"] if name == "searched" else results["baselines"][name]
        assert one["edap"] == row["evaluation"]["edap"]
        assert one["best_edap"] <= one["edap"]
        assert one["own"] == "4 subarrays per PE, 16 PEs per tile"
    for name, ratio in results["organisation_ratios"].items():
        assert ratio == pytest.approx(organised[name]["best_edap"] / organised["searched"]["best_edap"])


def test_a_search_that_goes_on_repeats_no_measurement(
    config: SearchConfig, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the single peripheries nor of the layer-wise designs, nor on the images that confirm them."""
    once = SearchConfig.parse(TINY | {"precision": TINY["precision"] | {"finetune_epochs": 0}})
    measured: list[tuple[range, str, slice | None]] = []
    margins = SampledChips.margins

    def counted(self: SampledChips, design: Design, progress: Any = None, *, images: slice | None = None) -> Any:
        measured.append((self._groups(design)[0], " ".join(entry.short() for entry in design.periphery), images))
        return margins(self, design, progress, images=images)

    monkeypatch.setattr(SampledChips, "margins", counted)
    with open_run(tmp_path, once, resume=True) as run:
        for name in ("architecture.json", "searched.safetensors"):
            shutil.copyfile(unbroken / "state" / name, run.working_file(name))
        work = Workspace(run, torch.device("cpu"))
        found = run.result("architecture", ArchitectureStage).design
        first = work.choose_precisions(found, "searched", FINAL)
        assert len(measured) == len({(chips, of, str(images)) for chips, of, images in measured}) > 1
        before = len(measured)
        again = work.choose_precisions(found, "searched", FINAL)
    assert again == first
    assert len(measured) == before


def test_the_precision_search_reports_measured_designs(unbroken: Path) -> None:
    results = json.loads((unbroken / "results.json").read_text())["precision"]
    design = Design.read(unbroken / "design.json")
    chosen = [entry.adc_bits for entry in design.periphery], [entry.input_bits for entry in design.periphery]
    for row in (*results["tried"], *results["confirmed"]):
        if row["images"] < (48 if row in results["confirmed"] else 64):
            assert row["ni_accuracy_interval"] is row["difference_interval"] is None
            continue
        low, high = row["ni_accuracy_interval"]
        assert low <= row["ni_accuracy"] <= high
        assert row["difference_interval"][0] <= row["difference"] <= row["difference_interval"][1]
    assert results["confirmed"][-1]["images"] == 48
    for entry in results["tried"]:
        if entry["images"] == 64 or entry["feasible"]:
            assert entry["feasible"] == (entry["ni_accuracy"] >= results["floor"])
    assert [(entry["adc_bits"], entry["input_bits"]) for entry in results["tried"]].count(chosen) == 1
    last = results["confirmed"][-1]
    assert (last["adc_bits"], last["input_bits"]) == chosen
    assert last["feasible"] == results["met"]
    assert last["ni_accuracy"] == results["ni_accuracy"]["mean"]
    assert results["finetuning"]["kept"] == (results["finetuning"]["after"] > results["finetuning"]["before"])


@pytest.mark.parametrize(
    ("changes", "finetune"),
    [
        ({"strategy": "evolution", "evaluations": 6}, "simulation"),
        ({"strategy": "gradient", "evaluations": 1}, "cells"),
    ],
)
def test_other_ways_to_choose_precisions(
    config: SearchConfig, unbroken: Path, tmp_path: Path, changes: dict[str, Any], finetune: str
) -> None:
    """From the trained networks on, so that only the stage itself takes time."""
    precision = TINY["precision"] | changes | {"finetune": finetune, "finetune_epochs": 1, "confirmation_images": 0}
    other = SearchConfig.parse(TINY | {"precision": precision})
    with open_run(tmp_path, other, resume=True) as run:
        found = Design.parse(json.loads((unbroken / "state" / "architecture.json").read_text())["design"])
        model = build(found.network, weight_bits=found.chip.weight_bits)
        load_weights(model, unbroken / "state" / "searched.safetensors")
        data = load_dataset("digits").split(0.1, config.seed)
        data = replace(data, train_images=data.train_images[:256], train_labels=data.train_labels[:256])
        phase = Phase2(other.precision, other.periphery, Budgets(), other.training, other.seed, batch_size=128)
        tasks = RunTasks(HERE, other, tmp_path / "tasks", "cpu")
        result = choose_precisions(run, found, model, data, phase, lambda _: None, tasks)
        assert result.strategy == changes["strategy"]
        # Single peripheries are measured first, and count.
        assert 1 <= len(result.tried) <= changes["evaluations"]
        assert result.confirmed == ()
        assert result.finetuning is not None
        assert len(result.finetuning.curve) == 1
        final = safetensors.torch.load_file(run.working_file("final.safetensors"))
        assert final.keys() == model.state_dict().keys()


def test_joint_rounds_adopt_what_is_better(config: SearchConfig, unbroken: Path, tmp_path: Path) -> None:
    """A round from the finished run's own outcome, made to look bad so that there is something to gain."""
    precision = TINY["precision"] | {"joint_rounds": 2, "minimum_accuracy": 0.0, "maximum_drop": None, "evaluations": 4}
    joint = SearchConfig.parse(TINY | {"precision": precision})
    first = PrecisionStage.read(unbroken / "state" / "precision.json", "stage result")
    fine = first.design.with_values(PRECISION_FIELDS, [(6, 8)] * len(first.design.periphery))
    losses = sum(map(max, first.losses()))
    first = first.replace(design=fine, predicted_loss=losses, met=True, floor=0.0, confirmation_floor=0.0)
    with open_run(tmp_path, joint, resume=True) as run:
        for name in ("architecture.json", "searched.safetensors"):
            shutil.copyfile(unbroken / "state" / name, run.working_file(name))
        work = Workspace(run, torch.device("cpu"))
        network = run.result("architecture", ArchitectureStage).design.network
        settings = JointSettings(
            joint.precision, joint.architecture, joint.periphery, joint.baselines.typical, joint.seed
        )
        result = joint_rounds(first, network, work.space, settings, _JointWork(work))
        assert result.joint[0].adopted
        assert result.joint[0].reached is not None
        assert result.joint[0].reached < result.joint[0].present
        final = safetensors.torch.load_file(run.working_file(f"{FINAL}.safetensors"))
        assert final["linear.weight"].shape[1] == result.design.network.layers[-1].in_channels
        assert len(result.joint) <= 2


def test_joint_rounds_keep_the_layers_that_phase_1_found() -> None:
    networks = space("resnet20", (0, 8, 16), (1, 16, 16), kernels=(3, 5))
    channels = [0 if decision == 2 else 8 for decision in range(networks.depth)]
    kernels = [options[-1] for options in networks.kernels]
    found = networks.network(channels, kernels)
    kept = _as_found(networks, found)
    assert kept.choices == tuple((0,) if decision == 2 else (8, 16) for decision in range(networks.depth))
    assert kept.network(channels, [kernel for (kernel,) in kept.kernels]) == found


@pytest.mark.parametrize("stage", ["architecture", "training", "baseline", "precision", "evaluation"])
def test_a_run_cut_in_a_stage_resumes_to_the_same_end(
    config: SearchConfig, unbroken: Path, tmp_path: Path, stage: str
) -> None:
    def cut(report: Progress) -> None:
        # In a training: after the first epoch, so that there is a checkpoint to go on from.
        if report.stage == stage and (stage not in ("training", "baseline") or report.done == 2):
            raise Cut

    with pytest.raises(Cut):
        run_search(config, tmp_path / "run", progress=cut)
    run_search(config, tmp_path / "run", resume=True)
    assert_same_products(tmp_path / "run", unbroken)


def test_a_killed_process_resumes_to_the_same_end(config: SearchConfig, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config_file = tmp_path / "tiny.yaml"
    config_file.write_text(yaml.safe_dump(TINY))
    command = [sys.executable, "-m", "xpert", "search", str(config_file), "--out", str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "state" / "training.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "results.json").exists()
    run_search(config, out, resume=True)
    assert_same_products(out, unbroken)


def test_it_stops_after_a_stage_and_goes_on(config: SearchConfig, unbroken: Path, tmp_path: Path) -> None:
    run_search(config, tmp_path / "run", stop_after="architecture")
    assert not (tmp_path / "run" / "state" / "training.json").exists()
    run_search(None, tmp_path / "run", resume=True)
    assert_same_products(tmp_path / "run", unbroken)


def test_an_unknown_device_leaves_no_folder(config: SearchConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device: must be one of cpu.*, got 'tpu'"):
        run_search(config, tmp_path / "run", device="tpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_runs_the_whole_search(config: SearchConfig, unbroken: Path, tmp_path: Path) -> None:
    """Trained weights differ in their last bits from the processor's, so that only the shapes are the same."""
    run_search(config, tmp_path, device="cuda")
    for name, tensor in safetensors.torch.load_file(tmp_path / "weights.safetensors").items():
        assert tensor.shape == safetensors.torch.load_file(unbroken / "weights.safetensors")[name].shape


def test_unknown_stage(config: SearchConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--stop-after: must be one of architecture"):
        run_search(config, tmp_path / "run", stop_after="lunch")
    assert not (tmp_path / "run").exists()


def test_a_budget_that_no_design_meets(tmp_path: Path) -> None:
    config = SearchConfig.parse(TINY | {"architecture": {"area_budget_mm2": 0.1}})
    with pytest.raises(InfeasibleError, match=r"area.*0\.1"):
        run_search(config, tmp_path / "run")


def test_a_residual_network_is_searched(tmp_path: Path) -> None:
    changes = {
        "network": {"backbone": "resnet20", "choices": [2, 4]},
        "periphery": {"adc_types": ["sar", "flash"], "columns_per_adc": [8]},
        "architecture": {"strategy": "exact", "minimum_quality": None, "area_budget_mm2": 25, "front_points": 0},
    }
    out = tmp_path / "run"
    run_search(SearchConfig.parse(TINY | changes), out, stop_after="architecture")
    found = json.loads((out / "state" / "architecture.json").read_text())
    design = Design.parse(found["design"], "design")
    assert design.network.backbone == "resnet20"
    assert len(design.periphery) == len(design.network.layers) == 22
    assert found["lower_bound"] == pytest.approx(found["value"], rel=1e-9)


def test_tiles_are_chosen(tmp_path: Path) -> None:
    """The design sits in the tiles that suit it; baselines keep those of the config."""
    settings = {"strategy": "exact", "minimum_quality": None, "front_points": 2}
    periphery = {"adc_types": ["sar"], "columns_per_adc": [8, 16]}
    found = {}
    for chosen in (False, True):
        config = SearchConfig.parse(
            TINY | {"periphery": periphery, "architecture": settings | {"choose_tiles": chosen}}
        )
        out = tmp_path / str(chosen)
        run_search(config, out, stop_after="architecture")
        found[chosen] = json.loads((out / "state" / "architecture.json").read_text())
    given, tiled = (Design.parse(found[chosen]["design"], "design") for chosen in (False, True))
    assert found[True]["value"] < found[False]["value"]
    assert found[True]["lower_bound"] <= found[True]["value"] * (1 + 1e-9)
    assert tiled.chip != given.chip == config.chip
    assert tiled.chip.replace(subarrays_per_pe=4, pes_per_tile=config.chip.pes_per_tile) == config.chip
    assert found[True]["homogeneous"] == found[False]["homogeneous"]
    for point in found[True]["fronts"][0]["points"]:
        assert point["lower_bound"] <= point["latency_us"] * (1 + 1e-9)
    points = read_points(tmp_path / "True")
    for point in points.points:
        assert points.design(point).chip == tiled.chip
        assert points.evaluation(point).edap == pytest.approx(point.edap, rel=1e-9)
