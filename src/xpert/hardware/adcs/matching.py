"""What ADCs need besides their fits: matched comparators, references that can be set, a reference column's subtraction.

The offset of a pair of transistors falls with the square root of their area. Source: Pelgrom, Duinmaijer and Welbers,
IEEE JSSC 24(5), 1989; Pelgrom, Tuinhout and Vertregt, IEDM 1998. The simulation draws the offset that is paid for here:
`chip.analog.adc_offset_sigma`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from xpert.hardware import gates
from xpert.hardware.adcs.column_power import adc_area, adc_leakage, resistance_power, sum_columns
from xpert.hardware.adcs.kind import Conversion
from xpert.hardware.block import Block
from xpert.hardware.circuits import Cost, flip_flop_bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import WIRE_CAPACITANCE, Process

_MISMATCH = {
    130: 4.5e-9,
    90: 4.0e-9,
    65: 3.5e-9,
    45: 3.0e-9,
    32: 2.5e-9,
    22: 2.0e-9,
    14: 1.6e-9,
    10: 1.4e-9,
    7: 1.3e-9,
}
"""Node [nm] -> spread of a pair's threshold difference times the root of a transistor's area, A_VT. [V m] Source: from
memory of published values, unverified, good to about a third; IEDM 1998 has 1 mV um per nm of gate oxide."""

SMALLEST_SIGMA = 1 / 32
"""Least offset that comparators are built for, where less is simulated. [ADC step] Source: the blur that the simulation
of the column sums allows itself (`xpert.analog.grid`)."""

UNIT_CAPACITOR = 0.5e-15
"""Unit of a capacitive DAC. [F] Source: Harpe et al., JSSC 2011 (8 bits, 90 nm)."""

CAPACITANCE_DENSITY = 2e-3
"""Capacitance of metal fingers per area. [F/m2] Source: assumed; 2 fF/um2 is usual for digital processes."""

TRANSCONDUCTANCE_EFFICIENCY = 10.0
"""Transconductance per current. [1/V] Source: strong to moderate inversion, Jespers and Murmann, "Systematic Design of
Analog CMOS Circuits", 2017."""

AMPLIFIER_TRANSISTORS = 52.0, 60.0
"""NMOS and PMOS of an amplifier: as many as a voltage-mode comparator has. Source: assumed."""

RANGE_BITS = 8.0
"""Precision with which an end of a range is set. [bit] Source: assumed; a 256th of the full scale is two steps of a
6-bit ADC whose range is an eighth of it, and the simulation knows where the levels are."""

STEP_RATE = 1e9
"""Rate at which references settle: once for each step of a SAR ADC or a ramp. [Hz] Source: as their clock."""

_LATCH_INVERTERS = 4.0
"""Inverters as large as a bit of a trim register: a latch of two inverters and two pass gates. Source: assumed."""


@lru_cache(maxsize=256)
def mismatch(p: Process) -> float:
    """Spread of a pair's threshold difference times the root of a transistor's area: Pelgrom's A_VT. [V m]

    Between the nodes of the table the logarithm is linear in that of the feature size.
    """
    nodes = sorted(_MISMATCH)
    return float(np.exp(np.interp(np.log(p.feature * 1e9), np.log(nodes), np.log([_MISMATCH[node] for node in nodes]))))


def raw_sigma(asked: Conversion) -> float:
    """Offset that may be left to the transistors, before trimming. [ADC step]

    A trim of t bits spans three standard deviations either way, in steps that leave an even distribution: of the
    standard deviation `sigma sqrt(3) / 2**t`.
    """
    sigma = max(asked.offset_sigma, SMALLEST_SIGMA)
    return sigma * 2.0**asked.trim_bits / np.sqrt(3) if asked.trim_bits else sigma


def matched_width(p: Process, sigma: Array) -> Array:
    """Drawn width of each of a pair whose thresholds differ by so much, at the shortest gate length. [m]

    It is that of the smallest transistor at least.

    Args:
        p: Process.
        sigma: Standard deviation of the difference. [V]

    Source: Pelgrom et al., JSSC 1989: `sigma = A_VT / sqrt(W L)`.
    """
    smallest = gates.MIN_NMOS * p.feature
    carries = (mismatch(p) / sigma) ** 2 / p.gate_length
    return smallest * np.maximum(1.0, carries / gates.effective_width(p, smallest))


def comparator_width(p: Process, asked: Conversion) -> Array:
    """Width of a comparator's two input transistors. [m]

    A range spans the voltage across the cells: a step is that over `2**bits`. Offsets of the latch behind the pair are
    divided by its gain, and left out.
    """
    if not p.switches.comparator_matching:
        return gates.MIN_NMOS * p.feature
    return matched_width(p, raw_sigma(asked) * asked.read_voltage / gates.exp2(asked.bits))


@lru_cache(maxsize=256)
def _smallest(p: Process) -> gates.Gate:
    """The smallest NMOS in a cell of its own."""
    return gates.gate(p, "inv", 1.0, gates.MIN_NMOS * p.feature, 0.0)


