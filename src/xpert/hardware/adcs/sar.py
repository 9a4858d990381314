"""Successive-approximation ADCs: small, one bit per step."""

from __future__ import annotations

import numpy as np

from xpert.hardware.adcs.column_power import adc_area, adc_leakage, at_temperature, resistance_power, sum_columns
from xpert.hardware.adcs.kind import AdcKind, Conversion
from xpert.hardware.adcs.matching import matched
from xpert.hardware.adcs.sample_and_hold import sample_and_hold
from xpert.hardware.block import Block
from xpert.hardware.circuits import Cost
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process, at_node

STEP_TIME = 1e-9
"""Duration of one approximation step. [s] Source: DNN+NeuroSim V1.3."""

_NMOS, _NMOS_PER_BIT = 269.0, 109.0
"""NMOS of a 1-bit converter, and of each further bit. Source: DNN+NeuroSim V1.3."""

_PMOS, _PMOS_PER_BIT = 209.0, 73.0
"""PMOS of a 1-bit converter, and of each further bit. Source: DNN+NeuroSim V1.3."""

_POWER = {
    "LSTP": {
        130: (8.4483, 65.243),
        90: (5.9869, 37.462),
        65: (3.7506, 25.844),
        45: (2.1691, 16.693),
        32: (1.1294, 8.8998),
        22: (0.538, 4.3753),
        14: (0.3132, 2.5681),
        10: (0.1823, 1.5073),
        7: (0.1061, 0.8847),
    },
    "HP": {
        130: (6.4806, 49.047),
        90: (4.3474, 31.782),
        65: (2.9503, 22.047),
        45: (2.1843, 11.931),
        32: (1.0157, 7.6286),
        22: (0.7213, 3.3041),
        14: (0.4710, 1.9529),
        10: (0.3076, 1.1543),
        7: (0.2008, 0.6823),
    },
}
"""Roadmap, node [nm] -> power per bit and of the rest [uW]. Source: DNN+NeuroSim V1.3, fit to SPICE."""


def sar_adc(
    p: Process,
    bits: Array,
    instances: Array,
    *,
    width: Array,
    column_resistance: Array,
    read_voltage: Array,
    multiplicity: Array = 1.0,
) -> Cost:
    """Cost of SAR ADCs; one read converts every column once (latency: one conversion).

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: ADCs.
        width: Imposed width. [m]
        column_resistance: Resistance of each (group of) column; infinite without active rows. `[*batch, columns]` [ohm]
        read_voltage: Across the cells. [V]
        multiplicity: Columns in each group. `[*batch, columns]`

    With a sample and hold a column draws its current in the first step, in which it is sampled; in the others the
    converter has its own power alone, or idles where there was no current. The duration stays.

    Source: DNN+NeuroSim V1.3; power is a fit to SPICE, whose resistance term dominates.
    """
    n_nmos = _NMOS + _NMOS_PER_BIT * (bits - 1)
    n_pmos = _PMOS + _PMOS_PER_BIT * (bits - 1)
    area = instances * adc_area(p, n_nmos, n_pmos)
    latency = (bits + 1) * STEP_TIME
    per_bit, rest = at_node(_POWER[p.roadmap], p.node_nm)
    fixed = (per_bit * bits + rest) * 1e-6
    power = resistance_power(p, np.expand_dims(fixed, -1), column_resistance, read_voltage, current_mode=False)
    leakage = instances * adc_leakage(p, n_nmos, n_pmos)
    if not p.converters.sample_and_hold:
        energy = sum_columns(power, multiplicity) * latency
    else:
        holding_time = latency - STEP_TIME
        held = sample_and_hold(p, bits, sampling_time=STEP_TIME, holding_time=holding_time)
        area, leakage = area + instances * held.area, leakage + instances * held.leakage
        own = np.minimum(power, np.expand_dims(at_temperature(p, fixed), -1))
        each = power * STEP_TIME + own * np.expand_dims(holding_time, -1) + np.expand_dims(held.energy, -1)
        energy = sum_columns(each, multiplicity)
    return Cost(area=area, width=width, height=area / width, latency=latency, energy=energy, leakage=leakage)


def _blocks(p: Process, asked: Conversion) -> list[Block]:
    cost = sar_adc(
        p,
        asked.bits,
        asked.instances,
        width=asked.width,
        column_resistance=asked.column_resistance,
        read_voltage=asked.read_voltage,
        multiplicity=asked.multiplicity,
    )
    # One comparator decides on one bit after the other.
    return [Block("sar_adc", matched(p, asked, cost, 1.0, asked.bits), of_columns=True)]


SAR = AdcKind(_blocks, column_time=lambda p: STEP_TIME if p.converters.sample_and_hold else None)
"""Successive approximation: small and slow, one bit per step."""

__all__ = ["SAR", "STEP_TIME", "sar_adc"]
