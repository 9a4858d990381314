"""Networks of the user's own: `xpert trace`, and `evaluate` and `accuracy` of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xpert.experiment import SearchConfig
from xpert.networks.sources import load_network

CODE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, stride=4)
        self.fc = nn.Linear(width * 64, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))
"""
FEW = ("--dataset", "digits", "--chips", "1", "--calibration-images", "16", "--images", "32")


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "my_model.py").write_text(CODE)
    return f"{tmp_path}/my_model.py:Net"


@pytest.fixture
def weights(net: str, tmp_path: Path) -> Path:
    torch.save(load_network(net, input_shape=(1, 32, 32)).module.state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_the_layers(xpert: Callable, net: str, tmp_path: Path) -> None:
    arguments = ("trace", net, "--input-shape", "1,32,32", "--argument", "width=2")
    found = json.loads(xpert(*arguments, "--json").stdout)
    assert (found["name"], found["input_shape"], found["num_classes"]) == ("Net", [1, 32, 32], 10)
    assert found["macs"] == 2 * 9 * 64 + 128 * 10
    assert [(row["name"], row["macs"]) for row in found["layers"]] == [("conv", 1152), ("fc", 1280)]
    outcome = xpert(*arguments, "--csv", tmp_path / "layers.csv")
    assert "2,432" in outcome.stdout
    with (tmp_path / "layers.csv").open() as file:
        assert [row["weights"] for row in csv.DictReader(file)] == ["18", "1280"]


def test_the_widths(xpert: Callable, net: str, tmp_path: Path) -> None:
    arguments = ("trace", net, "--input-shape", "1,32,32", "--groups")
    found = json.loads(xpert(*arguments, "--json").stdout)
    assert found["groups"] == [{"name": "conv", "channels": 4, "multiple": 1, "layers": ["conv"], "block": None}]
    assert found["kept"] == [{"name": "fc", "channels": 10, "why": "it is the network's output"}]
    assert "it is the network's output" in xpert(*arguments).stdout
    table = tmp_path / "NetWork.csv"
    table.write_text("8,8,3,3,3,4,0\n")
    refused = xpert("trace", table, "--groups")
    assert refused.code == 2
    assert "--groups: NetWork is a table of layers" in refused.stderr


def test_costs(xpert: Callable, net: str, tmp_path: Path) -> None:
    shape, design = ("--input-shape", "1,32,32"), tmp_path / "d.json"
    own = xpert("evaluate", net, *shape, "--json", "--write", design)
    assert own.code == 0
    assert json.loads(own.stdout) == json.loads(xpert("evaluate", design, "--json").stdout)
    swept = json.loads(xpert("evaluate", net, *shape, "--sweep", "rows=64,128", "--json").stdout)["sweep"]
    assert swept[0]["edap"] == json.loads(own.stdout)["edap"] != swept[1]["edap"]


def test_accuracy_of_source_design_and_config(xpert: Callable, net: str, weights: Path, tmp_path: Path) -> None:
    """The same network in three ways: the same figures."""
    design = tmp_path / "d.json"
    xpert("evaluate", net, "--input-shape", "1,32,32", "--write", design)
    config = {"name": "own", "network": {"source": "my_model.py:Net", "weights": "w.pt"}, "dataset": {"name": "digits"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ways = (
        (net, "--weights", weights),
        (design, "--network", net, "--weights", weights),
        (tmp_path / "config.json",),
    )
    outcomes = [xpert("accuracy", *way, *FEW, "--json") for way in ways]
    assert [outcome.stderr for outcome in outcomes] == [""] * 3
    figures = [json.loads(outcome.stdout) for outcome in outcomes]
    assert figures[0] == figures[1] == figures[2]
    assert figures[0]["images"] == 32


def test_activity(xpert: Callable, net: str, weights: Path) -> None:
    arguments = ("evaluate", net, "--weights", weights, "--dataset", "digits", "--json")
    measured = json.loads(xpert(*arguments).stdout)
    assumed = json.loads(xpert("evaluate", net, "--input-shape", "1,32,32", "--json").stdout)
    assert measured["layers"][0]["input_bit_density"] != assumed["layers"][0]["input_bit_density"]


def test_a_design_runs_no_code(refusal: Callable, net: str, weights: Path, tmp_path: Path, xpert: Callable) -> None:
    xpert("evaluate", net, "--input-shape", "1,32,32", "--write", tmp_path / "d.json")
    refused = refusal("accuracy", tmp_path / "d.json", "--weights", weights, *FEW)
    assert "--network my_model.py:Net" in refused


def test_refusals(refusal: Callable, net: str, weights: Path, design_file: Path, tmp_path: Path) -> None:
    assert "give --input-shape" in refusal("trace", net)
    for shape in ("3,", "3,32,x", "0,1,1", "1,2,3,4,5"):
        assert refusal("trace", net, "--input-shape", shape).startswith("--input-shape: expected C,H,W")
    assert "expected NAME=VALUE" in refusal("trace", net, "--argument", "width")
    assert "width stands twice" in refusal("trace", net, "--argument", "width=1", "--argument", "width=2")
    assert "not the source of a network" in refusal("trace", design_file)
    assert "not YAML" in refusal("trace", net, "--argument", "width=[1")
    assert "goes with the source" in refusal("evaluate", design_file, "--input-shape", "1,32,32")
    assert "is a network itself" in refusal("evaluate", net, "--network", net)
    assert "needs no source" in refusal("evaluate", design_file, "--network", net)
    assert "does not run on an image of 1x8x8" in refusal("evaluate", net, "--input-shape", "1,8,8")
    assert "data set 'digits' has images of" in refusal("accuracy", net, "--input-shape", "1,33,33", *FEW)
    (tmp_path / "two.py").write_text(CODE.replace("return ", "return x, "))
    assert "answers an image with a tuple, not with [1, 10]" in refusal("accuracy", f"{tmp_path}/two.py:Net", *FEW)
    network = {"source": net, "choices": {"nothing": [2]}, "input_shape": [1, 32, 32]}
    (tmp_path / "config.json").write_text(
        json.dumps({"name": "own", "network": network, "dataset": {"name": "digits"}})
    )
    refused = refusal("search", tmp_path / "config.json", "--out", tmp_path / "run")
    assert "has no width 'nothing'; it has conv" in refused
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({}, "one of backbone and source"),
        ({"source": "a.py:B", "backbone": "vgg11", "choices": [8]}, "one of backbone and source"),
        ({"backbone": "vgg11"}, "choices: required"),
        ({"backbone": "vgg11", "choices": [8], "weights": "w"}, "weights: goes with source"),
        ({"source": "a.py:B", "kernels": [5]}, "kernels: goes with backbone"),
        ({"source": "a.py:B", "choices": [1.5]}, "fractions (up to 1.0)"),
        ({"backbone": "vgg11", "choices": [8], "optional": True}, "optional: goes with source"),
        ({"source": "a.py"}, "not the source of a network"),
    ],
)
def test_configs_that_name_no_network(refusal: Callable, tmp_path: Path, network: dict, message: str) -> None:
    config = {"name": "own", "network": network, "dataset": {"name": "digits"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert message in refusal("evaluate", tmp_path / "config.json")


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_is_the_same_network(xpert: Callable, net: str, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    module = load_network(net, input_shape=(1, 32, 32), weights=weights).module
    torch.onnx.export(module, (torch.zeros(1, 1, 32, 32),), str(tmp_path / "net.onnx"), dynamo=False)
    source = tmp_path / "net.onnx"
    costs = [
        json.loads(xpert("evaluate", *way, "--json").stdout) for way in ((source,), (net, "--input-shape", "1,32,32"))
    ]
    assert costs[0]["edap"] == costs[1]["edap"]
    accuracies = [
        json.loads(xpert("accuracy", *way, *FEW, "--json").stdout) for way in ((source,), (net, "--weights", weights))
    ]
    assert accuracies[0] == accuracies[1]


def test_a_table_of_layers(xpert: Callable, refusal: Callable, tmp_path: Path) -> None:
    path = tmp_path / "NetWork_small.csv"
    path.write_text("32,32,3,3,3,8,1,1\n1,1,2048,1,1,10,0,1\n")
    outcome = xpert("evaluate", path, "--json")
    assert json.loads(outcome.stdout)["operations"] == 2 * (32 * 32 * 27 * 8 + 20480)
    assert outcome.stderr == f"xpert: note: {path}: 8 columns; 8th is the stride; maps as they enter, without padding\n"
    assert [row["name"] for row in json.loads(xpert("trace", path, "--json").stdout)["layers"]] == ["layer1", "layer2"]
    config = {"name": "own", "network": {"source": path.name}, "dataset": {"name": "cifar10"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert xpert("evaluate", tmp_path / "config.json", "--json").code == 0
    outcome = xpert("accuracy", path, "--dataset", "cifar10")
    assert (outcome.code, "holds no weights" in outcome.stderr) == (2, True)


def test_inputs_of_neurosim(xpert: Callable, refusal: Callable, net: str, weights: Path, tmp_path: Path) -> None:
    outcome = xpert("trace", net, "--input-shape", "1,32,32", "--neurosim", tmp_path / "table", "--json")
    assert outcome.stderr == f"xpert: note: wrote {tmp_path}/table/NetWork_Net.csv\n"
    assert (tmp_path / "table" / "NetWork_Net.csv").read_text() == "32,32,1,3,3,4,0,4\n1,1,256,1,1,10,0,1\n"
    arguments = ("trace", net, "--weights", weights, "--neurosim", tmp_path / "n", "--dataset", "digits")
    assert xpert(*arguments).code == 0
    found = sorted(path.relative_to(tmp_path / "n").as_posix() for path in (tmp_path / "n").rglob("*.*"))
    records = [f"layer_record_Net/{name}" for name in ("inputconv.csv", "inputfc.csv", "trace_command.sh")]
    weights_of = [f"layer_record_Net/weight{name}.csv" for name in ("conv", "fc")]
    assert found == ["NeuroSIM/NetWork_Net.csv", *records, *weights_of]
    assert "goes with --neurosim" in refusal("trace", net, "--dataset", "digits")


def test_a_config_that_spells_out_defaults_is_the_same() -> None:
    """As that of a run folder does."""
    for network in ({"source": "my_model.py:Net", "weights": "w.pt"}, {"backbone": "vgg11", "choices": [8, 16]}):
        config = SearchConfig.parse({"name": "own", "network": network, "dataset": {"name": "digits"}})
        assert SearchConfig.parse(json.loads(config.model_dump_json())) == config


def test_layers_are_kept_off_the_crossbars_by_name(
    xpert: Callable, refusal: Callable, net: str, weights: Path, tmp_path: Path
) -> None:
    """The same by a flag, of a source and of a design, and by a config; in cost, and in simulation."""
    shape, off = ("--input-shape", "1,32,32"), ("--digital", "co*")
    found = json.loads(xpert("evaluate", net, *shape, *off, "--json", "--write", tmp_path / "off.json").stdout)
    assert [(row["name"], row.get("digital", False)) for row in found["layers"]] == [("conv", True), ("fc", False)]
    xpert("evaluate", net, *shape, "--write", tmp_path / "d.json")
    assert json.loads(xpert("evaluate", tmp_path / "d.json", *off, "--json").stdout) == found
    config = {
        "name": "own",
        "network": {"source": "my_model.py:Net", "weights": "w.pt", "digital": ["co*"]},
        "dataset": {"name": "digits"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    of_config = json.loads(xpert("evaluate", tmp_path / "config.json", "--json").stdout)
    assert [row["energy_uj"] for row in of_config["layers"]] == [row["energy_uj"] for row in found["layers"]]
    table = xpert("evaluate", tmp_path / "off.json").stdout
    assert [line for line in table.splitlines() if line.strip().startswith("conv") and "digital" in line]
    rows = json.loads(xpert("trace", net, *shape, *off, "--json").stdout)["layers"]
    assert [row["digital"] for row in rows] == [True, False]

    noisy = ("--set", "programming_sigma=0.8")
    on, kept = (
        json.loads(xpert("accuracy", net, "--weights", weights, *FEW, *noisy, *flags, "--layers", "--json").stdout)
        for flags in ((), off)
    )
    assert [row["layer"] for row in kept["layers"]] == ["fc"]
    assert [row["layer"] for row in on["layers"]] == ["conv", "fc"]
    of_config = json.loads(xpert("accuracy", tmp_path / "config.json", *FEW, *noisy, "--layers", "--json").stdout)
    assert of_config["layers"] == kept["layers"]

    assert refusal("evaluate", net, *shape, "--digital", "head") == (
        "digital: no layer is called 'head'; there are conv, fc"
    )
    assert refusal("evaluate", net, *shape, "--digital", "*") == (
        "network.layers: all of them are digital, so that no crossbar is needed"
    )


def test_layers_of_backbones_are_kept_off_the_crossbars(xpert: Callable, refusal: Callable, tmp_path: Path) -> None:
    config = {
        "name": "off",
        "network": {"backbone": "vgg11", "choices": [4, 8], "digital": ["conv1"]},
        "dataset": {"name": "digits"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    outcome = xpert("evaluate", tmp_path / "config.json", "--json", "--write", tmp_path / "d.json")
    assert outcome.code == 0
    first = json.loads(outcome.stdout)["layers"][0]
    assert (first["name"], first["digital"], first["tiles"]) == ("conv1", True, 0)
    from xpert.design import Design
    from xpert.networks import build
    from xpert.training import save_weights

    save_weights(build(Design.read(tmp_path / "d.json").network), tmp_path / "w.safetensors")
    outcome = xpert("accuracy", tmp_path / "d.json", "--weights", tmp_path / "w.safetensors", *FEW, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    message = refusal("search", tmp_path / "config.json", "--out", tmp_path / "run")
    assert message == "network.digital: a search puts all layers on crossbars; `evaluate` and `accuracy` take it"
