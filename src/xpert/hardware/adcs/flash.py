"""Flash ADCs: one comparator per level, all at once; and the encoder behind them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xpert.hardware import gates
from xpert.hardware.adcs.column_power import (
    adc_area,
    adc_leakage,
    resistance_power,
    scaled_resistance,
    sum_columns,
)
from xpert.hardware.adcs.kind import AdcKind, Conversion
from xpert.hardware.adcs.matching import comparator_width, matched
from xpert.hardware.block import Block
from xpert.hardware.circuits import Cost
from xpert.hardware.circuits.placement import lanes
from xpert.hardware.gates import Array, horowitz
from xpert.hardware.technology import Process, at_node

FASTEST, SLOWEST = 1e-9, 10e-9
"""Bounds of a comparison's duration. [s] Source: DNN+NeuroSim V1.3."""

COMPARATOR_TRANSISTORS = {"current": (57.0, 49.0), "voltage": (52.0, 60.0)}
"""Sensing -> NMOS and PMOS of one comparator. Source: DNN+NeuroSim V1.3."""

COMPARATOR_POWER = {
    ("LSTP", "current"): {
        130: 18.09,
        90: 12.612,
        65: 8.4147,
        45: 6.3162,
        32: 3.0875,
        22: 1.7,
        14: 1.0,
        10: 0.55,
        7: 0.35,
    },
    ("LSTP", "voltage"): {
        130: 23.4,
        90: 14.42,
        65: 10.18,
        45: 7.062,
        32: 3.692,
        22: 1.866,
        14: 1.126,
        10: 0.6917,
        7: 0.4211,
    },
    ("HP", "current"): {
        130: 19.898,
        90: 13.09,
        65: 9.9579,
        45: 7.7017,
        32: 3.9648,
        22: 1.8939,
        14: 1.2,
        10: 0.8,
        7: 0.5,
    },
    ("HP", "voltage"): {
        130: 27.84,
        90: 22.2,
        65: 13.058,
        45: 8.162,
        32: 4.76,
        22: 2.373,
        14: 1.467,
        10: 0.9077,
        7: 0.5614,
    },
}
"""Roadmap, sensing -> node [nm] -> power of one comparator. [uW] Source: DNN+NeuroSim V1.3, fit to SPICE."""

_FAR_BELOW, _BELOW, _ABOVE, _FAR_ABOVE = 0.05, 0.9, 1.1, 20.0
"""Reference over column resistance: outside the outer two a comparison is fastest; between the inner two, slowest.
Source: DNN+NeuroSim V1.3."""

_DELAY = {
    130: (0.2679, 0.0478, (3.915, -5.3996, 2.4653, 0.3856), (0.0004, -0.0087, 0.0742, -0.2725, 1.2211)),
    90: (0.0586, 1.41, (3.726, -5.651, 2.8249, 0.3574), (8e-7, -7e-5, 0.0017, -0.0188, 0.9835)),
    65: (0.1239, 0.6642, (1.3899, -2.6913, 2.0483, 0.3202), (0.0036, -0.0363, 0.1043, -0.0346, 1.0512)),
    45: (0.0714, 0.7651, (3.7949, -5.6685, 2.6492, 0.4807), (1e-6, -6e-5, 1e-4, -0.0171, 1.0057)),
    32: (0.0714, 0.7651, (3.7949, -5.6685, 2.6492, 0.4807), (1e-6, -6e-5, 1e-4, -0.0171, 1.0057)),
}
"""Node [nm] -> fit of a current-mode comparator's delay in LSTP: A and B of the largest delay A ln(R / 1 kohm) + B
[ns], and its relative value over x = reference / column resistance, highest power first, for x <= 0.9 and for larger x.
Elsewhere a comparison takes the least time; so it does below 32 nm, where the source has no fit. Source: DNN+NeuroSim
V1.3, fit to SPICE."""


