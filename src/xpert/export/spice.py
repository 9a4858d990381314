"""A crossbar as a netlist for ngspice: cells, wires, drivers and sense amplifiers as resistors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xpert.analog.ir_drop import Wires

if TYPE_CHECKING:
    from numpy.typing import NDArray


def netlist(
    conductance: NDArray[np.float64], wires: Wires, voltages: Sequence[float], title: str = "a crossbar"
) -> str:
    """The netlist of a crossbar whose rows are driven, with its operating point as the analysis.

    Node `rI_J` is row I at column J, `cI_J` column J at row I. `Vsense_J` holds the foot of column J at 0 V: its
    current is what `effective_conductance` of the same wires gives. Cells that are NaN are not there. A wire without
    resistance is one node.

    Args:
        conductance: Of the cells [rows, columns]. [S]
        wires: Resistances.
        voltages: At the drivers of the rows. [V]
        title: First line.

    Returns:
        A text for `ngspice -b`, which prints all currents.
    """
    return "\n".join(_lines(conductance, wires, voltages, title)) + "\n"


def _lines(conductance: NDArray[np.float64], wires: Wires, voltages: Sequence[float], title: str) -> Iterator[str]:
    rows, columns = conductance.shape

    def row_node(row: int, column: int) -> str:
        return f"r{row}_{column if wires.row else 0}"

    def column_node(row: int, column: int) -> str:
        return f"c{row if wires.column else 0}_{column}"

    yield f"* {' '.join(title.split())}: {rows} rows, {columns} columns"
    yield f"* cells: conductance and {wires.access:g} ohm of access in series"
    for row, volts in enumerate(voltages):
        first = wires.driver + wires.row
        source = f"in{row}" if first else row_node(row, 0)
        yield f"Vin_{row} {source} 0 DC {volts:.12g}"
        if first:
            yield f"Rdriver_{row} {source} {row_node(row, 0)} {first:.12g}"
        if wires.row:
            for column in range(1, columns):
                yield f"Rrow_{row}_{column} {row_node(row, column - 1)} {row_node(row, column)} {wires.row:.12g}"
    for row, column in np.argwhere(np.nan_to_num(conductance) > 0).tolist():
        resistance = 1 / conductance[row, column] + wires.access
        yield f"Rcell_{row}_{column} {row_node(row, column)} {column_node(row, column)} {resistance:.12g}"
    for column in range(columns):
        if wires.column:
            for row in range(1, rows):
                ends = f"{column_node(row - 1, column)} {column_node(row, column)}"
                yield f"Rcolumn_{row}_{column} {ends} {wires.column:.12g}"
        last = wires.column + wires.sense
        foot = f"foot{column}" if last else column_node(rows - 1, column)
        if last:
            yield f"Rsense_{column} {column_node(rows - 1, column)} {foot} {last:.12g}"
        yield f"Vsense_{column} {foot} 0 DC 0"
    yield ".control"
    yield "set numdgt=12"
    yield "op"
    for column in range(columns):
        yield f"print i(Vsense_{column})"
    yield ".endc"
    yield ".end"


__all__ = ["netlist"]
