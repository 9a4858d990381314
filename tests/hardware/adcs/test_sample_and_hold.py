"""Sample and hold: a column draws its current while it is sampled only."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Chip, Converters, Design, Device, Layer, Network, Periphery, Technology
from xpert.hardware import PHYSICAL, REFERENCE, evaluate
from xpert.hardware.adcs.column_power import IDLE_POWER
from xpert.hardware.adcs.sample_and_hold import quiet_capacitor, sample_and_hold
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.technology import Process, process_of

HOLDING = Converters(sample_and_hold=True)
NETWORK = Network(
    backbone="custom",
    input_shape=(3, 8, 8),
    layers=(Layer(name="a", in_channels=3, out_channels=32, in_height=8, in_width=8, kernel_height=3, kernel_width=3),),
)


def process(node_nm: int = 32, roadmap: str = "LSTP", converters: Converters = HOLDING) -> Process:
    return process_of(Technology(node_nm=node_nm, roadmap=roadmap), converters=converters)


def converted(p: Process, bits: float, resistance: float = 1000.0):
    return sar_adc(p, bits, 1.0, width=1e-4, column_resistance=np.array([resistance]), read_voltage=0.5)


def test_by_hand() -> None:
    p = process()
    gate = (p.ideal_gate_capacitance + p.overlap_capacitance + p.fringe_capacitance) * 64e-9 * (1 + p.pn_ratio)
    held = sample_and_hold(p, 6.0, sampling_time=1e-9, holding_time=6e-9)
    assert held.energy == pytest.approx((0.5e-15 + gate) * p.vdd**2)
    f = 32e-9
    assert held.area == pytest.approx(0.5e-15 / 2e-3 + 2 * 28 * f * 3.8 * f)
    column = 0.079449 * math.exp(-2.297 * 3)  # W
    own = (1.1294 * 6 + 8.8998) * 1e-6
    assert converted(p, 6.0).energy == pytest.approx((column + own) * 1e-9 + own * 6e-9 + held.energy)
    assert converted(p, 6.0).latency == pytest.approx(7e-9)  # the first step samples, as before


def test_an_idle_column_costs_its_sample_more() -> None:
    free, holding = (converted(process(converters=option), 6.0, np.inf) for option in (Converters(), HOLDING))
    held = sample_and_hold(process(), 6.0, sampling_time=1e-9, holding_time=6e-9)
    assert free.energy == pytest.approx(IDLE_POWER * 7e-9)
    assert holding.energy == pytest.approx(free.energy + held.energy)


@given(st.integers(3, 8), st.floats(300, 1e5))
def test_the_saving_grows_with_duration_and_current(bits: int, resistance: float) -> None:
    def saved(bits: int, resistance: float) -> float:
        free, holding = (converted(process(converters=c), float(bits), resistance) for c in (Converters(), HOLDING))
        assert holding.area > free.area
        assert holding.leakage > free.leakage
        assert holding.latency == free.latency
        return free.energy - holding.energy

    # The column's power for all steps but the first, less what the sample takes.
    power = 0.079449 * math.exp(-2.297 * math.log10(resistance))
    held = sample_and_hold(process(), float(bits), sampling_time=1e-9, holding_time=bits * 1e-9)
    assert saved(bits, resistance) == pytest.approx(power * bits * 1e-9 - held.energy, rel=1e-6, abs=1e-20)
    assert saved(bits + 1, resistance) > saved(bits, resistance) or bits >= 7  # large capacitors cost more above


def test_capacitors_are_as_large_as_noise_and_leakage_ask() -> None:
    p = process()
    assert quiet_capacitor(p, 2.0**6) == 0.5e-15
    assert quiet_capacitor(p, 2.0**10) == pytest.approx(12 * 1.380649e-23 * 300 * 4**10 / p.vdd**2)
    # A leaky process must hold on a larger one, and longer on a still larger one.
    leaky = process(roadmap="HP")
    short, long = (sample_and_hold(leaky, 8.0, sampling_time=1e-9, holding_time=t).energy for t in (8e-9, 80e-9))
    assert long > short > sample_and_hold(p, 8.0, sampling_time=1e-9, holding_time=8e-9).energy
    # A switch that settles a large capacitor is wide.
    slow, fast = (sample_and_hold(p, 10.0, sampling_time=t, holding_time=1e-9) for t in (1e-8, 1e-10))
    assert fast.area > slow.area
    assert fast.leakage > slow.leakage


@pytest.mark.parametrize("device", [Device(), Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28)])
def test_on_a_chip_only_sar_changes(device: Device) -> None:
    for adc_type, changes in (("sar", True), ("flash", False), ("ramp", False)):
        free, holding = (
            evaluate(Design.homogeneous(NETWORK, Chip(device=device, converters=c), Periphery(adc_type=adc_type)))
            for c in (Converters(), HOLDING)
        )
        assert (holding.energy < free.energy) == changes
        assert (holding.area > free.area) == changes
        assert (holding.latency == free.latency) or changes


@pytest.mark.parametrize("switches", [PHYSICAL, REFERENCE])
def test_reference_mode_has_it_too(switches) -> None:
    free, holding = (
        evaluate(Design.homogeneous(NETWORK, Chip(converters=c), Periphery(adc_type="sar")), switches)
        for c in (Converters(), HOLDING)
    )
    assert holding.energy < free.energy
