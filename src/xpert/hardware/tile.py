"""The tile: PEs with an adder tree, buffers and an H-tree.

Source: DNN+NeuroSim V1.3, parallel read-out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xpert.design import Buffers
from xpert.hardware import circuits
from xpert.hardware.breakdown import COMPONENTS, Breakdown
from xpert.hardware.circuits import Cost
from xpert.hardware.crossbar import Crossbar
from xpert.hardware.gates import Array, ceil_log2
from xpert.hardware.mapping import Mapping, ceil_div
from xpert.hardware.pe import PE, Share, Timing, run_pe
from xpert.hardware.subarray import columns_in_turn
from xpert.hardware.technology import Process

_TREE_TOLERANCE = 0.1
"""Delay that an H-tree's repeaters may lose to save energy, relative to the fastest. Source: DNN+NeuroSim V1.3."""

_TREE_FOLDING = 16.0
"""Wires of a tile's H-tree that share a track's area. Source: DNN+NeuroSim V1.3."""


@dataclass(frozen=True)
class TileBuffer:
    """A buffer of a tile: one or several cores."""

    core: Cost
    """One core; a use moves one line."""
    line_bits: Array
    """Bits of a line."""
    cores: Array
    """Number of cores."""


@dataclass(frozen=True)
class Tile:
    """A tile. Arrays [*batch]."""

    pe: PE
    """Its PEs."""
    pes_per_side: Array
    """PEs that sum into the adder tree: per side, novel mapping: in all."""
    pes: Array
    """PEs in all."""
    sharing: Array
    """Columns that an ADC converts one after the other."""
    tree_bits: Array
    """Word length at the adder tree's leaves. [bit]"""
    trees: Array
    """Adder trees."""
    input_buffer: TileBuffer
    """Buffer of input bits."""
    output_buffer: TileBuffer
    """Buffer of sums."""
    h_tree: Cost
    """H-tree; a use carries `bus_bits`."""
    bus_bits: Array
    """Width of the H-tree. [bit]"""
    pe_tree_leakage: Array
    """Leakage power of a PE's adder tree with all inputs. [W]"""
    tree_leakage: Array
    """Leakage power of the tile's adder tree with all inputs. [W]"""
    tree_area: Array
    """Area of the adder trees. [m2]"""
    area: Breakdown
    """Area. [m2]"""


def tile_tree_bits(adc_bits: Array, input_cycles: Array, sum_bits: Array, pes: Array) -> Array:
    """Word length of sums over `pes` subarrays' weights. [bit]"""
    return np.ceil(adc_bits) + input_cycles + sum_bits + 1 + ceil_log2(pes)


def build_tile(
    p: Process,
    crossbar: Crossbar,
    buffers: Buffers,
    pe: PE,
    columns_per_adc: Array,
    pes_per_side: Array,
    pes: Array,
    *,
    conventional: tuple[Array, Array],
) -> Tile:
    """A tile of PEs.

    Args:
        p: Process.
        crossbar: The subarrays' crossbar.
        buffers: Largest size of a buffer's core, and width of the H-tree.
        pe: The PEs.
        columns_per_adc: Columns that share an ADC.
        pes_per_side: PEs that sum into the adder tree.
        pes: PEs in all.
        conventional: Side of a PE and PEs per side of the chip's tiles with conventional mapping.
    """
    sharing = columns_in_turn(p, crossbar, columns_per_adc)

    def output(pe_side: Array, pes: Array) -> tuple[Array, Array]:
        """Word length of a sum, and sums that a tile puts out at once."""
        columns = pes * crossbar.converted * (pe_side if p.switches.whole_pe_columns else 1)
        return tile_tree_bits(pe.adc_bits, pe.input_cycles, pe.sum_bits, pe_side), columns / sharing

    bits, sums = output(pe.side, pes_per_side)
    trees = np.ceil(sums)
    tree = circuits.adder_tree(p, pes_per_side, bits, trees)
    inputs = pes_per_side * crossbar.rows
    bus = np.full(np.shape(inputs), float(buffers.tile_bus_bits)) if p.switches.tile_bus else inputs
    input_buffer = _buffer(p, buffers.tile_core_bits, inputs * pe.input_bits, inputs, bus)
    output_buffer = _buffer(p, buffers.tile_core_bits, bits * sums, bits * pes_per_side, bus)
    if not p.switches.own_buffer_cores:
        other_bits, other_sums = output(*conventional)
        other_inputs = conventional[1] * crossbar.rows * pe.input_bits
        input_buffer = replace(input_buffer, cores=_cores(p, buffers.tile_core_bits, other_inputs, bus))
        output_buffer = replace(output_buffer, cores=_cores(p, buffers.tile_core_bits, other_bits * other_sums, bus))
    length = np.sqrt(pe.area.total)
    h_tree = circuits.h_tree(
        p,
        pes_per_side,
        pes_per_side,
        unit_height=length,
        unit_width=length,
        bus_bits=bus,
        tolerance=_TREE_TOLERANCE,
        folding=_TREE_FOLDING,
        bits=bus,
    )
    buffer_area = input_buffer.core.area * input_buffer.cores + output_buffer.core.area * output_buffer.cores
    return Tile(
        pe=pe,
        pes_per_side=pes_per_side,
        pes=pes,
        sharing=sharing,
        tree_bits=bits,
        trees=trees,
        input_buffer=input_buffer,
        output_buffer=output_buffer,
        h_tree=h_tree,
        bus_bits=bus,
        pe_tree_leakage=circuits.adder_tree(p, pe.side, pe.tree_bits, pe.trees).leakage,
        tree_leakage=tree.leakage,
        tree_area=tree.area,
        area=pe.area * pes + Breakdown(accumulation=tree.area, buffers=buffer_area, interconnect=h_tree.area),
    )


