"""The crossbar: cells, access transistors and wires, without any periphery.

Source of formulas and constants: DNN+NeuroSim V1.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from xpert.design import Chip
from xpert.errors import ConfigError
from xpert.hardware.circuits import flip_flop_bank
from xpert.hardware.gates import (
    LINEAR_REGION,
    POLY_OVERHEAD,
    drain_capacitance,
    gate,
    gate_capacitance,
    on_resistance_n,
)
from xpert.hardware.technology import WIRE_CAPACITANCE, Process

IR_DROP_TOLERANCE = 0.25
"""Largest share of a cell's on-resistance that its access transistor may have. Source: DNN+NeuroSim V1.3."""

_RELAXED_HEIGHT = 28.0
"""Cell height that matches a standard cell, in feature sizes."""

_RELAXED_WIDTH = {"sram": 7.6, "resistive": 15.2}
"""Cell width that matches the column periphery, in feature sizes."""


CellKind = Literal["1t1r", "crosspoint", "fefet", "sram"]
"""What the model tells apart; phase-change and resistive memory are alike here."""


@dataclass(frozen=True)
class Crossbar:
    """What is given of a crossbar and its cells."""

    kind: CellKind
    """Kind of cell."""

    rows: int
    """Rows."""

    columns: int
    """Columns."""

    slices: int
    """Slices of a weight."""

    r_on: float
    """Resistance of the most conductive state. [ohm]"""

    r_off: float
    """Resistance of the least conductive state. [ohm]"""

    read_voltage: float
    """Voltage across a cell while it is read. [V]"""

    write_voltage: float
    """Programming voltage. [V]"""

    access_gate_voltage: float
    """Gate voltage of an access transistor during a read. [V]"""

    cell_height_f: float
    """Cell height; in feature sizes, crosspoint: in wire widths."""

    cell_width_f: float
    """Cell width; in feature sizes, crosspoint: in wire widths."""

    relaxed_pitch: bool = False
    """Whether cells are spread out to the pitch of the periphery."""

    flash_sensing: Literal["current", "voltage"] = "current"
    """What a flash ADC's comparators sense."""

    state_mean: float | None = None
    """Mean conductance of the states where they were measured; None: the middle of on and off. [S]"""

    columns_per_slice: int = 1
    """Columns of a slice, which are converted as one; 2 for pairs, the difference of whose currents is."""

    rows_per_read: int | None = None
    """Rows that are read at once; None: all."""

    adds_reads: bool = True
    """Whether the shift-adds below the ADCs add the groups up; else every group's sum is put out, as macros do."""

    pulse_width: bool = False
    """Whether inputs are the widths of pulses; else they are read bit by bit."""

    reference_columns: int = 0
    """Columns beyond `columns`, whose current is subtracted from that of the others: one for each slice, or none."""

    programmable_range: bool = False
    """Whether each layer's ADCs have a range of their own."""

    offset_sigma: float = 0.25
    """Standard deviation of a comparator's offset, as simulated. [ADC step]"""

    trim_bits: int = 5
    """Precision of the offset's trimming; 0: none. [bit]"""

    @property
    def read_rows(self) -> int:
        """Rows that are read at once."""
        return self.rows_per_read or self.rows

    @property
    def reads(self) -> int:
        """Groups of rows that are read one after the other."""
        return -(-self.rows // self.read_rows)

    @property
    def sum_bits(self) -> int:
        """Bits that the sum of a weight's slices, and of all groups of rows, has more than a conversion.

        A bit for each slice, as the reference has it.
        """
        return self.slices + ((self.reads - 1).bit_length() if self.adds_reads else 0)

    @property
    def columns_per_weight(self) -> int:
        """Columns that hold one weight."""
        return self.slices * self.columns_per_slice

    @property
    def converted(self) -> int:
        """Columns, or pairs of columns, that ADCs convert."""
        return self.columns // self.columns_per_slice

    def with_slices(self, slices: int) -> Crossbar:
        """The crossbar whose weights have so many slices, and a reference column for each if it has any."""
        return replace(self, slices=slices, reference_columns=slices if self.reference_columns else 0)

    @property
    def sram(self) -> bool:
        """Whether cells are SRAM."""
        return self.kind == "sram"


def crossbar_of(chip: Chip) -> Crossbar:
    """The crossbar of a chip."""
    device, code, analog = chip.device, chip.weight_code, chip.analog
    kind: CellKind = device.access
    if device.cell in ("sram", "fefet"):
        kind = device.cell
    return Crossbar(
        kind=kind,
        rows=chip.rows,
        columns=chip.columns,
        rows_per_read=chip.rows_per_read,
        pulse_width=chip.input_coding == "pulse_width",
        slices=code.slices,
        columns_per_slice=code.columns_per_slice,
        r_on=device.r_on_ohm,
        r_off=device.r_off_ohm,
        read_voltage=device.read_voltage_v,
        write_voltage=device.write_voltage_v,
        access_gate_voltage=device.access_gate_voltage_v,
        cell_height_f=device.cell_height_f,
        cell_width_f=device.cell_width_f,
        state_mean=None if device.programming_states is None else device.mean_conductance_s,
        reference_columns=0 if code.paired else code.slices,
        programmable_range=analog.adc_range in {"calibrated", "learned"},
        offset_sigma=0.0 if analog.adc_range == "unbounded" else analog.adc_offset_sigma,
        trim_bits=analog.adc_trim_bits,
    )


@dataclass(frozen=True)
class Parasitics:
    """Lengths, resistances and capacitances of a crossbar."""

    columns: int
    """Columns, reference columns with them."""

    row_length: float
    """Length of a row, reference columns with it. [m]"""

    column_length: float
    """Length of a column. [m]"""

    row_wire_capacitance: float
    """Capacitance of a row's wire. [F]"""

    wordline_capacitance: float
    """Capacitance of a word line with the gates on it. [F]"""

    column_wire_capacitance: float
    """Capacitance of a column's wire. [F]"""

    column_capacitance: float
    """Capacitance of a column with the drains on it. [F]"""

    row_resistance: float
    """Resistance of a row's wire. [ohm]"""

    column_wire_resistance: float
    """Resistance of a column's wire. [ohm]"""

    access_resistance: float
    """Resistance of an access transistor; 0 for crosspoint cells. [ohm]"""

    access_width_f: float
    """Width of an access transistor in feature sizes; 0 where it is not sized for the cell."""

    access_capacitance: float
    """Drain capacitance of an SRAM access transistor; else 0. [F]"""

    pull_down_resistance: float
    """Resistance of an SRAM cell's NMOS; else 0. [ohm]"""

    cell_leakage: float
    """Leakage power of all cells; 0 but for SRAM. [W]"""

    mean_resistance: float
    """Resistance of a cell half-way between on and off conductance, access transistor included; 0 for SRAM. [ohm]"""

    @property
    def area(self) -> float:
        """Area of the array. [m2]"""
        return self.row_length * self.column_length


@lru_cache(maxsize=256)
def parasitics(p: Process, crossbar: Crossbar) -> Parasitics:
    """Lengths, resistances and capacitances of a crossbar.

    Raises:
        ConfigError: If the access transistor does not fit the cell, or the periphery not the crossbar.
    """
    f = p.feature
    # Crosspoint cells are as dense as wires, unless they are spread out to the periphery, which is drawn in F.
    unit = p.wire_width if crossbar.kind == "crosspoint" and not crossbar.relaxed_pitch else f
    cell_height, cell_width = crossbar.cell_height_f, crossbar.cell_width_f
    if crossbar.relaxed_pitch:
        cell_height = max(cell_height, _RELAXED_HEIGHT)
        cell_width = max(cell_width, _RELAXED_WIDTH["sram" if crossbar.sram else "resistive"])
    columns = crossbar.columns + (crossbar.reference_columns if p.switches.reference_columns else 0)
    row_length = columns * cell_width * unit
    column_length = crossbar.rows * cell_height * unit
    flip_flop = flip_flop_bank(p, 1.0)
    if column_length < flip_flop.height:
        raise ConfigError(
            f"chip.rows: {crossbar.rows} cells make a column of {column_length / f:.3g} F, too short for the drivers "
            f"of word lines beside it; allowed is {flip_flop.height / f:.3g} F or more"
        )
    if row_length < flip_flop.width:
        raise ConfigError(
            f"chip.columns: {columns} cells make a row of {row_length / f:.3g} F, too short for the registers "
            f"below it; allowed is {flip_flop.width / f:.3g} F or more"
        )
    if crossbar.kind != "crosspoint" and cell_width <= POLY_OVERHEAD:
        raise ConfigError(
            f"chip.device.cell_width_f: {cell_width:g} F leave no room for a transistor; allowed is more than "
            f"{POLY_OVERHEAD:g} F"
        )
    row_wire, column_wire = row_length * WIRE_CAPACITANCE, column_length * WIRE_CAPACITANCE
    # A FinFET of minimum width has one fin; twice the feature size is one fin in `effective_width`.
    fin = 2.0 if p.finfet else 1.0
    wordline, column, access, width, access_capacitance, mean = row_wire, column_wire, 0.0, 0.0, 0.0, 0.0
    pull_down, leakage = 0.0, 0.0
    cell = (crossbar.r_on + crossbar.r_off) / 2
    if p.switches.column_conductance:
        cell = 2 / (1 / crossbar.r_on + 1 / crossbar.r_off)
    if crossbar.kind == "crosspoint":
        mean = cell
    elif crossbar.sram:
        access = float(on_resistance_n(p, f * fin))
        access_capacitance = float(drain_capacitance(p, f * fin, 0.0, cell_width * f))
        pull_down = float(on_resistance_n(p, 2 * f * fin))
        inverter = gate(p, "inv", 1.0, 2 * f * fin, f * fin)
        leakage = 2 * crossbar.rows * columns * float(inverter.leakage_current) * p.vdd
    else:
        access = crossbar.r_on * IR_DROP_TOLERANCE
        width, drawn = _access_width(p, crossbar.r_on), access_transistor_f(p, crossbar.r_on)
        if drawn > cell_width:
            raise ConfigError(
                f"chip.device.cell_width_f: a cell of {cell_width:g} F cannot hold the access transistor of "
                f"{drawn:.3g} F that r_on_ohm = {crossbar.r_on:g} needs at {p.node_nm} nm, with "
                f"{IR_DROP_TOLERANCE:.0%} of that resistance; allowed is {math.ceil(drawn * 10) / 10:g} or more"
            )
        mean = access + cell
        wordline = row_wire + columns * float(gate_capacitance(p, width * fin * f))
        column = column_wire + crossbar.rows * float(
            drain_capacitance(p, width * fin * f, 0.0, crossbar.cell_width_f * f)
        )
    return Parasitics(
        columns=columns,
        row_length=row_length,
        column_length=column_length,
        row_wire_capacitance=row_wire,
        wordline_capacitance=wordline,
        column_wire_capacitance=column_wire,
        column_capacitance=column,
        row_resistance=row_length * p.wire_resistance,
        column_wire_resistance=column_length * p.wire_resistance,
        access_resistance=access,
        access_width_f=width,
        access_capacitance=access_capacitance,
        pull_down_resistance=pull_down,
        cell_leakage=leakage,
        mean_resistance=mean,
    )


def access_transistor_f(p: Process, r_on: float) -> float:
    """Drawn width of the access transistor of a cell: what the cell must be wide at least. In feature sizes.

    Args:
        p: Process.
        r_on: Resistance of the most conductive state, of which the transistor has `IR_DROP_TOLERANCE`. [ohm]
    """
    width = _access_width(p, r_on)
    return ((width - 1) * p.fin_pitch + p.fin_width) / p.feature if p.finfet else width


def _access_width(p: Process, r_on: float) -> float:
    """The same in feature sizes of planar transistors, in fins of others."""
    fin = 2.0 if p.finfet else 1.0
    return float(on_resistance_n(p, p.feature * fin) * LINEAR_REGION / (r_on * IR_DROP_TOLERANCE))


def active_conductance(p: Process, crossbar: Crossbar, cell_conductance: float | None) -> float:
    """Conductance that an active row adds to a column, access transistor included. [S]

    Args:
        p: Process.
        crossbar: Cells.
        cell_conductance: The figure to use where it is known; SRAM cells have only one. [S]

    Returns:
        The given figure; else the mean of the states, in series with the access transistor, if any.
    """
    if crossbar.sram:
        wire = p.wire_resistance * p.wire_width * crossbar.cell_width_f
        return 1 / (parasitics(p, crossbar).access_resistance + wire)
    if cell_conductance is not None:
        return cell_conductance
    mean = crossbar.state_mean
    if mean is None:
        mean = (1 / crossbar.r_on + 1 / crossbar.r_off) / 2
    return 1 / (1 / mean + _series_resistance(p, crossbar))


def _series_resistance(p: Process, crossbar: Crossbar) -> float:
    """Resistance between a cell and its column; a ferroelectric transistor is its own switch. [ohm]"""
    return parasitics(p, crossbar).access_resistance if crossbar.kind == "1t1r" else 0.0


def path_conductances(p: Process, crossbar: Crossbar, conductance: np.ndarray) -> np.ndarray:
    """Conductance of each cell of a resistive crossbar with its access transistor and the wires on its path. [S]

    Args:
        p: Process.
        crossbar: Cells.
        conductance: Of the cells that are used, [..., rows, columns]; unused rows and columns do not count. [S]

    Returns:
        [..., rows, columns].
    """
    step = p.wire_resistance * p.wire_width
    rows, columns = conductance.shape[-2:]
    # [columns] and [rows, 1]: a path runs from the row's driver to the cell, and down to the column's foot.
    along_row = (np.arange(columns) + 1) * step * crossbar.cell_height_f
    along_column = (rows - np.arange(rows))[:, None] * step * crossbar.cell_width_f
    return 1 / (1 / conductance + along_row + along_column + _series_resistance(p, crossbar))


def column_resistances(p: Process, crossbar: Crossbar, conductance: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Resistance of each column of a crossbar that is being read, wires included. [ohm]

    Args:
        p: Process.
        crossbar: Cells.
        conductance: Of the cells that are used, [rows, columns]. [S]
        active: Which of these rows are driven, [vectors, rows], 0 or 1.

    Returns:
        [vectors, columns]; infinite where no row is driven.
    """
    driven = active.astype(np.float64)
    with np.errstate(divide="ignore"):
        if crossbar.sram:
            summed = driven.sum(-1, keepdims=True) * active_conductance(p, crossbar, None)
            return np.broadcast_to(1 / summed, (len(driven), conductance.shape[1]))
        # [vectors, rows] @ [rows, columns]: conductances of the driven rows add up.
        return 1 / (driven @ path_conductances(p, crossbar, conductance))


__all__ = [
    "IR_DROP_TOLERANCE",
    "CellKind",
    "Crossbar",
    "Parasitics",
    "access_transistor_f",
    "active_conductance",
    "column_resistances",
    "crossbar_of",
    "parasitics",
    "path_conductances",
]
