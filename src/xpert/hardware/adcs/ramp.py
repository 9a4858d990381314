"""Ramp (single-slope) ADCs: one ramp and one counter for a subarray, a comparator and a latch for each column in turn.

A capacitive digital-to-analogue converter follows a counter and makes the ramp that all comparators of the subarray
see. Each column's voltage is sampled first, so its current flows for one clock only. When the ramp crosses it, the
comparator stops the latches, which keep the counter's word. `2**bits` clocks make a conversion: one to sample and one
for each of the `2**bits - 1` thresholds.

Source of the architecture: Spear et al., IEEE JXCDC 2023, "The Impact of Analog-to-Digital Converter Architecture and
Variability on Analog Neural Network Accuracy" (capacitive DAC shared by the array's columns, comparator per column);
its errors, too, are these: the mismatch of the DAC is common to all columns, the offset is the comparator's. Latches
behind a common counter are what image sensors have; HERMES (Khaddam-Aljameh et al., JSSC 2022) has an oscillator and
a counter per column in the place of ramp and latches.

Coefficients are those of circuits that other kinds have: comparators and their power as in a flash ADC in voltage
mode, flip-flops as everywhere. What is new has its source below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpert.hardware import gates
from xpert.hardware.adcs.column_power import adc_area, adc_leakage, at_temperature, resistance_power, sum_columns
from xpert.hardware.adcs.flash import COMPARATOR_POWER, COMPARATOR_TRANSISTORS
from xpert.hardware.adcs.kind import AdcEffect, AdcKind, Conversion, Normal
from xpert.hardware.adcs.matching import (
    CAPACITANCE_DENSITY,
    TRANSCONDUCTANCE_EFFICIENCY,
    UNIT_CAPACITOR,
    comparator_width,
    matched,
)
from xpert.hardware.adcs.sample_and_hold import quiet_capacitor
from xpert.hardware.block import Block
from xpert.hardware.circuits import Cost, flip_flop_bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import WIRE_CAPACITANCE, Process, at_node

CLOCK = 1e9
"""Clock of the counter. [Hz] Source: the steps of the SAR ADC, DNN+NeuroSim V1.3. HERMES (JSSC 2022) takes 0.3 ns per
level at 14 nm, column ADCs of image sensors at 0.18 um take 5 ns (Santos et al., Electronic Imaging 2024)."""

SAMPLING_TIME = 1 / CLOCK
"""How long a column is sampled. [s] Source: one clock, as a step of the SAR ADC, DNN+NeuroSim V1.3."""


def ramp_adc(
    p: Process,
    bits: Array,
    instances: Array,
    *,
    width: Array,
    column_resistance: Array,
    read_voltage: Array,
    multiplicity: Array = 1.0,
) -> Cost:
    """Cost of comparators, sampling capacitors and latches; one read converts every column once.

    The capacitor is as large as its noise asks for (`quiet_capacitor`).

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: ADCs.
        width: Imposed width. [m]
        column_resistance: Resistance of each (group of) column; infinite without active rows. `[*batch, columns]` [ohm]
        read_voltage: Across the cells. [V]
        multiplicity: Columns in each group. `[*batch, columns]`
    """
    levels = gates.exp2(bits)
    capacitor = quiet_capacitor(p, levels)
    n_nmos, n_pmos = COMPARATOR_TRANSISTORS["voltage"]
    comparator = at_node(COMPARATOR_POWER[p.roadmap, "voltage"], p.node_nm) * 1e-6
    latches, latch = flip_flop_bank(p, instances * bits, width=width), flip_flop_bank(p, bits)
    area = instances * (adc_area(p, n_nmos, n_pmos) + capacitor / CAPACITANCE_DENSITY) + latches.area
    # [*batch, columns]: while it is sampled, a column draws what it draws from a SAR ADC.
    sampling = resistance_power(p, comparator, column_resistance, read_voltage, current_mode=False) / CLOCK
    each = at_temperature(p, comparator) * (levels - 1) / CLOCK + capacitor * p.vdd**2 + latch.energy  # [*batch]
    return Cost(
        area=area,
        width=width,
        height=area / width,
        latency=levels / CLOCK,
        energy=sum_columns(sampling + np.expand_dims(each, -1), multiplicity),
        leakage=instances * adc_leakage(p, n_nmos, n_pmos) + latches.leakage,
    )


def ramp_generator(p: Process, bits: Array, instances: Array, *, width: Array, comparator: Array | None = None) -> Cost:
    """Cost of the DAC and its amplifier; one read is one ramp, for all ADCs of the subarray.

    The amplifier returns from the top of the range within the sampling clock, to half a level: its transconductance is
    `C f (bits + 1) ln 2`, where C is the line over all columns with a comparator's gate at each ADC. Every unit of the
    DAC is charged once. Amplifier and comparator have as many transistors.

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: ADCs that the ramp goes to.
        width: Imposed width, and length of the line. [m]
        comparator: Width of a comparator's input transistor; the smallest by default. [m]
    """
    levels = gates.exp2(bits)
    n_nmos, n_pmos = COMPARATOR_TRANSISTORS["voltage"]
    comparator = gates.MIN_NMOS * p.feature if comparator is None else comparator
    area = adc_area(p, n_nmos, n_pmos) + levels * UNIT_CAPACITOR / CAPACITANCE_DENSITY
    line = WIRE_CAPACITANCE * width + instances * gates.gate_capacitance(p, comparator)
    current = line * CLOCK * (bits + 1) * np.log(2) / TRANSCONDUCTANCE_EFFICIENCY
    energy = current * p.vdd * levels / CLOCK + (levels * UNIT_CAPACITOR + line) * p.vdd**2
    return Cost(area=area, width=width, height=area / width, energy=energy, leakage=adc_leakage(p, n_nmos, n_pmos))


def ramp_counter(p: Process, bits: Array, instances: Array, *, width: Array) -> Cost:
    """Cost of the counter and the lines on which its word reaches the latches; one read counts all levels.

    A ripple counter: each flip-flop is clocked by the one before, so bit k toggles every `2**k` clocks, and all bits
    together twice a clock, `2 (2**bits - 1)` times. It settles within a clock, at the end of which latches close. Every
    second toggle raises a line.

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: ADCs that the word goes to.
        width: Imposed width, and length of the lines. [m]
    """
    register, flip_flop = flip_flop_bank(p, bits, width=width), flip_flop_bank(p, 1.0)
    line = WIRE_CAPACITANCE * width + instances * gates.standard_inverter(p).input_capacitance
    toggles = 2 * (gates.exp2(bits) - 1)
    return Cost(
        area=register.area,
        width=width,
        height=register.height,
        energy=toggles * (flip_flop.energy + line * p.vdd**2 / 2),
        leakage=register.leakage,
    )


def _blocks(p: Process, asked: Conversion) -> list[Block]:
    converters = ramp_adc(
        p,
        asked.bits,
        asked.instances,
        width=asked.width,
        column_resistance=asked.column_resistance,
        read_voltage=asked.read_voltage,
        multiplicity=asked.multiplicity,
    )
    # All ADCs of a subarray convert a column each on the same ramp: one ramp, one count for each turn.
    width = comparator_width(p, asked)
    generator = ramp_generator(p, asked.bits, asked.instances, width=asked.width, comparator=width)
    counter = ramp_counter(p, asked.bits, asked.instances, width=asked.width)
    return [
        # The ramp crosses a column once.
        Block("ramp_adc", matched(p, asked, converters, 1.0, 1.0), of_columns=True),
        Block("ramp_generator", generator, uses=asked.turns),
        Block("ramp_counter", counter, uses=asked.turns),
    ]


def _errors(effect: AdcEffect, normal: Normal, shape: tuple[int, ...]) -> Any:
    """Comparators have offsets of their own; the ramp's slope, and with it the gain, is common to a crossbar."""
    return normal(effect, shape if effect == "adc_offset" else (*shape[:-1], 1))


def _reference_load(p: Process, asked: Conversion) -> Array:
    """The DAC that makes the ramp."""
    return gates.exp2(asked.bits) * UNIT_CAPACITOR


RAMP = AdcKind(_blocks, _errors, reference_load=_reference_load, column_time=lambda p: SAMPLING_TIME)
"""A ramp that all columns are compared with: smallest and slowest, twice the time for each bit."""

__all__ = ["CLOCK", "RAMP", "ramp_adc", "ramp_counter", "ramp_generator"]
