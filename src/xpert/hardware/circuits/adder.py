"""Ripple-carry adders."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array, horowitz
from xpert.hardware.technology import Process

_NANDS_PER_BIT = 9.0
"""NAND gates of a full adder. Source: DNN+NeuroSim V1.3."""


def adder(
    p: Process,
    bits: Array,
    instances: Array,
    *,
    width: Array | None = None,
    height: Array | None = None,
    load: Array = 0.0,
) -> Cost:
    """Cost of adders that all add at once.

    Args:
        p: Process.
        bits: Word length of each adder, at least 2. [bit]
        instances: Adders.
        width: Imposed width. [m]
        height: Imposed height. [m]
        load: Capacitance at the carry output. [F]

    Source: DNN+NeuroSim V1.3, full adder of nine NAND gates.
    """
    nand = gates.standard_nand(p)
    area = _NANDS_PER_BIT * bits * instances * p.cell_height * nand.width
    if width is not None and not p.switches.adder_narrow_width:
        area = np.where(_NANDS_PER_BIT * nand.width > width, 0.0, area)
    width, height = spread(area, p.cell_height, width, height)
    latency = adder_latency(p, bits, load)
    c_in, c_out = nand.input_capacitance, nand.output_capacitance
    switched = 14 * c_in + 7 * c_out + (bits - 1) * (13 * c_in + 7 * c_out)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=p.vdd * p.vdd * switched * instances * p.calibration.adder_activity,
        leakage=_NANDS_PER_BIT * bits * instances * nand.leakage_current * p.vdd,
    )


def adder_latency(p: Process, bits: Array, load: Array = 0.0) -> Array:
    """Delay of the carry through an adder of `bits` bits into `load`. [s]"""
    nand = gates.standard_nand(p)
    c_in, c_out = nand.input_capacitance, nand.output_capacitance
    down = 2 * gates.on_resistance_n(p, nand.width_n)  # two NMOS in series
    up = gates.on_resistance_p(p, nand.width_p)
    first, ramp = horowitz(down * (c_out + 3 * c_in))
    second, ramp = horowitz(up * (c_out + 2 * c_in), ramp)
    middle_down, ramp = horowitz(down * (c_out + 3 * c_in), ramp)
    middle_up, ramp = horowitz(up * (c_out + 2 * c_in), ramp)
    last_down, ramp = horowitz(down * (c_out + 3 * c_in), ramp)
    last_up, ramp = horowitz(up * (c_out + c_in), ramp)
    output, _ = horowitz(down * (c_out + load), ramp)
    middle = np.maximum(bits - 2, 0) * (middle_down + middle_up)
    return first + second + middle + last_down + last_up + output
