"""Plain networks on crossbars, and analog networks on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import (
    IDEAL,
    AnalogSettings,
    analog_layers,
    load_analog,
    reprogram,
    rewind,
    save_analog,
    to_analog,
)
from xpert.analog.draws import chip_generator
from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError, DataError
from xpert.networks.quantised import quantised_layers
from xpert.workload.trace import trace

SHAPE = (2, 8, 8)
EFFECTS = AnalogSettings(ir_drop=True, adc_offset_sigma=0.5, adc_gain_sigma=0.02, adc_noise=0.4, adc_range="learned")


class Residual(nn.Module):
    """A plain network with a skip connection, and inputs of both signs in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.body = nn.ModuleDict({"conv": nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)})
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.body["conv"](x))
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Residual()


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return torch.randn((6, *SHAPE), generator=torch.Generator().manual_seed(4))


def design_of(model: nn.Module, **device: float) -> Design:
    chip = Chip.parse({"rows": 16, "columns": 16, "device": {"programming_sigma": 0.05, **device}})
    network = Network(backbone="custom", input_shape=SHAPE, layers=trace(model, SHAPE))
    return Design.homogeneous(network, chip, Periphery(adc_bits=7))


def test_a_plain_network_goes_onto_crossbars(plain: nn.Module, batch: Tensor) -> None:
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    analog = to_analog(plain, design_of(plain), generator=None, settings=IDEAL, calibration=batch)
    assert [layer.signed_input for layer in analog_layers(analog).values()] == [True, True, False]
    with torch.no_grad():
        float_output, output = plain(batch), analog(batch)
    # 8-bit weights and inputs: a percent or so.
    assert (output - float_output).std() < 0.02 * float_output.std()
    assert all(torch.equal(before[name], value) for name, value in plain.state_dict().items())
    assert not quantised_layers(plain)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, 4, 3, padding=1)
        self.attend = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.attend(x, x, x)[0]


class OwnLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


def test_what_crossbars_do_not_take_is_named(plain: nn.Module, batch: Tensor) -> None:
    design = design_of(plain)

    def convert(model: nn.Module, calibration: Tensor | None = batch) -> None:
        to_analog(model, design, generator=None, settings=IDEAL, calibration=calibration)

    with pytest.raises(
        ConfigError, match=r"'attend' is a MultiheadAttention: crossbars take nn\.Conv2d and nn\.Linear"
    ):
        convert(Attention())
    with pytest.raises(ConfigError, match="'1' is a LSTM"):
        convert(nn.Sequential(nn.Flatten(2), nn.LSTM(64, 2)))
    with pytest.raises(ConfigError, match="'0' is a OwnLinear, which computes in its own way"):
        convert(nn.Sequential(OwnLinear(2, 2)))
    with pytest.raises(ConfigError, match="not quantised yet needs at least one calibration image"):
        convert(plain, None)


def test_an_analog_network_survives_the_disk(plain: nn.Module, batch: Tensor, tmp_path: Path) -> None:
    design = design_of(plain, read_noise_sigma=0.02, stuck_on_rate=0.01)
    analog = to_analog(plain, design, generator=chip_generator(0, 0), settings=EFFECTS, calibration=batch)
    with torch.no_grad():
        for layer in analog_layers(analog).values():
            layer.adc_scale.mul_(1.25)
        expected = analog(batch)
    path = tmp_path / "chip.safetensors"
    save_analog(analog, path)
    loaded = load_analog(plain, design, path, EFFECTS)
    with torch.no_grad():
        assert torch.equal(loaded(batch), expected)
        # It is a whole network: another precision, another chip.
        for network in (loaded, analog):
            for layer in analog_layers(network).values():
                layer.set_periphery(Periphery(adc_bits=5, input_bits=6))
            reprogram(network, chip_generator(0, 1))
        assert torch.equal(loaded(batch), analog(batch))
        rewind(loaded)


def test_an_analog_network_of_a_quantised_one_survives_too(model: nn.Module, images: Tensor, tmp_path: Path) -> None:
    network = Network(backbone="custom", input_shape=(3, 10, 10), layers=trace(model, (3, 10, 10)))
    design = Design.homogeneous(network, Chip(rows=16, columns=16), Periphery())
    analog = to_analog(model, design, generator=chip_generator(0, 0), calibration=images)
    save_analog(analog, tmp_path / "chip.safetensors")
    loaded = load_analog(model, design, tmp_path / "chip.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(images), analog(images))


def test_wrong_files_of_analog_networks(plain: nn.Module, batch: Tensor, tmp_path: Path) -> None:
    design = design_of(plain)
    path = tmp_path / "chip.safetensors"
    with pytest.raises(DataError, match="no such file of an analog network"):
        load_analog(plain, design, path)
    path.write_bytes(b"torn")
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load_analog(plain, design, path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="its format must be 'xpert analog network 2', is None"):
        load_analog(plain, design, path)
    layer = nn.Sequential(nn.Conv2d(2, 3, 3))
    analog = to_analog(layer, design_of(layer), generator=None, settings=IDEAL, calibration=batch)
    save_analog(analog, path)
    with pytest.raises(DataError, match=r"holds the layers 0, the design has body.conv, head, stem"):
        load_analog(plain, design, path)
    other = nn.Sequential(nn.Conv2d(2, 3, 5))
    with pytest.raises(DataError, match=r"holds another network: .*size mismatch"):
        load_analog(other, design_of(other), path)
