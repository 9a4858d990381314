"""The subarray: against the reference, and what must hold for any periphery."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Chip, Device, Periphery, Technology
from xpert.hardware.crossbar import active_conductance, crossbar_of, parasitics
from xpert.hardware.reference.chips import subarray_outputs
from xpert.hardware.subarray import PeripheryArrays, Subarray, adc_count, columns_in_turn, subarray, weights_per_adc
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import process_of

CELLS = {
    "1t1r": Device(),
    "fefet": Device(cell="fefet"),
    "crosspoint": Device(access="crosspoint", cell_height_f=2, cell_width_f=2),
    "sram": Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28),
}
NUMBERS = [
    "height", "width", "array_area", "adc_area", "accumulation_area", "other_area", "column_delay", "sensing_period",
    "adc_cycles", "accumulation_cycles", "adc_latency", "accumulation_latency", "other_latency", "array_energy",
    "adc_energy", "accumulation_energy", "other_energy", "leakage",
]  # fmt: skip


def build(cell="1t1r", switches=PHYSICAL, node=32, **periphery) -> Subarray:
    entry = Periphery(**periphery)
    return subarray(
        process_of(Technology(node_nm=node), switches=switches),
        crossbar_of(Chip(device=CELLS[cell])),
        PeripheryArrays.of([entry]),
        row_activity=np.array([0.3]),
        column_resistance=np.array([[2e3]]),
        multiplicity=64.0,
    )


def test_every_output_of_the_reference(reference_rows):
    rows = reference_rows("subarray")
    assert len(rows) > 1000
    worst = 0.0
    for row in rows[::6]:
        got = subarray_outputs(row["inputs"])
        for name, wanted in row["outputs"].items():
            if wanted is not None:
                error = abs(got[name] - wanted) / abs(wanted) if wanted else abs(got[name])
                assert error < 1e-9, (row["id"], name, got[name], wanted)
                worst = max(worst, error)
    assert worst > 0  # printed with 12 digits


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("switches", [PHYSICAL, REFERENCE])
def test_elements_do_not_know_each_other(cell, switches):
    peripheries = [
        Periphery(adc_type=kind, columns_per_adc=sharing, adc_bits=bits, input_bits=inputs)
        for kind in ("sar", "flash")
        for sharing, bits, inputs in ((1, 4, 1), (8, 6, 8), (64, 8, 3))
    ]
    together = subarray(
        process_of(Technology(node_nm=32), switches=switches),
        crossbar_of(Chip(device=CELLS[cell])),
        PeripheryArrays.of(peripheries),
        row_activity=0.3,
        column_resistance=np.full((6, 1), 2e3),
        multiplicity=64.0,
    )
    for index, entry in enumerate(peripheries):
        alone = build(cell, switches, **entry.model_dump())
        for name in NUMBERS:
            both = [np.broadcast_to(getattr(which, name), n) for which, n in ((together, 6), (alone, 1))]
            assert both[0][index] == both[1][0], name


@settings(max_examples=30)
@given(
    kind=st.sampled_from(["sar", "flash"]),
    cell=st.sampled_from(sorted(CELLS)),
    bits=st.integers(3, 8),
    inputs=st.integers(1, 8),
    node=st.sampled_from([65, 32, 22]),
)
def test_sharing_saves_adcs_and_costs_time(kind, cell, bits, inputs, node):
    steps = [
        build(cell, node=node, adc_type=kind, columns_per_adc=s, adc_bits=bits, input_bits=inputs)
        for s in (1, 2, 4, 8, 16, 32, 64)
    ]
    for less, more in pairwise(steps):
        assert more.blocks[f"{kind}_adc"].cost.area < less.blocks[f"{kind}_adc"].cost.area
        assert more.adc_area < less.adc_area
        assert more.adc_cycles > less.adc_cycles
        assert more.adc_cycles * more.sensing_period > less.adc_cycles * less.sensing_period
        # A decoder of 64 outputs leaks more than an ADC of 3 bits.
        assert _without_decoder(more) < _without_decoder(less)
        # What has to be added up does not depend on who shares with whom.
        assert more.accumulation_energy == pytest.approx(less.accumulation_energy, rel=0.02)


def _without_decoder(built: Subarray) -> float:
    return float(np.ravel(built.leakage - built.blocks["mux_decoder"].cost.leakage)[0])


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("node", [65, 32, 7])
@pytest.mark.parametrize("kind", ["sar", "flash", "ramp"])
def test_sharing_takes_no_area(kind: str, node: int, size: int) -> None:
    """A multiplexer is its pass gates, and a decoder its gates: neither outweighs an ADC that is saved."""
    crossbar = replace(crossbar_of(Chip()), rows=size, columns=size)
    p = process_of(Technology(node_nm=node))
    sharing = [1, 2, 4, 8, 16, 32, 64]
    built = subarray(
        p,
        crossbar,
        PeripheryArrays.of([Periphery(adc_type=kind, columns_per_adc=s, adc_bits=5) for s in sharing]),
        row_activity=0.3,
        column_resistance=np.full((len(sharing), 1), 2e3),
    )
    assert np.all(np.diff(built.used_area) < 0)
    select = built.blocks["column_mux"].cost.area + built.blocks["mux_decoder"].cost.area
    assert np.all(select[1:] < 0.05 * built.used_area[1:])
    bound = np.broadcast_to(built.height, len(sharing))
    assert np.all(built.blocks["mux_decoder"].cost.height < bound - built.wires.column_length)


def test_a_better_off_state_does_not_slow_a_column() -> None:
    p = process_of(Technology(node_nm=32))
    delays = []
    for ratio in (10.0, 100.0, 1e4, 1e7):
        crossbar = crossbar_of(Chip(device=Device(r_off_ohm=20e3 * ratio)))
        column = np.array([[1 / (19 * active_conductance(p, crossbar, None))]])
        built = subarray(p, crossbar, PeripheryArrays.of([Periphery()]), row_activity=0.3, column_resistance=column)
        delays.append(float(np.ravel(built.column_delay)[0]))
    assert max(delays) < 1.1 * min(delays)
    assert delays[-1] == pytest.approx(delays[-2], rel=1e-3)


def test_columns_settle_to_half_a_step() -> None:
    """On paper: C (R + R_wire / 2) (bits + 1) ln 2, and R of a single cell that is on where no row is driven."""
    p, crossbar = process_of(Technology(node_nm=32)), crossbar_of(Chip())
    wires = parasitics(p, crossbar)
    for resistance, counts in ((2e3, 2e3), (np.inf, 25e3), (1e6, 25e3)):
        column = np.array([[resistance, 1e3]])
        built = subarray(
            p, crossbar, PeripheryArrays.of([Periphery(adc_bits=7)]), row_activity=0.3, column_resistance=column
        )
        expected = wires.column_capacitance * (counts + wires.column_wire_resistance / 2) * 8 * math.log(2)
        assert built.column_delay == pytest.approx(expected)


@settings(max_examples=30)
@given(
    kind=st.sampled_from(["sar", "flash"]), cell=st.sampled_from(sorted(CELLS)), sharing=st.sampled_from([1, 3, 8, 64])
)
def test_precision_costs(kind, cell, sharing):
    steps = [build(cell, adc_type=kind, columns_per_adc=sharing, adc_bits=bits) for bits in range(2, 10)]
    for less, more in pairwise(steps):
        assert more.adc_area > less.adc_area
        assert more.adc_energy > less.adc_energy
        assert more.accumulation_energy > less.accumulation_energy
        assert more.leakage > less.leakage


@given(sharing=st.integers(1, 80), slices=st.sampled_from([1, 2, 4, 8]), pair=st.sampled_from([1, 2]))
def test_every_column_is_converted(sharing, slices, pair):
    p = process_of(Technology())
    crossbar = replace(crossbar_of(Chip(device=Device(cell_bits=8 // slices))), columns_per_slice=pair)
    adcs, turns = adc_count(p, crossbar, sharing), columns_in_turn(p, crossbar, sharing)
    assert adcs * turns >= 64 // pair
    assert adcs * (turns - 1) < 64 // pair
    assert turns <= sharing
    assert weights_per_adc(p, crossbar, sharing) * slices == turns


def test_reference_divides_integers():
    p = process_of(Technology(), switches=REFERENCE)
    crossbar = crossbar_of(Chip(device=Device(cell_bits=2)))
    assert adc_count(p, crossbar, 48) == 1
    assert weights_per_adc(p, crossbar, 2) == 0  # accumulation for nothing
    assert weights_per_adc(process_of(Technology()), crossbar, 2) == 0.5


@pytest.mark.parametrize("cell", CELLS)
def test_parts_make_the_whole(cell):
    built = build(cell, adc_type="flash")
    assert built.used_area == pytest.approx(built.array_area + sum(block.cost.area for block in built.table))
    assert built.height * built.width > built.used_area * 0.1
    assert all(np.all(np.isfinite(getattr(built, name))) for name in NUMBERS)


def shifters(chip: Chip, switches=PHYSICAL) -> set[str]:
    p = process_of(chip.technology, switches=switches)
    periphery = PeripheryArrays.of([Periphery()])
    built = subarray(p, crossbar_of(chip), periphery, row_activity=0.3, column_resistance=np.array([[2e3]]))
    return {name for name in built.blocks if name.endswith("_level_shifter")}


@pytest.mark.parametrize(("node", "supply"), [(130, 1.3), (32, 0.9), (7, 0.7)])
def test_lines_have_level_shifters_above_the_supply_of_the_logic(node, supply):
    every = {"wl_level_shifter", "bl_level_shifter", "sl_level_shifter"}
    for volts, lines in ((supply, set()), (supply + 0.01, every), (1.51, every)):
        chip = Chip(technology=Technology(node_nm=node), device=Device(write_voltage_v=volts))
        assert shifters(chip) == lines
        assert shifters(chip, REFERENCE) == (every if volts > 1.5 else set())


def test_a_row_of_a_crosspoint_array_is_one_line():
    chip = Chip(device=CELLS["crosspoint"])
    assert shifters(chip) == {"bl_level_shifter", "sl_level_shifter"}
    assert shifters(chip, REFERENCE) == {"wl_level_shifter", "bl_level_shifter", "sl_level_shifter"}
    assert shifters(Chip(device=CELLS["sram"])) == set()


def test_columns_may_be_grouped_or_listed():
    args = {
        "p": process_of(Technology()),
        "crossbar": crossbar_of(Chip()),
        "periphery": PeripheryArrays.of([Periphery()]),
        "row_activity": 0.3,
    }
    listed = subarray(**args, column_resistance=np.full((1, 64), 1e3))
    grouped = subarray(**args, column_resistance=np.full((1, 1), 1e3), multiplicity=64.0)
    assert listed.adc_energy == pytest.approx(grouped.adc_energy, rel=1e-12)
    silent = subarray(**args, column_resistance=np.full((1, 64), math.inf))
    assert silent.column_energy < listed.column_energy
