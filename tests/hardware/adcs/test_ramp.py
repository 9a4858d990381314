"""Ramp ADCs: on paper, in their proportions, and on a chip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Chip, Design, Device, Layer, Network, Periphery, Technology
from xpert.experiment.config import SearchConfig
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.adcs.ramp import RAMP, ramp_adc, ramp_counter, ramp_generator
from xpert.hardware.circuits import flip_flop_bank
from xpert.hardware.technology import process_of

ONE_COLUMN = {"width": 1e-4, "read_voltage": 0.5, "column_resistance": np.array([1000.0])}
NETWORK = Network(
    backbone="custom",
    input_shape=(3, 8, 8),
    layers=(
        Layer(name="a", in_channels=3, out_channels=32, in_height=8, in_width=8, kernel_height=3, kernel_width=3),
        Layer(name="b", in_channels=32, out_channels=10, in_height=6, in_width=6, kernel_height=3, kernel_width=3),
    ),
)
SRAM = Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28)


def cost(device: Device | None = None, **periphery) -> Evaluation:
    chip = Chip(device=device or Device())
    return evaluate(Design.homogeneous(NETWORK, chip, Periphery(**periphery)))


def test_by_hand() -> None:
    p = process_of(Technology(node_nm=32))
    built = ramp_adc(p, 6.0, 4.0, **ONE_COLUMN)
    assert built.latency == pytest.approx(64e-9)  # one clock to sample, 63 thresholds
    capacitor = 12 * 1.380649e-23 * 300 * 2**12 / 0.9**2  # 0.25 fF: less than a unit of the DAC
    assert capacitor < 0.5e-15
    f = 32e-9
    latches = flip_flop_bank(p, 24.0, width=1e-4)
    comparators = 4 * (52 + 60) * 28 * f * 2 * 3.8 * f  # as in test_flash: each transistor in a cell of its own
    assert built.area == pytest.approx(comparators + 4 * 0.5e-15 / 2e-3 + latches.area)
    sampling = (3.692e-6 + 0.079449 * math.exp(-2.297 * 3)) * 1e-9
    assert built.energy == pytest.approx(sampling + 3.692e-6 * 63e-9 + 0.5e-15 * 0.9**2 + flip_flop_bank(p, 6.0).energy)


def test_large_capacitors_hold_fine_steps() -> None:
    p = process_of(Technology(node_nm=32))
    ten, twelve = (ramp_adc(p, bits, 1e6, **ONE_COLUMN).area / 1e6 for bits in (10.0, 12.0))
    unit = 12 * 1.380649e-23 * 300 / 0.9**2 / 2e-3
    latches = 2 * flip_flop_bank(p, 1e6, width=1e-4).area / 1e6
    assert twelve - ten == pytest.approx(unit * (4**12 - 4**10) + latches, rel=1e-3)


def test_the_ramp_by_hand() -> None:
    p = process_of(Technology(node_nm=32))
    gate = (p.ideal_gate_capacitance + p.overlap_capacitance + p.fringe_capacitance) * 64e-9
    line = 20e-15 + 8 * gate  # 100 um of wire and 8 comparators
    current = line * 1e9 * 7 * math.log(2) / 10
    built = ramp_generator(p, 6.0, 8.0, width=1e-4)
    assert built.energy == pytest.approx(current * 0.9 * 64e-9 + (32e-15 + line) * 0.81)


@settings(max_examples=50, deadline=None)
@given(
    node=st.sampled_from([130, 90, 65, 45, 32, 22, 14, 10, 7]),
    roadmap=st.sampled_from(["LSTP", "HP"]),
    bits=st.integers(1, 11),
    adcs=st.integers(1, 64),
    resistance=st.floats(50, 1e7),
)
def test_a_bit_more_doubles_the_time_and_costs(
    node: int, roadmap: str, bits: int, adcs: int, resistance: float
) -> None:
    p = process_of(Technology.parse({"node_nm": node, "roadmap": roadmap}))
    read = {"width": 1e-4, "read_voltage": 0.3, "column_resistance": np.array([resistance])}
    less, more = (ramp_adc(p, float(b), float(adcs), **read) for b in (bits, bits + 1))
    assert more.latency == 2 * less.latency
    pairs = [(less, more)] + [
        tuple(shared(p, float(b), float(adcs), width=1e-4) for b in (bits, bits + 1))
        for shared in (ramp_generator, ramp_counter)
    ]
    for small, large in pairs:
        assert large.energy > small.energy > 0
        assert large.area >= small.area > 0
        assert large.leakage >= small.leakage > 0


@pytest.mark.parametrize("device", [None, SRAM])
def test_smallest_and_slowest_on_a_chip(device: Device | None) -> None:
    ramp, sar, flash = (cost(device, adc_type=kind, adc_bits=7) for kind in ("ramp", "sar", "flash"))
    areas = [found.breakdown["area"]["adc"] for found in (ramp, sar, flash)]
    assert 0 < areas[0] < areas[1] < areas[2]
    assert ramp.latency > sar.latency > flash.latency
    assert 0 < ramp.leakage_power < sar.leakage_power
    assert ramp.energy > 0


def test_what_is_shared_is_paid_once_a_turn() -> None:
    """Twice as many columns at an ADC: as many conversions, twice as many ramps."""
    few, many = (cost(adc_type="ramp", columns_per_adc=n).breakdown["energy"]["adc"] for n in (8, 16))
    p = process_of(Technology(), logic_clock=1e9)
    assert many > few
    assert many < 2 * few
    assert ramp_generator(p, 6.0, 8.0, width=1e-4).energy < 8 * ramp_adc(p, 6.0, 1.0, **ONE_COLUMN).energy


def test_comparators_have_offsets_and_the_ramp_has_the_gain() -> None:
    generator = np.random.default_rng(0)
    shape = (2, 3, 4, 8)  # row blocks, groups, crossbars, ADCs of each
    drawn = {effect: RAMP.errors(effect, lambda _, size: generator.normal(size=size), shape)
             for effect in ("adc_offset", "adc_gain")}  # fmt: skip
    assert drawn["adc_offset"].shape == shape
    assert drawn["adc_gain"].shape == (2, 3, 4, 1)


def test_a_search_chooses_ramps_where_its_config_names_them() -> None:
    config = {"name": "x", "network": {"backbone": "vgg16", "choices": [64]}, "dataset": {"name": "digits"}}
    assert SearchConfig.parse(config).periphery.adc_types == ("sar", "flash")
    named = SearchConfig.parse(config | {"periphery": {"adc_types": ["sar", "ramp"]}})
    assert named.periphery.adc_types == ("sar", "ramp")