def matched(p: Process, asked: Conversion, cost: Cost, per_adc: Array, decisions: Array) -> Cost:
    """Cost of ADCs whose comparators have the offset that is simulated: larger input pairs, and trim DACs with latches.

    The trim DAC is an array of `2**t` drains of minimum transistors at the comparator's outputs. A decision charges it
    and both gates of the pair.

    Args:
        p: Process.
        asked: Of the ADCs.
        cost: Of the ADCs with minimum transistors, summed over columns.
        per_adc: Comparators of an ADC.
        decisions: Decisions of all of an ADC's comparators in a conversion.

    Source: pair Pelgrom et al., JSSC 1989; trimming by capacitors at the outputs as in Van der Plas et al., ISSCC 2006
    (flash, 4 bits, 90 nm).
    """
    if not p.switches.comparator_matching:
        return cost
    width, smallest = comparator_width(p, asked), gates.MIN_NMOS * p.feature
    units = 2.0**asked.trim_bits if asked.trim_bits else 0.0
    unit, latch = _smallest(p), gates.minimum_inverter(p)
    pair = 2 * (gates.transistor_area(p, width) - unit.area)
    n = asked.instances * per_adc
    area = cost.area + n * (pair + units * unit.area + asked.trim_bits * _LATCH_INVERTERS * latch.area)
    grown = 2 * (gates.gate_capacitance(p, width) - gates.gate_capacitance(p, smallest))
    each = decisions * (grown + units * unit.output_capacitance) * p.vdd**2
    columns = sum_columns(np.ones(np.shape(asked.column_resistance)), asked.multiplicity)
    leakage = adc_leakage(p, units, 0.0) + asked.trim_bits * 2 * latch.leakage_current * p.vdd
    return replace(
        cost,
        area=area,
        height=area / asked.width,
        energy=cost.energy + columns * each,
        leakage=cost.leakage + n * leakage,
    )


def range_generator(p: Process, asked: Conversion, load: Array, time: Array, slices: int) -> Block:
    """Both ends of the range of a subarray's ADCs.

    Each has a capacitive DAC, a buffer, and a register for each slice. Slices have ranges of their own, so DACs are set
    anew every turn. Half of what ADCs connect to their references hangs on either end. A buffer settles to half an ADC
    step within a step of a conversion: its transconductance is `C f (bits + 1) ln 2`.

    Args:
        p: Process.
        asked: Of the ADCs.
        load: Capacitance that all ADCs connect to their references. [F]
        time: Duration of a conversion. [s]
        slices: Slices of a weight.

    Source: sized as the amplifier of `adcs/ramp.py`; DAC as there.
    """
    dac = gates.exp2(RANGE_BITS) * UNIT_CAPACITOR
    registers = flip_flop_bank(p, 2 * RANGE_BITS * slices, width=asked.width)
    area = 2 * (adc_area(p, *AMPLIFIER_TRANSISTORS) + dac / CAPACITANCE_DENSITY) + registers.area
    load = load / 2 + WIRE_CAPACITANCE * asked.width
    current = load * STEP_RATE * (asked.bits + 1) * np.log(2) / TRANSCONDUCTANCE_EFFICIENCY
    cost = Cost(
        area=area,
        width=asked.width,
        height=area / asked.width,
        energy=2 * (current * p.vdd * time + (dac + load) * p.vdd**2),
        leakage=2 * adc_leakage(p, *AMPLIFIER_TRANSISTORS) + registers.leakage,
    )
    return Block("range_generator", cost, uses=asked.turns)


def subtraction(p: Process, asked: Conversion, time: Array, columns: int) -> Block:
    """Reference columns' currents, and the mirrors that take them from the column of each ADC.

    A column's current flows whether a mirror takes it or an ADC, so only the reference columns and the branches that
    turn their currents round draw more: twice what a mean column draws from a SAR ADC, in each turn. Where ADCs convert
    the same slice, as with a sharing that is a multiple of the slices, one reference column conducts at a time. Two
    transistors at each reference column and at each ADC are matched, so that the copy of a half-way column's current
    with all rows is off by no more than a comparator. Trimming finds both errors together.

    Args:
        p: Process.
        asked: Of the ADCs.
        time: How long a column conducts in a conversion. [s]
        columns: Reference columns.

    Source: mirror `sigma(I) / I = (gm / I) sigma(VT)`, Pelgrom et al., JSSC 1989.
    """
    on, off = 1 / asked.r_on, 1 / asked.r_off
    steps = gates.exp2(asked.bits) * (on + off) / 2 / (on - off)  # of the full scale, in a reference column's current
    sigma = raw_sigma(asked) / steps / TRANSCONDUCTANCE_EFFICIENCY
    width = matched_width(p, sigma) if p.switches.comparator_matching else gates.MIN_NMOS * p.feature
    area = 2 * (columns + asked.instances) * gates.transistor_area(p, width)
    power = resistance_power(p, np.zeros(1), asked.column_resistance, asked.read_voltage, current_mode=False)
    count = sum_columns(np.ones(np.shape(asked.column_resistance)), asked.multiplicity)
    mean = sum_columns(power, asked.multiplicity) / np.maximum(count, 1e-12)
    turns = np.asarray(asked.turns).astype(np.int64)
    conducting = np.minimum(asked.instances, columns // np.gcd(turns, columns))
    cost = Cost(area=area, width=asked.width, height=area / asked.width, energy=2 * conducting * mean * time)
    return Block("reference_mirrors", cost, uses=asked.turns)


__all__ = [
    "CAPACITANCE_DENSITY",
    "RANGE_BITS",
    "SMALLEST_SIGMA",
    "TRANSCONDUCTANCE_EFFICIENCY",
    "UNIT_CAPACITOR",
    "comparator_width",
    "matched",
    "matched_width",
    "mismatch",
    "range_generator",
    "raw_sigma",
    "subtraction",
]
