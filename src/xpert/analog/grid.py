"""Column sums on a binary grid: conductances, offsets and noise as integers, on which all arithmetic is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Blocks = tuple[tuple[int, int], ...]
"""First row of each row block, and its last plus one."""

_NARROW, _WIDE = 15, 23
"""Bits of magnitude of a column sum on the coarse and on the fine grid: sums fit int16, or are exact in float32."""

_PULSED = 32
"""The same where rows are driven by pulses of different widths: sums are exact in float64. As codes multiply what is
rounded, a fine grid is not enough."""

_COARSEST_ERROR = 1 / 32
"""Most that the coarse grid may blur a column sum, as a standard deviation in ADC steps: 1.2 % of the power of the
ADC's own rounding error, whose standard deviation is sqrt(1/12)."""

SIGMA_BITS = 3
"""The noise's standard deviation has this many binary digits more than the grid."""


@dataclass(frozen=True)
class Conversion:
    """How column sums become ADC readings. Everything is in ADC steps."""

    lowest: Tensor
    """Lowest reading of each column's ADC [columns], float32 integers. [step]"""

    bits: int
    """ADC precision. [bit]"""

    offset: Tensor | None = None
    """Added to each column sum before it is read [blocks, groups, columns]; None adds nothing. [step]"""

    variance: Tensor | None = None
    """What an active row adds to the variance of its column sum [groups, rows, columns]; None adds nothing. [step^2]"""

    floor: float = 0.0
    """Variance of every column sum, whatever the input. [step^2]"""

    pulses: int = 1
    """Unit pulses of the largest input: what a row counts for at most. 1 where inputs are read bit by bit."""

    levels: Tensor | None = None
    """What is added to each of an ADC's `2**bits - 1` thresholds, where they have errors of their own [blocks, groups,
    ADCs, levels]; None: they lie half-way between readings, and halves round to even. [step]"""

    adc: Tensor | None = None
    """Number of the ADC that converts each column [columns], int64; only with `levels`."""


@dataclass(frozen=True)
class Columns:
    """What `summed_readings` computes with: integers, in units of `2**-fraction` steps.

    A column sum less `base` is `start + sum of conductance`. The standard deviation of its noise, in eighths of those
    units, is `round(sqrt(floor + variance_unit * sum of variance))`, in float32.
    """

    blocks: Blocks
    """Row blocks."""

    bits: int
    """ADC precision. [bit]"""

    fraction: int
    """Binary digits behind the point. [bit]"""

    narrow: bool
    """Whether column sums less `base`, and standard deviations, fit int16."""

    conductance: Tensor
    """[groups, columns, rows]; int16 if narrow, else int32; int64 where there are several pulses."""

    start: Tensor
    """Offset less base [blocks, groups, columns], int32; int64 where there are several pulses."""

    base: Tensor
    """The even number in the middle of each ADC's window [columns], int32. [step]"""

    lowest: Tensor
    """Lowest reading less base [columns], int32. [step]"""

    variance: Tensor | None
    """[groups, columns, rows], int16; sums over a block are below 2**16."""

    variance_unit: float
    """A power of two."""

    floor: float
    """A float32."""

    pulses: int = 1
    """Unit pulses of the largest input."""

    levels: Tensor | None = None
    """Thresholds less the lowest reading, in rising order [blocks, groups, ADCs, 2**bits - 1], int32. A reading is the
    lowest one and the number of thresholds that a sum is not below. None: sums are rounded, halves to even."""

    adc: Tensor | None = None
    """Number of each column's ADC [columns], int32; only with `levels`."""

    @property
    def exact(self) -> torch.dtype:
        """Number format in which all sums are exact."""
        return torch.float32 if self.pulses == 1 else torch.float64

    @property
    def noisy(self) -> bool:
        """Whether any column sum varies from one read cycle to the next."""
        return self.variance is not None or self.floor > 0

    def sum_type(self, input_bits: int) -> torch.dtype:
        """Integers that hold the sum of all readings of a column."""
        largest = int(self.base.abs().max()) + 2 ** (self.bits - 1) + 1
        return torch.int32 if largest * (2**input_bits - 1) * len(self.blocks) < 2**31 else torch.int64


def block_sums(conductance: Tensor, blocks: Blocks) -> Tensor:
    """Sums over the rows of each block: [groups, rows, ...] to [blocks, groups, ...]."""
    return torch.stack([conductance[:, start:stop].sum(dim=1) for start, stop in blocks])


