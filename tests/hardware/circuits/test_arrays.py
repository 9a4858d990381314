"""What surrounds a crossbar: decoders, switch matrices, multiplexers, level shifters, SRAM bit lines; on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Technology
from xpert.hardware import circuits, gates
from xpert.hardware.switches import REFERENCE
from xpert.hardware.technology import UNCALIBRATED, WIRE_CAPACITANCE, Process, process_of

F = 32e-9


@pytest.fixture(scope="module")
def p() -> Process:
    return process_of(Technology(node_nm=32))


@pytest.fixture(scope="module")
def reference() -> Process:
    return process_of(Technology(node_nm=32), switches=REFERENCE)


def test_decoder_of_three_bits_by_hand(reference: Process) -> None:
    """Four NANDs for one pair of bits, a wire each and two for the third bit, eight NORs, eight pairs of drivers."""
    built = circuits.row_decoder(reference, 3.0)
    inverter, nand = gates.standard_inverter(reference), gates.standard_nand(reference)
    unit, pmos = 2 * F, gates.minimum_pmos(reference)
    nor = gates.gate(reference, "nor", 2.0, *gates.enlarge(reference, unit, 2 * pmos))
    driver = gates.gate(reference, "inv", 1.0, 2 * unit, 2 * pmos)
    assert built.height == pytest.approx(8 * 28 * F)
    assert built.width == pytest.approx(inverter.width + nand.width + 6 * 2.8 * F + nor.width + 2 * driver.width)
    off = (
        3 * inverter.leakage_current + 4 * nand.leakage_current + 8 * (nor.leakage_current + 2 * driver.leakage_current)
    )
    assert built.leakage == pytest.approx(off * 0.9)


def test_decoder_of_one_bit_has_area_unless_the_reference_is_asked_for(p: Process, reference: Process) -> None:
    assert circuits.row_decoder(reference, 1.0, drives_mux=True).area == 0
    assert circuits.row_decoder(p, 1.0, drives_mux=True).height == pytest.approx(2 * 28 * F)


def test_writes_toggle_all_gates_of_a_decoder(p: Process) -> None:
    built = circuits.row_decoder(p, 6.0, height=1e-4)
    assert built.energy == pytest.approx(0.05 * built.write_energy)


def test_a_load_slows_a_decoder(p: Process) -> None:
    fast, slow = (circuits.row_decoder(p, 6.0, height=1e-4, load=load).latency for load in (0.0, 1e-12))
    assert slow > fast


def test_word_line_energy_is_clocked_plus_active_rows(p: Process) -> None:
    given = {
        "height": 64 * 4 * F,
        "load": 1e-13,
        "load_resistance": 100.0,
        "read_voltage": 0.5,
        "access_gate_voltage": 1.1,
    }
    idle, half, full = (circuits.wordline_switch_matrix(p, 64.0, row_activity=a, **given) for a in (0.0, 0.5, 1.0))
    assert idle.energy == pytest.approx(circuits.flip_flop_bank(p, 64.0).energy)
    assert half.energy == pytest.approx((idle.energy + full.energy) / 2)


def test_switch_matrix_of_rows_keeps_its_height_and_of_columns_its_width(p: Process) -> None:
    given = {
        "target_resistance": 1e4,
        "row_activity": 0.3,
        "load": 1e-13,
        "load_resistance": 0.0,
        "read_voltage": 0.5,
    }
    assert circuits.switch_matrix(p, 64.0, height=1e-5, **given).height == 1e-5
    columns = circuits.switch_matrix(p, 64.0, width=64 * 12 * F, **given)
    assert columns.width == 64 * 12 * F
    assert columns.energy == pytest.approx(circuits.flip_flop_bank(p, 64.0).energy)
    with pytest.raises(ValueError, match="imposed"):
        circuits.switch_matrix(p, 64.0, **given)


def test_pass_gates_that_do_not_fit_are_infinite(p: Process) -> None:
    given = {"target_resistance": 1e4, "read_voltage": 0.5}
    built = circuits.column_mux(p, 8.0, 8.0, width=1.9 * 3.8 * F, **given)
    assert built.area == np.inf
    assert np.isfinite(built.latency)
    assert np.isfinite(circuits.column_mux(p, 8.0, 8.0, width=2 * 3.8 * F, **given).area)
    rest = {"row_activity": 0.3, "load": 1e-13, "load_resistance": 0.0}
    assert circuits.switch_matrix(p, 8.0, height=20 * F, **given, **rest).area == np.inf


def test_multiplexer_resistance_is_a_quarter_of_the_column(p: Process) -> None:
    """Both transistors are sized for half of the allowed drop each: in parallel they have a quarter of the target's."""
    target = 100.0
    gate_n, _ = circuits.column_mux_gates(p, target)
    width_n = gate_n / (p.ideal_gate_capacitance + p.overlap_capacitance + p.fringe_capacitance)
    assert 0.2 * gates.on_resistance_n(p, width_n) == pytest.approx(2 * 0.25 * target)
    small, large = (
        circuits.column_mux(p, 8.0, 8.0, target_resistance=r, width=64 * 12 * F, read_voltage=0.5).energy
        for r in (100.0, 10.0)
    )
    assert large > small


def test_multiplexer_with_imposed_height_is_a_rectangle(p: Process) -> None:
    built = circuits.column_mux(p, 8.0, 8.0, target_resistance=100.0, width=1e-5, height=3e-6, read_voltage=0.5)
    assert built.area == pytest.approx(3e-11)