def _buffer(p: Process, core_bits: int, bits: Array, line: Array, bus: Array) -> TileBuffer:
    """A buffer that holds `bits`.

    Its cores fill the bus. Reference: one core with just the bits needed and lines of `line` bits, or cores of
    `core_bits` x `core_bits` where that is more.
    """
    if p.switches.banks_feed_bus:
        cores, line_bits, held = circuits.banks(bits, bus, core_bits)
        return TileBuffer(core=circuits.register_file(p, held, line_bits), line_bits=line_bits, cores=cores)
    single = bits < core_bits**2
    line_bits = np.where(single, line, core_bits)
    core = circuits.register_file(p, np.where(single, bits, core_bits**2), line_bits)
    return TileBuffer(core=core, line_bits=line_bits, cores=_cores(p, core_bits, bits, bus))


def _cores(p: Process, core_bits: int, bits: Array, bus: Array) -> Array:
    """Cores of a buffer that holds `bits`."""
    return circuits.banks(bits, bus, core_bits).cores if p.switches.banks_feed_bus else np.ceil(bits / core_bits**2)


def _lines_at_once(p: Process, tile: Tile, mapping: Mapping, buffer: TileBuffer) -> Array:
    """Lines of a buffer that go over the bus in a cycle."""
    if p.switches.banks_feed_bus:
        return tile.bus_bits / buffer.line_bits
    # The reference takes the input buffer's lines for all of a tile with novel mapping.
    line = np.where(mapping.novel, tile.input_buffer.line_bits, buffer.line_bits)
    return np.minimum(buffer.cores, np.ceil(tile.bus_bits / line))


class Kind(NamedTuple):
    """Equal pieces of a matrix along one direction."""

    extent: np.ndarray
    """Rows or columns of a piece."""
    pieces: np.ndarray
    """Pieces of this kind; 0 where there are none."""


