"""The digital unit: products of two maps, softmax, norms, functions, and layers that are kept off the crossbars.

It lies beside the global buffer, reads 8-bit values from there and writes them back. It has as many lanes as such
values cross the global bus at once, or `chip.digital_lanes`. A chip has one if a layer needs it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from xpert.design import Chip
from xpert.hardware import circuits
from xpert.hardware.breakdown import Breakdown
from xpert.hardware.chip import WORD_BITS, Context, Shared
from xpert.hardware.circuits import Cost
from xpert.hardware.gates import Array
from xpert.hardware.pe import Timing
from xpert.hardware.technology import Process
from xpert.workload.layers import DigitalWork

_SUM_BITS = 32
"""Word length of sums. [bit] Source: Jacob et al., CVPR 2018 (arXiv 1712.05877), section 2.2."""

_SEGMENTS = 16
"""Pieces of a piecewise linear function. Source: Yu et al., "NN-LUT", DAC 2022 (arXiv 2112.02191), 16 entries for GELU,
softmax and layer norm; from memory."""


@dataclass(frozen=True)
class DigitalUnit:
    """One lane of the unit, and how many there are; arrays [*batch, 1]."""

    lanes: Array
    """Lanes."""
    present: Array
    """1 where a chip has the unit."""
    mac: Cost
    """A multiply-accumulate in a lane."""
    function: Cost
    """A value of a function in a lane."""

    @property
    def area(self) -> Breakdown:
        """Area of all lanes. [m2]"""
        return Breakdown(digital=(self.mac.area + self.function.area) * self.lanes * self.present)

    @property
    def leakage(self) -> Array:
        """Leakage power of all lanes. [W]"""
        return (self.mac.leakage + self.function.leakage) * self.lanes * self.present

    def beside(self, p: Process, shared: Shared) -> Shared:
        """The shared blocks of a chip with this unit."""
        leakage = shared.leakage + self.leakage if p.switches.global_blocks_leak else shared.leakage
        return replace(shared, area=shared.area + self.area, leakage=leakage)


def build_unit(p: Process, chip: Chip, context: Context, work: DigitalWork | None = None) -> DigitalUnit:
    """The unit of a chip; in a batch, of those chips that have work for it.

    A lane multiplies two words and adds the product to a sum in a register. Beside that it looks up a slope and an
    offset by the highest bits of a word, multiplies and adds.
    """
    multiplier = circuits.multiply_add(p, WORD_BITS, WORD_BITS, 1.0)
    adder = circuits.adder(p, _SUM_BITS, 1.0)
    register = circuits.flip_flop_bank(p, _SUM_BITS, activity=p.calibration.flip_flop_activity)
    words = np.maximum(1.0, np.floor(context.bus_bits / WORD_BITS))
    lanes = words if chip.digital_lanes is None else np.full_like(words, chip.digital_lanes)
    entry = WORD_BITS + 2 * WORD_BITS  # slope and offset
    table = circuits.register_file(p, _SEGMENTS * entry, entry)
    return DigitalUnit(
        lanes=lanes,
        present=1.0 if work is None else np.any(_amounts(work) > 0, axis=-1, keepdims=True).astype(float),
        mac=_in_a_row(p, multiplier, adder, register),
        function=_in_a_row(p, table, circuits.multiply_add(p, WORD_BITS, WORD_BITS, 1.0)),
    )


def _amounts(work: DigitalWork) -> np.ndarray:
    return work.macs + work.functions + work.reads + work.writes


def _in_a_row(p: Process, *parts: Cost) -> Cost:
    """Circuits through which values pass one behind the other: the slowest decides how often one can follow."""
    latency = functools.reduce(np.maximum, (part.latency for part in parts))
    return Cost(
        area=sum(part.area for part in parts),
        width=0.0,
        height=0.0,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=sum(part.energy for part in parts),
        leakage=sum(part.leakage for part in parts),
    )


def run_unit(
    p: Process,
    unit: DigitalUnit,
    timing: Timing,
    work: DigitalWork,
    context: Context,
    shared: Shared,
    *,
    whole: bool = True,
) -> tuple[Breakdown, Breakdown]:
    """Latency [s] and dynamic energy [J] of every layer's digital work, for one image. [*batch, layers]

    Lanes work at once on different values; functions follow the products. The buffer feeds them as it feeds tiles.

    Args:
        p: Process.
        unit: The chip's unit.
        timing: Of the layers.
        work: Of the layers.
        context: Of the chip.
        shared: Its blocks.
        whole: Whether lanes are idle in the last turn of a layer; else parts of a layer's work are shares of its time.
    """
    turns = np.ceil if whole else np.asarray
    line = context.buffer_line_bits
    reads, writes = work.reads * WORD_BITS / line, work.writes * WORD_BITS / line
    parallel = context.bus_bits / line
    if not p.switches.banks_feed_bus:
        parallel = np.minimum(context.buffer_cores, np.ceil(parallel))
    moved = timing.digital(shared.buffer, reads) + timing.write(shared.buffer, writes)
    spent = timing.digital(unit.mac, turns(work.macs / unit.lanes))
    spent = spent + timing.digital(unit.function, turns(work.functions / unit.lanes))
    return (
        Breakdown(buffers=moved / parallel, digital=spent),
        Breakdown(
            buffers=shared.buffer.energy * reads + shared.buffer.write_energy * writes,
            digital=unit.mac.energy * work.macs + unit.function.energy * work.functions,
        ),
    )


__all__ = ["DigitalUnit", "build_unit", "run_unit"]
