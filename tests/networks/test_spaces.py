from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.errors import ConfigError
from xpert.networks import space
from xpert.networks.backbones import BACKBONES
from xpert.networks.spaces import LEFT_OUT

VGG16 = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def test_vgg16_is_the_published_network() -> None:
    """The reference chip's VGG16: its maps, pooling after convolutions 2, 4, 7, 10 and 13, 313 million MACs."""
    vgg16 = space("vgg16", (64, 128, 256, 512))
    network = vgg16.network(vgg16.default_channels)
    assert vgg16.default_channels == VGG16
    assert [layer.in_height for layer in network.layers] == [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1]
    assert [index + 1 for index, layer in enumerate(network.layers) if layer.pool > 1] == [2, 4, 7, 10, 13]
    assert network.macs == 313_201_664
    assert network.layers[-1].name == "linear"
    assert not network.layers[-1].relu


@pytest.mark.parametrize(
    ("name", "layers", "decisions", "macs"),
    # He et al., section 4.2, and the usual form of ResNet-18 for small images; both with their projections.
    [("resnet20", 22, 12, 40_551_040 + 2 * 131_072), ("resnet18", 21, 12, 555_422_720)],
)
def test_resnets_are_the_published_networks(name: str, layers: int, decisions: int, macs: int) -> None:
    resnet = space(name, (16, 32, 64) if name == "resnet20" else (64, 128, 256, 512))
    network = resnet.network(resnet.default_channels)
    assert (len(network.layers), resnet.depth, network.macs) == (layers, decisions, macs)
    sums = [layer for layer in network.layers if layer.residual]
    assert len(sums) == {"resnet20": 9, "resnet18": 8}[name]
    assert [layer.name for layer in network.layers if layer.kernel_height == 1 and layer.kind == "conv"] == [
        layer.name for layer in network.layers if not layer.relu and layer.kind == "conv"
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_maps_that_are_added_up_are_equally_wide(name: str) -> None:
    resnet = space(name, (8,))
    widths = dict(zip(range(resnet.depth), range(1, resnet.depth + 1)))  # every decision a width of its own
    layers = resnet.network(list(widths.values())).layers
    for index, layer in enumerate(layers):
        if not layer.residual:
            continue
        block = layer.name.split(".")[0]
        shortcut = next((other for other in layers if other.name == f"{block}.shortcut"), None)
        if shortcut is None:  # the identity: what the block reads
            shortcut = layers[resnet.inputs[index - 1]]
        assert (layer.out_channels, layer.out_height) == (shortcut.out_channels, shortcut.out_height)


def test_default_channels_scale_with_the_largest_option() -> None:
    assert space("vgg16", (16, 32, 64, 128)).default_channels == tuple(width // 4 for width in VGG16)
    assert space("vgg11", (1, 2)).default_channels == (1, 1, 1, 1, 2, 2, 2, 2)


@pytest.mark.parametrize("name", BACKBONES.shipped())
@given(side=st.sampled_from([16, 32, 64]), data=st.data())
def test_layers_fit_together(name: str, side: int, data: st.DataObject) -> None:
    backbone = space(name, (8, 16), (1, side, side), 7)
    channels = data.draw(st.lists(st.integers(1, 600), min_size=backbone.depth, max_size=backbone.depth))
    network = backbone.network(channels)
    assert network.channels == tuple(channels)
    assert network.layers[0].in_channels == 1
    assert network.layers[-1].out_channels == 7
    for source, after in zip(backbone.inputs[1:], network.layers[1:]):
        before = network.layers[source]
        assert after.in_channels == before.out_channels
        assert after.in_height == before.out_height // before.pool
        assert after.in_width == before.out_width // before.pool
    for index, (decision, layer) in enumerate(zip(backbone.decisions[:-1], network.layers)):
        assert layer.out_channels == channels[decision]
        assert layer == backbone.layer(index, layer.in_channels, layer.out_channels)


def test_choices_for_all_layers_or_for_each() -> None:
    assert space("vgg11", (8, 16)).choices == ((8, 16),) * 8
    each = [(8 + index,) for index in range(8)]
    assert space("vgg11", each).choices == tuple(each)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg12",), "must be one of resnet20, resnet18, vgg11, vgg13, vgg16, vgg19, got 'vgg12'"),
        (("vgg16", ()), "options of decision 0 must be positive and rising"),
        (("vgg16", (64, 64)), "options of decision 0 must be positive and rising, got 64, 64"),
        (("vgg16", (0, 64)), "must be positive: vgg16 has no residual block to leave out"),
        (("vgg11", ((0, 8), *[(8,)] * 7)), r"decision 0, conv1, must be positive, got 0; .* of vgg11 .* \(0\): none"),
        (("vgg16", (-1, 64)), "must be positive and rising, got -1, 64"),
        (("resnet20", (-1, 64)), "must be positive and rising, got -1, 64"),
        (("resnet20", (0,)), "options of decision 0 must be positive and rising, got $"),
        (("vgg16", ((64,),) * 12), "13 channel decisions, got options for 12"),
        (("vgg16", (64, (64,))), "one list of numbers, or one such list for each decision"),
        (("vgg16", (64,), (3, 32, 16)), "square images of a multiple of 16, got 32x16"),
        (("vgg16", (64,), (3, 24, 24)), "square images of a multiple of 16, got 24x24"),
        (("resnet20", (64,), (3, 30, 30)), "square images of a multiple of 4, got 30x30"),
        (("vgg16", (64,), (0, 32, 32)), "input shape"),
        (("vgg16", (64,), (3, 32, 32), 1), "num_classes must be at least 2"),
    ],
)
def test_wrong_spaces_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(*arguments)


