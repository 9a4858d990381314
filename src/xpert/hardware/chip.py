"""The chip: tiles on an H-tree, with a global buffer and the blocks that layers share.

A layer's cost is a function of the layer, its periphery and a `Context`: the few quantities of the whole chip that
reach into a layer (clock, H-tree, bus, shared blocks, leakage). `context_of` derives it from a design; a chip is the
sum of its layers and of the shared blocks. A search may hold a context fixed and tabulate layers.

Source: DNN+NeuroSim V1.3, parallel read-out; chips whose layers differ in their periphery are ours: every layer has
tiles of its own, shared blocks are as large as their most demanding layer needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from xpert.design import Chip
from xpert.hardware import circuits
from xpert.hardware.breakdown import Breakdown, distinct, map_arrays
from xpert.hardware.circuits import Cost
from xpert.hardware.crossbar import Crossbar
from xpert.hardware.floorplan import Floorplan, choose_slot, grid, share_of_slot, way_in_slot
from xpert.hardware.gates import Array, ceil_log2
from xpert.hardware.mapping import Mapping, Organisation
from xpert.hardware.pe import Timing, build_pe
from xpert.hardware.subarray import PeripheryArrays, subarray
from xpert.hardware.technology import Process, at_node
from xpert.hardware.tile import Tile, build_tile, last_tree_inputs, run_layer, tile_tree_bits
from xpert.workload.layers import Workload

_TREE_TOLERANCE = 0.1
"""Delay that the H-tree's repeaters may lose to save energy, relative to the fastest. Source: DNN+NeuroSim V1.3."""

_TREE_FOLDING = 4.0
"""Wires of the chip's H-tree that share a track's area. Source: DNN+NeuroSim V1.3."""

_POOL_WINDOW = 4
"""Pixels of the smallest unit of max pooling, 2x2; every chip has one. Source: DNN+NeuroSim V1.3."""

_ROUNDING = 1e-12
"""Relative slack of a sensing cycle that is a whole number of logic cycles but for rounding. Source: our choice."""

_SRAM_CELLS = {14: (10.0, 30.0), 10: (10.0, 40.0), 7: (10.0, 60.0)}
"""Height and width of a buffer's SRAM cell of FinFETs in feature sizes, by node. Source: DNN+NeuroSim V1.3."""

_PLANAR_SRAM_CELL = (10.0, 28.0)
"""The same of planar transistors. Source: DNN+NeuroSim V1.3."""


WORD_BITS = 8
"""Precision of values in the digital unit. [bit] Source: as quantised transformers have, Kim et al., ICML 2021 (arXiv
2101.01321)."""

_NORM_BITS = 16
"""Precision of a batch norm's factors. [bit] Source: assumed; half of that of the multipliers with which Jacob et al.,
CVPR 2018, scale sums of 8-bit products."""


@dataclass(frozen=True)
class Context:
    """What of the whole chip reaches into a layer; arrays [*batch, 1]."""

    organisation: Organisation
    """Sizes of PEs and tiles."""
    tiles: np.ndarray
    """Tiles of the chip."""
    slots: np.ndarray
    """Slots of the floorplan, which the H-tree spans."""
    slot: np.ndarray
    """Area of a slot. [m2]"""
    bus_bits: np.ndarray
    """Width of the global bus. [bit]"""
    buffer_cores: np.ndarray
    """Cores of the global buffer."""
    buffer_core_bits: np.ndarray
    """What one of them holds. [bit]"""
    buffer_line_bits: np.ndarray
    """What one of them moves at once. [bit]"""
    sensing_period: np.ndarray
    """The slowest layer's sensing cycle. [s]"""
    tree_inputs: np.ndarray
    """Tiles that hold different rows of one layer, at most."""
    tree_bits: np.ndarray
    """Word length at the leaves of the global adder trees. [bit]"""
    trees: np.ndarray
    """Global adder trees; also ReLU units and residual adders."""
    word_bits: np.ndarray
    """Largest input precision: word length of ReLU, pooling and residual adders. [bit]"""
    pool_units: np.ndarray
    """Units of max pooling."""
    pool_window: np.ndarray
    """Pixels that a unit of max pooling takes at once."""
    average_units: np.ndarray
    """Units of average pooling; 0 where no layer needs them."""
    average_window: np.ndarray
    """Pixels of the largest average."""
    residual: np.ndarray
    """1 where some layer has a skip connection, which needs adders."""
    tile_leakage: np.ndarray
    """Leakage power of all tiles. [W]"""

    @property
    def pitch(self) -> np.ndarray:
        """Side of a slot. [m]"""
        return np.sqrt(self.slot)

    @property
    def grid_rows(self) -> np.ndarray:
        """Rows of the grid of slots."""
        return np.asarray(grid(self.slots)[0])

    @property
    def grid_columns(self) -> np.ndarray:
        """Columns of the grid of slots."""
        return np.asarray(grid(self.slots)[1])


