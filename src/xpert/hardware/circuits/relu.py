"""Rectifiers."""

from __future__ import annotations

from dataclasses import replace

from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def relu(p: Process, instances: Array, bits: Array, *, width: Array | None = None) -> Cost:
    """Cost of rectifiers, each a register that the sign bit resets; one read takes one value each.

    Args:
        p: Process.
        instances: Values at once.
        bits: Width of a value. [bit]
        width: Imposed width. [m]

    Source: DNN+NeuroSim V1.3.
    """
    bank = flip_flop_bank(p, instances * bits)
    if width is None:
        return bank
    return replace(bank, width=width, height=bank.area / width)
