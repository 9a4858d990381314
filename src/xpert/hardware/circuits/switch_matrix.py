"""Switch matrices: flip-flops and pass gates that put read voltages on the rows and columns of a crossbar."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.circuits.placement import lanes
from xpert.hardware.gates import Array, horowitz
from xpert.hardware.technology import Process

IR_DROP_TOLERANCE = 0.25
"""Resistance of a pass gate over that of what it drives. Source: DNN+NeuroSim V1.3."""


def pass_gate_widths(p: Process, resistance: Array) -> tuple[Array, Array]:
    """Widths of the NMOS and PMOS whose pass gate has this resistance, grown to fill a cell if small. [m]"""
    unit_n = gates.on_resistance_n(p, p.feature) * p.feature * gates.LINEAR_REGION
    unit_p = gates.on_resistance_p(p, p.feature) * p.feature * gates.LINEAR_REGION
    return gates.enlarge(p, unit_n / (resistance * 2), unit_p / (resistance * 2))


def wordline_switch_matrix(
    p: Process,
    instances: Array,
    *,
    height: Array,
    row_activity: Array,
    load: Array,
    load_resistance: Array,
    read_voltage: Array,
    access_gate_voltage: Array,
) -> Cost:
    """Cost of the drivers of word lines with access transistors (1T1R, FeFET); one read applies one input bit per row.

    Args:
        p: Process.
        instances: Rows.
        height: Imposed height. [m]
        row_activity: Share of active rows.
        load: Capacitance of a word line. [F]
        load_resistance: Resistance of a word line. [ohm]
        read_voltage: Across the cells. [V]
        access_gate_voltage: Gate voltage of the access transistors. [V]

    Source: DNN+NeuroSim V1.3: a flip-flop and four pass gates per row.
    """
    inverter = gates.standard_inverter(p)
    width_n, width_p = inverter.width_n, inverter.width_p
    resistance = gates.LINEAR_REGION * gates.on_resistance_n(p, width_n)
    columns, gate_height = _stack(p, instances, height)
    registers = flip_flop_bank(p, instances, height=height)
    pass_gate = gates.gate(p, "inv", 1.0, width_n, width_p, gate_height)
    width = 4 * pass_gate.width * columns + registers.width
    drain = pass_gate.output_capacitance
    latency, ramp = horowitz(resistance * (5 * drain + load) + load_resistance * load / 2)
    per_row = (
        2 * drain * (access_gate_voltage * access_gate_voltage)
        + 5 * drain * (read_voltage * read_voltage)
        + 3 * pass_gate.input_capacitance * (p.vdd * p.vdd)
    )
    return Cost(
        area=height * width,
        width=width,
        height=height,
        latency=latency,
        energy=instances * row_activity * per_row + registers.energy,
        leakage=registers.leakage,
        ramp=ramp,
    )


def switch_matrix(
    p: Process,
    instances: Array,
    *,
    target_resistance: Array,
    width: Array | None = None,
    height: Array | None = None,
    row_activity: Array,
    load: Array,
    load_resistance: Array,
    read_voltage: Array,
) -> Cost:
    """Cost of a switch matrix: of rows where `height` is imposed, of columns where `width` is.

    One read applies one input bit per row. On columns it only clocks the flip-flops; the pass gates stay as they are.

    Args:
        p: Process.
        instances: Rows or columns.
        target_resistance: Resistance of what one switch drives. [ohm]
        width: Imposed width. [m]
        height: Imposed height. [m]
        row_activity: Share of active rows.
        load: Capacitance of a line. [F]
        load_resistance: Resistance of a line. [ohm]
        read_voltage: Across the cells. [V]

    Source: DNN+NeuroSim V1.3: a flip-flop and two pass gates per line.
    """
    resistance = target_resistance * IR_DROP_TOLERANCE
    width_n, width_p = pass_gate_widths(p, resistance)
    gate_capacitance = gates.gate_capacitance(p, width_n) + gates.gate_capacitance(p, width_p)
    if width is not None:
        rows, pass_gate_height = pass_gate_bank(p, instances, width_n, width_p, width, per_unit=2)
        registers = flip_flop_bank(p, instances, width=width)
        height = pass_gate_height * rows + registers.height
        drain = gates.drain_capacitance(p, width_n, width_p, pass_gate_height)
        energy = registers.energy
    else:
        if height is None:
            raise ValueError("a switch matrix needs an imposed width or height")
        columns, gate_height = _stack(p, instances, height)
        registers = flip_flop_bank(p, instances, height=height)
        pass_gate = gates.gate(p, "inv", 1.0, width_n, width_p, gate_height)
        width = 2 * pass_gate.width * columns + registers.width
        drain = pass_gate.output_capacitance
        per_row = 3 * drain * (read_voltage * read_voltage) + gate_capacitance * (p.vdd * p.vdd)
        energy = instances * row_activity * per_row + registers.energy
    latency, ramp = horowitz(resistance * (3 * drain + load) + load_resistance * load / 2)
    return Cost(
        area=height * width,
        width=width,
        height=height,
        latency=latency,
        energy=energy,
        leakage=registers.leakage,
        ramp=ramp,
    )


def pass_gate_bank(
    p: Process, instances: Array, width_n: Array, width_p: Array, width: Array, *, per_unit: int
) -> tuple[Array, Array]:
    """Rows of pass gates under an imposed width (infinite if none fits), and the height of one folded to fill it. [m]

    Args:
        p: Process.
        instances: Units of `per_unit` pass gates side by side.
        width_n: NMOS of a pass gate. [m]
        width_p: PMOS of a pass gate. [m]
        width: Imposed width. [m]
        per_unit: Pass gates in a unit.

    Source: DNN+NeuroSim V1.3; planar pitches at all nodes, as there.
    """
    pitch = gates.POLY_PITCH_PLANAR * p.feature
    rows = lanes(instances, gates.floor(p, width / (2 * pitch * per_unit)))
    folds = gates.floor(p, width / _per_lane(instances, rows) / per_unit / pitch) - 1
    _, height = gates.pass_gate_layout(p, width_n, width_p, np.maximum(folds, 1.0))
    return rows, height


def _stack(p: Process, instances: Array, height: Array) -> tuple[Array, Array]:
    """Columns of gates under an imposed height, and the height that each gate gets. [m]"""
    columns = lanes(instances, gates.floor(p, height / p.cell_height))
    return columns, height / _per_lane(instances, columns)


def _per_lane(instances: Array, n_lanes: Array) -> Array:
    """Units in a full lane if they are spread evenly; 1 where none fits, to keep what is computed from it finite."""
    return np.maximum(np.ceil(instances / n_lanes), 1.0)