@dataclass(frozen=True)
class Shared:
    """The blocks that all layers share; arrays [*batch, 1]."""

    buffer: Cost
    """A core of the global buffer; a use moves a line."""
    tree: Cost
    """Global adder trees with all inputs."""
    pool: Cost
    """Units of max pooling."""
    average: Cost
    """One unit of average pooling."""
    relu: Cost
    """ReLU units."""
    adders: Cost
    """Residual adders; no area where there are none."""
    constants: Cost | None
    """What adds its constant to each output, one per ReLU unit: an adder, or a multiply-add unit where chips measure
    batch norms; None where it costs nothing."""
    h_tree: Cost
    """H-tree."""
    area: Breakdown
    """Area of all of them. [m2]"""
    leakage: Array
    """Leakage power of all of them. [W]"""


@dataclass(frozen=True)
class Layers:
    """Layers on a chip, for one image; arrays [*batch, layers]."""

    area: Breakdown
    """Area of a layer's tiles. [m2]"""
    latency: Breakdown
    """Latency. [s]"""
    energy: Breakdown
    """Energy, leakage included. [J]"""
    leakage: Array
    """Leakage power of a layer's tiles. [W]"""
    peaks: Breakdown
    """Largest latency of each component over the layer's tiles, which may be of different tiles. [s]"""
    share: np.ndarray
    """Share of a slot that a tile takes, a power of two; 0 where there is no floorplan."""


def build_tiles(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    periphery: PeripheryArrays,
    mapping: Mapping,
    density: Array,
    conductance: Array,
) -> Tile:
    """The tiles of every layer.

    Args:
        p: Process.
        chip: Buffers.
        crossbar: Cells and wires.
        periphery: Of every layer, [*batch, layers].
        mapping: Of every layer.
        density: Share of ones among the input bits, [*batch, layers].
        conductance: Mean conductance of an active cell with its access transistor, [*batch, layers]. [S]
    """
    organisation = mapping.organisation
    # Many layers are alike: one tile for each kind of layer, [*batch, layers] -> [kinds]. How many copies of it a layer
    # has changes no tile, and precisions of weights and cells do so by the slices alone.
    built = {name: values for name, values in periphery.values.items() if name not in _NOT_BUILT}
    keys, index = distinct(
        *built.values(),
        mapping.rows % crossbar.rows,
        density,
        conductance,
        mapping.pe_side,
        mapping.tile_side,
        mapping.novel,
        organisation.novel_pes,
        organisation.pe_side,
        organisation.tile_side // organisation.pe_side,
        mapping.columns_per_weight // crossbar.columns_per_slice,
    )
    n, slices = len(keys[0]), keys[-1]
    parts = []
    for some in np.unique(slices):
        there = np.flatnonzero(slices == some)
        part = [key[there] for key in keys[:-1]]
        kind = PeripheryArrays(
            **dict(zip(built, part)), **dict.fromkeys(_NOT_BUILT, np.zeros(len(there))), adcs=periphery.adcs
        )
        own = crossbar if some == crossbar.slices else crossbar.with_slices(int(some))
        parts.append((there, _build_kinds(p, chip, own, kind, *part[len(built) :])))
    if len(parts) == 1:
        # Back to every layer: [kinds] -> [*batch, layers].
        return map_arrays(lambda array: np.broadcast_to(array, (n,))[index], parts[0][1])
    order = np.concatenate([there for there, _ in parts])
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    return _join([tile for _, tile in parts], [len(there) for there, _ in parts], place[index])


