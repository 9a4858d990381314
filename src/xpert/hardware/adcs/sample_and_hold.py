"""Sample and hold: a switch and a capacitor that keep a column's voltage while it is converted.

A column then draws its current while it is sampled, not during the whole conversion (`chip.converters`). The capacitor
is read by a comparator's gate alone, so no amplifier is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xpert.hardware import gates
from xpert.hardware.adcs.column_power import adc_area, adc_leakage
from xpert.hardware.adcs.matching import CAPACITANCE_DENSITY, UNIT_CAPACITOR
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

_BOLTZMANN = 1.380649e-23
"""Boltzmann constant. [J/K] Source: exact in the SI."""


class Holding(NamedTuple):
    """Cost of one sample and hold."""

    area: Array
    """Of switch and capacitor. [m2]"""

    energy: Array
    """Of one sample. [J]"""

    leakage: Array
    """Of the switch. [W]"""


def quiet_capacitor(p: Process, levels: Array) -> Array:
    """Capacitor whose thermal noise is as strong as the rounding error. [F]

    `k T / C = V**2 / (12 levels**2)`, for a range as wide as the supply; at least a unit.

    Args:
        p: Process.
        levels: ADC levels, `2**bits`.

    Source: both noises are textbook, as in Murmann, "Thermal Noise in Track-and-Hold Circuits", IEEE
    Solid-State Circuits Magazine, 2012 (cited from memory).
    """
    return np.maximum(UNIT_CAPACITOR, 12 * _BOLTZMANN * p.temperature * levels**2 / p.vdd**2)


def sample_and_hold(p: Process, bits: Array, *, sampling_time: float, holding_time: Array) -> Holding:
    """A transmission gate and a capacitor, large enough for three errors of at most half a level.

    Thermal noise as in `quiet_capacitor`; the off current of a minimum switch while it holds, `C = I t / (V / 2**(bits
    + 1))`; and settling within the sampling time, for which the switch is widened where a minimum one is too slow,
    `R C (bits + 1) ln 2 <= t`. A wider switch leaks more, which is not fed back into the capacitor: that needs a
    capacitor above 0.1 pF, for 9 bits or more. Charge injection is taken to be calibrated or differential.

    Args:
        p: Process.
        bits: ADC precision. [bit]
        sampling_time: Time in which the column is sampled. [s]
        holding_time: Time for which the sample is kept. [s]

    Source: textbook; the array charges its capacitor from the supply, `C V**2`, and a sample drives both gates once.
    """
    levels = gates.exp2(bits)
    width_n, width_p = gates.MIN_NMOS * p.feature, gates.minimum_pmos(p)
    off = gates.effective_width(p, width_n) * p.ioff_n + gates.effective_width(p, width_p) * p.ioff_p
    capacitor = np.maximum(quiet_capacitor(p, levels), off * holding_time * 2 * levels / p.vdd)
    on_resistance = gates.on_resistance_n(p, width_n)
    widening = np.maximum(1.0, on_resistance * capacitor * (bits + 1) * np.log(2) / sampling_time)
    gate = gates.gate_capacitance(p, width_n) + gates.gate_capacitance(p, width_p)
    return Holding(
        area=capacitor / CAPACITANCE_DENSITY + widening * adc_area(p, 1.0, 1.0),
        energy=(capacitor + widening * gate) * p.vdd**2,
        leakage=widening * adc_leakage(p, 1.0, 1.0),
    )


__all__ = ["Holding", "quiet_capacitor", "sample_and_hold"]