def test_wrong_channels_and_indices_are_refused() -> None:
    vgg = space("vgg11", (8, 16))
    with pytest.raises(ConfigError, match="needs 8 channels, got 2"):
        vgg.network((8, 16))
    with pytest.raises(ConfigError, match="must be positive, got 0"):
        vgg.network((0,) * 8)
    with pytest.raises(ConfigError, match=r"must be positive, got -1$"):
        vgg.network((8,) * 7 + (-1,))
    with pytest.raises(ConfigError, match=r"layers 0 \.\.\. 8, got 9"):
        vgg.layer(9, 8, 8)


def test_kernels_and_depth_are_choices() -> None:
    vgg = space("vgg11", (8, 16), kernels=(0, 1, 5))
    assert vgg.kernels == ((1, 5), (1, 5), (0, 1, 5), (1, 5), (0, 1, 5), (1, 5), (0, 1, 5), (1, 5), (1,))
    assert not vgg.own_layers
    assert space("vgg11", (8, 16), kernels=(3,)) == space("vgg11", (8, 16))
    network = vgg.network((8, 16, 16, 8, 8, 8, 8, 16), (1, 5, 0, 3, 0, 3, 3, 5, 1))
    assert [layer.name for layer in network.layers] == ["conv1", "conv2", "conv4", "conv6", "conv7", "conv8", "linear"]
    assert [layer.kernel_height for layer in network.layers] == [1, 5, 3, 3, 3, 5, 1]
    assert [layer.in_channels for layer in network.layers] == [3, 8, 16, 8, 8, 8, 16]
    assert [layer.pool for layer in network.layers] == [2, 2, 2, 2, 1, 2, 1]
    assert all(layer.out_height == layer.in_height for layer in network.layers)


def test_the_own_kernels_are_not_spelled_out() -> None:
    vgg = space("vgg11", (8,), kernels=(1, 3))
    assert vgg.network((8,) * 8, (3,) * 8 + (1,)) == vgg.network((8,) * 8)
    assert vgg.network((8,) * 8).kernels == ()


def test_projections_and_classifier_keep_their_kernels() -> None:
    resnet = space("resnet20", (8,), kernels=(3, 5))
    for position, options in zip(resnet.positions, resnet.kernels, strict=True):
        assert options == ((3, 5) if position.kernel == 3 else (1,))


