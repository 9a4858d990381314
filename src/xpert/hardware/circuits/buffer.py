"""Buffers: register files and small SRAMs, read and written line by line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.bit_line import precharger, sram_column_delay, sram_write_driver
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.circuits.placement import spread
from xpert.hardware.circuits.row_decoder import row_decoder
from xpert.hardware.gates import Array
from xpert.hardware.technology import WIRE_CAPACITANCE, Process

SRAM_ACCESS_WIDTH, SRAM_NMOS_WIDTH, SRAM_PMOS_WIDTH = 1.0, 2.0, 1.0
"""Widths of an SRAM cell's transistors in feature sizes (twice that from 14 nm on). Source: DNN+NeuroSim V1.3."""


class Banks(NamedTuple):
    """The equal banks of a buffer."""

    cores: np.ndarray
    """Banks."""
    line_bits: np.ndarray
    """What a bank moves at once. [bit]"""
    bits: np.ndarray
    """What a bank holds, in whole lines. [bit]"""


def banks(capacity_bits: Array, bus_bits: Array, side_bits: Array) -> Banks:
    """The banks of a buffer that fills its bus in every cycle.

    As many banks as it takes side by side to make a line as wide as the bus, and that many times more where they would
    hold more than `side_bits` lines. So what a buffer has to hold never changes how fast it is.

    Args:
        capacity_bits: What the buffer holds. [bit]
        bus_bits: Width of the bus that it feeds. [bit]
        side_bits: Longest line of a bank, and most lines. [bit]

    Source: ours; several banks for a wider memory are textbook (Hennessy and Patterson, Computer Architecture, 5th ed.
    2012, section 2.2, multibanked caches; from memory).
    """
    abreast = np.ceil(bus_bits / np.asarray(side_bits, dtype=np.float64))
    line = np.ceil(bus_bits / abreast)
    cores = abreast * np.maximum(1.0, np.ceil(capacity_bits / (abreast * line * side_bits)))
    lines = np.maximum(1.0, np.ceil(capacity_bits / (cores * line)))
    return Banks(np.asarray(cores), np.asarray(line), np.asarray(line * lines))


def register_file(
    p: Process, capacity_bits: Array, line_bits: Array, *, width: Array | None = None, height: Array | None = None
) -> Cost:
    """Cost of a register file; one read or write moves one line.

    Args:
        p: Process.
        capacity_bits: What it holds. [bit]
        line_bits: What is accessed at once. [bit]
        width: Imposed width. [m]
        height: Imposed height (where no width is). [m]

    Source: DNN+NeuroSim V1.3.
    """
    lines, whole = _lines(p, capacity_bits, line_bits)
    n_lines = np.ceil(lines)
    store = flip_flop_bank(p, capacity_bits)
    decoder = row_decoder(
        p,
        gates.ceil_log2(n_lines),
        height=store.height * n_lines,
        load=store.height * line_bits * WIRE_CAPACITANCE,
    )
    area = store.area + decoder.area
    width, height = spread(area, store.height, width, height)
    latency = (decoder.latency + 0.5 / p.logic_clock) * lines / whole
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency,
        cycles=1.0,
        # An access clocks the flip-flops of its line.
        energy=(decoder.energy * whole + store.energy) / lines,
        leakage=store.leakage + decoder.leakage,
        write_latency=latency,
        write_energy=decoder.write_energy * whole / lines,
    )


def sram_buffer(
    p: Process,
    capacity_bits: Array,
    line_bits: Array,
    *,
    cell_width_f: Array,
    cell_height_f: Array,
    width: Array | None = None,
    height: Array | None = None,
    synchronous: bool = True,
) -> Cost:
    """Cost of an SRAM buffer; one read or write moves one line.

    Args:
        p: Process.
        capacity_bits: What it holds. [bit]
        line_bits: What is accessed at once. [bit]
        cell_width_f: Width of a cell in feature sizes.
        cell_height_f: Height of a cell in feature sizes.
        width: Imposed width. [m]
        height: Imposed height (where no width is). [m]
        synchronous: Whether the chip is clocked; see `Switches.sram_buffer_precharge`.

    Source: DNN+NeuroSim V1.3.
    """
    lines, whole = _lines(p, capacity_bits, line_bits)
    n_lines = np.ceil(lines)
    row_length = line_bits * cell_width_f * p.feature
    column_length = n_lines * cell_height_f * p.feature
    bit_line, bit_line_resistance = column_length * WIRE_CAPACITANCE, column_length * p.wire_resistance
    decoder_height = np.maximum(column_length, p.cell_height)
    decoder = row_decoder(p, gates.ceil_log2(n_lines), height=decoder_height, load=row_length * WIRE_CAPACITANCE)
    charger = precharger(p, line_bits, width=row_length, load=bit_line, load_resistance=bit_line_resistance)
    driver = sram_write_driver(p, line_bits, width=row_length, load=bit_line, load_resistance=bit_line_resistance)
    area = row_length * column_length + decoder.area + charger.area + driver.area
    width, height = spread(area, column_length, width, height)

    scale = (2 if p.finfet else 1) * p.feature
    access_width = SRAM_ACCESS_WIDTH * scale
    column_delay = sram_column_delay(
        p,
        access_resistance=gates.on_resistance_n(p, access_width),
        access_capacitance=gates.drain_capacitance(p, access_width, 0.0, cell_width_f * p.feature),
        pull_down_resistance=gates.on_resistance_n(p, SRAM_NMOS_WIDTH * scale),
        column_capacitance=bit_line,
        column_resistance=bit_line_resistance,
        ramp=decoder.ramp,
    )
    selected = decoder.latency + charger.latency
    charges = p.switches.sram_buffer_precharge or not synchronous
    line_energy = bit_line * p.vdd * p.vdd * line_bits if charges else 0.0
    leakage = decoder.leakage + charger.leakage + driver.leakage
    if p.switches.sram_buffer_cell_leakage:
        leakage = leakage + capacity_bits * sram_cell_leakage(p)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=(selected + column_delay) * lines / whole,
        cycles=1.0,
        energy=(decoder.energy + charger.energy * charges) * whole / lines,
        leakage=leakage,
        write_latency=(selected + driver.write_latency) * lines / whole,
        write_energy=(decoder.write_energy + line_energy + driver.write_energy) * whole / lines,
    )


def sram_cell_leakage(p: Process) -> float:
    """Leakage power of one 6T SRAM cell: its two inverters. [W]"""
    scale = (2 if p.finfet else 1) * p.feature
    inverter = gates.gate(p, "inv", 1.0, SRAM_NMOS_WIDTH * scale, SRAM_PMOS_WIDTH * scale)
    return float(2 * inverter.leakage_current * p.vdd)


def _lines(p: Process, capacity_bits: Array, line_bits: Array) -> tuple[Array, Array]:
    """Lines of a buffer, and how many of them are charged to its accesses: the reference rounds those down."""
    lines = np.asarray(capacity_bits / np.asarray(line_bits, dtype=np.float64))
    return lines, lines if p.switches.exact_access_counts else np.floor(lines)
