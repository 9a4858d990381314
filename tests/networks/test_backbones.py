"""Families of backbones from outside go the whole way: space, cost, search, module."""

from __future__ import annotations

import itertools
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
import torch
from torch import nn

from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.networks import build, space
from xpert.networks.assembly import with_norm
from xpert.networks.backbones import BACKBONES
from xpert.networks.family import DEPTHWISE, Family, Position, classifier, square_side
from xpert.search.architecture import search_architecture
from xpert.search.objectives import Budgets
from xpert.search.quality.additive import additive_quality
from xpert.workload.trace import trace

pytestmark = pytest.mark.usefixtures("own_entries")

PERIPHERY = Periphery(columns_per_adc=8)


def plain(name: str, input_shape: tuple[int, int, int]) -> list[Position]:
    """Four convolutions."""
    side = square_side(name, input_shape, 4)
    return [
        Position("stem", -1, decision=0, width=16, side=side, pool=2),
        Position("conv2", 0, decision=1, width=32, side=side // 2, pool=2),
        Position("conv3", 1, decision=2, width=32, side=side // 4, groups=2, optional=True),
        Position("conv4", 2, decision=3, width=64, side=side // 4, pool=side // 4),
        classifier(3),
    ]


def separable(name: str, input_shape: tuple[int, int, int]) -> list[Position]:
    """A stem and two depthwise separable convolutions, as in MobileNet, without a square-size rule of ours."""
    side = input_shape[1]
    return [
        Position("stem", -1, decision=0, width=8, side=side, stride=2),
        Position("block1.depthwise", 0, decision=0, width=8, side=side // 2, groups=DEPTHWISE, in_width_law=False),
        Position("block1.pointwise", 1, decision=1, width=16, side=side // 2, kernel=1),
        Position("block2.depthwise", 2, decision=1, width=16, side=side // 2, groups=DEPTHWISE, in_width_law=False),
        Position("block2.pointwise", 3, decision=2, width=16, side=side // 2, kernel=1, pool=side // 2),
        classifier(4),
    ]


def nested(network: Network, layers: Mapping[str, nn.Module]) -> nn.Module:
    """A module with a sequence for each block."""
    *convolutions, linear = network.layers
    model = nn.Sequential()
    for block, members in itertools.groupby(convolutions, lambda layer: layer.name.rpartition(".")[0]):
        parts = OrderedDict(part for layer in members for part in with_norm(layer, layers[layer.name]).items())
        for name, part in {block: nn.Sequential(parts)}.items() if block else parts.items():
            model.add_module(name, part)
    model.append(nn.AvgPool2d(convolutions[-1].pool)).append(nn.Flatten())
    model.add_module(linear.name, layers[linear.name])
    return model


PLAIN = Family(("plain4",), plain)
SEPARABLE = Family(("separable2",), separable, nested)


@pytest.mark.parametrize(("family", "kernels"), [(PLAIN, (0, 3)), (SEPARABLE, ())])
def test_a_family_from_outside_is_built_and_costed(family: Family, kernels: tuple[int, ...]) -> None:
    BACKBONES.register(family)
    networks = space(family.names[0], (8, 16), (1, 16, 16), 3, kernels)
    network = networks.network(networks.default_channels)
    model = build(network, input_bits=4)
    assert trace(model, network.input_shape) == network.layers
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
    assert evaluate(Design.homogeneous(network, Chip(), PERIPHERY)).edap > 0
    assert additive_quality("width_law").measure(network) > 0


@pytest.mark.parametrize("family", [PLAIN, SEPARABLE])
def test_a_family_from_outside_is_searched(family: Family) -> None:
    """The exact strategy finds what trying every network finds."""
    BACKBONES.register(family)
    networks = space(family.names[0], (8, 24), (1, 16, 16), 3)
    quality = additive_quality("width_law")
    found = search_architecture(
        networks,
        Chip(),
        [PERIPHERY],
        objective="edap",
        budgets=Budgets(),
        quality=quality,
        minimum_quality=0.97,
        strategy="exact",
        seed=0,
    )
    networks_by_hand = [networks.network(channels) for channels in itertools.product(*networks.choices)]
    good = [one for one in networks_by_hand if quality.measure(one) >= found.score_minimum]
    assert 0 < len(good) < len(networks_by_hand)
    best = min(evaluate(Design.homogeneous(network, Chip(), PERIPHERY)).edap for network in good)
    assert evaluate(found.design).edap == pytest.approx(best, rel=1e-9)


def test_depthwise_layers_follow_the_width() -> None:
    BACKBONES.register(SEPARABLE)
    network = space("separable2", (4, 8), (3, 16, 16)).network((4, 8, 4))
    assert [layer.groups for layer in network.layers] == [1, 4, 1, 8, 1, 1]


def test_a_family_has_a_say_in_sizes() -> None:
    BACKBONES.register(PLAIN)
    with pytest.raises(ConfigError, match="plain4 takes square images of a multiple of 4, got 16x12"):
        space("plain4", (8,), (1, 16, 12))


def test_widths_must_suit_the_groups() -> None:
    BACKBONES.register(PLAIN)
    message = "channels of decision 1 must be a multiple of 2, the groups of conv3, got 7"
    with pytest.raises(ConfigError, match=message):
        space("plain4", [(8,), (6, 7), (8,), (7,)])
    with pytest.raises(ConfigError, match=message):
        space("plain4", (8,)).network((8, 7, 8, 8))


def test_a_module_without_the_networks_layers_is_refused() -> None:
    def without_stem(network: Network, layers: Mapping[str, nn.Module]) -> nn.Module:
        return nn.Sequential(layers["linear"])

    BACKBONES.register(Family(("plain4",), plain, without_stem))
    with pytest.raises(ConfigError, match=r"backbone plain4: its module must have the layers stem, .*, has 0$"):
        build(space("plain4", (8,)).network((8,) * 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: {"source": 0}}, "layer 0, stem: source must be an earlier layer or -1, got 0"),
        ({1: {"decision": -1}}, "layer 1, conv2: the last layer, and no other, has decision -1, got -1"),
        ({4: {"decision": 4}}, "layer 4, linear: the last layer, and no other, has decision -1, got 4"),
        ({3: {"decision": 5}}, r"channel decisions must be 0, 1, ..., got \[0, 1, 2, 5\]"),
        ({1: {"groups": DEPTHWISE}}, "layer 1, conv2: a depthwise layer must have the decision of its source, 0"),
        ({0: {"groups": DEPTHWISE}}, "layer 0, stem: a depthwise layer must have the decision of its source, None"),
    ],
)
def test_families_that_describe_no_network_are_refused(changes: dict[int, dict], message: str) -> None:
    def broken(name: str, input_shape: tuple[int, int, int]) -> list[Position]:
        return [replace(one, **changes.get(index, {})) for index, one in enumerate(plain(name, input_shape))]

    BACKBONES.register(Family(("broken",), broken))
    with pytest.raises(ConfigError, match=f"backbone broken: {message}"):
        space("broken", (8,))


def test_a_law_that_is_not_there_is_refused() -> None:
    BACKBONES.register(Family(("plain4",), plain, width_law="mine"))
    with pytest.raises(ConfigError, match="backbone plain4: width_law must be one of vgg, any, got 'mine'"):
        additive_quality("width_law").measure(space("plain4", (8,)).network((8,) * 4))


def test_installed_packages_announce_families(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("a_package")
    module.FAMILY = PLAIN  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_package", module)
    points = [EntryPoint("plain", "a_package:FAMILY", "xpert.backbones")]
    monkeypatch.setattr("xpert.registry.entry_points", lambda group: points if group == "xpert.backbones" else [])
    assert "plain4" not in BACKBONES.shipped()
    assert space("plain4", (8,)).name == "plain4"
    assert "plain4" in BACKBONES.names()


@pytest.mark.parametrize("value", ["no_such_package:FAMILY", "sys:FAMILY"])
def test_packages_that_cannot_be_loaded_are_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    point = EntryPoint("broken", value, "xpert.backbones")
    monkeypatch.setattr("xpert.registry.entry_points", lambda group: [point])
    assert space("vgg11", (8,)).name == "vgg11"  # what comes with XPert does not depend on it
    with pytest.raises(ConfigError, match=f"backbone: {value} of xpert.backbones cannot be loaded: "):
        space("vgg12", (8,))


def test_a_name_stands_for_one_family() -> None:
    BACKBONES.register(PLAIN)
    BACKBONES.register(PLAIN)
    for taken in ("plain4", "vgg16"):
        with pytest.raises(ConfigError, match=f"backbone: the name '{taken}' is taken"):
            BACKBONES.register(Family(("new", taken), plain))
    assert "new" not in BACKBONES
