"""A layer on its tiles: counting kinds of tiles and PEs against visiting each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Chip, Layer, Periphery
from xpert.hardware.breakdown import COMPONENTS, Breakdown, distinct, map_arrays
from xpert.hardware.chip import build_tiles, sensing_periods
from xpert.hardware.crossbar import active_conductance, crossbar_of
from xpert.hardware.mapping import map_layers
from xpert.hardware.pe import Share, Timing, run_pe
from xpert.hardware.subarray import PeripheryArrays
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import process_of
from xpert.hardware.tile import run_layer
from xpert.workload.layers import Workload


def pieces(length: int, piece: int) -> list[int]:
    return [min(piece, length - start) for start in range(0, length, piece)]


def total(parts: Breakdown) -> float:
    return float(np.sum(parts.total))


@settings(max_examples=60)
@given(
    in_channels=st.integers(1, 400),
    out_channels=st.integers(1, 400),
    kernel=st.sampled_from([1, 3]),
    switches=st.sampled_from([PHYSICAL, REFERENCE]),
    synchronous=st.booleans(),
    adc_type=st.sampled_from(["sar", "flash"]),
)
def test_kinds_stand_for_all_pes(in_channels, out_channels, kernel, switches, synchronous, adc_type):
    """PEs and tiles visited one by one, as the reference does; tile-level blocks cancel in the comparison."""
    chip = Chip(synchronous=synchronous)
    layer = Layer(
        name="any",
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=6,
        in_width=6,
        kernel_height=kernel,
        kernel_width=kernel,
    )
    p, crossbar = process_of(chip.technology, switches=switches), crossbar_of(chip)
    work = Workload.from_layers([layer])
    mapping = map_layers(chip, work, switches)
    activity = (0.3, active_conductance(p, crossbar, None))
    tile = build_tiles(p, chip, crossbar, PeripheryArrays.of([Periphery(adc_type=adc_type)]), mapping, *activity)
    period = sensing_periods(p, chip, crossbar, tile, mapping)
    timing = Timing(synchronous, period, period)
    latency, energy, peaks = run_layer(p, crossbar, timing, tile, mapping)

    whole = mapping.duplication_rows[0] >= 4 and mapping.duplication_columns[0] >= 4
    pe_cells = 512 if whole else 128
    copies = (mapping.duplication_rows // 4, mapping.duplication_columns // 4) if whole else (np.array([1]),) * 2
    spent, slowest = 0.0, 0.0
    for tile_rows in pieces(int(mapping.rows[0]), 512):
        for tile_columns in pieces(int(mapping.columns[0]), 512):
            grid = [
                (rows, columns) for rows in pieces(tile_rows, pe_cells) for columns in pieces(tile_columns, pe_cells)
            ]
            last = 0.0
            for rows, columns in grid:
                array = np.array([columns])
                share = Share(rows=np.array([rows]), input_rows=np.array([rows]), columns=array, used_columns=array)
                time, last_parts = run_pe(p, crossbar, timing, tile.pe, share, mapping.vectors, *copies)
                last = total(last_parts)
                spent += last
                slowest = max(slowest, float(np.sum(time.adc)))
            unduplicated = mapping.speed_up[0] == 1
            if switches is REFERENCE and unduplicated:
                # Each PE without weights repeats the one before it: in its row of PEs, then whole rows.
                across = len(pieces(tile_columns, pe_cells))
                by_row = [grid[k : k + across] for k in range(0, len(grid), across)]
                for line in by_row:
                    rows, columns = line[-1]
                    array = np.array([columns])
                    share = Share(rows=np.array([rows]), input_rows=np.array([rows]), columns=array, used_columns=array)
                    repeated = total(run_pe(p, crossbar, timing, tile.pe, share, mapping.vectors, *copies)[1])
                    spent += repeated * (4 - across)
                spent += last * (4 - len(by_row)) * 4
    divisor = 16 if whole else mapping.speed_up[0]
    assert float(np.sum(peaks.adc)) == pytest.approx(slowest / divisor, rel=1e-12)
    inside = energy.total - tile_level_energy(p, crossbar, tile, mapping, switches)
    assert float(np.sum(inside)) == pytest.approx(spent, rel=1e-9)
    assert np.all(latency.total > 0)


def tile_level_energy(p, crossbar, tile, mapping, switches) -> float:
    """What buffers, H-tree and adder tree of all tiles spend, tile by tile."""
    from xpert.hardware import circuits

    whole = mapping.duplication_rows[0] >= 4 and mapping.duplication_columns[0] >= 4
    spread = mapping.speed_up[0] > 1 or switches.idle_pes_silent
    vectors, bits = float(mapping.vectors[0]), float(tile.pe.input_bits[0])
    share = float(tile.sharing[0]) / crossbar.slices
    spent = 0.0
    for rows in pieces(int(mapping.rows[0]), 512):
        for columns in pieces(int(mapping.columns[0]), 512):
            words = columns / crossbar.slices if switches.exact_access_counts else columns // crossbar.slices
            incoming, outgoing = rows * vectors * bits, words * (1 + float(tile.tree_bits[0])) * vectors
            for buffer, moved in ((tile.input_buffer, incoming), (tile.output_buffer, outgoing)):
                spent += float(np.sum((buffer.core.energy + buffer.core.write_energy) * moved / buffer.line_bits))
            spent += float(np.sum(tile.h_tree.energy)) * (incoming + outgoing) / float(tile.bus_bits[0])
            summed = 1 if whole else len(pieces(rows, 128)) if spread else 4
            if summed > 1:
                tree = circuits.adder_tree(p, 4.0, tile.tree_bits, tile.trees, used=float(summed))
                uses = share if switches.exact_access_counts else np.ceil(share)
                spent += float(np.sum(tree.energy)) * vectors * uses
    return spent


def test_distinct_finds_every_tuple():
    generator = np.random.default_rng(1)
    columns = [generator.integers(0, 3, (7, 5)), generator.random((7, 1)).round(1), np.array(2.0)]
    values, index = distinct(*columns)
    assert index.shape == (7, 5)
    for column, different in zip(np.broadcast_arrays(*columns), values):
        assert np.array_equal(different[index], column)
    assert len(set(zip(*(v.tolist() for v in values)))) == len(values[0])


def test_parts_add_up():
    parts = Breakdown(**{name: float(k) for k, name in enumerate(COMPONENTS)})
    assert parts.total == sum(range(len(COMPONENTS)))
    assert (parts + parts).total == 2 * parts.total
    assert (parts * 3.0).adc == 3 * parts.adc
    assert parts.maximum(Breakdown(array=9.0)).array == 9
    assert parts.map(lambda value: value + 1).total == parts.total + len(COMPONENTS)
    doubled = map_arrays(lambda array: array * 2, Breakdown(adc=np.arange(3)))
    assert doubled.adc.tolist() == [0, 2, 4]
    assert doubled.array == 0