def test_calibrated_level_shifters_are_larger() -> None:
    raw = process_of(Technology(node_nm=32), UNCALIBRATED)
    assert (
        circuits.level_shifter(process_of(Technology(node_nm=32)), 8.0, width=1e-5).area
        > circuits.level_shifter(raw, 8.0, width=1e-5).area
    )
    # 32 nm: low, latch and high stages of 15/20, 32/10 and 64/82 minimum transistors in a cell of 28 F
    stages = [
        gates.gate(raw, "inv", 1.0, n * 2 * F, q * gates.minimum_pmos(raw)) for n, q in ((15, 20), (32, 10), (64, 82))
    ]
    width = stages[0].width + 2 * stages[1].width + stages[2].width
    assert circuits.level_shifter(raw, 8.0, width=1e-5).area == pytest.approx(8 * width * 28 * F)


def test_bit_lines_are_charged_twice_a_read(p: Process) -> None:
    built = circuits.precharger(p, 64.0, width=1e-4, load=1e-14, load_resistance=0.0)
    assert built.energy == pytest.approx(2 * 64 * 1e-14 * 0.81)
    assert built.height == pytest.approx(3 * 28 * F)


def test_bit_line_discharges_by_the_sense_swing(p: Process) -> None:
    delay = circuits.sram_column_delay(
        p,
        access_resistance=1e4,
        access_capacitance=0.0,
        pull_down_resistance=1e4,
        column_capacitance=1e-13,
        column_resistance=0.0,
    )
    assert delay == pytest.approx(2e4 * 1e-13 * math.log(0.9 / 0.85) * math.log(2), rel=1e-6)


def test_register_file_clocks_one_line_and_decodes_one_address(p: Process) -> None:
    built = circuits.register_file(p, 1024.0, 64.0)
    line = circuits.flip_flop_bank(p, 64.0)
    decoder = circuits.row_decoder(p, 4.0, height=16 * 28 * F, load=64 * 28 * F * WIRE_CAPACITANCE)
    assert built.energy == pytest.approx(line.energy + decoder.energy)
    assert built.write_energy == pytest.approx(decoder.write_energy)
    assert built.latency == pytest.approx(decoder.latency + 0.5e-9)
    assert built.cycles == 1
    assert built.area == pytest.approx(circuits.flip_flop_bank(p, 1024.0).area + decoder.area)


def test_a_register_file_of_one_line_needs_no_address(p: Process) -> None:
    built = circuits.register_file(p, 64.0, 64.0)
    assert np.isfinite(built.area)
    assert built.area >= circuits.flip_flop_bank(p, 64.0).area


def test_banks_fill_the_bus_by_hand() -> None:
    # 2048 bits over banks of at most 128 x 128: 16 abreast hold up to 262144 bits, in lines of 128.
    assert circuits.banks(262144.0, 2048.0, 128) == (16, 128, 16384)
    assert circuits.banks(1000.0, 2048.0, 128) == (16, 128, 128)
    # A bit more takes 16 further ones, each with half of the lines and one.
    assert circuits.banks(262145.0, 2048.0, 128) == (32, 128, 65 * 128)
    # A bus of 300 bits takes three banks of 100.
    assert circuits.banks(40000.0, 300.0, 128) == (6, 100, 67 * 100)
    assert circuits.banks(40000.0, 300.0, 1024) == (1, 300, 134 * 300)


@given(capacity=st.integers(1, 10**7), more=st.integers(0, 10**5), bus=st.integers(1, 4096), side=st.integers(2, 4096))
def test_banks_hold_what_they_must_and_move_what_the_bus_does(capacity, more, bus, side) -> None:
    found, larger = (circuits.banks(float(bits), float(bus), side) for bits in (capacity, capacity + more))
    assert found.cores * found.bits >= capacity
    assert found.line_bits <= side
    assert found.bits <= found.line_bits * side
    assert np.ceil(bus / found.line_bits) * found.line_bits >= bus
    assert np.ceil(bus / found.line_bits) <= found.cores
    assert larger.line_bits == found.line_bits
    assert larger.cores >= found.cores
    # At most a line too much in each bank.
    assert found.cores * (found.bits - found.line_bits) < capacity


def test_sram_buffer_switches(p: Process, reference: Process) -> None:
    cell = {"cell_width_f": 28.0, "cell_height_f": 10.0}
    clocked = circuits.sram_buffer(reference, 16384.0, 128.0, **cell, synchronous=True)
    free = circuits.sram_buffer(reference, 16384.0, 128.0, **cell, synchronous=False)
    right = circuits.sram_buffer(p, 16384.0, 128.0, **cell, synchronous=True)
    bit_line = 128 * 10 * F * WIRE_CAPACITANCE
    assert free.energy - clocked.energy == pytest.approx(2 * 128 * bit_line * 0.81)
    assert right.energy == pytest.approx(free.energy, rel=1e-2)  # decoder layout differs
    assert right.leakage - clocked.leakage == pytest.approx(16384 * circuits.sram_cell_leakage(p))


def test_sram_cell_leaks_like_two_inverters(p: Process) -> None:
    assert circuits.sram_cell_leakage(p) == pytest.approx((2 * F * p.ioff_n + F * p.ioff_p) * 0.9)


def test_sigmoid_tables_are_cells_decoder_and_sense_amplifiers(p: Process) -> None:
    given = {"cell_width_f": 12.0, "cell_height_f": 4.0, "read_voltage": 0.5, "r_on": 1e4, "r_off": 1e6}
    built = circuits.sigmoid(p, 8.0, 16.0, 3.0, **given)
    sensing = circuits.voltage_sense_amplifier(p, 8.0, read_voltage=0.5, r_on=1e4, r_off=1e6)
    cells = 16 * 8 * 48 * F * F
    assert built.area == pytest.approx(3 * (cells + sensing.area + circuits.row_decoder(p, 4.0).area))
