"""Flip-flops, adders, trees, shift-adds, ReLU, comparators and pooling, on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xpert.design import Technology
from xpert.hardware import circuits, gates
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import UNCALIBRATED, Process, process_of

F = 32e-9


@pytest.fixture(scope="module")
def p() -> Process:
    return process_of(Technology(node_nm=32))


@pytest.fixture(scope="module")
def reference() -> Process:
    return process_of(Technology(node_nm=32), switches=REFERENCE)


def test_flip_flop_is_twelve_inverters_wide_and_one_cell_high(p: Process) -> None:
    one = circuits.flip_flop_bank(p, 1.0)
    assert one.width == pytest.approx(12 * 2 * 3.8 * F)
    assert one.height == pytest.approx(28 * F)
    assert (one.cycles, one.latency) == (1.0, 0.5e-9)


def test_flip_flops_that_do_not_toggle_still_take_clock_energy(p: Process) -> None:
    idle, half, full, over = (circuits.flip_flop_bank(p, 8.0, toggling=k).energy for k in (0.0, 4.0, 8.0, 100.0))
    assert 0 < idle < half < full
    assert half == pytest.approx((idle + full) / 2)
    assert over == full


def test_adder_is_nine_nands_per_bit(p: Process) -> None:
    nand = gates.standard_nand(p)
    built = circuits.adder(p, 8.0, 3.0)
    assert built.area == pytest.approx(9 * 8 * 3 * nand.area)
    assert built.leakage == pytest.approx(9 * 8 * 3 * nand.leakage_current * p.vdd)


def test_carry_takes_the_same_time_through_every_further_bit(p: Process) -> None:
    latency = [float(circuits.adder_latency(p, float(bits))) for bits in (2, 3, 4, 5)]
    assert np.diff(latency) == pytest.approx(np.full(3, latency[1] - latency[0]))
    assert float(circuits.adder_latency(p, 4.0, 1e-13)) > latency[2]


def test_adder_cycles_are_rounded_up_at_the_logic_clock() -> None:
    slow = process_of(Technology(node_nm=130, temperature_k=400), logic_clock=1e9)
    built = circuits.adder(slow, 32.0, 1.0)
    assert built.latency > 1e-9
    assert built.cycles == np.ceil(built.latency / 1e-9)


def test_adders_toggle_less_if_calibrated(p: Process) -> None:
    raw = process_of(Technology(node_nm=32), UNCALIBRATED)
    assert circuits.adder(p, 8.0, 1.0).energy == pytest.approx(0.15 * circuits.adder(raw, 8.0, 1.0).energy)


def test_an_adder_in_too_little_width_vanishes_in_the_reference_only(p: Process, reference: Process) -> None:
    narrow = 8 * gates.standard_nand(p).width
    assert circuits.adder(reference, 8.0, 1.0, width=narrow).area == 0
    assert circuits.adder(p, 8.0, 1.0, width=narrow).area == pytest.approx(circuits.adder(p, 8.0, 1.0).area)


def test_tree_of_four_is_two_adders_and_a_wider_one(p: Process) -> None:
    tree = circuits.adder_tree(p, 4.0, 8.0, 5.0)
    first, last = circuits.adder(p, 8.0, 1.0), circuits.adder(p, 9.0, 1.0)
    assert tree.area == pytest.approx(5 * (2 * first.area + last.area))
    assert tree.energy == pytest.approx(5 * (2 * first.energy + last.energy))
    assert tree.leakage == pytest.approx(5 * (2 * first.leakage + last.leakage))
    assert tree.latency == pytest.approx(first.latency + last.latency)
    assert tree.cycles == first.cycles + last.cycles


def test_tree_of_five_adds_all_five_unless_the_reference_is_asked_for(p: Process, reference: Process) -> None:
    bit = circuits.adder(p, 1.0, 1.0).area
    # 5 -> 3 -> 2 -> 1: two adders of 8 bits, one of 9, one of 10. The reference: 5 -> 2 -> 1 -> 0.
    assert circuits.adder_tree(p, 5.0, 8.0, 1.0).area == pytest.approx((2 * 8 + 9 + 10) * bit)
    lossy = circuits.adder_tree(reference, 5.0, 8.0, 1.0)
    assert lossy.area == pytest.approx((2 * 8 + 9) * bit)
    stages = [circuits.adder(reference, float(bits), 1.0).cycles for bits in (8, 9, 10)]
    assert lossy.cycles == sum(stages), "the reference counts the time of the empty stage"


def test_a_tree_that_is_used_in_part_costs_a_smaller_tree(p: Process) -> None:
    part, small = circuits.adder_tree(p, 8.0, 6.0, 2.0, used=2.0), circuits.adder_tree(p, 2.0, 6.0, 2.0)
    assert part.energy == small.energy
    assert part.latency == small.latency
    assert part.area > small.area
    unused = circuits.adder_tree(p, 8.0, 6.0, 2.0, used=1.0)
    assert (unused.energy, unused.latency, unused.cycles) == (0, 0, 0)


def test_shift_add_is_adders_a_row_and_registers(p: Process) -> None:
    width = 64 * 12 * F
    built = circuits.shift_add(p, 6.0, 16.0, 4.0, width=width)
    adders = circuits.adder(p, 6.0, 16.0, width=width)
    registers = circuits.flip_flop_bank(p, 160.0, width=width)
    assert built.height == pytest.approx(adders.height + registers.height + 28 * F)
    assert built.energy == pytest.approx(adders.energy + 0.5 * registers.energy)


def test_reads_in_a_row_hide_in_the_read_pulse() -> None:
    assert circuits.shift_add_latency(3e-9, 8.0) == 3e-9
    assert circuits.shift_add_latency(12e-9, 8.0) == pytest.approx(12e-9 + 7 * 2e-9)


def test_relu_is_a_register_in_its_width(p: Process) -> None:
    free = circuits.flip_flop_bank(p, 64 * 8.0)
    built = circuits.relu(p, 64.0, 8.0, width=1e-3)
    assert built.area == free.area
    assert built.height == pytest.approx(free.area / 1e-3)
    assert circuits.relu(p, 64.0, 8.0).width == free.width


def test_comparator_compares_bit_after_bit(p: Process) -> None:
    latency = [float(circuits.comparator(p, float(bits)).latency) for bits in (1, 2, 3, 4)]
    assert np.diff(latency) == pytest.approx(np.full(3, latency[1] - latency[0]))
    assert circuits.comparator(p, 4.0).area == pytest.approx(4 * circuits.comparator(p, 1.0).area)


def test_pooling_needs_three_comparators_for_four_values_and_eight_for_nine(p: Process) -> None:
    two, four, nine = (circuits.max_pooling(p, 8.0, float(window), 1.0) for window in (2, 4, 9))
    assert four.area / two.area == pytest.approx(3)
    assert nine.area / two.area == pytest.approx(8)
    assert (two.cycles, four.cycles, nine.cycles) == (2, 3, 5)


def test_pooling_of_many_windows_at_once(p: Process) -> None:
    windows = np.array([2.0, 4.0, 9.0, 16.0])
    batch = circuits.max_pooling(p, 8.0, windows, 10.0)
    single = [circuits.max_pooling(p, 8.0, window, 10.0) for window in windows]
    assert np.array_equal(batch.energy, [float(cost.energy) for cost in single])


def test_an_average_is_an_adder_and_a_register_as_wide_as_the_sum(p: Process) -> None:
    built = circuits.average_pooling(p, 8.0, 49.0, 10.0)
    add, register = circuits.adder(p, 14.0, 10.0), circuits.flip_flop_bank(p, 140.0)
    assert built.area == pytest.approx(add.area + register.area)
    assert built.leakage == pytest.approx(add.leakage + register.leakage)
    assert built.cycles == add.cycles
    half = circuits.flip_flop_bank(p, 140.0, activity=0.5)
    assert built.energy == pytest.approx(add.energy + half.energy)


def test_odd_inputs_switch_is_the_only_difference() -> None:
    lossy = process_of(Technology(node_nm=32), switches=replace(PHYSICAL, adder_tree_odd_inputs=False))
    whole = process_of(Technology(node_nm=32))
    assert circuits.adder_tree(lossy, 8.0, 8.0, 1.0).area == circuits.adder_tree(whole, 8.0, 8.0, 1.0).area
    assert circuits.adder_tree(lossy, 7.0, 8.0, 1.0).area < circuits.adder_tree(whole, 7.0, 8.0, 1.0).area
