"""Column multiplexers: they connect one of several columns to an ADC."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.switch_matrix import IR_DROP_TOLERANCE, pass_gate_bank, pass_gate_widths
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

_TIME_CONSTANTS = 2.3
"""Time constants until a tenth of the swing is left: ln 10, rounded as in DNN+NeuroSim V1.3."""


def column_mux(
    p: Process,
    instances: Array,
    inputs: Array,
    *,
    target_resistance: Array,
    width: Array,
    height: Array | None = None,
    load: Array = 0.0,
    read_voltage: Array,
) -> Cost:
    """Cost of the multiplexers; one read connects one column to each output.

    Args:
        p: Process.
        instances: Outputs.
        inputs: Columns per output.
        target_resistance: Resistance of a column. [ohm]
        width: Imposed width. [m]
        height: Imposed height: a subarray makes multiplexer and decoder equally high. [m]
        load: Capacitance at an output. [F]
        read_voltage: Across the cells. [V]

    Source: DNN+NeuroSim V1.3.
    """
    width_n, width_p = pass_gate_widths(p, target_resistance * IR_DROP_TOLERANCE)
    on_n = gates.on_resistance_n(p, width_n) * gates.LINEAR_REGION
    on_p = gates.on_resistance_p(p, width_p) * gates.LINEAR_REGION
    resistance = 1 / (1 / on_n + 1 / on_p)
    gate_n, gate_p = gates.gate_capacitance(p, width_n), gates.gate_capacitance(p, width_p)
    if height is None:
        rows, gate_height = pass_gate_bank(p, instances * inputs, width_n, width_p, width, per_unit=1)
        height = gate_height * rows
    else:
        # As in the reference, whose second pass over the layout sees the gates unfolded.
        _, gate_height = gates.pass_gate_layout(p, width_n, width_p, 1.0)
    drain = gates.drain_capacitance(p, width_n, width_p, gate_height)
    return Cost(
        area=width * height,
        width=width,
        height=height,
        latency=_TIME_CONSTANTS * 2 * resistance * (drain + (gate_n + gate_p) / 2 + load),
        energy=instances * (gate_n * (p.vdd * p.vdd) + 2 * drain * (read_voltage * read_voltage)),
    )


def column_mux_gates(p: Process, target_resistance: Array) -> tuple[Array, Array]:
    """Gate capacitance of one pass gate's NMOS and PMOS: what the decoder drives, per output. [F]"""
    width_n, width_p = pass_gate_widths(p, target_resistance * IR_DROP_TOLERANCE)
    return gates.gate_capacitance(p, width_n), gates.gate_capacitance(p, width_p)


def read_write_mux(p: Process, instances: Array, *, width: Array, row_activity: Array, read_voltage: Array) -> Cost:
    """Cost of multiplexers that separate read from write paths; one read sets them once. Not on the parallel read path.

    Args:
        p: Process.
        instances: Inputs.
        width: Imposed width. [m]
        row_activity: Share of active rows.
        read_voltage: Across the cells. [V]

    Source: DNN+NeuroSim V1.3: three pass gates per input.
    """
    inverter = gates.standard_inverter(p)
    rows, gate_height = pass_gate_bank(p, 3 * instances, inverter.width_n, inverter.width_p, width, per_unit=2)
    height = rows * gate_height
    drain = gates.drain_capacitance(p, inverter.width_n, inverter.width_p, gate_height)
    per_input = 3 * drain * (read_voltage * read_voltage) + 2 * inverter.input_capacitance * (p.vdd * p.vdd)
    return Cost(
        area=np.multiply(width, height),
        width=width,
        height=height,
        energy=row_activity * instances * per_input,
    )
