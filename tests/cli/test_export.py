"""`xpert export`: a design in the files of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from xpert.design import Design
from xpert.networks import build
from xpert.networks.sources import load_network
from xpert.training import save_weights

CODE = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
"""


@pytest.fixture
def trained(design_file: Path, tmp_path: Path) -> tuple[Path, Path]:
    save_weights(build(Design.read(design_file).network), tmp_path / "w.safetensors")
    return design_file, tmp_path / "w.safetensors"


def test_all_files_of_a_design(xpert: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained
    files = ("--conductances", tmp_path / "chip", "--spice", tmp_path / "a.sp", "--zigzag", tmp_path / "a.yaml")
    files += ("--neurosim-summary", tmp_path / "a.log")
    outcome = xpert("export", design, "--weights", weights, *files, "--layer", "conv2", "--seed", "3", "--chip", "1")
    assert outcome.code == 0
    assert outcome.stdout == ""
    listed = json.loads((tmp_path / "chip" / "crossbars.json").read_text())
    assert (listed["seed"], listed["chip"]) == (3, 1)
    assert [entry["layer"] for entry in listed["layers"]] == [
        layer.name for layer in Design.read(design).network.layers
    ]
    text = (tmp_path / "a.sp").read_text()
    assert ", conv2, block 0, group 0, crossbar 0: " in text.splitlines()[0]
    assert text.endswith(".end\n")
    assert "\nChipArea : " in (tmp_path / "a.log").read_text()
    assert "operational_array" in yaml.safe_load((tmp_path / "a.yaml").read_text())


def test_a_network_of_ones_own(xpert: Callable, refusal: Callable, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(CODE)
    net, shape = f"{tmp_path}/my_model.py:Net", ("--input-shape", "1,32,32")
    torch.save(load_network(net, input_shape=(1, 32, 32)).module.state_dict(), tmp_path / "w.pt")
    arguments = ("export", net, *shape, "--conductances", tmp_path / "chip")
    assert xpert(*arguments, "--weights", tmp_path / "w.pt").code == 0
    assert (tmp_path / "chip" / "01-0.csv").is_file()
    assert xpert(*arguments, "--weights", tmp_path / "w.pt", "--digital", "0").code == 0
    assert json.loads((tmp_path / "chip" / "crossbars.json").read_text())["layers"][0]["layer"] == "3"


def test_what_cannot_be_exported_is_one_line(refusal: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained
    spice = ("--weights", weights, "--spice", tmp_path / "a.sp")
    assert refusal("export", design) == (
        "nothing to export: give --conductances DIR, --spice FILE, --zigzag FILE.yaml or --neurosim-summary FILE"
    )
    assert refusal("export", design, "--spice", tmp_path / "a.sp").startswith("--weights: needed for a design")
    assert refusal("export", design, *spice, "--layer", "head").startswith("--layer: must be one of conv1, ")
    assert refusal("export", design, *spice, "--block", "99").startswith(
        "--block: conv1 has 1 of them, 0 ... 0, got 99"
    )
    assert not (tmp_path / "a.sp").exists()
    (tmp_path / "file").touch()
    where = tmp_path / "file" / "chip"
    assert refusal("export", design, "--weights", weights, "--conductances", where).startswith(
        f"{where}: cannot make this folder"
    )
