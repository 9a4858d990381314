"""What every circuit returns."""

from __future__ import annotations

from dataclasses import dataclass

from xpert.hardware.gates import STEP, Array


@dataclass(frozen=True, slots=True)
class Cost:
    """Size, time and energy of one circuit.

    Latency, cycles and energies are those of ONE use: whoever composes circuits multiplies by the number of uses. The
    fields broadcast with one another; one that depends on nothing searched is a plain number.
    """

    area: Array
    """Layout area. [m2]"""

    width: Array
    """Layout width. [m]"""

    height: Array
    """Layout height. [m]"""

    latency: Array = 0.0
    """Delay of one read where nothing is clocked. [s]"""

    cycles: Array = 0.0
    """Clock cycles of one read; 0 for circuits without a clock."""

    energy: Array = 0.0
    """Dynamic energy of one read. [J]"""

    leakage: Array = 0.0
    """Leakage power. [W]"""

    write_latency: Array = 0.0
    """Delay of one write where nothing is clocked. [s]"""

    write_energy: Array = 0.0
    """Dynamic energy of one write. [J]"""

    ramp: Array = STEP
    """Slope of the output, for the circuit that it drives. [1/s]"""
