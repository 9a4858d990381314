"""Repeated wires, buses and H-trees, on paper."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Technology
from xpert.hardware import circuits, gates
from xpert.hardware.circuits.repeater import delay_per_metre, energy_per_metre, repeater
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import WIRE_CAPACITANCE, Process, process_of

UNIT = {"unit_height": 1e-4, "unit_width": 2e-4}
TREE = {**UNIT, "bus_bits": 256.0, "folding": 16.0, "bits": 64.0}


@pytest.fixture(scope="module")
def p() -> Process:
    return process_of(Technology(node_nm=32))


@pytest.fixture(scope="module")
def reference() -> Process:
    return process_of(Technology(node_nm=32), switches=REFERENCE)


def test_fastest_repeater_by_hand(p: Process) -> None:
    minimum = gates.minimum_inverter(p)
    resistance = gates.on_resistance_n(p, minimum.width_n) + gates.on_resistance_p(p, minimum.width_p)
    chosen = repeater(p, 0.0, halve=False)
    assert chosen.size == math.floor(
        math.sqrt(resistance * WIRE_CAPACITANCE / (minimum.input_capacitance * p.wire_resistance))
    )
    own = minimum.input_capacitance + minimum.output_capacitance
    assert chosen.distance == pytest.approx(math.sqrt(2 * resistance * own / (p.wire_resistance * WIRE_CAPACITANCE)))


@pytest.mark.parametrize("node", [130, 90, 65, 45, 32, 22, 14, 10, 7])
def test_tolerance_buys_energy_with_delay(node: int) -> None:
    p = process_of(Technology(node_nm=node))
    fast, cheap = (repeater(p, tolerance, halve=True) for tolerance in (0.0, 0.1))
    assert cheap.size < fast.size
    assert energy_per_metre(p, cheap) < energy_per_metre(p, fast)
    assert delay_per_metre(cheap, p.wire_resistance) > delay_per_metre(fast, p.wire_resistance)


def test_shrinking_stops_at_the_tolerance_or_at_nothing(p: Process) -> None:
    fast, slow, slowest = (repeater(p, tolerance, halve=False) for tolerance in (0.0, 0.2, 1e9))
    reached = delay_per_metre(slow, p.wire_resistance) / delay_per_metre(fast, p.wire_resistance)
    assert 1.2 <= reached < 1.3
    assert slowest.size == 0
    assert slowest.inverter.width_n == pytest.approx(2 * p.feature), "built as the smallest inverter"


def test_bus_by_hand(p: Process) -> None:
    built = circuits.bus(p, 4.0, 4.0, **UNIT, vertical=False, bits=64.0)
    chosen = repeater(p, 0.0, halve=False)
    length = 3 * 2e-4
    assert built.latency == pytest.approx(length * delay_per_metre(chosen, p.wire_resistance))
    assert built.energy == pytest.approx(64 * length * energy_per_metre(p, chosen))
    assert built.cycles == 1
    assert built.area == 0


def test_bus_to_a_single_unit_is_free(p: Process) -> None:
    built = circuits.bus(p, 1.0, 1.0, **UNIT, vertical=True, bits=64.0)
    assert (built.latency, built.cycles, built.energy, built.leakage) == (0, 0, 0, 0)


def test_vertical_buses_run_along_the_rows(p: Process) -> None:
    tall, flat = (circuits.bus(p, 8.0, 1.0, **UNIT, vertical=v, bits=1.0).latency for v in (True, False))
    assert tall > 0
    assert flat == 0


def test_h_tree_of_one_unit_is_free(p: Process) -> None:
    built = circuits.h_tree(p, 1.0, 1.0, **TREE)
    assert (built.area, built.latency, built.energy, built.leakage) == (0, 0, 0, 0)


def test_h_tree_of_four_units_by_hand(p: Process) -> None:
    """One branching: half a unit up and half across, plus a trunk of one unit."""
    built = circuits.h_tree(p, 2.0, 2.0, **TREE)
    chosen = repeater(p, 0.1, halve=True)
    reach = (1e-4 + 2e-4) / 2 + 2e-4
    assert built.energy == pytest.approx(64 * reach * energy_per_metre(p, chosen))
    assert built.area == pytest.approx(256 / 16 * p.cell_height * 2e-4)


def test_delay_of_an_h_tree_is_over_its_path_unless_the_reference_is_asked_for() -> None:
    """Where all wires are of one class, the delay is the path's length times the delay per length."""
    whole = process_of(Technology(node_nm=32), switches=replace(PHYSICAL, h_tree_wire_class=False))
    double = process_of(Technology(node_nm=32), switches=replace(PHYSICAL, h_tree_wire_class=False, h_tree_path=False))
    flat = {**TREE, "unit_height": 1e-6, "unit_width": 1e-6}
    path, trunk = (1e-6 + 1e-6) * 7 / 2, 3e-6
    a, b = (circuits.h_tree(p, 8.0, 8.0, **flat).latency for p in (whole, double))
    assert b / a == pytest.approx((2 * path + trunk) / (path + trunk))


def test_long_wires_are_wider_and_faster() -> None:
    p = process_of(Technology(node_nm=32))
    rate = [
        float(circuits.h_tree(p, 2.0, 1.0, **{**TREE, "unit_height": length, "unit_width": length}).latency / length)
        for length in (1e4 * 32e-9 * 0.4, 1e4 * 32e-9 * 1.1, 1e5 * 32e-9 * 1.1)
    ]
    assert rate[0] > rate[1] > rate[2]


def test_the_reference_counts_the_repeaters_of_one_wire(p: Process, reference: Process) -> None:
    all_wires = circuits.h_tree(p, 4.0, 4.0, **TREE).leakage
    one_wire = circuits.h_tree(reference, 4.0, 4.0, **TREE).leakage
    assert all_wires == pytest.approx(256 * one_wire)


@given(st.integers(1, 64), st.integers(1, 64))
def test_larger_grids_have_longer_trees(rows: int, columns: int) -> None:
    p = process_of(Technology(node_nm=45))
    tree = circuits.h_tree(p, float(rows), float(columns), **TREE)
    larger = circuits.h_tree(p, 2.0 * rows, 2.0 * columns, **TREE)
    assert larger.energy > tree.energy
    assert larger.latency > tree.latency
    assert larger.area > tree.area


def test_many_grids_at_once(p: Process) -> None:
    rows, columns = np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 7.0, 4.0])
    batch = circuits.h_tree(p, rows, columns, **TREE)
    for k in range(4):
        single = circuits.h_tree(p, rows[k], columns[k], **TREE)
        assert batch.latency[k] == single.latency
        assert batch.area[k] == single.area
