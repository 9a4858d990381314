"""Adder trees: they sum the results of subarrays, PEs or tiles that share output columns."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.adder import adder, adder_latency
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def adder_tree(
    p: Process,
    inputs: Array,
    bits: Array,
    instances: Array,
    *,
    width: Array | None = None,
    height: Array | None = None,
    used: Array | None = None,
) -> Cost:
    """Cost of binary adder trees; one read sums one word per input in each.

    Args:
        p: Process.
        inputs: Words that a tree can sum.
        bits: Word length at the leaves; each stage adds one bit. [bit]
        instances: Trees.
        width: Imposed width. [m]
        height: Imposed height. [m]
        used: Words that are summed, `inputs` by default; 1 passes through for nothing. Time, energy and leakage are
            those of a tree with that many inputs.

    Source: DNN+NeuroSim V1.3.
    """
    unit = adder(p, 1.0, 1.0)  # area and leakage of one bit; both grow in proportion
    built, _, _, _ = _walk(p, inputs, bits)
    area = unit.area * built * instances
    width, height = spread(area, p.cell_height, width, height)
    bit_adders, adders, latency, cycles = _walk(p, inputs if used is None else used, bits)
    first, further = adder(p, 1.0, 1.0).energy, adder(p, 2.0, 1.0).energy - adder(p, 1.0, 1.0).energy
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency,
        cycles=cycles,
        energy=(adders * first + (bit_adders - adders) * further) * instances,
        leakage=unit.leakage * bit_adders * instances,
    )


def _walk(p: Process, inputs: Array, bits: Array) -> tuple[Array, Array, Array, Array]:
    """Over the stages of a tree: one-bit adders, adders, delay [s] and cycles."""
    stages = gates.ceil_log2(np.maximum(inputs, 1))
    bit_adders, adders, latency, cycles = 0.0, 0.0, 0.0, 0.0
    waiting = np.asarray(inputs, dtype=np.float64)
    for stage in range(int(np.max(stages, initial=0))):
        present = stage < stages
        pairs = np.where(present, np.floor(waiting / 2), 0.0)
        waiting = waiting - pairs if p.switches.adder_tree_odd_inputs else pairs
        delay = adder_latency(p, bits + stage)
        bit_adders = bit_adders + pairs * (bits + stage)
        adders = adders + pairs
        latency = latency + np.where(present, delay, 0.0)
        cycles = cycles + np.where(present, np.ceil(delay * p.logic_clock), 0.0)
    return bit_adders, adders, latency, cycles