def flash_adc(
    p: Process,
    bits: Array,
    instances: Array,
    *,
    width: Array,
    column_resistance: Array,
    read_voltage: Array,
    multiplicity: Array = 1.0,
    rows: Array,
    r_on: Array,
    r_off: Array,
    sensing: str = "current",
) -> Cost:
    """Cost of flash ADCs; one read converts every column once (latency: the slowest column's conversion).

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: ADCs.
        width: Imposed width. [m]
        column_resistance: Resistance of each (group of) column; infinite without active rows. `[*batch, columns]` [ohm]
        read_voltage: Across the cells. [V]
        multiplicity: Columns in each group. `[*batch, columns]`
        rows: Rows of the crossbar; with the two resistances they give the reference levels.
        r_on: Smallest resistance of a cell. [ohm]
        r_off: Largest resistance of a cell. [ohm]
        sensing: `current` or `voltage`.

    Source: DNN+NeuroSim V1.3; power and delay are fits to SPICE. The delay's polynomials are used up to 20 times the
    column resistance, where those of 130 and 65 nm rise steeply and the upper bound of 10 ns takes over.
    """
    levels = gates.exp2(bits)
    comparators = levels - 1
    n_nmos, n_pmos = COMPARATOR_TRANSISTORS[sensing]
    area = instances * comparators * adc_area(p, n_nmos, n_pmos)
    fixed = at_node(COMPARATOR_POWER[p.roadmap, sensing], p.node_nm) * comparators * 1e-6
    power = resistance_power(
        p, np.expand_dims(fixed, -1), column_resistance, read_voltage, current_mode=sensing == "current"
    )
    if sensing == "current":
        latency = _latency(
            p, levels, scaled_resistance(column_resistance, read_voltage), multiplicity, rows, r_on, r_off
        )
    else:
        latency = FASTEST
    return Cost(
        area=area,
        width=width,
        height=area / width,
        latency=latency,
        energy=sum_columns(np.maximum(power, 0.0), multiplicity) * latency,
        leakage=instances * comparators * adc_leakage(p, n_nmos, n_pmos),
    )


def flash_encoder(p: Process, bits: Array, instances: Array, *, width: Array) -> Cost:
    """Cost of the encoders from comparators to binary, one per flash ADC; one read encodes one word in each.

    Args:
        p: Process.
        bits: ADC precision. [bit]
        instances: Encoders.
        width: Imposed width. [m]

    Source: DNN+NeuroSim V1.3: per level an inverter and a 2-input NAND, per bit a NAND over half the levels.
    """
    inverter, nand = gates.standard_inverter(p), gates.standard_nand(p)
    levels = gates.exp2(bits)
    fan_in = np.floor(levels / 2)
    large = gates.gate(p, "nand", fan_in, nand.width_n, nand.width_p)
    unit_width = 2 * inverter.width + nand.width + large.width
    unit_height = (levels - 1) * p.cell_height
    height = unit_height * lanes(instances, gates.ceil(p, width / unit_width))
    width = np.maximum(width, unit_width)

    series_n = 2 * gates.on_resistance_n(p, inverter.width_n)
    first, ramp = horowitz(series_n * (inverter.output_capacitance + 2 * nand.input_capacitance))
    resistance_p = gates.on_resistance_p(p, nand.width_p)
    second, ramp = horowitz(resistance_p * (nand.output_capacitance + fan_in * large.input_capacitance), ramp)
    latency = first + second
    if p.switches.encoder_output_stages:
        series_n = 2 * gates.on_resistance_n(p, nand.width_n)
        third, ramp = horowitz(series_n * (large.output_capacitance + inverter.input_capacitance), ramp)
        fourth, _ = horowitz(gates.on_resistance_p(p, inverter.width_p) * inverter.output_capacitance, ramp)
        latency = latency + third + fourth

    small = (inverter.input_capacitance + inverter.output_capacitance) + (
        nand.input_capacitance + nand.output_capacitance
    )
    switched = (levels + bits) * small + bits * (large.input_capacitance + large.output_capacitance)
    off = (levels + bits) * (inverter.leakage_current + nand.leakage_current) + bits * large.leakage_current
    return Cost(
        area=height * width,
        width=width,
        height=height,
        latency=latency,
        energy=p.calibration.control_activity * p.vdd * p.vdd * instances * switched,
        leakage=instances * p.vdd * off,
    )


