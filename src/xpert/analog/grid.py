"""Column sums on a binary grid: conductances, offsets and noise as integers, on which all arithmetic is exact."""

from __future__ import annotations

import functools
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
"""Binary digits that the noise's standard deviation has more than the grid."""

_SIGMA_ROOT = 16
"""What the square root of a variance on the grid is divided by: there are eight more binary digits below the root than
in a standard deviation, so that only its last step rounds."""

_BYTE = 255
"""Most that the variances of a block's cells add up to, and the largest standard deviation before it is scaled. Where
rows are driven by pulses of different widths, both have more digits."""


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
    units, is `2**sigma_shift * sigma(sum of variance, variance_unit, floor)`. Times a normal number it is rounded down.
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
    """[groups, columns, rows], uint8, with sums over a block of at most 255; int32 where there are several pulses."""

    variance_unit: Tensor
    """[groups, columns], float32 integers; the same for two columns, as are the next ones."""

    floor: Tensor
    """[groups, columns], float32 integers."""

    sigma_shift: Tensor
    """[groups, columns], int32: standard deviations have no more digits than they need."""

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
        return self.variance is not None or bool(self.floor.any())

    @functools.cached_property
    def sigmas(self) -> Tensor:
        """`sigma` of all sums of variances, for two columns each [groups, pairs, 256], uint8; where inputs are bits."""
        pairs = [of_column[:, ::2].unsqueeze(2) for of_column in (self.variance_unit, self.floor)]
        return sigma(torch.arange(256.0, device=self.floor.device), *pairs).clamp_max_(_BYTE).byte()

    def sum_type(self, input_bits: int) -> torch.dtype:
        """Integers that hold the sum of all readings of a column."""
        largest = int(self.base.abs().max()) + 2 ** (self.bits - 1) + 1
        return torch.int32 if largest * (2**input_bits - 1) * len(self.blocks) < 2**31 else torch.int64


def sigma(variance: Tensor, unit: Tensor, floor: Tensor) -> Tensor:
    """`round(sqrt(floor + unit * variance) / 16)` of integers as floats: at most 255, where none is a pulse width.

    What is below the root is then held exactly in float32, and every step is right to the last bit on any device.
    """
    return (variance * unit + floor).sqrt_().div_(_SIGMA_ROOT).round_()


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

    Variances of cells are rounded to 1/255 of the largest sum over a block of two columns. What one cell loses or
    gains, the next one makes up for: sums over neighbouring rows are never off by more than a unit, so that small
    variances count as well.

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
    variance, most, cell_unit = None, conductance.new_zeros((), dtype=torch.float64), 0.0
    if conversion.variance is not None:
        most = _of_pairs(block_sums(conversion.variance.double(), blocks).amax(dim=0))
        cell_unit = most / (_BYTE if pulses == 1 else 2**_NARROW)
        variance = _shared_out(conversion.variance, cell_unit, blocks)
    largest = (conversion.floor + most * pulses**2).sqrt_()
    # So that a byte times 2**7 is enough on the coarse grid.
    bound = max(bound, 2**SIGMA_BITS * float(largest.max()) * 1.004)
    fraction = _digits(bound, _NARROW)
    narrow = pulses == 1 and math.sqrt(rows / 12) * 2.0**-fraction <= _COARSEST_ERROR
    if not narrow:
        fraction = _digits(bound, _WIDE if pulses == 1 else _PULSED)
    start = -base if conversion.offset is None else conversion.offset - base
    # Binary digits of bytes behind the grid's point; a standard deviation rounds to at most 255.
    digits = torch.full((), SIGMA_BITS, device=conductance.device)
    if pulses == 1:
        digits = ((_BYTE / largest).log2_().floor_() - fraction).clamp_max_(SIGMA_BITS)
    square = (_SIGMA_ROOT * 2.0 ** (fraction + digits.double())) ** 2
    shape = conductance.shape[::2]  # groups and columns
    wide = torch.int32 if pulses == 1 else torch.int64
    cells = _rounded(conductance, fraction, wide).transpose(1, 2)
    return Columns(
        blocks,
        conversion.bits,
        fraction,
        narrow,
        (cells.short() if narrow else cells).contiguous(),
        _rounded(start, fraction, wide).expand(len(blocks), *shape).contiguous(),
        base.int(),
        (conversion.lowest - base).int(),
        None
        if variance is None
        else variance.to(torch.uint8 if pulses == 1 else torch.int32).transpose(1, 2).contiguous(),
        (cell_unit * square).round_().float().expand(shape),
        (conversion.floor * square).ceil_().float().expand(shape),
        (SIGMA_BITS - digits).int().expand(shape),
        pulses,
        None if conversion.levels is None else _thresholds(conversion.levels, fraction, wide),
        None if conversion.adc is None else conversion.adc.int(),
    )


def _thresholds(errors: Tensor, fraction: int, dtype: torch.dtype) -> Tensor:
    """`Columns.levels` from the errors of thresholds, which no sum on the grid is beyond by more than the largest."""
    ideal = torch.arange(errors.shape[3], device=errors.device) + 0.5
    most = 2.0 ** ((_WIDE if dtype is torch.int32 else _PULSED) + 1 - fraction)
    return _rounded((ideal + errors).clamp(-most, most), fraction, dtype).sort(dim=3).values.contiguous()


def _of_pairs(of_columns: Tensor) -> Tensor:
    """For a column and the next one, the larger number of both [groups, columns]."""
    groups, columns = of_columns.shape
    pairs = torch.cat([of_columns, of_columns.new_zeros((groups, columns % 2))], dim=1).unflatten(1, (-1, 2))
    return pairs.amax(dim=2, keepdim=True).expand_as(pairs).flatten(1)[:, :columns]


def _shared_out(variance: Tensor, unit: Tensor, blocks: Blocks) -> Tensor:
    """Variances [groups, rows, columns] in whole units, which have their sums over a block's first rows, rounded."""
    parts = []
    for start, stop in blocks:
        sums = variance[:, start:stop].double().cumsum(dim=1).div_(unit.unsqueeze(1)).nan_to_num_(0.0).round_()
        parts.append(sums.diff(dim=1, prepend=torch.zeros_like(sums[:, :1])))
    return torch.cat(parts, dim=1)


def _digits(bound: float, bits: int) -> int:
    """The largest f for which `2**f * bound < 2**bits`."""
    return bits - 1 - math.floor(math.log2(bound))


def _rounded(values: Tensor, digits: int, dtype: torch.dtype = torch.int32) -> Tensor:
    return (values.double() * 2.0**digits).round_().to(dtype)


__all__ = ["SIGMA_BITS", "Blocks", "Columns", "Conversion", "block_sums", "on_grid", "sigma"]
