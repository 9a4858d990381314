"""The processing element: a square of subarrays with an adder tree, buffers and buses.

Source: DNN+NeuroSim V1.3, parallel read-out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xpert.hardware import circuits
from xpert.hardware.breakdown import Breakdown
from xpert.hardware.circuits import Cost
from xpert.hardware.crossbar import Crossbar
from xpert.hardware.gates import Array, ceil_log2
from xpert.hardware.mapping import ceil_div
from xpert.hardware.subarray import (
    PeripheryArrays,
    Subarray,
    adc_count,
    columns_in_turn,
    input_cycles,
    weights_per_adc,
)
from xpert.hardware.technology import Process


@dataclass(frozen=True)
class Timing:
    """How cycles become seconds."""

    synchronous: bool
    """Whether digital blocks are clocked."""

    sensing_period: Array
    """Duration of a sensing cycle. [s]"""

    logic_period: Array
    """Duration of a logic cycle. [s]"""

    def digital(self, cost: Cost, uses: Array = 1.0) -> Array:
        """Time of some uses of a digital circuit. [s]"""
        return uses * (cost.cycles * self.logic_period if self.synchronous else cost.latency)

    def write(self, cost: Cost, uses: Array) -> Array:
        """Time of some writes to a buffer. [s]"""
        return uses * (cost.cycles * self.logic_period if self.synchronous else cost.write_latency)


@dataclass(frozen=True)
class Read:
    """Timing and energy of reading one input bit on one subarray whose rows are driven in a given way."""

    sensing_period: Array
    """One sensing cycle. [s]"""
    adc_cycles: Array
    """Sensing cycles."""
    accumulation_cycles: Array
    """Logic cycles of the shift-adds."""
    accumulation_latency: Array
    """Asynchronous time of the shift-adds. [s]"""
    accumulation_energy: Array
    """Shift-adds. [J]"""
    adc_latency: Array
    """Asynchronous time of conversions. [s]"""
    other_latency: Array
    """Asynchronous time of drivers and multiplexers. [s]"""
    array_energy: Array
    """Rows and columns. [J]"""
    adc_energy: Array
    """Encoders (and SRAM prechargers). [J]"""
    column_energy: Array
    """Conversion of one column. [J]"""
    other_energy: Array
    """Drivers and multiplexers. [J]"""


def read_of(subarray: Subarray) -> Read:
    """The part of a subarray's figures that depends on its inputs; it must have been given a single column."""
    return Read(
        sensing_period=np.asarray(subarray.sensing_period),
        adc_cycles=np.asarray(subarray.adc_cycles),
        accumulation_cycles=np.asarray(subarray.accumulation_cycles),
        accumulation_latency=np.asarray(subarray.accumulation_latency),
        accumulation_energy=np.asarray(subarray.accumulation_energy),
        adc_latency=np.asarray(subarray.adc_latency),
        other_latency=np.asarray(subarray.other_latency),
        array_energy=np.asarray(subarray.array_energy),
        adc_energy=np.asarray(subarray.adc_energy - subarray.column_energy),
        column_energy=np.asarray(subarray.column_energy),
        other_energy=np.asarray(subarray.other_energy),
    )


_OF_GROUPS = ("adc_cycles", "accumulation_cycles", "accumulation_latency")
"""What depends on a crossbar's rows only by the groups in which they are read."""


@dataclass(frozen=True)
class PE:
    """A processing element. Arrays [*batch]."""

    full: Read
    """A subarray of which all rows hold weights."""
    partial: Read
    """The subarray that holds the last rows of a matrix."""
    subarray_leakage: Array
    """Leakage power of a subarray. [W]"""
    side: Array
    """Subarrays per side."""
    weight_uses: Array
    """Weights whose slices share an ADC."""
    input_bits: Array
    """Input precision. [bit]"""
    input_cycles: Array
    """Reads of an input: one for each bit, or one where inputs are pulse widths."""
    adc_bits: Array
    """ADC precision. [bit]"""
    slices: Array
    """Slices of a weight."""
    columns_per_weight: Array
    """Columns that hold one weight."""
    sum_bits: Array
    """Bits that the sum of a weight's slices has more than a conversion; see `Crossbar.sum_bits`."""
    tree_bits: Array
    """Word length at the adder tree's leaves. [bit]"""
    trees: Array
    """Adder trees."""
    input_flip_flops: Array
    """Bits of the input buffer."""
    output_flip_flops: Array
    """Bits of the output buffer."""
    output_sums: Array
    """Sums that the output buffer holds."""
    input_bank: Cost
    """Input buffer."""
    output_bank: Cost
    """Output buffer."""
    input_bus: Cost
    """Bus along the rows; one use carries a bit for each row of a crossbar."""
    output_bus: Cost
    """Bus along the columns; one use carries a bit for each column (or pair) of the PE."""
    subarray_area: Array
    """Area of a subarray's cells and circuits. [m2]"""
    subarray_width: Array
    """Width of a subarray's bounding box. [m]"""
    subarray_height: Array
    """Height of a subarray's bounding box. [m]"""
    tree_area: Array
    """Area of the adder trees. [m2]"""
    area: Breakdown
    """Area. [m2]"""

    @property
    def bus_leakage(self) -> Array:
        """Leakage power of the buses. [W]"""
        return self.input_bus.leakage + self.output_bus.leakage

    @property
    def leakage(self) -> Array:
        """Leakage power without adder tree and buses. [W]"""
        return self.subarray_leakage * self.side**2 + self.input_bank.leakage + self.output_bank.leakage


