"""NeuroSim's tables of layers, in the dialects that are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from xpert.errors import ConfigError, DataError
from xpert.networks.sources import load_network, read_source
from xpert.networks.sources.neurosim import LayerTable


def table(tmp_path: Path, text: str) -> LayerTable:
    path = tmp_path / "NetWork_small.csv"
    path.write_bytes(text.encode())
    found = read_source(str(path))
    assert isinstance(found, LayerTable)
    return found


# ResNet's first stage at 56 x 56 behind a 7x7 kernel, and its end.
NEUROSIM = """\
224,224,3,7,7,64,1,2
56,56,64,3,3,64,0,1
56,56,64,3,3,128,0,2
28,28,128,3,3,128,0,1
56,56,64,1,1,128,0,2
28,28,128,3,3,128,1,1
1,1,128,1,1,1000,0,1
"""


def test_of_neurosim(tmp_path: Path) -> None:
    """Maps as they enter, without padding; the pooling behind the last map is global where channels alone go on."""
    found = table(tmp_path, NEUROSIM)
    assert found.name == "small"
    assert found.remark == "8 columns; 8th is the stride; maps as they enter, without padding"
    shapes = [(layer.in_height, layer.padding, layer.stride, layer.out_height, layer.pool) for layer in found.layers]
    assert shapes == [
        (224, 3, 2, 112, 2),
        (56, 1, 1, 56, 1),
        (56, 1, 2, 28, 1),
        (28, 1, 1, 28, 1),
        (56, 0, 2, 28, 1),
        (28, 1, 1, 28, 28),
        (1, 0, 1, 1, 1),
    ]
    assert [layer.kind for layer in found.layers] == ["conv"] * 6 + ["linear"]
    assert (found.layers[0].pool_kind, found.layers[5].pool_kind) == ("max", "average")
    network = found.network()
    assert (network.input_shape, network.num_classes) == ((3, 224, 224), 1000)
    assert network.macs == 112**2 * 147 * 64 + 56**2 * 576 * 64 + 28**2 * (576 + 1152 + 64 + 1152) * 128 + 128000


def test_of_the_first_version_and_windows(tmp_path: Path) -> None:
    found = table(tmp_path, "32,32,3,3,3,16,0\r\n32,32,16,3,3,16,1\r\n16,16,16,3,3,8,0,\r\n1,1,2048,1,1,10,0")
    assert found.remark == "7 columns; strides are 1; maps as they enter, without padding"
    assert [layer.pool for layer in found.layers] == [1, 2, 1, 1]


def test_of_hisim(tmp_path: Path) -> None:
    """The eighth column is no stride where a number is below 1; in others that is the ninth."""
    found = table(tmp_path, "32,32,3,3,3,16,0,0\n32,32,16,3,3,16,0,0.125\n")
    assert found.remark.startswith("8 columns; 8th is the share of zeros, strides are 1")
    found = table(tmp_path, "32,32,3,3,3,16,0,0.5,2\n16,16,16,3,3,16,0,1,1\n")
    assert found.remark.startswith("9 columns; 8th is the share of zeros, 9th the stride")
    assert [layer.stride for layer in found.layers] == [2, 1]
    found = table(tmp_path, "32,32,3,3,3,16,0,1,432\n32,32,16,3,3,16,0,1,2304\n")
    assert "9th is no stride: strides are 1" in found.remark
    found = table(tmp_path, "32,32,3,5,5,16,0,1,1,0\n28,28,16,5,5,16,0,1,1,2\n")
    assert "10th the padding" in found.remark
    assert [layer.padding for layer in found.layers] == [0, 2]


def test_of_xpert_of_yale(tmp_path: Path) -> None:
    """Maps with padding, and a row of another network behind each."""
    text = """\
34, 34, 3, 3, 3, 128, 0, 1, 16, 1, 4, 6
34, 34, 64, 3, 3, 512, 0, 1, 16, 1, 4, 6
34, 34, 128, 3, 3, 256, 0, 1, 4, 1, 4, 6
34, 34, 64, 3, 3, 512, 0, 1, 4, 1, 4, 6
18, 18, 256, 3, 3, 64, 0, 1, 8, 1, 4, 6
18, 18, 64, 3, 3, 512, 0, 1, 8, 1, 4, 6
"""
    found = table(tmp_path, text)
    assert "maps as they enter, with padding" in found.remark
    assert "every second row" in found.remark
    assert [(layer.in_channels, layer.in_height, layer.out_height) for layer in found.layers] == [
        (3, 32, 32),
        (128, 32, 32),
        (256, 16, 16),
    ]


def test_maps_as_they_leave(tmp_path: Path) -> None:
    found = table(tmp_path, "32,32,3,3,3,64,0,1\n16,16,64,3,3,128,0,2\n16,16,128,3,3,128,0,1\n")
    assert "maps as they leave" in found.remark
    assert [(layer.in_height, layer.out_height) for layer in found.layers] == [(32, 32), (32, 16), (16, 16)]


def test_maps_that_nothing_is_added_to(tmp_path: Path) -> None:
    found = table(tmp_path, "28,28,1,5,5,6,1,1\n12,12,6,5,5,16,1,1\n1,1,256,1,1,10,0,1\n")
    assert "nothing is padded" in found.remark
    assert [layer.padding for layer in found.layers] == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("H,W,Cin,Kh,Kw,Cout,pool\n", "line 1: must be numbers, got 'H'; there is no header"),
        ("1,2,3\n", "rows have 3 columns"),
        ("32,32,3,3,3,16,0\n32,32,3,3,3,16,0,1\n", "rows have 7 or 8 columns"),
        ("32,32,3,3,3,16,2,1\n", "line 1: .* the 7th 0 or 1"),
        ("32,32,3,3,3,0.5,0,1\n", "line 1: .* must be whole"),
        ("32,32,3,3,3,16,0,1\n32,32,3,3,3,16,0,99\n", "neither strides"),
        ("32,32,3,3,3,16,0,-1\n", "line 1: numbers must be"),
        ("32,32,3,3,3,16,0,nan\n", "line 1: numbers must be"),
        ("2,2,3,7,7,16,0,1\n", None),
        ("2,2,3,9,2,16,0,1\n", "layer 1: kernel 9x2 does not fit"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str | None) -> None:
    if message is None:
        assert table(tmp_path, text).layers
        return
    with pytest.raises((ConfigError, DataError), match=message):
        table(tmp_path, text)


def test_it_is_no_network_that_computes(tmp_path: Path) -> None:
    table(tmp_path, NEUROSIM)
    path = str(tmp_path / "NetWork_small.csv")
    with pytest.raises(ConfigError, match="no network that computes"):
        load_network(path)
    with pytest.raises(ConfigError, match="takes no weights"):
        read_source(path, weights=tmp_path / "w.pt")