@pytest.mark.parametrize(
    ("name", "kernels", "message"),
    [
        ("vgg11", (2, 3), "kernels must be odd, 1 to 31, or 0 to leave a layer out, got 2"),
        ("vgg11", (5, 3), "kernels of conv1 must rise, got 5, 3"),
        ("vgg11", ((0, 3), *[(3,)] * 7), "conv1 of vgg11 cannot be left out"),
        ("vgg11", ((3,), (3,)), "vgg11 has 8 3x3 convolutions, got kernels for 2"),
        ("vgg11", (3, (3,)), "one list of numbers, or one such list for each 3x3 convolution"),
        ("resnet20", (0, 3), "no layer of resnet20 can be left out"),
    ],
)
def test_wrong_kernels_are_refused(name: str, kernels: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(name, (8, 16), kernels=kernels)


def test_a_layer_is_left_out_between_equal_widths_only() -> None:
    kernels = [3, 3, LEFT_OUT, 3, 3, 3, 3, 3, 1]
    vgg = space("vgg11", (8, 16))
    with pytest.raises(ConfigError, match="conv3 cannot be left out between 8 and 16 channels"):
        vgg.network((8, 8, 16, 8, 8, 8, 8, 8), kernels)
    with pytest.raises(ConfigError, match="vgg11 has 9 layers, got 2 kernels"):
        vgg.network((8,) * 8, (3, 3))
    with pytest.raises(ConfigError, match="linear of vgg11 has a 1x1 kernel, got 3"):
        vgg.network((8,) * 8, (3,) * 9)


def without(name: str, *blocks: int, width: int = 8) -> list[int]:
    """Channels of a ResNet without some of its blocks."""
    resnet = space(name, (width,))
    missing = {f"block{block}.conv1" for block in blocks}
    names = {position.decision: position.name for position in resnet.positions if position.name.endswith("conv1")}
    return [LEFT_OUT if names.get(decision) in missing else width for decision in range(resnet.depth)]


@pytest.mark.parametrize(("name", "blocks"), [("resnet20", {1, 2, 3, 5, 6, 8}), ("resnet18", {1, 2, 4, 6})])
def test_blocks_with_an_identity_may_be_left_out_but_the_last(name: str, blocks: set[int]) -> None:
    resnet = space(name, (0, 8, 16))
    assert resnet.offers_missing_blocks
    assert not resnet.own_layers
    assert space(name, (8, 16)).own_layers
    optional = [decision for decision, options in enumerate(resnet.choices) if options[0] == LEFT_OUT]
    names = {position.decision: position.name for position in resnet.positions if position.decision in optional}
    assert set(names.values()) == {f"block{block}.conv1" for block in blocks}
    assert all(options in ((0, 8, 16), (8, 16)) for options in resnet.choices)
    assert min(resnet.default_channels) > 0

    channels = without(name, *blocks)
    network = resnet.network(channels)
    assert network.channels == tuple(channels)
    missing = {f"block{block}.conv{convolution}" for block in blocks for convolution in (1, 2)}
    full = resnet.network((8,) * resnet.depth)
    assert network.layers == tuple(layer for layer in full.layers if layer.name not in missing)
    there = resnet.present(channels)
    assert [position.name for position, here in zip(resnet.positions, there) if not here] == sorted(missing)


def test_which_layers_are_there() -> None:
    vgg = space("vgg11", (8,))
    assert vgg.present((8,) * 8) == (True,) * 9
    assert vgg.present((8,) * 8, (3, 3, 0, *[3] * 5, 1)) == (True, True, False, *[True] * 6)


def test_networks_that_lack_the_same_block_are_the_same() -> None:
    """The kernels of layers that are not there say nothing."""
    resnet = space("resnet20", (0, 8), kernels=(3, 5))
    channels = without("resnet20", 2)
    kernels = [options[-1] for options in resnet.kernels]
    first = resnet.network(channels, kernels)
    own = [kernel if there else 3 for kernel, there in zip(kernels, resnet.present(channels))]
    assert own != kernels
    assert resnet.network(channels, own) == first
    assert first.kernels == tuple(own)
    only_there = [3 if kernel == 5 and there else kernel for kernel, there in zip(kernels, resnet.present(channels))]
    assert resnet.network(channels, only_there) == resnet.network(channels)


@pytest.mark.parametrize(
    ("name", "decision", "layer"),
    [("resnet20", 0, "conv1"), ("resnet20", 5, "block4.conv1"), ("resnet20", 11, "block9.conv1"),
     ("resnet18", 3, "block3.shortcut"), ("resnet18", 11, "block8.conv1")],
)  # fmt: skip
def test_other_blocks_cannot_be_left_out(name: str, decision: int, layer: str) -> None:
    """The maps between blocks, blocks with a projection, and the last block stay."""
    blocks = {
        "resnet20": "block1, block2, block3, block5, block6, block8",
        "resnet18": "block1, block2, block4, block6",
    }
    resnet = space(name, (8,))
    message = rf"decision {decision}, {layer}, must be positive, got 0; .* {name} that .* \(0\): {blocks[name]}$"
    channels = [LEFT_OUT if index == decision else 8 for index in range(resnet.depth)]
    with pytest.raises(ConfigError, match=message):
        resnet.network(channels)
    with pytest.raises(ConfigError, match=message):
        space(name, [(width, 16) for width in channels])
