"""A search of a network of the user's own, from its source to the design that commands take back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_search import PRECISION
from xpert.design import Design
from xpert.errors import ConfigError
from xpert.experiment import SearchConfig
from xpert.experiment.config import resizable_network, search_space
from xpert.experiment.measure import accuracy_of_design
from xpert.experiment.pipeline import run_search
from xpert.hardware import evaluate
from xpert.networks.sources import load_network
from xpert.results import ArchitectureStage, PrecisionStage
from xpert.workload.trace import trace

CODE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, stride=4, padding=1)
        self.inner, self.outer = nn.Conv2d(width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, 24, 3, stride=2, padding=1)
        self.fc = nn.Linear(24 * 16, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = x + self.outer(torch.relu(self.inner(x)))
        return self.fc(torch.relu(self.second(x)).flatten(1))
"""

CONFIG: dict[str, Any] = {
    "name": "own",
    "seed": 3,
    "threads": 1,
    "network": {"source": "my_model.py:Net", "choices": [0.5, 1.0], "arguments": {"width": 16}},
    "dataset": {"name": "digits"},
    "periphery": {"columns_per_adc": [4, 8]},
    "architecture": {"front_points": 2},
    "training": {"epochs": 3, "batch_size": 64, "precision": "float32", "flip": False},
    "precision": PRECISION | {"confirmation_images": 0},
    "evaluation": {"chips": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_model.py").write_text(CODE)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    run_search(SearchConfig.read(folder / "config.json"), folder / "run")
    return folder / "run"


def changed(folder: Path, name: str, **changes: Any) -> SearchConfig:
    """The config with other parts, those that are mappings changed in place."""
    parts = {key: CONFIG.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()}
    (folder / name).write_text(json.dumps(CONFIG | parts))
    return SearchConfig.read(folder / name)


def test_a_whole_search(run: Path, folder: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    design = Design.read(run / "design.json")
    assert design.network.source is not None
    assert design.network.source.source == "my_model.py:Net"
    assert results["architecture"]["quality"] == "macs"
    whole = trace(load_network(f"{folder}/my_model.py:Net", input_shape=(1, 32, 32)).module, (1, 32, 32))
    macs = sum(layer.macs for layer in whole)
    # The baseline is the network as it is; at least half of its work is left, as nothing else was said.
    assert results["architecture"]["score_backbone"] == macs
    assert macs > design.network.macs >= 0.5 * macs
    assert results["baselines"]["typical"]["evaluation"]["layers"][0]["name"] == "first"
    assert results["ratios"]["typical"]["edap"] > 1
    stage = ArchitectureStage.read(run / "state" / "architecture.json", "stage")
    assert stage.lower_bound is not None
    assert stage.lower_bound == pytest.approx(stage.value, rel=0.02)
    assert (run / "report.html").exists()
    assert "my_model.py:Net" in (run / "report.html").read_text()


def test_commands_take_the_design_back(run: Path, folder: Path) -> None:
    results = json.loads((run / "results.json").read_text())["searched"]
    design = Design.read(run / "design.json")
    assert evaluate(design).to_dict()["edap"] == results["evaluation"]["edap"]
    loaded = load_network(f"{folder}/my_model.py:Net", input_shape=(1, 32, 32))
    given: dict[str, Any] = {"calibration_images": 16, "chips": 1, "seed": 3}
    found = accuracy_of_design(design, run / "weights.safetensors", "digits", None, network=loaded, **given)
    assert found.ideal == results["accuracy"]["ideal"]
    with pytest.raises(ConfigError, match=r"say where it is: --network my_model\.py:Net"):
        accuracy_of_design(design, run / "weights.safetensors", "digits", None, **given)
    with pytest.raises(ConfigError, match="--weights: needed for a design that was searched"):
        accuracy_of_design(design, None, "digits", None, network=loaded, **given)


def test_a_resumed_search_is_the_same(run: Path, folder: Path) -> None:
    again = folder / "again"
    run_search(SearchConfig.read(folder / "config.json"), again, stop_after="architecture")
    for stage in ("training", "precision"):
        run_search(None, again, resume=True, stop_after=stage)
    stages = [PrecisionStage.read(path / "state" / "precision.json", "stage") for path in (run, again)]
    assert stages[0].design == stages[1].design
    weights = [(path / "state" / "final.safetensors").read_bytes() for path in (run, again)]
    assert weights[0] == weights[1]


def test_a_search_starts_from_given_weights(run: Path, folder: Path) -> None:
    """What the whole network has learned is there before the first step: channels of the largest weights are kept."""
    own = load_network(f"{folder}/my_model.py:Net", input_shape=(1, 32, 32)).module
    with torch.no_grad():
        own.get_parameter("first.weight")[8:] *= 5
    torch.save(own.state_dict(), folder / "w.pt")
    config = changed(folder, "given.json", network={"weights": "w.pt"})
    found = resizable_network(config)
    narrow = search_space(config).network([8, 32, 16])
    kept = found.module(narrow.channels).state_dict()
    assert torch.equal(kept["first.weight"], own.get_parameter("first.weight")[8:])
    model = found.quantised(narrow, torch.zeros(1, 1, 32, 32)).state_dict()
    assert torch.equal(model["inner.weight"], kept["inner.weight"])


def test_a_score_as_the_quality(folder: Path) -> None:
    quality = {"quality": "synflow", "minimum_quality": 0.9, "front_points": 0}
    config = changed(folder, "score.json", architecture=quality, network={"choices": [0.25, 0.5, 1.0]})
    run_search(config, folder / "score", stop_after="architecture")
    stage = ArchitectureStage.read(folder / "score" / "state" / "architecture.json", "stage")
    assert stage.quality == "synflow"
    assert stage.score is not None
    assert stage.score_backbone is not None
    assert stage.score >= 0.9 * stage.score_backbone


def test_defaults_of_a_source(folder: Path) -> None:
    given = {key: value for key, value in CONFIG.items() if key != "architecture"}
    network = {"source": "my_model.py:Net"}
    (folder / "few.json").write_text(json.dumps(given | {"network": network}))
    config = SearchConfig.read(folder / "few.json")
    assert (config.architecture.quality, config.architecture.minimum_quality) == ("macs", 0.5)
    assert search_space(config).choices == ((8, 16), (8, 16, 24, 32), (8, 16, 24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": {"quality": "width_law"}}, "the width law is fitted to backbones"),
        ({"network": {"choices": {"nothing": [8]}}}, "has no width 'nothing'; it has first, inner, second"),
        ({"network": {"choices": [8, 64]}}, "channels of first must be at most 16, got 64"),
        ({"network": {"kernels": [3, 5]}}, "kernels: goes with backbone"),
        ({"network": {"choices": [0, 0.5]}}, "no residual block to leave out"),
    ],
)
def test_refusals(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_search(changed(folder, "refused.json", **changes), folder / "refused")
    assert not (folder / "refused").exists()