def build_pe(
    p: Process, crossbar: Crossbar, periphery: PeripheryArrays, side: Array, full: Subarray, partial: Subarray
) -> PE:
    """A PE of `side` x `side` subarrays.

    Args:
        p: Process.
        crossbar: The subarrays' crossbar.
        periphery: Of the subarrays, [*batch].
        side: Subarrays per side, [*batch].
        full: A subarray whose rows all hold weights, given one column.
        partial: The subarray with the last rows of the matrix, given one column.
    """
    rows, columns, sum_bits = crossbar.rows, crossbar.converted, crossbar.sum_bits
    bits = periphery.adc_bits
    sharing = columns_in_turn(p, crossbar, periphery.columns_per_adc)
    cycles = input_cycles(crossbar, periphery)
    stages = ceil_log2(side)
    tree_bits = np.floor(bits + cycles + sum_bits + 1)
    output_bits = bits + cycles + sum_bits + stages
    trees = np.ceil(side * columns / sharing)
    tree = circuits.adder_tree(p, side, tree_bits, trees)
    input_flip_flops = periphery.input_bits * rows
    output_sums = adc_count(p, crossbar, sharing)
    output_flip_flops = np.floor(output_sums * output_bits)
    input_bank = circuits.flip_flop_bank(p, input_flip_flops, height=side * full.height)
    output_bank = circuits.flip_flop_bank(p, output_flip_flops, width=side * full.width)
    place = {"unit_height": full.height, "unit_width": full.width, "tolerance": 0.0}
    return PE(
        full=read_of(full),
        partial=read_of(partial),
        subarray_leakage=full.leakage,
        side=side,
        weight_uses=weights_per_adc(p, crossbar, sharing),
        input_bits=periphery.input_bits,
        input_cycles=cycles,
        adc_bits=bits,
        slices=crossbar.slices,
        columns_per_weight=crossbar.columns_per_weight,
        sum_bits=sum_bits,
        tree_bits=tree_bits,
        trees=trees,
        input_flip_flops=input_flip_flops,
        output_flip_flops=output_flip_flops,
        output_sums=output_sums,
        input_bank=input_bank,
        output_bank=output_bank,
        input_bus=circuits.bus(p, side, side, vertical=False, bits=rows, **place),
        output_bus=circuits.bus(p, side, side, vertical=True, bits=side * columns, **place),
        subarray_area=full.used_area,
        subarray_width=full.width,
        subarray_height=full.height,
        tree_area=tree.area,
        area=Breakdown(
            array=full.array_area * side**2,
            adc=full.adc_area * side**2,
            accumulation=full.accumulation_area * side**2 + tree.area,
            buffers=input_bank.area + output_bank.area,
            other=full.other_area * side**2,
        ),
    )


@dataclass(frozen=True)
class Share:
    """The part of a matrix that a PE or tile holds; arrays broadcast with the batch."""

    rows: np.ndarray
    """Rows that hold weights."""
    input_rows: np.ndarray
    """Rows times groups: inputs that differ."""
    columns: np.ndarray
    """Columns of crossbars in use, from the first to the last that holds weights."""
    used_columns: np.ndarray
    """Columns that hold weights."""


