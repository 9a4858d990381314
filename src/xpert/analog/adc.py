"""The ADC's range and step: where its levels lie on the scale of column sums.

A conversion of a column sum y (in levels of conductance, after subtraction of the reference) reads

    reading = clamp(round(y / step), lowest, lowest + 2**adc_bits - 1)

and stands for `step * reading`; halves round to even. `reading - lowest` is the unsigned output word of a mid-tread
quantiser: zero current is exactly one of its levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdcRange:
    """Levels of a layer's ADCs, one entry per weight slice."""

    bits: int
    """ADC precision. [bit]"""

    unit: float
    """Common factor of the steps; applied digitally, once per layer. [level]"""

    exponents: tuple[int, ...]
    """A slice's step is `unit * 2**exponent`, so that slices are added by shifting alone."""

    lowest: tuple[int, ...]
    """Lowest reading, in steps."""

    @property
    def steps(self) -> tuple[float, ...]:
        """Distance of neighbouring levels. [level]"""
        return tuple(self.unit * 2.0**exponent for exponent in self.exponents)

    @property
    def limits(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest level of each slice's range. [level]"""
        span = 2**self.bits - 1
        return tuple((step * low, step * (low + span)) for step, low in zip(self.steps, self.lowest))

    def lossless(self, lows: Sequence[float], highs: Sequence[float]) -> bool:
        """Whether integer column sums within these bounds pass unchanged."""
        return all(
            step == 1 and low >= bottom and high <= top
            for step, (bottom, top), low, high in zip(self.steps, self.limits, lows, highs)
        )


def choose_range(
    wanted: Sequence[tuple[float, float]], possible: Sequence[tuple[float, float]], bits: int, cell_bits: int
) -> AdcRange:
    """The finest steps with which `2**bits` levels span what each slice wants.

    A step is never below one level of conductance: nominal column sums are integers, so a finer step only resolves
    noise; levels left over widen the range instead. Steps of the slices differ by powers of two. Among the units that
    this allows, the one with the least noise is taken: `sum over slices of (2**(cell_bits * s) * step)**2`.

    Args:
        wanted: Range of column sums to convert, per slice. [level]
        possible: Range beyond which no column sum lies nominally, per slice; the window is not moved beyond. [level]
        bits: ADC precision. [bit]
        cell_bits: Bits per cell: a slice weighs `2**cell_bits` times the one below. [bit]
    """
    levels = 2**bits
    finest = [max(1.0, (high - low) / (levels - 1)) for low, high in wanted]

    def exponents(unit: float) -> tuple[int, ...]:
        # The tolerance keeps a step that equals the unit up to rounding from being doubled.
        return tuple(math.ceil(math.log2(step / unit) - 1e-9) for step in finest)

    def noise(unit: float) -> float:
        return sum((2.0 ** (cell_bits * s + e) * unit) ** 2 for s, e in enumerate(exponents(unit)))

    unit = min((step / 2.0 ** math.floor(math.log2(step)) for step in finest), key=noise)
    lowest = []
    for (low, high), (bottom, top), exponent in zip(wanted, possible, exponents(unit)):
        step = unit * 2.0**exponent
        start = round((low + high) / (2 * step) - (levels - 1) / 2)
        # Between these two the window covers all that is possible, or lies within it if it is the smaller one.
        ends = math.floor(bottom / step), math.ceil(top / step) - levels + 1
        lowest.append(max(min(start, max(ends)), min(ends)))
    return AdcRange(bits, unit, exponents(unit), tuple(lowest))


_FINE_BITS = 20


def fine_range(possible: Sequence[tuple[float, float]]) -> AdcRange:
    """Levels for column sums that are not to be converted, where the noise of each read needs a sum to be added to.

    2**20 levels, twice as wide as what is possible nominally: steps are below 1/100 level for 128 rows of 4-bit cells.

    Args:
        possible: Range of column sums, per slice. [level]
    """
    span = max(high - low for low, high in possible)
    unit = 2.0 ** (math.ceil(math.log2(2 * span)) - _FINE_BITS)
    lowest = tuple(math.floor((low + high) / (2 * unit)) - (1 << (_FINE_BITS - 1)) for low, high in possible)
    return AdcRange(_FINE_BITS, unit, (0,) * len(possible), lowest)


def percentiles(histogram: Tensor, lowest: int, tail: float) -> tuple[float, float]:
    """The column sums between which all but a share `tail` at each end lies.

    Args:
        histogram: Counts of the column sums `lowest, lowest + 1, ...`; an empty one gives the range (0, 0).
        lowest: Column sum of the first bin. [level]
        tail: Share cut off at each end.
    """
    total = histogram.sum()
    if total == 0:
        return 0.0, 0.0
    below = torch.cumsum(histogram, 0)
    first = int((below <= tail * total).sum())
    last = int((below < (1 - tail) * total).sum())
    return float(lowest + first), float(lowest + max(first, last))


__all__ = ["AdcRange", "choose_range", "fine_range", "percentiles"]
