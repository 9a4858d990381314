"""Sense amplifiers of SRAM columns and of look-up tables. Not on the parallel read path."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

_SENSE_P, _SENSE_N, _ISOLATION, _ENABLE, _MUX = 7.5, 3.75, 12.5, 5.0, 9.0
"""Transistor widths in feature sizes. Source: DNN+NeuroSim V1.3, after CACTI."""

_SENSE_VOLTAGE = 0.1
"""Voltage difference that is sensed. [V] Source: DNN+NeuroSim V1.3."""

_VOLTAGE_SENSE_ENERGY, _VOLTAGE_SENSE_SUPPLY = 9.845e-15, 1.1
"""Energy of a voltage sense amplifier [J] at a supply [V]. Source: DNN+NeuroSim V1.3, 65 nm."""


def sense_amplifier(
    p: Process, instances: Array, *, pitch: Array, width: Array | None = None, height: Array | None = None
) -> Cost:
    """Cost of latch sense amplifiers; one read senses all columns once.

    Args:
        p: Process.
        instances: Columns.
        pitch: Width of a column. [m]
        width: Imposed width. [m]
        height: Imposed height (where no width is). [m]

    Source: DNN+NeuroSim V1.3, whose leakage counts the supply twice; kept, as nothing uses it.
    """
    f = p.feature

    def alone(n: float, q: float) -> gates.Gate:
        return gates.gate(p, "inv", 1.0, n * f, q * f, pitch)

    sense_p, sense_n = alone(0.0, _SENSE_P), alone(_SENSE_N, 0.0)
    isolation, enable, mux = alone(0.0, _ISOLATION), alone(_ENABLE, 0.0), alone(_MUX, 0.0)
    area = instances * (sense_p.area * 2 + sense_n.area * 2 + isolation.area + enable.area)
    width, height = spread(area, pitch, width, height)
    capacitance = (
        gates.gate_capacitance(p, (_SENSE_P + _SENSE_N) * f)
        + sense_n.output_capacitance
        + sense_p.output_capacitance
        + isolation.output_capacitance
        + mux.output_capacitance
    )
    gain = gates.transconductance_n(p, _SENSE_N * f) + gates.transconductance_p(p, _SENSE_P * f)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=capacitance / gain * np.log(p.vdd / _SENSE_VOLTAGE),
        energy=capacitance * p.vdd * p.vdd * instances,
        leakage=enable.leakage_current * p.vdd * p.vdd * instances,
    )


def voltage_sense_amplifier(p: Process, instances: Array, *, read_voltage: Array, r_on: Array, r_off: Array) -> Cost:
    """Cost of voltage sense amplifiers for resistive cells; one read senses all columns once.

    Args:
        p: Process.
        instances: Columns.
        read_voltage: Across a cell. [V]
        r_on: Small resistance of a cell, with its access transistor. [ohm]
        r_off: Large resistance of a cell, with its access transistor. [ohm]

    Source: DNN+NeuroSim V1.3. The leakage is that of one amplifier, as there.
    """
    nmos = gates.gate(p, "inv", 1.0, gates.MIN_NMOS * p.feature, 0.0)
    # The reference lays the PMOS out as an NMOS of the same width.
    pmos = gates.gate(p, "inv", 1.0, gates.minimum_pmos(p), 0.0)
    area = (6 * nmos.area + 5 * pmos.area) * instances
    width, height = spread(area, p.cell_height, None, None)
    node = nmos.input_capacitance + nmos.output_capacitance + pmos.output_capacitance
    difference = read_voltage / r_on - read_voltage / r_off
    precharge = 2.3 * gates.on_resistance_p(p, gates.minimum_pmos(p)) * node
    sensing = _SENSE_VOLTAGE * (node + nmos.output_capacitance) / difference
    nand = gates.gate(p, "nand", 2.0, gates.MIN_NMOS * p.feature, gates.minimum_pmos(p))
    scale = p.vdd / _VOLTAGE_SENSE_SUPPLY
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=precharge + sensing + 2 / p.logic_clock,
        energy=_VOLTAGE_SENSE_ENERGY * scale * scale * instances,
        leakage=2 * nand.leakage_current * p.vdd,
    )
