"""What kinds of ADC share: transistor area, power over column resistance, sums over columns."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xpert.hardware import gates
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process, at_node

FIT_VOLTAGE = 0.5
"""Read voltage of the simulations that the power fit is made from. [V] Source: DNN+NeuroSim V1.3."""

IDLE_POWER = 1e-6
"""Power where no current flows. [W] Source: DNN+NeuroSim V1.3."""

_TEMPERATURE_COEFFICIENT = 1.3e-3
"""Relative change of power per kelvin above 300 K. [1/K] Source: DNN+NeuroSim V1.3."""

_SLOPE = {
    "LSTP": dict.fromkeys((130, 90, 65, 45, 22, 14, 10, 7), 2.303) | {32: 2.297},
    "HP": {130: 2.367, 90: 2.345, 65: 2.321, 45: 2.296} | dict.fromkeys((32, 22, 14, 10, 7), 2.311) | {32: 2.313},
}
"""Roadmap, node [nm] -> decay of power per decade of resistance (2.303 is 1/R). Source: DNN+NeuroSim V1.3."""

_VOLTAGE = {
    "LSTP": {
        130: 0.169380,
        90: 0.144323,
        65: 0.121272,
        45: 0.100225,
        32: 0.079449,
        22: 0.072341,
        14: 0.061085,
        10: 0.051580,
        7: 0.043555,
    },
    "HP": {
        130: 0.207452,
        90: 0.164900,
        65: 0.128483,
        45: 0.097754,
        32: 0.083709,
        22: 0.084273,
        14: 0.060584,
        10: 0.049418,
        7: 0.040310,
    },
}
"""Roadmap, node [nm] -> power that 1 ohm would draw through a SAR or voltage-mode flash ADC. [W] Source: as above."""

_CURRENT = {
    "LSTP": {
        130: 0.1380,
        90: 0.1023,
        65: 0.0972,
        45: 0.075,
        32: 0.0649,
        22: 0.0631,
        14: 0.0508,
        10: 0.0315,
        7: 0.0235,
    },
    "HP": {130: 0.17452, 90: 0.149, 65: 0.1083, 45: 0.0754, 32: 0.079, 22: 0.073, 14: 0.0584, 10: 0.0318, 7: 0.021},
}
"""Roadmap, node [nm] -> power that 1 ohm would draw through a current-mode flash ADC. [W] Source: as above."""


def adc_area(p: Process, n_nmos: Array, n_pmos: Array) -> Array:
    """Area of an ADC made of minimum transistors, each in a cell of its own. [m2]"""
    nmos, pmos = _minimum_areas(p)
    return nmos * n_nmos + pmos * n_pmos


@lru_cache(maxsize=256)
def _minimum_areas(p: Process) -> tuple[Array, Array]:
    """Area of the smallest NMOS and PMOS, each in a cell of its own. [m2]"""
    nmos = gates.gate(p, "inv", 1.0, gates.MIN_NMOS * p.feature, 0.0)
    return nmos.area, gates.gate(p, "inv", 1.0, 0.0, gates.minimum_pmos(p)).area


def adc_leakage(p: Process, n_nmos: Array, n_pmos: Array) -> Array:
    """Leakage power of an ADC: each transistor is off half of the time, as in an inverter. [W]"""
    if not p.switches.adc_leakage:
        return 0.0
    off_n = gates.effective_width(p, gates.MIN_NMOS * p.feature) * p.ioff_n
    off_p = gates.effective_width(p, gates.minimum_pmos(p)) * p.ioff_p
    return (n_nmos * off_n + n_pmos * off_p) / 2 * p.vdd


def scaled_resistance(column_resistance: Array, read_voltage: Array) -> Array:
    """Resistance that would draw the column's current at the voltage of the power fit. `[*batch, columns]` [ohm]"""
    return column_resistance * (FIT_VOLTAGE / np.expand_dims(read_voltage, -1))


def resistance_power(
    p: Process, fixed: Array, column_resistance: Array, read_voltage: Array, *, current_mode: bool
) -> Array:
    """Power of an ADC while it converts a column. `[*batch, columns]` [W]

    Args:
        p: Process.
        fixed: Part that does not depend on the column. `[*batch, 1]` [W]
        column_resistance: `[*batch, columns]` [ohm]
        read_voltage: Across the cells. `[*batch]` [V]
        current_mode: Coefficients of a current-mode sense amplifier rather than a voltage-mode one.
    """
    resistance = scaled_resistance(column_resistance, read_voltage)
    coefficient = at_node((_CURRENT if current_mode else _VOLTAGE)[p.roadmap], p.node_nm)
    flows = np.logical_and(resistance > 0, np.isfinite(resistance))
    decades = np.log10(np.where(flows, resistance, 1.0))
    power = fixed + coefficient * np.exp(-at_node(_SLOPE[p.roadmap], p.node_nm) * decades)
    power = np.where(flows, power, np.where(resistance > 0, IDLE_POWER, 0.0))
    return at_temperature(p, power)


def at_temperature(p: Process, power: Array) -> Array:
    """Power at the process's temperature, from that at 300 K. [W]"""
    return power * (1 + _TEMPERATURE_COEFFICIENT * (p.temperature - 300))


def sum_columns(values: Array, multiplicity: Array) -> Array:
    """Sum over the trailing axis of columns, each counted `multiplicity` times, always in the same order."""
    weighted = np.asarray(values * multiplicity)
    return np.add.accumulate(weighted, axis=-1)[..., -1]