def _latency(
    p: Process, levels: Array, resistance: Array, multiplicity: Array, rows: Array, r_on: Array, r_off: Array
) -> Array:
    """Duration of a current-mode conversion: the slowest comparator over all columns and levels. [s]

    The reference levels are evenly spaced and the fit is monotone between a few turning points, so only the levels next
    to those and the outermost ones can be slowest: the work does not grow with the number of levels.
    """
    if p.roadmap != "LSTP" or p.node_nm < min(_DELAY):
        return FASTEST
    levels, rows, r_on, r_off = (
        np.expand_dims(np.asarray(x, dtype=np.float64), -1) for x in (levels, rows, r_on, r_off)
    )
    flows = np.logical_and(np.logical_and(resistance > 0, np.isfinite(resistance)), np.greater(multiplicity, 0))
    resistance = np.where(flows, resistance, 1.0)
    lowest, step = r_on / rows, r_off / rows
    # Comparator i refers to r_on / rows + (i + 1) (r_off / rows) / levels.
    first, last = 0.0 if p.switches.flash_plateau else 1.0, levels - 2
    worst = np.zeros(1)
    spacing = step / levels
    candidates = [first, last]
    for turn in _turning_points(p.node_nm, p.switches.flash_plateau):
        nearest = np.round((turn * resistance - lowest) / spacing) - 1
        candidates += [nearest - 1, nearest, nearest + 1]
    a, b, below, above = at_node(_DELAY, p.node_nm, linear=True)
    largest = (a * np.log(resistance / 1000) + b) * 1e-9
    for candidate in candidates:
        index = np.clip(candidate, first, np.maximum(last, first))
        ratio = (lowest + (index + 1) * step / levels) / resistance
        relative = np.where(ratio <= _BELOW, np.polyval(below, ratio), np.polyval(above, np.minimum(ratio, _FAR_ABOVE)))
        if p.switches.flash_plateau:
            relative = np.where(np.logical_and(ratio > _BELOW, ratio < _ABOVE), 1.0, relative)
        far = np.logical_or(ratio >= _FAR_ABOVE, ratio <= _FAR_BELOW)
        delay = np.where(far, FASTEST, largest * relative)
        worst = np.maximum(worst, np.where(np.logical_and(flows, last >= first), delay, 0.0))
    return np.clip(np.max(worst, axis=-1), FASTEST, SLOWEST)


@cache
def _turning_points(node_nm: int, plateau: bool) -> tuple[float, ...]:
    """Ratios between which the delay is monotone."""
    _, _, below, above = at_node(_DELAY, node_nm, linear=True)
    points = [_FAR_BELOW, _BELOW, _FAR_ABOVE]
    if plateau:
        points.append(_ABOVE)
    for polynomial, start, stop in ((below, _FAR_BELOW, _BELOW), (above, _BELOW, _FAR_ABOVE)):
        roots: NDArray[np.complex128] = np.roots(np.polyder(polynomial)).astype(complex)
        points += [float(root.real) for root in roots if abs(root.imag) < 1e-9 and start < root.real < stop]
    return tuple(sorted(points))


def _blocks(p: Process, asked: Conversion) -> list[Block]:
    cost = flash_adc(
        p,
        asked.bits,
        asked.instances,
        width=asked.width,
        column_resistance=asked.column_resistance,
        read_voltage=asked.read_voltage,
        multiplicity=asked.multiplicity,
        rows=asked.rows,
        r_on=asked.r_on,
        r_off=asked.r_off,
        sensing=asked.sensing,
    )
    encoder = flash_encoder(p, asked.bits, asked.instances, width=asked.width)
    levels = gates.exp2(asked.bits) - 1
    return [
        Block("flash_adc", matched(p, asked, cost, levels, levels), of_columns=True),
        Block("flash_encoder", encoder, uses=asked.turns),
    ]


def _reference_load(p: Process, asked: Conversion) -> Array:
    """A gate of each comparator."""
    gate = gates.gate_capacitance(p, comparator_width(p, asked))
    return asked.instances * (gates.exp2(asked.bits) - 1) * gate


FLASH = AdcKind(_blocks, own_levels=True, reference_load=_reference_load)
"""One comparator per level, all at once: large and fast."""

__all__ = ["COMPARATOR_POWER", "COMPARATOR_TRANSISTORS", "FASTEST", "FLASH", "SLOWEST", "flash_adc", "flash_encoder"]
