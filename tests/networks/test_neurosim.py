"""NeuroSim's inputs: read back, they are the network's own numbers."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xpert.design import Network
from xpert.errors import ConfigError
from xpert.networks.neurosim import write_layer_table, write_traces
from xpert.networks.quantised import QuantConv2d, quantise, quantised_layers
from xpert.networks.sources.neurosim import read_layer_table
from xpert.workload.trace import trace

SHAPE = (2, 12, 12)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(216, 5, bias=False),
        ).eval()


def network_of(model: nn.Module) -> Network:
    return Network(backbone="custom", input_shape=SHAPE, layers=trace(model, SHAPE))


def test_the_table_is_what_is_read(model: nn.Module, tmp_path: Path) -> None:
    network = network_of(model)
    path = write_layer_table(tmp_path / "new", "my net", network)
    assert path.read_text() == "12,12,2,3,3,4,1,1\n6,6,4,3,3,6,0,1\n1,1,216,1,1,5,0,1\n"
    assert path.name == "NetWork_my_net.csv"
    found = read_layer_table(path).layers
    same = ("in_height", "out_height", "padding", "stride", "pool", "macs", "kind")
    for own, read in zip(network.layers, found, strict=True):
        assert [getattr(own, field) for field in same] == [getattr(read, field) for field in same]


def test_traces_multiply_to_the_layers_outputs(model: nn.Module, tmp_path: Path) -> None:
    network, images = network_of(model), torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(1))
    quantised = quantise(model, images)
    command = write_traces(tmp_path, "net", network, quantised, images[:1])
    words = shlex.split(command.read_text())
    assert words[:6] == ["./NeuroSIM/main", "./NeuroSIM/NetWork_net.csv", "8", "8", "128", "128"]
    files = [tmp_path / word for word in words[6:]]
    assert [file.name for file in files] == [f"{kind}{name}.csv" for name in "036" for kind in ("weight", "input")]
    x = images[:1]
    for (name, layer), weight_file, input_file in zip(quantised_layers(quantised).items(), files[::2], files[1::2]):
        weight = np.loadtxt(weight_file, delimiter=",") * 128
        assert np.array_equal(weight.round(), layer.integer_weight().value.flatten(1).T.numpy())
        bits = np.loadtxt(input_file, delimiter=",")
        assert set(np.unique(bits)) <= {0, 1}
        codes = bits.reshape(len(weight), -1, 8) @ np.array([-128, 64, 32, 16, 8, 4, 2, 1])
        # 8 bits with a sign are half as fine as the layer's own codes, of both signs or of one.
        reach = torch.maximum(layer.input_clip, -layer.input_floor).item()
        scale = layer.integer_weight().scale.item() * reach / 127
        found = torch.from_numpy(codes.T @ weight.round()).float() * scale
        if isinstance(layer, QuantConv2d):
            wanted = F.conv2d(x, layer.weight, padding=1)
            found = found.T.reshape(wanted.shape)
        else:
            wanted = F.linear(x, layer.weight)
        assert (found - wanted).std() < 0.03 * wanted.std(), name
        with torch.no_grad():
            x = model[: int(name) + 1](images[:1])
            x = model[int(name) + 1 : {"0": 3, "3": 6, "6": 7}[name]](x)


def test_what_neurosim_does_not_know(tmp_path: Path) -> None:
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2))
    with pytest.raises(ConfigError, match="0: NeuroSim knows no groups"):
        write_layer_table(tmp_path, "net", network_of(grouped))
    uneven = nn.Sequential(nn.Conv2d(2, 4, 3, stride=(2, 1)))
    with pytest.raises(ConfigError, match="0: NeuroSim knows one stride for both directions"):
        write_layer_table(tmp_path, "net", network_of(uneven))
    assert not list(tmp_path.iterdir())
