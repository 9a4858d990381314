"""Banks of D flip-flops: registers, buffers, the state of shift-adds and switch matrices."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

_INVERTERS_WIDE = 12.0
"""Width of a flip-flop in minimum inverters. Source: DNN+NeuroSim V1.3."""


def flip_flop_bank(
    p: Process,
    instances: Array,
    *,
    width: Array | None = None,
    height: Array | None = None,
    toggling: Array | None = None,
    activity: Array = 1.0,
) -> Cost:
    """Cost of a bank of flip-flops; one read clocks all of them.

    Args:
        p: Process.
        instances: Flip-flops.
        width: Imposed width. [m]
        height: Imposed height. [m]
        toggling: Flip-flops whose value changes, at most all; all by default.
        activity: Factor on the energy.

    Source: DNN+NeuroSim V1.3, edge-triggered flip-flop of eight inverters and four pass gates.
    """
    area, width, height = bank(
        p, instances, _INVERTERS_WIDE * gates.minimum_inverter(p).width, p.cell_height, width, height
    )
    cell = gates.standard_inverter(p)
    load = cell.input_capacitance + cell.output_capacitance
    clocked = 4 * instances * load + 2 * instances * cell.input_capacitance
    # Data path: three nodes between inverters and pass gates, whose drains are as large as an inverter's.
    data = (3 * cell.output_capacitance + cell.input_capacitance) + 2 * cell.output_capacitance + load
    changing = instances if toggling is None else np.minimum(toggling, instances)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=0.5 / p.logic_clock,
        cycles=1.0,
        energy=p.vdd * p.vdd * (clocked + changing * data) * activity,
        leakage=8 * instances * cell.leakage_current * p.vdd,
    )
