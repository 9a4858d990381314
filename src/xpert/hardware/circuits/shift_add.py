"""Shift-and-add units: they sum the partial results of weight slices or of input cycles."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.adder import adder, adder_latency
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

READ_PULSE = 10e-9
"""Time between two partial results, which hides as much of the addition. [s] Source: DNN+NeuroSim V1.3."""


def shift_add(p: Process, adder_bits: Array, instances: Array, shifts: Array, *, width: Array) -> Cost:
    """Cost of shift-adds; one read takes one partial result each.

    Without a clock, several reads in a row overlap: see `shift_add_latency`.

    Args:
        p: Process.
        adder_bits: Precision of the partial results. [bit]
        instances: Units.
        shifts: Partial results that make up a sum, each one place further.
        width: Imposed width. [m]

    Source: DNN+NeuroSim V1.3.
    """
    sum_unit = adder(p, adder_bits, instances, width=width)
    register = flip_flop_bank(
        p, instances * (adder_bits + shifts), width=width, activity=p.calibration.flip_flop_activity
    )
    height = sum_unit.height + p.cell_height + register.height
    load = gates.standard_inverter(p).output_capacitance  # of the register's input pass gate
    return Cost(
        area=height * width,
        width=width,
        height=height,
        latency=adder_latency(p, adder_bits, load) + 0.5 / p.logic_clock,
        cycles=1.0,
        energy=sum_unit.energy + register.energy,
        leakage=sum_unit.leakage + register.leakage,
    )


def shift_add_latency(latency: Array, reads: Array) -> Array:
    """Delay of `reads` partial results in a row without a clock: only what exceeds the read pulse adds up. [s]

    Args:
        latency: Of one read. [s]
        reads: Partial results; 0 take no time in excess, as in the reference.
    """
    return latency + np.maximum(latency - READ_PULSE, 0.0) * (reads - 1)
