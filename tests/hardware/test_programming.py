"""What programming a chip costs."""

from __future__ import annotations

import pytest

from xpert.design import Chip, Design, Device, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.hardware.programming import programming_cost

NETWORK = Network(
    backbone="custom",
    input_shape=(1, 4, 4),
    layers=(
        Layer(
            name="conv", in_channels=1, out_channels=8, in_height=4, in_width=4, kernel_height=3, kernel_width=3,
            padding=1,
        ),
        Layer(name="fc", kind="linear", in_channels=128, out_channels=10, in_height=1, in_width=1),
    ),
)  # fmt: skip
WRITTEN = {"write_pulses": 8.0, "write_pulse_s": 1e-6, "r_on_ohm": 10e3, "r_off_ohm": 1e6, "write_voltage_v": 2.0}


def design(encoding: str = "offset", **device: object) -> Design:
    chip = Chip.parse({"encoding": encoding, "device": {**WRITTEN, **device}})
    return Design.homogeneous(NETWORK, chip, Periphery())


def test_by_hand() -> None:
    one = design()
    copies = evaluate(one).speed_up
    weights = 72 * copies[0] + 1280 * copies[1]
    found = programming_cost(one)
    assert found.cells == 2 * weights  # 8-bit weights in 4-bit cells
    assert found.pulses == 16 * weights
    assert found.serial == pytest.approx(16e-6 * weights)
    assert found.parallel == pytest.approx(8e-6 * min(found.cells, 64 * 64))
    assert found.energy == pytest.approx(16 * weights * 4 * 1e-6 * (1e-4 + 1e-6) / 2)
    assert programming_cost(design("differential")).cells == 4 * weights
    assert found.to_dict()["energy_uj"] == pytest.approx(1e6 * found.energy)


def test_the_device_has_the_last_word_on_energy() -> None:
    assert programming_cost(design(write_energy_j=1e-12)).energy == pytest.approx(
        1e-12 * programming_cost(design()).pulses
    )
    fefet = design(cell="fefet", r_on_ohm=559e3, r_off_ohm=25e6)
    assert programming_cost(fefet).energy is None


def test_without_write_figures_it_is_not_known() -> None:
    one = Design.homogeneous(NETWORK, Chip(device=Device(write_pulses=3)), Periphery())
    with pytest.raises(ConfigError, match="not known without write_pulse_s"):
        programming_cost(one)