def on_grid(conductance: Tensor, conversion: Conversion, blocks: Blocks) -> Columns:
    """Conductances, offsets and noise rounded to a common binary grid, on which all arithmetic is exact.

    With B the largest magnitude of a column sum, taken from the middle of its ADC's window, of a conductance, or of
    eight standard deviations of the noise, the coarse grid is `2**-f` ADC steps with the largest f for which
    `2**f * B < 2**15`. Where that would blur column sums by more than 1/32 step (standard deviation, all rows active),
    it is the fine one, with `2**f * B < 2**23`: for ADCs of more than about 8 bits. Integers stay as they are. Where
    inputs are pulse widths it is finer, with `2**f * B < 2**32`.

    Args:
        conductance: [groups, rows, columns], in ADC steps.
        conversion: What the ADCs do.
        blocks: Row blocks.
    """
    rows, pulses = max(stop - start for start, stop in blocks), conversion.pulses
    half_window = 2 ** (conversion.bits - 1)
    # Even, so that halves round to even whether a sum is taken from here or from 0.
    base = ((conversion.lowest + half_window) / 2).floor_() * 2
    sums = torch.stack([block_sums(part, blocks) for part in (conductance.clamp_min(0), conductance.clamp_max(0))])
    sums = sums * pulses
    ends = sums - base if conversion.offset is None else sums - base + conversion.offset
    # Half a unit of the grid, where the coarse one is fine enough; every row and the offset may be rounded by it.
    half_unit = _COARSEST_ERROR * math.sqrt(12 / rows) / 2
    bound = max(
        float(ends.abs().max()) + 0.5 + (rows * pulses + 1) * half_unit,
        float(conductance.abs().max()) + half_unit,
        float(sums.abs().max()) / 2,  # exact in float32 before base is subtracted
        half_window + 1,
    )
    variance, variance_digits, most = None, 0, 0.0
    if conversion.variance is not None and conversion.variance.any():
        most = float(block_sums(conversion.variance, blocks).max())
        variance_digits = _digits(most, _NARROW)
        variance = _rounded(conversion.variance, variance_digits).clamp_max_(2**_NARROW - 1).short()
    bound = max(bound, 2**SIGMA_BITS * math.sqrt(conversion.floor + most * pulses**2) * 1.001)
    fraction = _digits(bound, _NARROW)
    narrow = pulses == 1 and math.sqrt(rows / 12) * 2.0**-fraction <= _COARSEST_ERROR
    if not narrow:
        fraction = _digits(bound, _WIDE if pulses == 1 else _PULSED)
    start = -base if conversion.offset is None else conversion.offset - base
    sigma_digits = 2 * (fraction + SIGMA_BITS)
    wide = torch.int32 if pulses == 1 else torch.int64
    cells = _rounded(conductance, fraction, wide).transpose(1, 2)
    return Columns(
        blocks,
        conversion.bits,
        fraction,
        narrow,
        (cells.short() if narrow else cells).contiguous(),
        _rounded(start, fraction, wide).expand(len(blocks), *conductance.shape[::2]).contiguous(),
        base.int(),
        (conversion.lowest - base).int(),
        None if variance is None else variance.transpose(1, 2).contiguous(),
        2.0 ** (sigma_digits - variance_digits),
        float(torch.tensor(conversion.floor * 2.0**sigma_digits, dtype=torch.float32)),
        pulses,
        None if conversion.levels is None else _thresholds(conversion.levels, fraction, wide),
        None if conversion.adc is None else conversion.adc.int(),
    )


def _thresholds(errors: Tensor, fraction: int, dtype: torch.dtype) -> Tensor:
    """`Columns.levels` from the errors of thresholds, which no sum on the grid is beyond by more than the largest."""
    ideal = torch.arange(errors.shape[3], device=errors.device) + 0.5
    most = 2.0 ** ((_WIDE if dtype is torch.int32 else _PULSED) + 1 - fraction)
    return _rounded((ideal + errors).clamp(-most, most), fraction, dtype).sort(dim=3).values.contiguous()


def _digits(bound: float, bits: int) -> int:
    """The largest f for which `2**f * bound < 2**bits`."""
    return bits - 1 - math.floor(math.log2(bound))


def _rounded(values: Tensor, digits: int, dtype: torch.dtype = torch.int32) -> Tensor:
    return (values.double() * 2.0**digits).round_().to(dtype)


__all__ = ["SIGMA_BITS", "Blocks", "Columns", "Conversion", "block_sums", "on_grid"]
