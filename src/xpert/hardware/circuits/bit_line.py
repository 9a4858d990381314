"""SRAM bit lines: prechargers, write drivers, and how fast a cell discharges a line."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import bank
from xpert.hardware.gates import STEP, Array, horowitz
from xpert.hardware.technology import Process

_UNIT_CELLS = 3.0
"""Height of a precharger or write driver in standard cells. Source: DNN+NeuroSim V1.3."""

SENSE_SWING = 0.05
"""Voltage by which a bit line must drop before it is sensed. [V] Source: DNN+NeuroSim V1.3."""


def precharger(p: Process, instances: Array, *, width: Array, load: Array, load_resistance: Array) -> Cost:
    """Cost of the prechargers of bit-line pairs; one read charges all of them.

    Args:
        p: Process.
        instances: Columns.
        width: Imposed width. [m]
        load: Capacitance of a bit line. [F]
        load_resistance: Resistance of a bit line. [ohm]

    Source: DNN+NeuroSim V1.3.
    """
    equaliser = gates.gate(p, "inv", 1.0, 0.0, gates.enlarge(p, 0.0, gates.MIN_NMOS * p.feature)[1])
    charger = gates.gate(p, "inv", 1.0, 0.0, gates.enlarge(p, 0.0, 3 * gates.MIN_NMOS * p.feature)[1])
    area, width, height = bank(
        p, instances, np.maximum(equaliser.width, charger.width), _UNIT_CELLS * p.cell_height, width, None
    )
    output = equaliser.output_capacitance + charger.output_capacitance
    latency, ramp = horowitz(gates.on_resistance_p(p, charger.width_p) * (load + output) + load_resistance * load / 2)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency,
        energy=instances * (load * p.vdd * p.vdd) * 2,
        leakage=instances * charger.leakage_current * p.vdd,
        ramp=ramp,
    )


def sram_write_driver(p: Process, instances: Array, *, width: Array, load: Array, load_resistance: Array) -> Cost:
    """Cost of SRAM write drivers, without the bit lines' own energy; one write drives one bit each.

    Args:
        p: Process.
        instances: Columns.
        width: Imposed width. [m]
        load: Capacitance of a bit line. [F]
        load_resistance: Resistance of a bit line. [ohm]

    Source: DNN+NeuroSim V1.3.
    """
    inverter = gates.standard_inverter(p)
    area, width, height = bank(p, instances, inverter.width, _UNIT_CELLS * p.cell_height, width, None)
    own = inverter.output_capacitance + inverter.input_capacitance
    first, ramp = horowitz(gates.on_resistance_p(p, inverter.width_p) * own)
    second, _ = horowitz(
        gates.on_resistance_n(p, inverter.width_n) * (load + inverter.output_capacitance) + load_resistance * load / 2,
        ramp,
    )
    return Cost(
        area=area,
        width=width,
        height=height,
        leakage=3 * instances * inverter.leakage_current * p.vdd,
        write_latency=first + second,
        write_energy=own * p.vdd * p.vdd * instances,
    )


def sram_column_delay(
    p: Process,
    *,
    access_resistance: Array,
    access_capacitance: Array,
    pull_down_resistance: Array,
    column_capacitance: Array,
    column_resistance: Array,
    ramp: Array = STEP,
) -> Array:
    """Time in which a cell discharges its bit line enough to be sensed. [s]

    Args:
        p: Process.
        access_resistance: Of a cell's access transistor. [ohm]
        access_capacitance: Drain capacitance of that transistor. [F]
        pull_down_resistance: Of the cell's NMOS. [ohm]
        column_capacitance: Of the bit line. [F]
        column_resistance: Of the bit line. [ohm]
        ramp: Slope of the word line. [1/s]

    Source: DNN+NeuroSim V1.3.
    """
    drive = (access_resistance + pull_down_resistance) * (access_capacitance + column_capacitance)
    tau = (drive + column_resistance * column_capacitance / 2) * np.log(p.vdd / (p.vdd - SENSE_SWING))
    return horowitz(tau, ramp)[0]
