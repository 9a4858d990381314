"""Networks of the user's own as search spaces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xpert.design import Network, NetworkSource
from xpert.errors import ConfigError
from xpert.networks.own import OwnNetwork, own_network
from xpert.networks.quantised import quantised_layers
from xpert.networks.sources.loading import LoadedNetwork
from xpert.networks.spaces import OTHERS
from xpert.tensors import write_tensors
from xpert.workload.trace import trace

SHAPE = (3, 8, 8)


class Block(nn.Module):
    """An inverted residual block with squeeze-and-excitation and an activation that is looked up."""

    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(outer, inner, 1), nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.reduce, self.excite = nn.Conv2d(inner, 8, 1), nn.Conv2d(8, inner, 1)
        self.project = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.hardswish(self.depthwise(torch.relu(self.norm(self.expand(x)))))
        gate = torch.sigmoid(self.excite(torch.relu(self.reduce(y.mean((2, 3), keepdim=True)))))
        return x + self.project(y * gate)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head_dim = width // heads

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm(tokens)).reshape(len(x), -1, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return (tokens + self.proj(mixed.transpose(1, 2).flatten(2))).mean(1)


def mobile(last: int = 5) -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6())
    blocks = [Block(16, 32), Block(16, 48), Block(16, 32)]
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, last))


def transformer() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 32, 2, 2), Attention(32, 4), nn.Linear(32, 5))


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 32), nn.ReLU(), nn.Linear(32, 5))


def own(module: nn.Module, *, optional: bool = False, trained: bool = False) -> OwnNetwork:
    loaded = LoadedNetwork("net", module.eval(), SHAPE)
    return OwnNetwork(loaded, NetworkSource(source="net.py:Net", optional=optional), trained)


NETWORKS = {"mobile": mobile, "transformer": transformer, "plain": plain}
FRACTIONS = (0.25, 0.5, 1.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_space_are_what_is_traced_of_the_modules(name: str) -> None:
    """Channels, groups and digital work of every layer, at all ends of the space."""
    found = own(NETWORKS[name]())
    space = found.space(FRACTIONS, SHAPE, 5)
    assert space.network(space.default_channels).layers == trace(found.loaded.module, SHAPE)
    generator = np.random.default_rng(0)
    corners = [
        [min(row) for row in space.choices],
        *([generator.choice(row) for row in space.choices] for _ in range(4)),
    ]
    for channels in corners:
        widths = [int(width) for width in channels]
        assert space.network(widths).layers == trace(found.module(widths), SHAPE)


def test_every_pair_of_widths_is_a_layer() -> None:
    """Tables ask for pairs that no network has, such as a depthwise layer between different widths."""
    space = own(mobile()).space(FRACTIONS, SHAPE, 5)
    for index, (ins, outs) in enumerate(zip(space.entering, space.widths)):
        for entering, leaving in itertools.product(ins, outs):
            layer = space.layer(index, entering, leaving)
            assert (layer.in_channels, layer.out_channels) == (entering, leaving)


def test_blocks_are_left_out() -> None:
    found = own(mobile(), optional=True)
    space = found.space(FRACTIONS, SHAPE, 5)
    # Behind the last one the maps are pooled, which would be another layer's.
    assert space.choices == ((8, 16), (0, 8, 16, 32), (0, 16, 24, 48), (8, 16, 32))
    for channels in ([16, 0, 48, 32], [8, 16, 0, 8], [16, 0, 0, 16]):
        network = space.network(channels)
        assert network.layers == trace(found.module(channels), SHAPE)
    with pytest.raises(ConfigError, match=r"decision 0, 0\.0, must be positive, got 0; residual blocks .* \(0\): 1, 2"):
        space.network([0, 0, 0, 8])


def test_inputs_follow_from_one_decision() -> None:
    space = own(mobile()).space(FRACTIONS, SHAPE, 5)
    names = space.layer_names
    feeding = {name: names[source] if source >= 0 else "" for name, source in zip(names, space.inputs)}
    assert feeding["0.0"] == ""
    # What makes the width that a layer reads, not what it reads: the excitation's output has the depthwise layer's.
    assert feeding["1.depthwise"] == "1.expand"
    assert feeding["1.reduce"] == "1.depthwise"
    assert feeding["1.project"] == "1.excite"
    assert feeding["6"] == "3.project"
    assert space.leaders[names.index("2.project")] == 0


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ((8, 16), ((8, 16), (8, 16))),
        ((0.5, 1), ((8, 16), (16, 32))),
        (((4,), (8, 32)), ((4,), (8, 32))),
        ({"0": [0.25, 1.0], OTHERS: [32]}, ((8, 16), (32,))),
    ],
)
def test_options(choices: Sequence, expected: tuple) -> None:
    assert own(plain()).space(choices, SHAPE, 5).choices == expected


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ((8, 64), r"channels of 0 must be at most 16, got 64"),
        ((0, 8), r"has no residual block to leave out"),
        ((0.5, 1.5), r"fractions must be at most 1"),
        ({"nothing": [8]}, r"has no width 'nothing'; it has 0, 3"),
        ({"0": [8]}, r"no options for 3; give 'others'"),
        (((8,),), r"2 channel decisions, got options for 1"),
    ],
)
def test_options_that_cannot_be(choices: Sequence, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own(plain()).space(choices, SHAPE, 5)


def test_whole_heads() -> None:
    space = own(transformer()).space((0.5, 1.0), SHAPE, 5)
    assert space.names == ("0", "1.qkv")
    assert space.choices == ((16, 32), (48, 96))
    with pytest.raises(ConfigError, match=r"channels of 1\.qkv must be at most 96, a multiple of 24, got 32"):
        space.network([16, 32])


def test_networks_that_cannot_be_searched() -> None:
    with pytest.raises(ConfigError, match="has 7 outputs, but the data set has 5 classes"):
        own(mobile(7)).space(FRACTIONS, SHAPE, 5)
    with pytest.raises(ConfigError, match="no width of it can be chosen"):
        own(nn.Sequential(nn.Flatten(), nn.Linear(192, 5))).space(FRACTIONS, SHAPE, 5)


def test_untrained_sums_keep_their_spread_and_trained_weights_stay() -> None:
    module = plain()
    weights = dict(module.named_parameters())
    drawn = dict(own(module).module([8, 32]).named_parameters())
    torch.testing.assert_close(drawn["3.weight"], weights["3.weight"][:, :288] * 2**0.5)
    torch.testing.assert_close(drawn["0.weight"], weights["0.weight"][:8])
    with torch.no_grad():
        weights["0.weight"][8:] *= 9
    trained = dict(own(module, trained=True).module([8, 32]).named_parameters())
    torch.testing.assert_close(trained["3.weight"], weights["3.weight"][:, 288:])


def test_what_a_training_left_is_restored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found, images = own(mobile(), optional=True), torch.randn(16, *SHAPE)
    network = found.space(FRACTIONS, SHAPE, 5).network([8, 0, 24, 8])
    trained = found.quantised(network, images, weight_bits=6, input_bits=5)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter *= 1.1
    write_tensors(tmp_path / "w.safetensors", trained.state_dict())
    restored = own(mobile(), optional=True).restored(network, tmp_path / "w.safetensors", 6)
    for layer in quantised_layers(restored).values():
        layer.set_precision(6, 5)
    assert torch.equal(restored.eval()(images), trained.eval()(images))


def test_ranges_of_signed_inputs_follow_the_values() -> None:
    found, images = own(mobile()), torch.randn(16, *SHAPE)
    space = found.space(FRACTIONS, SHAPE, 5)
    model = found.quantised(space.network(space.default_channels), images)
    layers = quantised_layers(model)
    # The image, hardswish's results, and sums without a ReLU; what a ReLU gives is not negative.
    signed = {"0.0", "6"} | {f"{block}.{name}" for block in (1, 2, 3) for name in ("expand", "reduce", "project")}
    assert {name for name, layer in layers.items() if layer.range_rate} == signed - {"1.expand"}
    layer, x = layers["2.expand"], torch.linspace(-20, 30, 16 * 16).reshape(1, 16, 4, 4)
    before = float(layer.input_floor), float(layer.input_clip)
    layer.train()(x)
    after = float(layer.input_floor), float(layer.input_clip)
    assert after == pytest.approx([0.99 * old + 0.01 * new for old, new in zip(before, (-20, 30))])
    layer.eval()(10 * x)
    assert (float(layer.input_floor), float(layer.input_clip)) == after


def test_what_a_design_records(tmp_path: Path) -> None:
    loaded = LoadedNetwork("net", mobile().eval(), SHAPE)
    found = own_network(loaded, f"{tmp_path}/net.py:Net", {"width": 4}, optional=True)
    network = found.space(FRACTIONS, SHAPE, 5).network([8, 0, 16, 8])
    # The file's name, not where it lies; no code is run for reading it.
    assert network.source == NetworkSource(source="net.py:Net", arguments={"width": 4}, optional=True)
    assert Network.parse(network.model_dump(mode="json")) == network
    assert "source" not in network.replace(source=None).model_dump()
