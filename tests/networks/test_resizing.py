"""Widths of a module: which channels belong together, and the module with other widths."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xpert.errors import ConfigError
from xpert.networks.resizing import Resizable
from xpert.workload.trace import trace

SHAPE = (3, 8, 8)


def conv(inputs: int, outputs: int, side: int = 3, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False, groups=groups)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = conv(outer, inner), nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Excited(nn.Module):
    """An inverted residual block with squeeze-and-excitation."""

    def __init__(self, outer: int, inner: int, squeezed: int) -> None:
        super().__init__()
        self.expand, self.depthwise = conv(outer, inner, 1), conv(inner, inner, groups=inner)
        self.reduce, self.excite = nn.Conv2d(inner, squeezed, 1), nn.Conv2d(squeezed, inner, 1)
        self.project = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        gate = torch.sigmoid(self.excite(torch.relu(self.reduce(y.mean((2, 3), keepdim=True)))))
        return x + self.project(y * gate)


class Joined(nn.Module):
    """Layers whose outputs are concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grow = conv(3, 32), conv(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([x, self.grow(x)], 1)


class Attention(nn.Module):
    """Four heads of 4 channels on tokens of 24, with positions, between norms."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_dim = 4, 4
        self.patches, self.positions = nn.Conv2d(3, 24, 2, stride=2), nn.Parameter(torch.randn(1, 16, 24))
        self.norm, self.qkv, self.proj = nn.LayerNorm(24), nn.Linear(24, 48), nn.Linear(16, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        q, k, v = self.qkv(self.norm(x)).reshape(1, 16, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1) / 2).softmax(-1) @ v
        return (x + self.proj(mixed.transpose(1, 2).flatten(2))).mean(1)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(3, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, 1)
        return value * gate.sigmoid()


class FixedView(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = conv(3, 16), conv(16, 16), nn.Linear(1024, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).view(-1, 1024))


def pooled(*parts: nn.Module, features: int) -> nn.Sequential:
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 5))


NETWORKS = {
    # Widths with the layers that share them.
    "chain": (
        lambda: nn.Sequential(conv(3, 16), conv(16, 24), nn.Flatten(), nn.Linear(24 * 64, 32), nn.Linear(32, 5)),
        [(16, "0.0"), (24, "1.0"), (32, "3")],
    ),
    "residual": (
        lambda: pooled(conv(3, 16), Residual(16, 24), Residual(16, 32), features=16),
        [(16, "0.0 1.second 2.second"), (24, "1.first.0"), (32, "2.first.0")],
    ),
    "excited": (
        lambda: pooled(conv(3, 16), Excited(16, 32, 8), features=16),
        [(16, "0.0 1.project"), (32, "1.expand.0 1.depthwise.0 1.excite"), (8, "1.reduce")],
    ),
    "joined": (lambda: pooled(Joined(), conv(48, 16), features=16), [(32, "0.stem.0 0.grow.0"), (16, "1.0")]),
    "grouped": (lambda: pooled(conv(3, 16), conv(16, 32, groups=4), features=32), [(16, "0.0 1.0")]),
    "attention": (
        lambda: nn.Sequential(Attention(), nn.Linear(24, 5)),
        [(24, "0.patches 0.proj"), (48, "0.qkv")],
    ),
    "gated": (lambda: pooled(Gated(), features=16), [(32, "0.both")]),
    "shuffled": (
        lambda: pooled(conv(3, 16), nn.PixelShuffle(2), conv(4, 16), features=16),
        [(16, "0.0"), (16, "2.0")],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_widths_are_found_and_resized_modules_run(name: str) -> None:
    make, expected = NETWORKS[name]
    found = Resizable(make().eval(), SHAPE)
    assert [(d.width, " ".join(found.layers_of(d))) for d in found.decisions] == expected
    for fraction in (0.25, 0.5, 0.75):
        widths = [decision.rounded(fraction) for decision in found.decisions]
        resized = found.resized(widths).eval()
        assert resized(torch.randn(1, *SHAPE)).shape == (1, 5)
        layers = {layer.name: layer.out_channels for layer in trace(resized, SHAPE)}
        for decision, width in zip(found.decisions, widths):
            assert layers[decision.name] == width


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("attention", "shuffled")])
@pytest.mark.parametrize("by_magnitude", [False, True])
def test_what_is_kept_computes_what_it_did(name: str, by_magnitude: bool) -> None:
    """The resized module is the whole one in which nothing reads the channels that were left out."""
    torch.manual_seed(1)
    whole = NETWORKS[name][0]().eval()
    found = Resizable(whole, SHAPE)
    widths = [decision.rounded(0.5) for decision in found.decisions]
    resized = found.resized(widths, by_magnitude=by_magnitude).eval()
    kept = {
        unit
        for decision, width in zip(found.decisions, widths)
        for group, count in decision.kept(width).items()
        for unit in group.units[_order(found, group, by_magnitude)][:count].tolist()
    }
    gone = {int(unit) for d in found.decisions for group in d.groups for unit in group.units} - kept
    masked = NETWORKS[name][0]().eval()
    masked.load_state_dict(whole.state_dict())
    parameters = dict(masked.named_parameters())
    with torch.no_grad():
        for layer, axes in found.channels.parameters.items():
            if len(axes) > 1 and axes[1] is not None:
                parameters[layer][:, torch.from_numpy(np.isin(axes[1], list(gone)))] = 0
    image = torch.randn(2, *SHAPE)
    torch.testing.assert_close(resized(image), masked(image))


def _order(found: Resizable, group: object, by_magnitude: bool) -> np.ndarray:
    magnitudes = found._magnitudes(group)  # type: ignore[arg-type]
    return np.argsort(-magnitudes, kind="stable") if by_magnitude else np.arange(len(magnitudes))


def test_the_channels_of_the_largest_weights_are_kept() -> None:
    first, last = nn.Conv2d(3, 8, 1, bias=False), nn.Linear(512, 5)
    module = nn.Sequential(first, nn.Flatten(), last)
    with torch.no_grad():
        first.weight[:] = torch.tensor([1, 8, 2, 7, 3, 6, 4, 5.0]).reshape(8, 1, 1, 1)
    resized = dict(Resizable(module, SHAPE).resized([4], by_magnitude=True).named_parameters())
    assert resized["0.weight"][:, 0, 0, 0].tolist() == [8, 7, 6, 5]
    assert torch.equal(resized["2.weight"], last.weight.reshape(5, 8, 64)[:, [1, 3, 5, 7]].flatten(1))


def test_a_width_that_the_code_holds_stays_and_says_why() -> None:
    found = Resizable(FixedView(), SHAPE)
    assert [decision.name for decision in found.decisions] == ["first.0"]
    assert found.kept["second.0"][0] == 16
    assert "[-1, 1024]" in found.kept["second.0"][1]
    assert found.kept["head"] == (5, "it is the network's output")


class Looking(nn.Module):
    """A forward that makes tensors of its own, and looks at a number."""

    def __init__(self, *, looks: bool) -> None:
        super().__init__()
        self.first, self.second, self.head, self.looks = conv(3, 16), conv(16, 16), nn.Linear(16, 5), looks
        self.register_buffer("steps", torch.tensor(2))
        self.scale = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        steps = int(self.get_buffer("steps")) if self.looks else 2
        x = self.first(x) * self.scale * torch.arange(1, 9).to(x.dtype)
        for _ in range(steps):
            x = self.second(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("looks", [False, True])
def test_modules_that_make_and_look_at_numbers(looks: bool) -> None:
    found = Resizable(Looking(looks=looks).eval(), SHAPE)
    # The second layer runs twice, so it makes what it reads.
    assert [found.layers_of(decision) for decision in found.decisions] == [["first.0", "second.0"]]


def test_blocks_are_left_out_whole() -> None:
    module = pooled(conv(3, 16), Residual(16, 24), Excited(16, 32, 8), features=16).eval()
    found = Resizable(module, SHAPE, optional=True)
    assert [(block.path, found.decisions[block.decision].width) for block in found.blocks] == [("1", 24), ("2", 32)]
    # The squeezed width of the block goes with its inner one.
    assert found.layers_of(found.decisions[2]) == ["2.expand.0", "2.depthwise.0", "2.reduce", "2.excite"]
    resized = found.resized([16, 0, 16]).eval()
    assert isinstance(resized.get_submodule("1"), nn.Identity)
    assert [layer.name.partition(".")[0] for layer in trace(resized, SHAPE)] == ["0", "2", "2", "2", "2", "2", "5"]


def test_a_layer_that_reads_positions_keeps_channels_apart() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.tokens, self.head = nn.Conv2d(3, 16, 2, 2), nn.Linear(16, 16), nn.Linear(16, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).flatten(2)
            return self.head((x + self.tokens(x)).mean(2))

    found = Resizable(Mixer(), SHAPE)
    assert [(d.name, found.layers_of(d)) for d in found.decisions] == [("stem", ["stem"])]
    assert found.kept["tokens"] == (16, "the layer that reads it mixes positions")
    assert found.resized([8])(torch.randn(1, *SHAPE)).shape == (1, 5)


def test_the_module_is_left_as_it_was() -> None:
    module = pooled(conv(3, 16), Residual(16, 24), features=16).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    Resizable(module, SHAPE, optional=True).resized([8, 0])
    assert module.training
    assert before.keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("widths", [[16], [16, 0], [17, 8], [8, 8, 8]])
def test_widths_that_cannot_be_are_refused(widths: list[int]) -> None:
    found = Resizable(pooled(conv(3, 16), Residual(16, 24), features=16), SHAPE)
    with pytest.raises(ConfigError, match=r"channels of|widths to choose"):
        found.resized(widths)


FAMILIES = {
    "torchvision:mobilenet_v2": (25, 10),
    "torchvision:mobilenet_v3_small": (22, 6),
    "torchvision:resnet18": (12, 5),
    "torchvision:resnext50_32x4d": (21, 12),
    "torchvision:vgg11": (10, 0),
    "torchvision:densenet121": (62, 0),
    "timm:efficientnet_b0": (31, 9),
    "timm:deit_tiny_patch16_224": (25, 0),
    "timm:swin_tiny_patch4_window7_224": (28, 0),
}
"""Widths and blocks of known networks."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_known_networks(name: str) -> None:
    package, _, network = name.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library = importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} is needed: {error}")
    module = library.create_model(network) if package == "timm" else library.models.get_model(network)
    found = Resizable(module.eval(), (3, 224, 224), optional=True)
    assert (len(found.decisions), len(found.blocks)) == FAMILIES[name]
    assert len(found.kept) == 1  # the classifier
