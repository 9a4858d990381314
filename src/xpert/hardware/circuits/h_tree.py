"""H-trees: they connect the PEs of a tile, or the tiles of a chip, with a port at the edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.repeater import (
    Repeater,
    delay_per_metre,
    energy_per_metre,
    leakage_per_metre,
    repeater,
)
from xpert.hardware.gates import Array, ceil_log2, exp2
from xpert.hardware.technology import Process, wire_resistance

_MEDIUM, _LONG = 1e4, 1e5
"""Lengths in feature sizes from which wires are twice, and four times, as wide. Source: DNN+NeuroSim V1.3."""

_RESISTIVITY = (
    (175.0, 1.6, 2.20e-8),
    (110.0, 1.6, 2.52e-8),
    (105.0, 1.7, 2.68e-8),
    (80.0, 1.7, 3.31e-8),
    (56.0, 1.8, 3.70e-8),
    (40.0, 1.9, 4.03e-8),
    (25.0, 2.0, 5.08e-8),
    (0.0, 2.0, 6.35e-8),
)
"""From a width [nm] on: aspect ratio and resistivity [ohm m] of a wire. Source: DNN+NeuroSim V1.3."""


def h_tree(
    p: Process,
    rows: Array,
    columns: Array,
    *,
    unit_height: Array,
    unit_width: Array,
    bus_bits: Array,
    tolerance: float = 0.1,
    folding: Array,
    bits: Array,
) -> Cost:
    """Cost of an H-tree over a grid of units; one read moves `bits` bits between the root and a leaf.

    Width and height are not known: it runs between the units.

    Args:
        p: Process.
        rows: Rows of the grid.
        columns: Columns of the grid.
        unit_height: Height of a unit. [m]
        unit_width: Width of a unit. [m]
        bus_bits: Wires of its trunk. [bit]
        tolerance: Relative delay given up for energy.
        folding: Wires above one another.
        bits: Moved in one read. [bit]

    Source: DNN+NeuroSim V1.3.
    """
    chosen = repeater(p, tolerance, halve=True)
    rows, columns = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
    stages = ceil_log2(np.maximum(rows, columns))
    # Sides of the whole in units; a tree over the next power of two has arms as long as that.
    high, wide = (rows, columns) if p.switches.h_tree_spans_grid else (exp2(stages), exp2(stages))
    trunk = _trunk_units(rows, columns) * unit_width

    area, length, latency = 0.0, 0.0, 0.0
    last_delay = _delay(p, chosen, unit_width)
    wire_height, wire_width = chosen.inverter.height, chosen.inverter.width
    path = 0.5 if p.switches.h_tree_path else 1.0
    for stage in range(1, int(np.max(stages, initial=0)) + 1):
        # The last stage only counts in the delay: it lies over the units.
        drawn, present = stage < stages, stage <= stages
        vertical, horizontal = unit_height * high / 2 ** (stage + 1), unit_width * wide / 2 ** (stage + 1)
        wires = stage * bus_bits / folding
        branch = wires * wire_width * vertical / 2 + wires * wire_height * horizontal / 2
        area = area + np.where(drawn, branch, 0.0)
        length = length + np.where(drawn, vertical + horizontal, 0.0)
        delay = 2 * vertical * _delay(p, chosen, 2 * vertical) + 2 * horizontal * _delay(p, chosen, 2 * horizontal)
        latency = latency + np.where(present, path * delay, 0.0)
    latency = latency + trunk * last_delay
    area = area + bus_bits / folding * wire_height * trunk
    length = length + trunk
    wires = bus_bits if p.switches.interconnect_leakage else 1.0
    reach = (unit_height * high + unit_width * wide) * (1 - exp2(-stages)) / 2 + trunk
    return Cost(
        area=area,
        width=0.0,
        height=0.0,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=reach * energy_per_metre(p, chosen) * bits,
        leakage=leakage_per_metre(p, chosen) * length * wires,
    )


def beyond_leaf(p: Process, tree: Cost, length: Array, *, unit_width: Array, tolerance: float, bits: Array) -> Cost:
    """An H-tree whose path goes on from a leaf, over the unit that it serves.

    The wire is not drawn, as the tree's last stage is not: it lies over the unit.

    Args:
        p: Process.
        tree: Cost of the H-tree.
        length: Length of that wire. [m]
        unit_width: Width of a unit. [m]
        tolerance: As the tree's.
        bits: As the tree's.
    """
    chosen = repeater(p, tolerance, halve=True)
    latency = tree.latency + length * _delay(p, chosen, unit_width)
    return replace(
        tree,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=tree.energy + length * energy_per_metre(p, chosen) * bits,
    )


def _trunk_units(rows: Array, columns: Array) -> Array:
    """Units between the edge and the centre of the tree."""
    smaller = np.minimum(rows, columns)
    centre = np.where(exp2(ceil_log2(smaller)) == smaller, ceil_log2(smaller), ceil_log2(smaller) - 1)
    centre = np.where(columns - centre < 1, centre - 1, centre)
    return np.minimum(columns - centre, centre)


def _delay(p: Process, chosen: Repeater, length: Array) -> Array:
    """Delay per length of a wire whose width grows with its length. [s/m]"""
    classes = [2.0, 4.0]
    if p.switches.h_tree_wire_class:
        classes.insert(0, 1.0)
    delays = [delay_per_metre(chosen, _class_resistance(p, widening)) for widening in classes]
    squares = length / p.feature
    delay = np.where(squares >= _LONG, delays[-1], delays[-2])
    return np.where(squares >= _MEDIUM, delay, delays[0]) if p.switches.h_tree_wire_class else delay


def _class_resistance(p: Process, widening: float) -> float:
    """Resistance per length of a wire `widening` times as wide as in the crossbar. [ohm/m]"""
    width_nm = widening * p.wire_width * 1e9
    table = _RESISTIVITY if p.switches.h_tree_wire_class else (_RESISTIVITY[0], (0.0, *_RESISTIVITY[1][1:]))
    _, aspect_ratio, resistivity = next(entry for entry in table if width_nm >= entry[0] - 1e-6)
    return wire_resistance(width_nm * 1e-9, aspect_ratio, resistivity, p.temperature)
