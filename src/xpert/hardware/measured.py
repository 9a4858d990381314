"""Real weights and inputs, instead of assumed means.

Energy and flash delay depend on each column's conductance while its rows are driven. Here crossbars are filled with a
layer's weights and driven with its input bits. `mean_conductance` gives the figure that a layer's `Activity` wants;
since ADC power is all but linear in a column's conductance, that is nearly all that weights do to energy.
`measure_reads` keeps every column, and gives what replaces the two mean reads of a PE.
"""

from __future__ import annotations

import numpy as np

from xpert.hardware.crossbar import Crossbar, column_resistances, path_conductances
from xpert.hardware.gates import Array
from xpert.hardware.pe import Read, read_of
from xpert.hardware.subarray import PeripheryArrays, subarray
from xpert.hardware.technology import Process

MAX_BLOCKS = 64
"""Crossbars of a layer that are looked at, evenly spread over its matrix; energies are means, delays are maxima."""


def cell_conductances(crossbar: Crossbar, weights: np.ndarray, weight_bits: int) -> np.ndarray:
    """Conductances of the cells that hold a matrix of weights, most significant slice first.

    Args:
        crossbar: Cells; `slices` columns per weight.
        weights: Between -1 and 1, [rows, weights].
        weight_bits: Weight precision; the weight w is stored as the integer nearest to 2**(weight_bits - 1) * (w + 1),
            of which +1 does not fit and becomes 0. [bit]

    Returns:
        [rows, weights * slices]. [S]

    Source: DNN+NeuroSim V1.3.
    """
    cell_bits = -(-weight_bits // crossbar.slices)
    codes = np.floor(2.0 ** (weight_bits - 1) * (weights + 1) + 0.5).astype(np.int64)
    shifts = cell_bits * np.arange(crossbar.slices - 1, -1, -1)
    digits = (codes[..., None] >> shifts) & (2**cell_bits - 1)
    levels = digits.reshape(len(weights), -1) / (2**cell_bits - 1)
    return levels * (1 / crossbar.r_on - 1 / crossbar.r_off) + 1 / crossbar.r_off


def mean_conductance(p: Process, crossbar: Crossbar, conductance: np.ndarray, activity: np.ndarray) -> float:
    """Mean conductance that a driven row adds to a column, access transistor and wires included. [S]

    Args:
        p: Process.
        crossbar: Cells and wires; not SRAM.
        conductance: Of a layer's cells, [groups, rows, columns]. [S]
        activity: How often each row is driven, from 0 to 1, [groups, rows]; all alike where none ever is.
    """
    weight = activity if activity.any() else np.ones_like(activity)
    _, rows, columns = conductance.shape
    driven = 0.0
    for down in range(0, rows, crossbar.rows):
        for across in range(0, columns, crossbar.columns):
            block = np.s_[:, down : down + crossbar.rows, across : across + crossbar.columns]
            paths = path_conductances(p, crossbar, conductance[block])
            driven += float(np.sum(weight[:, down : down + crossbar.rows, None] * paths))
    return driven / (columns * float(np.sum(weight)))


def measure_reads(
    p: Process, crossbar: Crossbar, periphery: PeripheryArrays, conductance: np.ndarray, bits: np.ndarray
) -> tuple[Read, Read]:
    """Reads of one layer: of crossbars whose rows are all used, and of those with its last rows.

    Args:
        p: Process.
        crossbar: Cells and wires.
        periphery: Of this layer, arrays of shape [1].
        conductance: Of the layer's cells, [rows, columns]. [S]
        bits: Input bits, 0 or 1, [vectors, rows].
    """
    rows, columns = conductance.shape
    across = range(0, columns, crossbar.columns)
    full = range(0, rows - crossbar.rows + 1, crossbar.rows)
    last = range(rows - rows % crossbar.rows, rows, crossbar.rows)
    return (
        _read_blocks(p, crossbar, periphery, conductance, bits, [(row, column) for row in full for column in across]),
        _read_blocks(p, crossbar, periphery, conductance, bits, [(row, column) for row in last for column in across]),
    )


def _read_blocks(
    p: Process,
    crossbar: Crossbar,
    periphery: PeripheryArrays,
    conductance: np.ndarray,
    bits: np.ndarray,
    corners: list[tuple[int, int]],
) -> Read:
    """One read that stands for the crossbars with these upper left corners; arrays of shape [1]."""
    # Where there is no such crossbar the figures are not used; the first one keeps them finite.
    chosen = corners[:: -(-len(corners) // MAX_BLOCKS)] if corners else [(0, 0)]
    held = bits[:, chosen[0][0] : chosen[0][0] + crossbar.rows].shape[1]  # rows of each of them
    groups = -(-held // crossbar.read_rows)
    shape = (len(chosen), len(bits) * groups)
    resistance, present = np.full((*shape, crossbar.columns), np.inf), np.zeros((*shape, crossbar.columns))
    active = np.zeros(shape)
    # The rows of each group, [groups, 1, rows].
    of_group = (np.arange(held) // crossbar.read_rows == np.arange(groups)[:, None])[:, None]
    for block, (row, column) in enumerate(chosen):
        cells = conductance[row : row + crossbar.rows, column : column + crossbar.columns]
        driven = bits[:, row : row + crossbar.rows]
        width = cells.shape[1]
        # [groups, vectors, rows] -> [groups * vectors, rows]: every group is read with every vector.
        resistance[block, :, :width] = column_resistances(p, crossbar, cells, (driven * of_group).reshape(-1, held))
        present[block, :, :width] = 1 / width
        active[block] = np.tile(driven.sum(-1) / crossbar.rows, groups)
    read = read_of(
        subarray(
            p,
            crossbar,
            periphery,
            row_activity=active,
            column_resistance=resistance,
            multiplicity=present,
            reads=float(groups),
        )
    )

    def mean(values: Array) -> np.ndarray:
        return np.broadcast_to(values, shape).mean()[None]

    def slowest(values: Array) -> np.ndarray:
        """Of the slowest crossbar; its vectors follow one another, so their mean counts."""
        return np.broadcast_to(values, shape).mean(-1).max()[None]

    return Read(
        sensing_period=np.max(read.sensing_period)[None],
        adc_cycles=slowest(read.adc_cycles),
        accumulation_cycles=slowest(read.accumulation_cycles),
        accumulation_latency=slowest(read.accumulation_latency),
        accumulation_energy=mean(read.accumulation_energy),
        adc_latency=slowest(read.adc_latency),
        other_latency=slowest(read.other_latency),
        array_energy=mean(read.array_energy),
        adc_energy=mean(read.adc_energy),
        column_energy=mean(read.column_energy),
        other_energy=mean(read.other_energy),
    )


__all__ = ["MAX_BLOCKS", "cell_conductances", "mean_conductance", "measure_reads"]
