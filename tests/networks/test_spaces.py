from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.errors import ConfigError
from xpert.networks import space
from xpert.networks.spaces import BACKBONES

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


def test_default_channels_scale_with_the_largest_option() -> None:
    assert space("vgg16", (16, 32, 64, 128)).default_channels == tuple(width // 4 for width in VGG16)
    assert space("vgg11", (1, 2)).default_channels == (1, 1, 1, 1, 2, 2, 2, 2)


@pytest.mark.parametrize("name", BACKBONES)
@given(side=st.sampled_from([16, 32, 64]), data=st.data())
def test_layers_fit_together(name: str, side: int, data: st.DataObject) -> None:
    vgg = space(name, (8, 16), (1, side, side), 7)
    channels = data.draw(st.lists(st.integers(1, 600), min_size=vgg.depth, max_size=vgg.depth))
    network = vgg.network(channels)
    assert network.channels == tuple(channels)
    assert network.layers[0].in_channels == 1
    assert network.layers[-1].out_channels == 7
    for before, after in pairwise(network.layers):
        assert after.in_channels == before.out_channels
        assert after.in_height == before.out_height // before.pool
        assert after.in_width == before.out_width // before.pool
    widths = (1, *channels, 7)
    assert network.layers == tuple(vgg.layer(index, *pair) for index, pair in enumerate(pairwise(widths)))


def test_choices_for_all_layers_or_for_each() -> None:
    assert space("vgg11", (8, 16)).choices == ((8, 16),) * 8
    each = [(8 + index,) for index in range(8)]
    assert space("vgg11", each).choices == tuple(each)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg12",), "must be one of vgg11, vgg13, vgg16, vgg19, got 'vgg12'"),
        (("vgg16", ()), "options of layer 0 must be positive and rising"),
        (("vgg16", (64, 64)), "options of layer 0 must be positive and rising, got 64, 64"),
        (("vgg16", (0, 64)), "must be positive"),
        (("vgg16", ((64,),) * 12), "13 searched layers, got options for 12"),
        (("vgg16", (64, (64,))), "one list of numbers, or one such list for each layer"),
        (("vgg16", (64,), (3, 32, 16)), "square images of a multiple of 16, got 32x16"),
        (("vgg16", (64,), (3, 24, 24)), "square images of a multiple of 16, got 24x24"),
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
    with pytest.raises(ConfigError, match=r"layers 0 \.\.\. 8, got 9"):
        vgg.layer(9, 8, 8)
