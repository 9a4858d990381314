"""Max pooling."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.comparator import comparator
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array, horowitz
from xpert.hardware.technology import Process


def max_pooling(
    p: Process, bits: Array, window: Array, instances: Array, *, width: Array | None = None, load: Array = 0.0
) -> Cost:
    """Cost of max-pooling units; one read reduces one window in each.

    Args:
        p: Process.
        bits: Word length. [bit]
        window: Values in a window.
        instances: Units.
        width: Imposed width. [m]
        load: Capacitance at the output of a stage. [F]

    Source: DNN+NeuroSim V1.3: a tree of comparators, each with a latch and a selector per bit.
    """
    unit = gates.MIN_NMOS * p.feature
    inverter, nand = gates.standard_inverter(p), gates.standard_nand(p)
    nor = gates.gate(p, "nor", 2.0, *gates.enlarge(p, 4 * unit, gates.minimum_pmos(p)))
    wide = gates.gate(p, "nor", bits, *gates.enlarge(p, np.multiply(2 * unit, bits), gates.minimum_pmos(p)))
    n_comparators, stages = _tree(window)

    row = (
        bits * (comparator(p, 1.0).width + 5 * inverter.width)
        + 6 * inverter.width
        + (nand.width + inverter.width)
        + nor.width
        + wide.width
    )
    area = instances * n_comparators * row * p.cell_height
    width, height = spread(area, p.cell_height, width, None)

    bitwise = comparator(p, 1.0, load=2 * inverter.output_capacitance)
    gather, _ = horowitz(
        2
        * gates.on_resistance_n(p, wide.width_n)
        * (2 * inverter.input_capacitance + bits * inverter.output_capacitance)
    )
    series_n = 2 * gates.on_resistance_n(p, inverter.width_n)
    select, ramp = horowitz(series_n * (inverter.input_capacitance + wide.output_capacitance))
    output, _ = horowitz(series_n * (2 * inverter.input_capacitance + load), ramp)
    # On average the comparison is decided half-way through the word.
    latency = bitwise.latency * bits / 2 + gather + select + output
    control = (
        (nand.input_capacitance + inverter.output_capacitance)
        + (nor.input_capacitance + inverter.output_capacitance)
        + 2 * (inverter.input_capacitance + inverter.output_capacitance)
        + (wide.input_capacitance + inverter.output_capacitance)
    )
    energy = p.calibration.control_activity * p.vdd * p.vdd * control + comparator(p, 1.0).energy * bits / 2
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency * stages,
        cycles=np.ceil(latency * p.logic_clock) * stages,
        energy=energy * n_comparators * instances,
        leakage=inverter.leakage_current * p.vdd * n_comparators * instances,
    )


def _tree(window: Array) -> tuple[Array, Array]:
    """Comparators that a window takes, and the stages in which they stand."""
    left = np.asarray(window, dtype=np.float64)
    odd = np.mod(left, 2)
    n_comparators, stages = odd, odd
    while np.any(left > 0):
        stages = stages + (left > 0)
        left = np.floor(left / 2)
        n_comparators = n_comparators + left
    return n_comparators, stages
