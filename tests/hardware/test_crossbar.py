"""The array without periphery: on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xpert.design import Chip, Design, Device, Layer, Network, Periphery, Technology
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.hardware.crossbar import active_conductance, column_resistances, crossbar_of, parasitics
from xpert.hardware.technology import process_of

P = process_of(Technology(node_nm=32))
TINY = replace(crossbar_of(Chip()), rows=8, columns=8, reference_columns=0)


def test_parasitics_by_hand():
    wires = parasitics(P, TINY)
    f = 32e-9
    assert wires.row_length == pytest.approx(8 * 12 * f)
    assert wires.column_length == pytest.approx(8 * 4 * f)
    assert wires.area == pytest.approx(wires.row_length * wires.column_length)
    # 0.2 fF per micrometre, and the wire of 56 nm x 1.8 at 3.70e-8 ohm m.
    assert wires.row_wire_capacitance == pytest.approx(wires.row_length * 2e-10)
    assert wires.row_resistance == pytest.approx(wires.row_length * 3.7e-8 / (56e-9**2 * 1.8))
    # The access transistor may take a quarter of the on-resistance.
    assert wires.access_resistance == 5e3
    assert wires.mean_resistance == pytest.approx(5e3 + 2 / (1 / 20e3 + 1 / 200e3))


def test_reference_columns_lengthen_rows() -> None:
    with_two = parasitics(P, replace(TINY, reference_columns=2))
    without = parasitics(P, TINY)
    assert with_two.columns == 10
    assert with_two.area == pytest.approx(1.25 * without.area)
    assert with_two.wordline_capacitance == pytest.approx(1.25 * without.wordline_capacitance)
    reference = replace(P, switches=replace(P.switches, reference_columns=False))
    assert parasitics(reference, replace(TINY, reference_columns=2)) == parasitics(reference, TINY)


def test_two_by_two_column_resistance():
    wire = P.wire_resistance * 56e-9
    conductance = np.array([[1 / 20e3, 1 / 200e3], [1 / 200e3, 1 / 20e3]])
    got = column_resistances(P, TINY, conductance, np.array([[1, 1], [1, 0], [0, 0]]))

    def path(resistance, row, column):
        return 1 / (resistance + (column + 1) * 4 * wire + (2 - row) * 12 * wire + 5e3)

    both = [path(20e3, 0, 0) + path(200e3, 1, 0), path(200e3, 0, 1) + path(20e3, 1, 1)]
    assert got[0] == pytest.approx(1 / np.array(both))
    assert got[1] == pytest.approx(1 / np.array([path(20e3, 0, 0), path(200e3, 0, 1)]))
    assert np.all(np.isinf(got[2]))


def test_sram_columns_depend_on_the_driven_rows_alone():
    sram = crossbar_of(Chip(device=Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28)))
    got = column_resistances(P, sram, np.ones((4, 3)), np.array([[1, 1, 0, 0], [1, 1, 1, 1]]))
    assert got.shape == (2, 3)
    assert got[0] == pytest.approx(2 * got[1])
    assert got[0, 0] == pytest.approx(1 / (2 * active_conductance(P, sram, None)))


def test_mean_conductance_of_a_cell():
    middle = (1 / 20e3 + 1 / 200e3) / 2
    assert active_conductance(P, TINY, None) == pytest.approx(1 / (1 / middle + 5e3))
    assert active_conductance(P, TINY, 3e-5) == 3e-5
    # A ferroelectric transistor has no other in series, a crosspoint has none at all.
    for kind in ("fefet", "crosspoint"):
        assert active_conductance(P, replace(TINY, kind=kind), None) == pytest.approx(middle)


def test_mean_conductance_of_measured_states():
    means = [5, 6, 8, 50]
    device = {"cell_bits": 2, "programming_states": [{"mean_us": mean, "sigma_us": 0} for mean in means]}
    measured = crossbar_of(Chip(device=Device.parse(device)))
    assert (measured.r_on, measured.r_off) == pytest.approx((20e3, 200e3))
    assert active_conductance(P, measured, None) == pytest.approx(1 / (1 / 17.25e-6 + 5e3))
    assert active_conductance(P, measured, 3e-5) == 3e-5
    # Even steps are what is assumed without a table.
    even = device | {"programming_states": [{"mean_us": mean, "sigma_us": 1} for mean in (5, 20, 35, 50)]}
    middle = active_conductance(P, crossbar_of(Chip(device=Device(cell_bits=2))), None)
    assert active_conductance(P, crossbar_of(Chip(device=Device.parse(even))), None) == pytest.approx(middle, rel=1e-12)


def test_energy_follows_the_measured_states():
    layers = (Layer(name="conv", in_channels=16, out_channels=16, in_height=8, in_width=8),)
    network = Network(backbone="custom", input_shape=(16, 8, 8), layers=layers)

    def energy(means):
        device = {"cell_bits": 2, "programming_states": [{"mean_us": mean, "sigma_us": 0} for mean in means]}
        chip = Chip(device=Device.parse(device))
        return float(evaluate(Design.homogeneous(network, chip, Periphery())).energy)

    low, even, high = energy((5, 6, 8, 50)), energy((5, 20, 35, 50)), energy((5, 47, 49, 50))
    assert low < even < high
    assert even == pytest.approx(
        float(evaluate(Design.homogeneous(network, Chip(device=Device(cell_bits=2)), Periphery())).energy)
    )


def test_a_cell_too_small_for_its_transistor():
    strong = crossbar_of(Chip(device=Device(r_on_ohm=500, r_off_ohm=5000)))
    with pytest.raises(ConfigError, match=r"chip.device.cell_width_f: a cell of 12 F cannot hold"):
        parasitics(P, strong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 4}, "chip.rows: 4 cells make a column of 16 F"),
        ({"columns": 7}, "chip.columns: 7 cells make a row of 84 F"),
        ({"columns": 64, "cell_width_f": 3.0}, "chip.device.cell_width_f: 3 F leave no room"),
    ],
)
def test_crossbars_too_small_for_their_periphery(change, message):
    with pytest.raises(ConfigError, match=message):
        parasitics(P, replace(crossbar_of(Chip()), reference_columns=0, **change))


def test_relaxed_pitch_spreads_cells():
    near, far = parasitics(P, TINY), parasitics(P, replace(TINY, relaxed_pitch=True))
    assert far.column_length == pytest.approx(near.column_length * 28 / 4)
    assert far.row_length == pytest.approx(near.row_length * 15.2 / 12)


@pytest.mark.parametrize("cell", ["rram", "pcm"])
def test_phase_change_is_like_resistive(cell):
    assert crossbar_of(Chip(device=Device(cell=cell))).kind == "1t1r"
    assert crossbar_of(Chip(device=Device(cell=cell, access="crosspoint"))).kind == "crosspoint"