def _kinds(length: np.ndarray, piece: np.ndarray) -> tuple[Kind, Kind]:
    """Whole pieces, and the one that holds the rest."""
    rest = length % piece
    return Kind(piece, length // piece), Kind(rest, (rest > 0).astype(np.int64))


def run_layer(
    p: Process, crossbar: Crossbar, timing: Timing, tile: Tile, mapping: Mapping
) -> tuple[Breakdown, Breakdown, Breakdown]:
    """A layer on its tiles, for one image.

    Tiles of a layer hold equal parts of the matrix except at its lower and right edge, and so do the PEs of a tile:
    four kinds of each at most, so costs are computed per kind and counted.

    Args:
        p: Process.
        crossbar: The subarrays' crossbar.
        timing: How cycles become seconds.
        tile: The layers' tiles, [*batch, layers].
        mapping: What the layers occupy, [*batch, layers].

    Returns:
        Latency of the slowest tile [s], dynamic energy of all tiles [J], and the largest latency that each component
        has in any tile [s], all [*batch, layers].
    """
    mode = mode_of(p, crossbar, tile, mapping)
    whole = mode.whole
    pe_rows, pe_columns = tile.pe.side * crossbar.rows, tile.pe.side * crossbar.columns
    tile_rows, tile_columns = mapping.tile_side * crossbar.rows, mapping.tile_side * crossbar.columns
    # What a tile holds is handed to a PE in one piece where each of its PEs holds all of it.
    pe_kinds = (
        _kinds(mapping.rows, np.where(whole, tile_rows, pe_rows)),
        _kinds(mapping.columns, np.where(whole, tile_columns, pe_columns)),
    )
    tile_kinds = (_kinds(mapping.rows, tile_rows), _kinds(mapping.columns, tile_columns))
    # For every pair of kinds latency and energy of one PE, [*batch, layers].
    pe_runs = {
        (row, column): run_pe(
            p,
            crossbar,
            timing,
            tile.pe,
            _share(mapping, pe_kinds[0][row].extent, pe_kinds[1][column].extent),
            mapping.vectors,
            mode.copies_down,
            mode.copies_across,
        )
        for row in range(2)
        for column in range(2)
    }
    latency, energy, peaks = Breakdown(), Breakdown(), Breakdown()
    slowest = np.full(np.shape(whole), -1.0)
    for row in range(2):
        for column in range(2):
            down, across = tile_kinds[0][row], tile_kinds[1][column]
            count = down.pieces * across.pieces
            time, spent = _run_tile(p, crossbar, timing, tile, mapping, mode, pe_runs, down.extent, across.extent)
            energy = energy + spent * count
            # Layer by layer, the components of the slowest tile so far.
            slower = (count > 0) & (time.total > slowest)
            latency = Breakdown(*(np.where(slower, getattr(time, name), getattr(latency, name)) for name in COMPONENTS))
            slowest = np.where(slower, time.total, slowest)
            peaks = peaks.maximum(time * (count > 0))
    return latency, energy, peaks


class Mode(NamedTuple):
    """How a layer uses its tiles; arrays [*batch, layers]."""

    whole: np.ndarray
    """Each PE of a tile holds all that the tile holds."""
    spread: np.ndarray
    """PEs without weights are not visited."""
    busy: np.ndarray
    """Time of a PE, relative to that in which it would take all input vectors: copies share them."""
    copies_down: np.ndarray
    """Copies inside a PE, one below the other, where it holds the whole matrix; else 1."""
    copies_across: np.ndarray
    """The same, side by side."""


def mode_of(p: Process, crossbar: Crossbar, tile: Tile, mapping: Mapping) -> Mode:
    """How every layer uses its tiles."""
    speed_down = mapping.duplication_rows * mapping.copies
    speed_across = mapping.duplication_columns
    side = tile.pes_per_side
    whole = ~mapping.novel & (speed_down >= side) & (speed_across >= side)
    if p.switches.keep_all_rows:
        whole = whole & (mapping.rows <= tile.pe.side * crossbar.rows)
        whole = whole & (mapping.columns <= tile.pe.side * crossbar.columns)
    busy = 1 / np.where(whole, side**2, speed_down * speed_across)
    copies_down = np.where(whole, ceil_div(speed_down, side), 1)
    copies_across = np.where(whole, ceil_div(speed_across, side), 1)
    if mapping.chosen is not None and mapping.turns is not None:
        # They lie in as many PEs as possible; the fullest has so many, each of which takes its turns.
        within = np.where(whole, ceil_div(ceil_div(mapping.chosen, mapping.copies), side**2), 1)
        chosen = mapping.chosen > 0
        busy = np.where(chosen, mapping.turns * within / mapping.vectors, busy)
        copies_down, copies_across = np.where(chosen, within, copies_down), np.where(chosen, 1, copies_across)
    return Mode(
        whole=whole,
        spread=whole | mapping.novel | (speed_down * speed_across > 1),
        busy=busy,
        copies_down=copies_down,
        copies_across=copies_across,
    )


def last_tree_inputs(p: Process, crossbar: Crossbar, tile: Tile, mapping: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of the last PE tree and of the last tile tree that a layer uses; 0 where it uses none. [*batch, layers]"""
    mode = mode_of(p, crossbar, tile, mapping)
    tile_rows = mapping.tile_side * crossbar.rows
    pe_rows = np.where(mode.whole, tile_rows, tile.pe.side * crossbar.rows)
    in_tile = (mapping.rows - 1) % tile_rows + 1
    in_pe = (mapping.rows - 1) % pe_rows + 1
    alone = (mode.copies_down == tile.pe.side) & (mode.copies_across == tile.pe.side)
    pe_tree = np.where(alone, 0, ceil_div(in_pe, crossbar.rows))
    pes_down = ceil_div(in_tile, pe_rows)
    all_pes = mapping.novel | ~mode.spread
    # The last row of tiles needs no tree where it holds a single PE's rows; those above it do.
    spread = np.where(pes_down > 1, pes_down, np.where(mapping.rows > tile_rows, tile.pes_per_side, 0))
    tile_tree = np.where(all_pes, tile.pes_per_side, np.where(mode.whole, 0, spread))
    return pe_tree, tile_tree


def _share(mapping: Mapping, rows: np.ndarray, columns: np.ndarray) -> Share:
    """The part of each layer's matrix with so many rows and columns."""
    return Share(
        rows=rows,
        input_rows=rows * np.maximum(1, columns / mapping.group_columns),
        columns=columns,
        used_columns=columns * (mapping.used_columns / mapping.columns),
    )


def _run_tile(
    p: Process,
    crossbar: Crossbar,
    timing: Timing,
    tile: Tile,
    mapping: Mapping,
    mode: Mode,
    pe_runs: dict[tuple[int, int], tuple[Breakdown, Breakdown]],
    rows: np.ndarray,
    columns: np.ndarray,
) -> tuple[Breakdown, Breakdown]:
    """Latency [s] and dynamic energy [J] of a tile that holds `rows` x `columns` of the matrix."""
    switches, pe = p.switches, tile.pe
    pe_rows = np.where(mode.whole, mapping.tile_side, pe.side) * crossbar.rows
    pe_columns = np.where(mode.whole, mapping.tile_side, pe.side) * crossbar.columns
    down, across = _kinds(rows, pe_rows), _kinds(columns, pe_columns)
    kernel = np.where(mapping.novel, tile.pes, 1)

    # PEs: the slowest counts, all of them spend.
    energy = Breakdown()
    latency = Breakdown()
    for (row, column), (time, spent) in pe_runs.items():
        count = down[row].pieces * across[column].pieces
        energy = energy + spent * (count * kernel)
        latency = latency.maximum(time * (count > 0))
    if not switches.idle_pes_silent:
        energy = energy + _repeated(tile, mode, pe_runs, down, across)
    latency = latency * mode.busy

    # The adder tree sums PEs that hold different rows.
    pes_down = down[0].pieces + down[1].pieces
    all_sum = mapping.novel if switches.idle_pes_silent else mapping.novel | ~mode.spread
    summed = np.where(all_sum, tile.pes_per_side, np.where(mode.whole, 1, pes_down))
    tree = circuits.adder_tree(p, tile.pes_per_side, tile.tree_bits, tile.trees, used=summed)
    share = tile.sharing / pe.slices
    uses = share if switches.exact_access_counts else np.where(mapping.novel, np.floor(share), np.ceil(share))
    spends = mapping.vectors * uses * (summed > 1)
    turns = mapping.vectors * np.ceil(uses) * (summed > 1)

    # Buffers and H-tree carry inputs and sums once.
    part = _share(mapping, rows, columns)
    words = part.used_columns / pe.columns_per_weight
    words = words if switches.exact_access_counts else np.floor(words)
    reads = mapping.vectors * pe.input_bits
    outgoing = words * (1 + tile.tree_bits) * mapping.vectors / kernel
    incoming = part.input_rows * reads * np.sqrt(kernel)
    # Tiles of different copies work at once; those within a tile share its tree, buffers and H-tree.
    busiest = mapping.tile_share()
    latency = latency + Breakdown(accumulation=timing.digital(tree, turns) * busiest)
    energy = energy + Breakdown(accumulation=tree.energy * spends)
    for buffer, bits in ((tile.input_buffer, incoming), (tile.output_buffer, outgoing)):
        lines = bits / buffer.line_bits
        time = timing.digital(buffer.core, lines) + timing.write(buffer.core, lines)
        latency = latency + Breakdown(buffers=time / _lines_at_once(p, tile, mapping, buffer) * busiest)
        energy = energy + Breakdown(buffers=(buffer.core.energy + buffer.core.write_energy) * lines)
    uses = (outgoing + incoming) / tile.bus_bits
    return (
        latency + Breakdown(interconnect=timing.digital(tile.h_tree, uses) * busiest),
        energy + Breakdown(interconnect=tile.h_tree.energy * uses),
    )


def _repeated(tile: Tile, mode: Mode, pe_runs, down: tuple[Kind, Kind], across: tuple[Kind, Kind]) -> Breakdown:
    """Energy that the reference adds for PEs without weights: that of the PE visited before. [J]"""
    side = tile.pes_per_side
    idle_across = side - (across[0].pieces + across[1].pieces)
    idle_down = side - (down[0].pieces + down[1].pieces)
    last_row, last_column = down[1].pieces > 0, across[1].pieces > 0
    extra = Breakdown()
    for row in range(2):
        for column in range(2):
            is_last_column = last_column if column else ~last_column
            is_last = (last_row if row else ~last_row) & is_last_column
            times = down[row].pieces * idle_across * is_last_column + idle_down * side * is_last
            extra = extra + pe_runs[row, column][1] * np.where(mode.spread, 0, times)
    return extra


__all__ = ["Mode", "Tile", "TileBuffer", "build_tile", "last_tree_inputs", "mode_of", "run_layer", "tile_tree_bits"]
