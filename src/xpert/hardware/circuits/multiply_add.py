"""Multiply-add units of digital post-processing."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.adder import adder, adder_latency
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def multiply_add(p: Process, bits: Array, factor_bits: int, instances: Array) -> Cost:
    """Cost of units that multiply a word by a factor and add a number; one read takes one value each.

    An array multiplier: a row of adders for each bit of the factor but the first, and a NAND for each pair of bits; one
    more row adds the number. A carry passes all bits of the word and of the factor. A register keeps the result.

    Args:
        p: Process.
        bits: Word length, at least 2. [bit]
        factor_bits: Length of the factor. [bit]
        instances: Units.

    Source: array multiplier as in Weste and Harris, "CMOS VLSI Design", 4th ed., 2011, section 11.9; adders and
    flip-flops are those of the other circuits.
    """
    nand = gates.standard_nand(p)
    rows, register = adder(p, bits, factor_bits * instances), flip_flop_bank(p, (bits + factor_bits) * instances)
    products = bits * factor_bits * instances
    switched = products * (nand.input_capacitance + nand.output_capacitance)
    area = rows.area + products * nand.area + register.area
    latency = adder_latency(p, bits + factor_bits)
    return Cost(
        area=area,
        width=area / p.cell_height,
        height=p.cell_height,
        latency=latency + register.latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=rows.energy + p.vdd * p.vdd * switched * p.calibration.adder_activity + register.energy,
        leakage=rows.leakage + products * nand.leakage_current * p.vdd + register.leakage,
    )
