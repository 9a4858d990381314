"""Activity of layers: by hand, on grouped and padded layers, and what the hardware model makes of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from xpert.analog import measure_activity
from xpert.design import Activity, Chip, Design, Device, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.networks.quantised import QuantConv2d, QuantLinear
from xpert.workload.trace import trace


def design(model: nn.Module, shape: tuple[int, int, int], chip: Chip | None = None, input_bits: int = 2) -> Design:
    network = Network(backbone="custom", input_shape=shape, layers=trace(model, shape))
    return Design.homogeneous(network, chip or Chip(), Periphery(input_bits=input_bits))


def one_layer(weight: list[list[float]]) -> nn.Sequential:
    layer = QuantLinear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    layer.input_clip.data.fill_(3.0)
    return nn.Sequential(nn.Flatten(), layer)


def test_two_weights_by_hand() -> None:
    model = one_layer([[127.0, -127.0]])
    images = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    (found,) = measure_activity(model, design(model, (2, 1, 1)), images).activity or ()
    # Codes of 2 bits are 11 and 00, then 01 and 00: three ones among eight bits.
    assert found.input_bit_density == 3 / 8
    # Only the first row is ever driven. Its weight, 127, is stored as 255 = 0xFF: both cells are fully on, 20 kohm,
    # each behind an access transistor of 5 kohm and a few ohms of wire.
    assert found.cell_conductance_s == pytest.approx(1 / 25e3, rel=2e-3)
    assert found.cell_conductance_s is not None
    assert found.cell_conductance_s < 1 / 25e3
    # -127 is stored as 1: digits 0 and 1.
    swapped = measure_activity(model, design(model, (2, 1, 1)), images.flip(1)).activity
    level = (1 / 20e3 - 1 / 200e3) / 15
    expected = (1 / (200e3 + 5e3) + 1 / (1 / (1 / 200e3 + level) + 5e3)) / 2
    assert swapped is not None
    assert swapped[0].cell_conductance_s == pytest.approx(expected, rel=2e-3)


def test_measured_states_by_hand() -> None:
    model = one_layer([[127.0, -127.0]])
    images = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    # The digits 15 and 15 of the first weight conduct 60 uS, the digits 0 and 1 of the second 2 and 3 uS.
    means = [2, 3, *range(10, 22), 40, 60]
    device = Device.parse({"programming_states": [{"mean_us": mean, "sigma_us": 0} for mean in means]})
    chip = Chip(device=device)
    access = device.r_on_ohm / 4
    for given, digits in ((images, (60, 60)), (images.flip(1), (2, 3))):
        (found,) = measure_activity(model, design(model, (2, 1, 1), chip), given).activity or ()
        paths = [1 / (1e6 / mean + access) for mean in digits]
        assert found.cell_conductance_s == pytest.approx(sum(paths) / 2, rel=2e-3)


def test_both_columns_of_a_differential_pair_count() -> None:
    model = one_layer([[127.0, -127.0]])
    images = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    chip = Chip(encoding="differential")
    (found,) = measure_activity(model, design(model, (2, 1, 1), chip), images).activity or ()
    # 127 = 0x7F stands in one column, nothing in the other: levels 7 and 15, 0 and 0.
    level = (1 / 20e3 - 1 / 200e3) / 15
    paths = [1 / (1 / (1 / 200e3 + digit * level) + 5e3) for digit in (7, 15, 0, 0)]
    assert found.cell_conductance_s == pytest.approx(sum(paths) / 4, rel=2e-3)


def test_padding_is_part_of_the_inputs() -> None:
    model = nn.Sequential(QuantConv2d(1, 1, 3, padding=1, bias=False))
    model[0].input_clip.data.fill_(1.0)
    ones = torch.ones(1, 1, 1, 1)
    (found,) = measure_activity(model, design(model, (1, 1, 1)), ones).activity or ()
    assert found.input_bit_density == pytest.approx(1 / 9)


def test_input_precision_decides_which_bits_there_are() -> None:
    model = one_layer([[1.0]])
    image = torch.full((1, 1, 1, 1), 1.0)  # a third of the range: 01, 0101, 01010101
    for bits in (2, 4, 8):
        (found,) = measure_activity(model, design(model, (1, 1, 1), input_bits=bits), image).activity or ()
        assert found.input_bit_density == 0.5


def test_the_model_and_the_design_are_left_as_they_were(model: nn.Module, design_of: Callable, images: torch.Tensor):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bits = [part.input_bits for part in model.modules() if isinstance(part, QuantConv2d)]
    given = design_of(input_bits=4)
    measured = measure_activity(model, given, images)
    assert given.activity is None
    assert measured.replace(activity=None) == given
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [part.input_bits for part in model.modules() if isinstance(part, QuantConv2d)] == bits
    assert Design.parse(measured.model_dump()) == measured
    # The image has a zero point in the middle of its range, later layers follow a ReLU.
    density = [entry.input_bit_density for entry in measured.activity or ()]
    assert 0.4 < density[0] < 0.7
    assert all(0.02 < value < 0.5 for value in density[1:])
    with pytest.raises(ConfigError, match="is not a convolution or linear layer of the model"):
        measure_activity(nn.Sequential(nn.Conv2d(3, 8, 3)), given, images)


def test_sram_cells_have_a_conductance_of_their_own(model: nn.Module, design_of: Callable, images: torch.Tensor):
    sram = Chip(device=Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28))
    plain = design_of()
    measured = measure_activity(model, plain.replace(chip=sram), images)
    assert {entry.cell_conductance_s for entry in measured.activity or ()} == {None}


class Depthwise(nn.Module):
    """A separable convolution with a skip connection: what no search space of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        return self.head((self.point(self.deep(x).relu()) + x).relu().mean((2, 3)))


def test_any_traced_module(images: torch.Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = Depthwise().eval()
    given = design(plain, (3, 10, 10), input_bits=8)
    measured = measure_activity(plain, given, images)
    assert measured.activity is not None
    assert len(measured.activity) == 4
    figures = evaluate(measured).to_dict()["layers"]
    for entry, layer in zip(measured.activity, figures, strict=True):
        assert layer["input_bit_density"] == entry.input_bit_density
        assert layer["cell_conductance_us"] == pytest.approx((entry.cell_conductance_s or 0) * 1e6)
    assert evaluate(measured).energy != evaluate(given).energy
    assert evaluate(measured).area == evaluate(given).area


def test_what_the_hardware_model_makes_of_it() -> None:
    layers = tuple(Layer(name=n, in_channels=64, out_channels=64, in_height=8, in_width=8) for n in ("a", "b"))
    plain = Design.homogeneous(Network(backbone="custom", layers=layers), Chip(), Periphery())
    usual = evaluate(plain)

    def energy(*activity: Activity) -> np.ndarray:
        return np.asarray(evaluate(plain.replace(activity=activity)).layers.energy.total)

    assert np.array_equal(energy(Activity(), Activity()), usual.layers.energy.total)
    busier = energy(Activity(), Activity(input_bit_density=0.6))
    assert busier[0] == usual.layers.energy.total[0]
    assert busier[1] > usual.layers.energy.total[1]
    conducting = energy(Activity(cell_conductance_s=2 * float(usual.conductance[0])), Activity())
    assert conducting[0] > usual.layers.energy.total[0]
    assert conducting[1] == usual.layers.energy.total[1]
    silent = energy(Activity(input_bit_density=0), Activity())
    assert 0 < silent[0] < usual.layers.energy.total[0]
    with pytest.raises(ConfigError, match=r"activity needs one entry per layer \(2\), got 1"):
        Design.parse(plain.model_dump() | {"activity": [{}]})