def run_pe(
    p: Process,
    crossbar: Crossbar,
    timing: Timing,
    pe: PE,
    share: Share,
    vectors: np.ndarray,
    copies_down: np.ndarray,
    copies_across: np.ndarray,
) -> tuple[Breakdown, Breakdown]:
    """Latency [s] and dynamic energy [J] of a PE for all input vectors of an image.

    Args:
        p: Process.
        crossbar: The subarrays' crossbar.
        timing: How cycles become seconds.
        pe: The PE.
        share: What it holds of the matrix.
        vectors: Input vectors.
        copies_down: Copies of the matrix inside the PE, one below the other.
        copies_across: The same, side by side.
    """
    switches = p.switches
    down = share.rows // crossbar.rows + (share.rows % crossbar.rows > 0)
    across = ceil_div(share.columns, crossbar.columns)
    copies = copies_down * copies_across
    alone = (copies_down == pe.side) & (copies_across == pe.side)
    n_full, rest, visited_across, used_columns = _visited(p, crossbar, pe, share, copies)
    visited_down = n_full + rest
    reads, bits = vectors * pe.input_cycles, vectors * pe.input_bits

    def worst(name: str) -> Array:
        if crossbar.reads == 1 and name in _OF_GROUPS:
            return getattr(pe.full, name)
        full = np.where(n_full > 0, getattr(pe.full, name), 0.0)
        return np.maximum(full, np.where(rest, getattr(pe.partial, name), 0.0))

    def blocks(name: str) -> Array:
        return n_full * getattr(pe.full, name) + rest * getattr(pe.partial, name)

    if crossbar.reads == 1:
        accumulated = reads * visited_across * visited_down * pe.full.accumulation_energy
    else:
        accumulated = reads * visited_across * blocks("accumulation_energy")
    tree = circuits.adder_tree(p, pe.side, pe.tree_bits, pe.trees, used=down)
    tree_uses = np.where(alone, 0.0, vectors * pe.weight_uses)
    turns = np.where(alone, 0.0, vectors * np.ceil(pe.weight_uses))
    tree_payments = tree_uses * (1 if switches.tree_energy_once else np.where(copies > 1, down * across, 1))
    # Words, and how often they fill a buffer or bus, per image.
    input_uses = share.input_rows * bits / pe.input_flip_flops
    output_words = share.used_columns / pe.columns_per_weight
    output_uses = output_words * vectors / pe.output_sums
    if not switches.exact_access_counts:
        output_words = np.floor(output_words)
        input_uses = np.floor(share.input_rows * bits / pe.input_flip_flops)
        output_uses = np.floor(output_words * pe.tree_bits * vectors / pe.output_flip_flops)
    input_words = share.input_rows * bits / crossbar.rows
    bus_words = output_words * pe.adc_bits * vectors / (pe.side * crossbar.converted)
    if timing.synchronous:
        adc = worst("adc_cycles") * timing.sensing_period
        accumulation = worst("accumulation_cycles") * timing.logic_period
        other = bus = 0.0
    else:
        adc, accumulation, other = worst("adc_latency"), worst("accumulation_latency"), worst("other_latency")
        bus = input_words * pe.input_bus.latency + bus_words * pe.output_bus.latency
    latency = Breakdown(
        adc=reads * adc / copies,
        accumulation=(reads * accumulation + timing.digital(tree, turns)) / copies,
        other=reads * other / copies,
        buffers=timing.digital(pe.input_bank, input_uses) + timing.digital(pe.output_bank, output_uses),
        interconnect=bus,
    )
    energy = Breakdown(
        array=reads * visited_across * blocks("array_energy"),
        adc=reads
        * (visited_across * blocks("adc_energy") + used_columns / crossbar.columns_per_slice * blocks("column_energy")),
        accumulation=accumulated + tree_payments * tree.energy,
        other=reads * visited_across * blocks("other_energy"),
        buffers=pe.input_bank.energy * input_uses + pe.output_bank.energy * output_uses,
        interconnect=pe.input_bus.energy * input_words + pe.output_bus.energy * bus_words,
    )
    return latency, energy


def _visited(
    p: Process, crossbar: Crossbar, pe: PE, share: Share, copies: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Crossbars down that are full, whether one more is in part, crossbars across, and columns in use."""
    n_full, rest = share.rows // crossbar.rows, share.rows % crossbar.rows > 0
    across, used_columns = ceil_div(share.columns, crossbar.columns), share.used_columns
    if p.switches.keep_all_rows:
        return n_full, rest, across, used_columns
    # Without copies only the PE's own crossbars are visited, whatever it was given.
    side = np.where(copies > 1, np.maximum(n_full + rest, across), pe.side)
    used_columns = np.minimum(used_columns, side * crossbar.columns)
    return np.minimum(n_full, side), rest & (n_full < side), np.minimum(across, side), used_columns


__all__ = ["PE", "Read", "Share", "Timing", "build_pe", "read_of", "run_pe"]
