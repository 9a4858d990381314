"""Repeated wires: the best inverters along a long wire, shared by buses and H-trees."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xpert.hardware import gates
from xpert.hardware.gates import Array, Gate
from xpert.hardware.technology import WIRE_CAPACITANCE, Process

_SPACING_STEP = 0.9
"""Factor on the repeaters' distance per step from the fastest wire to a cheaper one. Source: DNN+NeuroSim V1.3."""

_WIRE_ACTIVITY = 0.25
"""Share of wires that rise in a transfer of random data. Source: DNN+NeuroSim V1.3."""


class Repeater(NamedTuple):
    """An inverter every `distance` metres of wire."""

    size: float
    """Size in minimum inverters; 0 if the search for a cheaper one ended below the smallest."""

    distance: float
    """Distance between repeaters. [m]"""

    inverter: Gate
    """The repeater, at least a minimum inverter."""

    resistance: float
    """Sum of its on-resistances. [ohm]"""


@lru_cache(maxsize=256)
def repeater(p: Process, tolerance: float, *, halve: bool) -> Repeater:
    """The fastest repeater, or a smaller one that costs about `tolerance` of the speed.

    Repeaters move together as they shrink. Halving saves energy; shrinking by one does not, so buses keep the fastest.

    Args:
        p: Process.
        tolerance: Relative increase of the delay at which shrinking stops; 0 keeps the fastest.
        halve: Shrink by halving (H-tree) rather than by one (bus).

    Source: DNN+NeuroSim V1.3, after Bakoglu, "Circuits, Interconnections and Packaging for VLSI", 1990.
    """
    minimum = gates.minimum_inverter(p)
    resistance = float(gates.on_resistance_n(p, minimum.width_n) + gates.on_resistance_p(p, minimum.width_p))
    own = float(minimum.input_capacitance + minimum.output_capacitance)
    wire = p.wire_resistance
    size = float(np.floor(np.sqrt(resistance * WIRE_CAPACITANCE / float(minimum.input_capacitance) / wire)))
    distance = float(np.sqrt(2 * resistance * own / (wire * WIRE_CAPACITANCE)))
    if tolerance > 0:
        limit = delay_per_metre(_sized(p, size, distance), wire) * (1 + tolerance)
        slow = False
        while not slow and size >= 1:
            size = float(size // 2) if halve else size - 1
            distance *= _SPACING_STEP
            slow = size < 1 or bool(delay_per_metre(_sized(p, size, distance), wire) >= limit)
    return _sized(p, size, distance)


def delay_per_metre(chosen: Repeater, wire_resistance: Array) -> Array:
    """Delay of a repeated wire per length. [s/m]

    Args:
        chosen: Its repeaters.
        wire_resistance: Resistance per length. [ohm/m]
    """
    own = chosen.inverter.input_capacitance + chosen.inverter.output_capacitance
    d = chosen.distance
    driven = chosen.resistance * (own + WIRE_CAPACITANCE * d)
    distributed = 0.5 * wire_resistance * d * WIRE_CAPACITANCE * d
    return 0.7 * (driven + distributed + wire_resistance * d * chosen.inverter.input_capacitance) / d


def energy_per_metre(p: Process, chosen: Repeater) -> Array:
    """Energy that a bit of random data takes per length. [J/m]"""
    own = chosen.inverter.input_capacitance + chosen.inverter.output_capacitance
    return (own + WIRE_CAPACITANCE * chosen.distance) * p.vdd * p.vdd / chosen.distance * _WIRE_ACTIVITY


def leakage_per_metre(p: Process, chosen: Repeater) -> Array:
    """Leakage power of one wire's repeaters per length. [W/m]"""
    return chosen.inverter.leakage_current * p.vdd / chosen.distance


def _sized(p: Process, size: float, distance: float) -> Repeater:
    built = max(1.0, size)
    width_n = built * gates.MIN_NMOS * p.feature
    width_p = built * p.pn_ratio * gates.MIN_NMOS * p.feature
    resistance = gates.on_resistance_n(p, width_n) + gates.on_resistance_p(p, width_p)
    return Repeater(size, distance, gates.gate(p, "inv", 1.0, width_n, width_p), float(resistance))
