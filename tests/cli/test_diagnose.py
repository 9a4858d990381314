"""`xpert diagnose`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

NET = """
import torch
from torch import nn

class Net(nn.Sequential):
    input_shape = (1, 32, 32)

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A network of the user's own in a file, and weights that tell digits: each class's mean picture."""
    import torch

    from xpert.networks.sources import load_network
    from xpert.training import load_dataset
    from xpert.training.source import DataRequest

    (tmp_path / "net.py").write_text(NET)
    network = load_network(f"{tmp_path / 'net.py'}:Net").module
    data = load_dataset(DataRequest("digits"))
    seen = network[1](network[0](data.normalised(data.train_images)))
    means = torch.stack([seen[data.train_labels == digit].mean(dim=0) for digit in range(10)])
    with torch.no_grad():
        network[2].weight.copy_(means)
        network[2].bias.copy_(-means.square().sum(dim=1) / 2)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    return tmp_path / "net.py", tmp_path / "w.pt"


def test_own_network(xpert: Callable, trained: tuple[Path, Path]) -> None:
    source, weights = trained
    arguments = ("diagnose", f"{source}:Net", "--weights", weights, "--dataset", "digits", "--images", "64")
    arguments = (*arguments, "--chips", "1", "--set", "adc_range=full_scale", "--set", "adc_bits=4")
    outcome = xpert(*arguments, "--json")
    assert outcome.code == 0
    assert outcome.stderr == ""
    found = json.loads(outcome.stdout)
    assert (found["cause"], found["layer"]) == ("range", "2")
    assert [step["name"] for step in found["chain"]] == ["float", "unrounded", "traced", "quantised", "ideal"]
    assert found["chain"][1]["difference"] == found["chain"][4]["difference"] == 0
    assert found["ideal"] > found["ni_mean"] + 0.05
    assert found["suggestions"][0]["setting"] == "adc_range=calibrated"
    gain = found["suggestions"][0]["gain"]["mean"]
    assert found["suggestions"][0]["ni_mean"] == pytest.approx(found["ni_mean"] + gain)
    shown = xpert(*arguments).stdout
    assert "= quantised, bit for bit" in shown
    assert "Cause: range." in shown
    assert "First: ADC ranges from calibration" in shown


def test_untrained_weights(xpert: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    weights = {"2.weight": torch.randn(10, 64), "2.bias": torch.zeros(10)}
    torch.save(weights, tmp_path / "other.pt")
    outcome = xpert("diagnose", f"{trained[0]}:Net", "--weights", tmp_path / "other.pt", "--dataset", "digits")
    assert outcome.code == 0
    assert "Cause: weights." in outcome.stdout
    assert "what to change first" not in outcome.stdout


def test_refusals(refusal: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    source = f"{trained[0]}:Net"
    assert refusal("diagnose", tmp_path / "none.json", "--dataset", "digits").endswith("no such design or config file")
    arguments = ("diagnose", source, "--weights", trained[1], "--dataset", "digits", "--set", "adc_bist=3")
    assert "unknown field 'adc_bist'" in refusal(*arguments)
    assert "no such weight file" in refusal("diagnose", source, "--dataset", "digits", "--weights", tmp_path / "no.pt")