_NOT_BUILT = ("copies", "weight_bits", "cell_bits")
"""Fields of a periphery that a tile is not built by."""


def _join(parts: Sequence[Any], sizes: Sequence[int], index: np.ndarray) -> Any:
    """Structures of kinds, one after the other, at the places [*batch, layers] of a joint numbering."""
    first = parts[0]
    if is_dataclass(first) and not isinstance(first, type):
        return type(first)(*(_join([getattr(part, f.name) for part in parts], sizes, index) for f in fields(first)))
    return np.concatenate([np.broadcast_to(part, (size,)) for part, size in zip(parts, sizes)])[index]


def _build_kinds(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    kind: PeripheryArrays,
    rest: np.ndarray,
    density: np.ndarray,
    conductance: np.ndarray,
    pe_side: np.ndarray,
    tile_side: np.ndarray,
    novel: np.ndarray,
    novel_pes: np.ndarray,
    conventional_side: np.ndarray,
    conventional_pes: np.ndarray,
) -> Tile:
    """Tiles of kinds of layers on one crossbar, [kinds]; `rest`: rows of the crossbar that holds a layer's last."""

    def read(rows):
        active = np.floor(rows * density + 0.5)
        reads = np.maximum(np.ceil(rows / crossbar.read_rows), 1.0) if crossbar.reads > 1 else 1.0
        with np.errstate(divide="ignore"):
            resistance = reads / (active * conductance)  # of a group of rows
        driven, duty = active / crossbar.rows, None
        if crossbar.pulse_width:
            # A row has a pulse unless all bits are 0; their values are taken to be independent.
            held, duty = rows / crossbar.rows, driven
            silent = (1 - driven / np.where(held > 0, held, 1.0)) ** kind.input_bits
            driven = held * (1 - silent)
        return subarray(
            p,
            crossbar,
            kind,
            row_activity=driven,
            column_resistance=resistance[..., None],
            reads=reads,
            row_duty=duty,
        )

    full, partial = read(float(crossbar.rows)), read(rest)
    pe = build_pe(p, crossbar, kind, pe_side, full, partial)
    per_side = np.where(novel, novel_pes, tile_side // pe_side)
    return build_tile(
        p,
        crossbar,
        chip.buffers,
        pe,
        kind.columns_per_adc,
        per_side,
        np.where(novel, novel_pes, per_side**2),
        conventional=(conventional_side, conventional_pes),
    )


def sensing_periods(p: Process, chip: Chip, crossbar: Crossbar, tile: Tile, mapping: Mapping) -> np.ndarray:
    """Sensing cycle of every layer: that of its slowest crossbar, in whole logic cycles. [*batch, layers] [s]"""
    full, partial = tile.pe.full.sensing_period, tile.pe.partial.sensing_period
    needed = np.maximum(
        np.where(mapping.rows >= crossbar.rows, full, 0.0), np.where(mapping.rows % crossbar.rows > 0, partial, 0.0)
    )
    if not (p.switches.whole_cycles and chip.synchronous):
        return needed
    return np.ceil(needed * p.logic_clock * (1 - _ROUNDING)) / p.logic_clock


@dataclass(frozen=True)
class Demands:
    """What layers demand of the chip that they share; arrays [*batch, layers].

    Of `tiles`, `leakage` and `lanes` the chip needs the sum, of `sharing` the least, of all others the largest.
    """

    tiles: np.ndarray
    """Tiles."""
    tile_area: np.ndarray
    """Area of a tile. [m2]"""
    leakage: np.ndarray
    """Leakage power of all tiles. [W]"""
    lanes: np.ndarray
    """Wires of the global bus. [bit]"""
    sharing: np.ndarray
    """Columns that an ADC converts one after the other."""
    buffer_bits: np.ndarray
    """Inputs that the global buffer holds. [bit]"""
    sensing_period: np.ndarray
    """Sensing cycle. [s]"""
    tree_inputs: np.ndarray
    """Tiles that hold different rows."""
    tree_bits: np.ndarray
    """Word length at the leaves of the global adder trees. [bit]"""
    word_bits: np.ndarray
    """Input precision. [bit]"""
    pool_window: np.ndarray
    """Pixels that a pooling unit takes at once."""
    residual: np.ndarray
    """1 where there is a skip connection."""
    averaged: np.ndarray
    """Channels of which averages are taken; 0 where there are none."""
    average_window: np.ndarray
    """Pixels of an average."""


def demands_of(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    tile: Tile,
    period: np.ndarray,
    mapping: Mapping,
    workload: Workload,
    depth: int,
) -> Demands:
    """What every layer demands of the chip.

    Args:
        p: Process.
        chip: Buffers and execution.
        crossbar: Cells and wires.
        tile: Tiles of every layer.
        period: Sensing cycle of every layer. [s]
        mapping: What every layer occupies.
        workload: Shapes of every layer.
        depth: Layers of the chip.
    """
    pe, organisation = tile.pe, mapping.organisation
    pipelined = chip.execution == "pipelined"
    span = np.where(mapping.novel, np.ceil(np.sqrt(organisation.novel_pes)), 1) * mapping.tile_side
    lanes = span * crossbar.rows + span * crossbar.converted / tile.sharing
    maps = workload.in_height * workload.in_width * workload.in_channels
    held = maps + workload.residual * mapping.vectors * workload.out_channels
    held_bits = pe.input_bits * held
    if workload.digital is not None:
        held_bits = np.maximum(held_bits, WORD_BITS * workload.digital.held)
    averages = _averages(p, workload)
    # Subarrays whose sums meet in the chip's trees.
    novel_span = np.ceil(np.sqrt(organisation.novel_pes))
    pes = np.maximum(organisation.pe_side, organisation.novel_side) * np.maximum(
        organisation.tile_side // organisation.pe_side, novel_span
    )
    if pipelined:
        pes = pes * (depth + 1)
    demanded = (
        mapping.tiles, tile.area.total, mapping.tiles * tile_leakage(p, chip, crossbar, tile, mapping),
        lanes * np.where(pipelined, mapping.tiles, 1), tile.sharing, held_bits, period,
        _summed_tiles(p, mapping), tile_tree_bits(pe.adc_bits, pe.input_cycles, pe.sum_bits, pes), pe.input_bits,
        np.maximum(_POOL_WINDOW, np.where(averages, 1, workload.pool)), workload.residual,
        np.where(averages, workload.out_channels, 0), np.where(averages, workload.pool, 1),
    )  # fmt: skip
    return Demands(*(np.broadcast_to(values, mapping.tiles.shape) for values in demanded))


def context_of(p: Process, chip: Chip, crossbar: Crossbar, mapping: Mapping, demands: Demands) -> Context:
    """What of a whole design reaches into its layers.

    Args:
        p: Process.
        chip: Buffers and execution.
        crossbar: Cells and wires.
        mapping: What every layer occupies.
        demands: What every layer demands of the chip.
    """
    organisation = mapping.organisation
    # Sums, largest and smallest over layers keep the axis with length 1: [*batch, layers] -> [*batch, 1].
    bits = _sum(demands.buffer_bits) / 2 if chip.execution == "pipelined" else _largest(demands.buffer_bits)
    plan = _floorplan(p, demands)
    bus = _bus_bits(p, chip, _sum(demands.lanes))
    banks = buffer_banks(p, chip, bits, bus)
    tree_bits = _largest(demands.tree_bits)
    trees = _trees(p, chip, crossbar, mapping, demands, bus, tree_bits)
    channels = _largest(demands.averaged)
    return Context(
        organisation=organisation,
        tiles=_sum(demands.tiles),
        slots=plan.slots,
        slot=plan.slot,
        bus_bits=bus,
        buffer_cores=banks.cores,
        buffer_core_bits=banks.bits,
        buffer_line_bits=banks.line_bits,
        sensing_period=_largest(demands.sensing_period),
        tree_inputs=_largest(demands.tree_inputs),
        tree_bits=tree_bits,
        trees=trees,
        word_bits=_largest(demands.word_bits),
        pool_units=organisation.tile_side * crossbar.converted,
        pool_window=_largest(demands.pool_window),
        average_units=average_units(channels, trees),
        average_window=_largest(demands.average_window),
        residual=_largest(demands.residual),
        tile_leakage=_sum(demands.leakage),
    )


def buffer_banks(p: Process, chip: Chip, bits: Array, bus_bits: Array) -> circuits.Banks:
    """Banks of a global buffer that holds so many bits and feeds a bus."""
    side = chip.buffers.global_core_bits
    if p.switches.banks_feed_bus:
        return circuits.banks(np.floor(bits), bus_bits, side)
    cores = np.ceil(np.floor(bits) / side**2)
    return circuits.Banks(cores, np.full(cores.shape, side), np.full(cores.shape, side**2))


def average_units(channels: Array, trees: Array) -> np.ndarray:
    """Units of average pooling: a register for each channel, and as many adders as values come at once; 0 for none."""
    return np.where(np.greater(channels, 0), np.maximum(channels, trees), 0.0)


def trees_at_once(bus_bits: Array, tree_bits: Array) -> np.ndarray:
    """Adder trees of a chip: as many as sums cross its bus at once."""
    return np.maximum(1.0, np.floor(bus_bits / tree_bits))


def _trees(
    p: Process, chip: Chip, crossbar: Crossbar, mapping: Mapping, demands: Demands, bus: np.ndarray, bits: np.ndarray
) -> np.ndarray:
    """Global adder trees: as many as sums cross the bus at once; in the reference as the widest tile puts out."""
    if p.switches.units_match_bus:
        return trees_at_once(bus, bits)
    organisation = mapping.organisation
    widest = np.maximum(organisation.tile_side, np.ceil(np.sqrt(organisation.novel_pes)) * organisation.novel_side)
    if chip.execution == "pipelined":
        widest = np.where(organisation.novel_pes > 0, widest * (mapping.tiles.shape[-1] + 1), widest)
    return np.ceil(widest * crossbar.converted / _smallest(demands.sharing))


def _floorplan(p: Process, demands: Demands) -> Floorplan:
    """Slots of the chip; in the reference every tile has one as large as the largest."""
    area, tiles = demands.tile_area, demands.tiles
    if p.switches.floorplan:
        return choose_slot(area, tiles)
    return Floorplan(slot=_largest(area), share=np.ones_like(area), slots=_sum(tiles))


def _bus_bits(p: Process, chip: Chip, wanted: np.ndarray) -> np.ndarray:
    """Width of the global bus. [bit]"""
    limit = chip.buffers.max_bus_bits
    if p.switches.given_bus:
        return np.full_like(wanted, limit, dtype=np.float64)
    return wanted / 2 ** np.ceil(np.log2(np.maximum(wanted / limit, 1)))


def tile_leakage(p: Process, chip: Chip, crossbar: Crossbar, tile: Tile, mapping: Mapping) -> Array:
    """Leakage power of one tile of each layer. [W]"""
    switches = p.switches
    if switches.fresh_tree_leakage:
        pe_tree, own_tree = tile.pe_tree_leakage, tile.tree_leakage
    else:
        pe_tree, own_tree = _stale_tree_leakage(p, chip, crossbar, tile, mapping)
    input_cores = tile.input_buffer.cores if switches.all_buffer_cores_leak else 1
    output_cores = tile.output_buffer.cores if switches.all_buffer_cores_leak else 1
    buffers = tile.input_buffer.core.leakage * input_cores + tile.output_buffer.core.leakage * output_cores
    wires = tile.pe.bus_leakage * tile.pes + tile.h_tree.leakage if switches.interconnect_leakage else 0.0
    return (tile.pe.leakage + pe_tree) * tile.pes + own_tree + buffers + wires


def _stale_tree_leakage(
    p: Process, chip: Chip, crossbar: Crossbar, tile: Tile, mapping: Mapping
) -> tuple[Array, Array]:
    """Leakage power of PE and tile trees as the reference has it: of the last tree that this or an earlier layer used.

    Where the chip is clocked, a pass over all layers has gone before, so that the first layers inherit from the last.
    """
    pe_inputs, tile_inputs = last_tree_inputs(p, crossbar, tile, mapping)
    pe_inputs = _carry_on(pe_inputs, chip.synchronous)
    tile_inputs = np.where(
        mapping.novel,
        _carry_on(np.where(mapping.novel, tile_inputs, 0), False),
        _carry_on(np.where(mapping.novel, 0, tile_inputs), chip.synchronous),
    )
    pe, used = tile.pe, np.maximum(1, pe_inputs)
    pe_tree = circuits.adder_tree(p, pe.side, pe.tree_bits, pe.trees, used=used).leakage
    own = circuits.adder_tree(p, tile.pes_per_side, tile.tree_bits, tile.trees, used=np.maximum(1, tile_inputs)).leakage
    return pe_tree, own


def _carry_on(values: np.ndarray, wrap: bool) -> np.ndarray:
    """Along the layers, zeros become the last value before them; for the first layers, where asked, the last of all."""
    doubled = np.concatenate([values if wrap else np.zeros_like(values), values], axis=-1)
    # [*batch, 2 * layers]: for each place the latest one, itself included, that holds a value.
    position = np.where(doubled > 0, np.arange(doubled.shape[-1]), 0)
    latest = np.maximum.accumulate(position, axis=-1)
    return np.take_along_axis(doubled, latest, axis=-1)[..., values.shape[-1] :]


def build_shared(p: Process, chip: Chip, context: Context) -> Shared:
    """The blocks that all layers share."""
    held, line = context.buffer_core_bits, context.buffer_line_bits
    if chip.buffers.global_kind == "sram":
        device = chip.device
        cell = (
            (device.cell_height_f, device.cell_width_f)
            if device.cell == "sram"
            else at_node(_SRAM_CELLS, p.node_nm)
            if p.finfet
            else _PLANAR_SRAM_CELL
        )
        buffer = circuits.sram_buffer(
            p, held, line, cell_height_f=cell[0], cell_width_f=cell[1], synchronous=chip.synchronous
        )
    else:
        buffer = circuits.register_file(p, held, line)
    tree = circuits.adder_tree(p, context.tree_inputs, context.tree_bits, context.trees)
    pool = circuits.max_pooling(p, context.word_bits, context.pool_window, context.pool_units)
    average = circuits.average_pooling(p, context.word_bits, context.average_window, 1.0)
    relu = circuits.relu(p, context.trees, context.word_bits)
    adders = circuits.adder(p, context.word_bits, context.trees * context.residual)
    constants, word = None, context.tree_bits + ceil_log2(context.tree_inputs)
    if chip.analog.adaptive_batch_norm and p.switches.chip_batch_norm:
        constants = circuits.multiply_add(p, word, _NORM_BITS, context.trees)
    elif p.switches.output_constants:
        constants = circuits.adder(p, word, context.trees)
    h_tree = _h_tree(p, context, context.pitch)
    buffer_leakage = buffer.leakage * context.buffer_cores
    leakage = buffer_leakage + tree.leakage + relu.leakage + adders.leakage + pool.leakage
    leakage = leakage + average.leakage * context.average_units
    digital = pool.area + average.area * context.average_units + relu.area + adders.area
    if constants is not None:
        leakage, digital = leakage + constants.leakage, digital + constants.area
    if p.switches.interconnect_leakage:
        leakage = leakage + h_tree.leakage
    return Shared(
        buffer=buffer,
        tree=tree,
        pool=pool,
        average=average,
        relu=relu,
        adders=adders,
        constants=constants,
        h_tree=h_tree,
        area=Breakdown(
            accumulation=tree.area,
            buffers=buffer.area * context.buffer_cores,
            interconnect=h_tree.area,
            digital=digital,
        ),
        leakage=leakage if p.switches.global_blocks_leak else 0.0 * leakage,
    )


def timing_of(p: Process, chip: Chip, period: np.ndarray, context: Context) -> Timing:
    """How the layers' cycles become seconds, given the sensing cycle of each. [s]"""
    sensing = np.broadcast_to(context.sensing_period, period.shape) if chip.clock == "chip" else period
    return Timing(chip.synchronous, sensing, 1 / p.logic_clock if p.switches.logic_clock else sensing)


def run_layers(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    tile: Tile,
    period: np.ndarray,
    mapping: Mapping,
    workload: Workload,
    context: Context,
    shared: Shared,
    digital: tuple[Breakdown, Breakdown] | None = None,
) -> Layers:
    """Every layer's cost, given what of the chip reaches into it.

    Args:
        p: Process.
        chip: Clocking and execution.
        crossbar: Cells and wires.
        tile: Tiles of every layer.
        period: Sensing cycle of every layer. [s]
        mapping: What every layer occupies.
        workload: Shapes of every layer.
        context: Quantities of the whole chip.
        shared: Its shared blocks.
        digital: Latency [s] and dynamic energy [J] of the work of the digital unit after each layer.
    """
    switches, timing = p.switches, timing_of(p, chip, period, context)
    latency, energy, peaks = run_layer(p, crossbar, timing, tile, mapping)
    on_chip = _run_shared(p, chip, crossbar, timing, tile, mapping, workload, context, shared)
    latency, energy, peaks = latency + on_chip[0], energy + on_chip[1], peaks + on_chip[0]
    if digital is not None:
        latency, energy, peaks = latency + digital[0], energy + digital[1], peaks + digital[0]
    if switches.post_layout_energy:
        energy = energy * p.calibration.post_layout_energy
    each = tile_leakage(p, chip, crossbar, tile, mapping)
    power = mapping.tiles * each
    if chip.execution == "pipelined":
        slowest = _largest(latency.total)
        # All layers take as long as the slowest, [*batch, 1]; the others wait.
        idle = slowest if switches.own_tiles_leak else slowest - latency.total
        leaked = power * idle
    else:
        tiles = context.tile_leakage if switches.own_tiles_leak else (context.tiles - mapping.tiles) * each
        leaked = (tiles + shared.leakage) * latency.total
    area, share = tile.area, 0.0
    if switches.floorplan:
        share = share_of_slot(context.slot, area.total)
        area = area + Breakdown(white_space=np.maximum(share * context.slot - area.total, 0.0))
    return Layers(
        area=area * mapping.tiles,
        latency=latency,
        energy=energy + Breakdown(leakage=leaked),
        leakage=power,
        peaks=peaks,
        share=np.broadcast_to(share, power.shape),
    )


def _h_tree(p: Process, context: Context, pitch: Array) -> Cost:
    return circuits.h_tree(
        p,
        context.grid_rows,
        context.grid_columns,
        unit_height=pitch,
        unit_width=pitch,
        bus_bits=context.bus_bits,
        tolerance=_TREE_TOLERANCE,
        folding=_TREE_FOLDING,
        bits=context.bus_bits,
    )


def _run_shared(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    timing: Timing,
    tile: Tile,
    mapping: Mapping,
    workload: Workload,
    context: Context,
    shared: Shared,
) -> tuple[Breakdown, Breakdown]:
    """Latency [s] and dynamic energy [J] of a layer's work outside its tiles."""
    switches, pe = p.switches, tile.pe
    vectors, pixels = mapping.vectors, workload.pool
    outputs = vectors * workload.out_channels
    words = mapping.used_columns / mapping.columns_per_weight
    words = words if switches.exact_access_counts else np.floor(words)

    # A bank's lanes that carry no word do not toggle, so that energies are those of whole uses but for the last one.
    whole = (lambda uses: uses) if switches.idle_lanes_silent else np.ceil
    turns = np.ceil(outputs / context.trees)
    relu_turns, relu_uses = turns * workload.relu, whole(outputs / context.trees) * workload.relu
    residual_turns, residual_uses = turns * workload.residual, whole(outputs / context.trees) * workload.residual
    summed = _summed_tiles(p, mapping)
    tree = circuits.adder_tree(p, context.tree_inputs, context.tree_bits, context.trees, used=summed)
    per_vector = (
        workload.out_channels if switches.global_word_counts else mapping.used_columns / crossbar.columns_per_slice
    )
    sums = np.where(summed > 1, per_vector * vectors / context.trees, 0)
    pooled, averages = workload.pool > 1, _averages(p, workload)
    compared = pooled & ~averages
    added = np.where(averages, outputs, 0)
    average_turns = np.ceil(added / np.maximum(context.trees, workload.out_channels))
    if switches.global_word_counts:
        pool_uses = pool_turns = np.where(compared, np.ceil(outputs / pixels / context.pool_units), 0)
    else:
        units = np.where(
            mapping.novel,
            mapping.pe_side * crossbar.converted / np.sqrt(np.maximum(mapping.organisation.novel_pes, 1)),
            context.pool_units,
        )
        pool_turns = np.where(compared, np.ceil(vectors / pixels / units), 0)
        pool_uses = np.where(compared, np.ceil(vectors // pixels / units), 0)

    rows = mapping.rows * np.where(mapping.novel, workload.kernel_area, 1) * mapping.groups
    reads = vectors * pe.input_bits
    incoming = rows * reads / np.where(mapping.novel, workload.kernel_height, 1)
    outgoing = words * reads / np.where(pooled, pixels, 1)
    # A skip connection is read back from the global buffer.
    skip = words * reads * workload.residual
    bus = (incoming + outgoing + skip) / context.bus_bits
    h_tree = shared.h_tree
    if switches.floorplan:
        way = way_in_slot(share_of_slot(context.slot, tile.area.total)) * context.pitch
        h_tree = circuits.beyond_leaf(
            p, h_tree, way, unit_width=context.pitch, tolerance=_TREE_TOLERANCE, bits=context.bus_bits
        )
    if not switches.common_pitch:
        h_tree = _h_tree(p, context, np.sqrt(tile.area.total))
    line = context.buffer_line_bits
    read_lines, write_lines = (incoming + skip) / line, outgoing / line
    parallel = context.bus_bits / line
    if not switches.banks_feed_bus:
        parallel = np.minimum(context.buffer_cores, np.ceil(parallel))
    crowd = np.ceil(context.tiles / mapping.tiles)
    if switches.whole_bus and chip.execution == "layer_by_layer":
        crowd = 1
    buffer_time = timing.digital(shared.buffer, read_lines) + timing.write(shared.buffer, write_lines)
    digital_time = (
        timing.digital(shared.relu, relu_turns)
        + timing.digital(shared.pool, pool_turns)
        + timing.digital(shared.average, average_turns)
        + timing.digital(shared.adders, residual_turns)
    )
    spent = (
        shared.relu.energy * relu_uses
        + shared.pool.energy * pool_uses
        + shared.average.energy * added
        + shared.adders.energy * residual_uses
    )
    if shared.constants is not None:  # of the sums of every layer, before they are rounded
        digital_time = digital_time + timing.digital(shared.constants, turns)
        spent = spent + shared.constants.energy * whole(outputs / context.trees)
    latency = Breakdown(
        accumulation=timing.digital(tree, np.ceil(sums)),
        buffers=buffer_time / parallel * crowd,
        interconnect=timing.digital(h_tree, np.ceil(bus)),
        digital=digital_time,
    )
    energy = Breakdown(
        accumulation=tree.energy * whole(sums),
        buffers=shared.buffer.energy * read_lines + shared.buffer.write_energy * write_lines,
        interconnect=h_tree.energy * whole(bus),
        digital=spent,
    )
    return latency, energy


def _averages(p: Process, workload: Workload) -> np.ndarray:
    """Whether averages are taken of a layer's outputs, and not maxima. [*batch, layers]"""
    return (workload.averages > 0) & p.switches.average_pooling


def _summed_tiles(p: Process, mapping: Mapping) -> np.ndarray:
    """Tiles whose sums the chip's trees add up."""
    return mapping.tiles_down if p.switches.copies_not_summed else mapping.tiles_down * mapping.copies


def _sum(values: Array) -> np.ndarray:
    """Sum over layers, one after the other so that a batch adds up like a single design. [*batch, 1]"""
    return np.add.accumulate(values, axis=-1)[..., -1:]


def _largest(values: Array) -> np.ndarray:
    return np.max(values, axis=-1, keepdims=True)


def _smallest(values: Array) -> np.ndarray:
    return np.min(values, axis=-1, keepdims=True)
