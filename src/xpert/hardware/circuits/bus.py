"""Buses between the subarrays of a PE."""

from __future__ import annotations

import numpy as np

from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.repeater import delay_per_metre, energy_per_metre, leakage_per_metre, repeater
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def bus(
    p: Process,
    rows: Array,
    columns: Array,
    *,
    unit_height: Array,
    unit_width: Array,
    vertical: bool,
    tolerance: float = 0.0,
    bits: Array,
) -> Cost:
    """Cost of buses along the rows or columns of a grid of units; one read moves `bits` bits over one bus.

    They run above the units and take no area of their own.

    Args:
        p: Process.
        rows: Rows of the grid.
        columns: Columns of the grid.
        unit_height: Height of a unit. [m]
        unit_width: Width of a unit. [m]
        vertical: Along the columns rather than along the rows.
        tolerance: Relative delay given up for energy.
        bits: Moved in one read, all at once. [bit]

    Source: DNN+NeuroSim V1.3.
    """
    chosen = repeater(p, tolerance, halve=False)
    length = np.multiply(unit_height, rows - 1) if vertical else np.multiply(unit_width, columns - 1)
    latency = length * delay_per_metre(chosen, p.wire_resistance)
    wires = bits * np.asarray(columns if vertical else rows) if p.switches.interconnect_leakage else rows + columns
    return Cost(
        area=0.0,
        width=0.0,
        height=0.0,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=length * energy_per_metre(p, chosen) * bits,
        leakage=leakage_per_metre(p, chosen) * length * wires,
    )
