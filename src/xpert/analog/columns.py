"""The inner loop: bit-serial products of row blocks, one ADC conversion per column sum, shift-add.

`converted_sums` is the function in which time goes by. All of it is arithmetic of integers: conductances, offsets and
noise are rounded to a binary grid (`on_grid`), so that its result depends neither on the order of additions nor on
how positions are batched, chunked or spread over threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xpert.analog import gaussian, native

Blocks = tuple[tuple[int, int], ...]

CHUNK = 1 << 18
"""Column sums held at a time on a CPU: 1 MiB, within a core's share of cache."""

_CHUNK_ELSEWHERE = 1 << 24
"""The same on other devices, which have work for a hundred thousand threads at once."""

_MANTISSA = 24
"""Integers up to 2**24 are exact in float32."""

_NARROW, _WIDE = 15, 23
"""Bits of magnitude of a column sum on the coarse and on the fine grid: sums fit int16, or are exact in float32."""

_COARSEST_ERROR = 1 / 32
"""Most that the coarse grid may blur a column sum, as a standard deviation in ADC steps: 1.2 % of the power of the
ADC's own rounding error, whose standard deviation is sqrt(1/12)."""

_SIGMA_BITS = 3
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
    """[groups, columns, rows]; int16 if narrow, else int32."""

    start: Tensor
    """Offset less base [blocks, groups, columns], int32."""

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
    it is the fine one, with `2**f * B < 2**23`: for ADCs of more than about 8 bits. Integers stay as they are.

    Args:
        conductance: [groups, rows, columns], in ADC steps.
        conversion: What the ADCs do.
        blocks: Row blocks.
    """
    rows = max(stop - start for start, stop in blocks)
    half_window = 2 ** (conversion.bits - 1)
    # Even, so that halves round to even whether a sum is taken from here or from 0.
    base = ((conversion.lowest + half_window) / 2).floor_() * 2
    sums = torch.stack([block_sums(part, blocks) for part in (conductance.clamp_min(0), conductance.clamp_max(0))])
    ends = sums - base if conversion.offset is None else sums - base + conversion.offset
    # Half a unit of the grid, where the coarse one is fine enough; every row and the offset may be rounded by it.
    half_unit = _COARSEST_ERROR * math.sqrt(12 / rows) / 2
    bound = max(
        float(ends.abs().max()) + 0.5 + (rows + 1) * half_unit,
        float(conductance.abs().max()) + half_unit,
        float(sums.abs().max()) / 2,  # exact in float32 before base is subtracted
        half_window + 1,
    )
    variance, variance_digits, most = None, 0, 0.0
    if conversion.variance is not None and conversion.variance.any():
        most = float(block_sums(conversion.variance, blocks).max())
        variance_digits = _digits(most, _NARROW)
        variance = _rounded(conversion.variance, variance_digits).clamp_max_(2**_NARROW - 1).short()
    bound = max(bound, 2**_SIGMA_BITS * math.sqrt(conversion.floor + most) * 1.001)
    fraction = _digits(bound, _NARROW)
    narrow = math.sqrt(rows / 12) * 2.0**-fraction <= _COARSEST_ERROR
    if not narrow:
        fraction = _digits(bound, _WIDE)
    start = -base if conversion.offset is None else conversion.offset - base
    sigma_digits = 2 * (fraction + _SIGMA_BITS)
    cells = _rounded(conductance, fraction).transpose(1, 2)
    return Columns(
        blocks,
        conversion.bits,
        fraction,
        narrow,
        (cells.short() if narrow else cells).contiguous(),
        _rounded(start, fraction).expand(len(blocks), *conductance.shape[::2]).contiguous(),
        base.int(),
        (conversion.lowest - base).int(),
        None if variance is None else variance.transpose(1, 2).contiguous(),
        2.0 ** (sigma_digits - variance_digits),
        float(torch.tensor(conversion.floor * 2.0**sigma_digits, dtype=torch.float32)),
    )


def _digits(bound: float, bits: int) -> int:
    """The largest f for which `2**f * bound < 2**bits`."""
    return bits - 1 - math.floor(math.log2(bound))


def _rounded(values: Tensor, digits: int) -> Tensor:
    return (values.double() * 2.0**digits).round_().int()


def bit_planes(codes: Tensor, bits: int) -> Tensor:
    """The bits of unsigned codes as 0.0 and 1.0: [groups, positions, rows] to [groups, bits * positions, rows]."""
    shifts = torch.arange(bits, dtype=codes.dtype, device=codes.device).reshape(1, bits, 1, 1)
    return (codes.unsqueeze(1) >> shifts).bitwise_and_(1).flatten(1, 2).float()


def converted_sums(
    codes: Tensor,
    conductance: Tensor,
    conversion: Conversion,
    blocks: Blocks,
    input_bits: int,
    *,
    key: int = 0,
    first: int = 0,
) -> Tensor:
    """ADC readings of all column sums, shift-added over input bits and accumulated over row blocks.

    For row block k and input bit b, the column sum

        y = sum over rows of bit_b(code) * conductance + offset[k] + sqrt(floor + sum of bit_b(code) * variance) * z

    is read as `clamp(round(y), lowest, lowest + 2**bits - 1)`, halves to even; the result is the sum of all
    `2**b * reading`. z is standard normal (`xpert.analog.gaussian`), a function of `key`, `first` + position, block,
    bit, group and column. All of it is rounded to a grid, see `on_grid`.

    Args:
        codes: Unsigned input codes [groups, positions, rows], any integer type.
        conductance: [groups, rows, columns], float32, in ADC steps.
        conversion: What the ADCs do.
        blocks: Row blocks.
        input_bits: Read cycles. [bit]
        key: Chooses the noise.
        first: Number of the first position; what a position's noise depends on.

    Returns:
        Integers [groups, positions, columns]; int32 where that is enough, int64 elsewhere.
    """
    columns = on_grid(conductance, conversion, blocks)
    return summed_readings(codes.unsqueeze(0), [columns], input_bits, keys=[key], first=first).squeeze(0)


def summed_readings(
    codes: Tensor, columns: Sequence[Columns], input_bits: int, *, keys: Sequence[int], first: int = 0
) -> Tensor:
    """The second half of `converted_sums`, for several chips that hold the same layer behind the same ADC ranges.

    By `xpert.analog.native` where that can, with the same result.

    Args:
        codes: [chips, groups, positions, rows].
        columns: Of each chip.
        input_bits: Read cycles. [bit]
        keys: Choose the noise of each chip.
        first: Number of the first position on every chip.

    Returns:
        [chips, groups, positions, columns].
    """
    library = native.library() if codes.device.type == "cpu" and all(one.fraction > 0 for one in columns) else None
    if library is not None:
        return native.summed_readings(library, codes, columns, input_bits, keys, first)
    return torch_readings(codes, columns, input_bits, keys, first)


def torch_readings(
    codes: Tensor, columns: Sequence[Columns], input_bits: int, keys: Sequence[int], first: int
) -> Tensor:
    """`summed_readings` on any device, all chips in the same operations."""
    chips, groups, positions, _ = codes.shape
    shared = columns[0]  # in its blocks, ADCs and windows every chip is alike
    n_columns = shared.conductance.shape[1]
    device = shared.conductance.device
    span = 2**shared.bits - 1
    largest = (span // 2 + 2) * (2**input_bits - 1) * len(shared.blocks)
    exact = torch.float32 if largest <= 2**_MANTISSA else torch.float64
    significance = (2.0 ** torch.arange(input_bits, device=device)).to(exact).expand(chips * groups, 1, input_bits)
    cells = torch.cat([one.conductance.transpose(1, 2).float() for one in columns])
    starts = torch.cat([one.start for one in columns], dim=1).unsqueeze(2)
    step = _of_each(columns, groups, [2.0**-one.fraction for one in columns])
    noise = _Noise(columns, groups) if any(one.noisy for one in columns) else None
    total = torch.empty((chips * groups, positions, n_columns), dtype=shared.sum_type(input_bits), device=device)
    codes = codes.flatten(0, 1)
    chunk = max(1, (CHUNK if device.type == "cpu" else _CHUNK_ELSEWHERE) // (len(codes) * input_bits * n_columns))
    for begin in range(0, positions, chunk):
        part = codes[:, begin : begin + chunk]
        n = part.shape[1]
        numbers = torch.arange(first + begin, first + begin + n, device=device)
        accumulated = torch.zeros((len(codes), 1, n * n_columns), dtype=exact, device=device)
        for k, (low, high) in enumerate(shared.blocks):
            planes = bit_planes(part[..., low:high], input_bits)
            sums = torch.bmm(planes, cells[:, low:high]).add_(starts[k])
            if noise is not None:
                z = gaussian.draw(keys, numbers, k, input_bits, groups, n_columns)
                sums += noise(planes, low, high, z.flatten(2, 3).flatten(0, 1))
            sums.mul_(step).round_().clamp_(shared.lowest, shared.lowest + span)
            accumulated.baddbmm_(significance, sums.view(len(codes), input_bits, n * n_columns).to(exact))
        total[:, begin : begin + n] = accumulated.view(len(codes), n, n_columns)
    total += shared.base.to(total.dtype) * ((2**input_bits - 1) * len(shared.blocks))
    return total.unflatten(0, (chips, groups))


def _of_each(columns: Sequence[Columns], groups: int, numbers: list[float]) -> Tensor:
    """A number of each chip for all of its groups, [chips * groups, 1, 1], float32."""
    device = columns[0].conductance.device
    return torch.tensor(numbers, device=device).repeat_interleave(groups).reshape(-1, 1, 1)


class _Noise:
    """Noise of the column sums of several chips, on the grid."""

    def __init__(self, columns: Sequence[Columns], groups: int) -> None:
        self._unit = _of_each(columns, groups, [one.variance_unit for one in columns])
        self._floor = _of_each(columns, groups, [one.floor for one in columns])
        self._variance: Tensor | None = None
        if any(one.variance is not None for one in columns):
            parts = [one.conductance.new_zeros(()) if one.variance is None else one.variance for one in columns]
            shape = columns[0].conductance.shape
            self._variance = torch.cat([part.expand(shape).transpose(1, 2).float() for part in parts])

    def __call__(self, planes: Tensor, low: int, high: int, z: Tensor) -> Tensor:
        """Integers as float32 [chips * groups, bits * positions, columns].

        Args:
            planes: Bits of the inputs of a row block.
            low: First row of the block.
            high: Last row of the block plus one.
            z: Normal numbers.
        """
        of_rows = 0.0 if self._variance is None else torch.bmm(planes, self._variance[:, low:high])
        sigma = (of_rows * self._unit + self._floor).sqrt_().round_()
        shift = gaussian.FRACTION + _SIGMA_BITS
        return (sigma.long() * z.long()).add_(1 << (shift - 1)).bitwise_right_shift_(shift).float()


def unconverted_sums(codes: Tensor, weights: Tensor, input_bits: int) -> Tensor:
    """The same sums when every column sum passes unchanged; then bits, slices and blocks collapse into one product.

    Args:
        codes: Unsigned input codes [chips, groups, positions, rows].
        weights: What each input is multiplied with, [chips, groups, rows, outputs], float64.
        input_bits: Input precision. [bit]

    Returns:
        [chips, groups, positions, outputs], float64; exact, since the weights are rounded to the grid that makes it
        so, chip by chip. Integers of up to 2**53 over the sum of a column stay as they are.
    """
    bounds = [bound * (2**input_bits - 1) for bound in weights.abs().sum(dim=2).flatten(1).amax(dim=1).tolist()]
    if max(bounds) < 2**_MANTISSA and bool((weights == weights.round()).all()):
        return torch.matmul(codes.float(), weights.float()).double()
    digits = [51 - math.ceil(math.log2(max(bound, 1.0))) for bound in bounds]
    grid = torch.tensor([2.0**f for f in digits], dtype=torch.float64, device=weights.device).reshape(-1, 1, 1, 1)
    return torch.matmul(codes.double(), (weights * grid).round_().div_(grid))


def code_sums(codes: Tensor, input_bits: int) -> Tensor:
    """Sum of each vector's codes: [..., rows] to [..., 1], float64, exact."""
    library = native.library() if codes.device.type == "cpu" else None
    if library is not None:
        return native.code_sums(library, codes)
    exact = codes.shape[-1] * (2**input_bits - 1) <= 2**_MANTISSA
    return codes.to(torch.float32 if exact else torch.float64).sum(dim=-1, keepdim=True).double()


def sum_histogram(codes: Tensor, nominal: Tensor, blocks: Blocks, input_bits: int) -> tuple[Tensor, int]:
    """How often each nominal column sum occurs.

    Args:
        codes: Unsigned input codes [groups, positions, rows].
        nominal: Integer conductances [groups, rows, slices, outputs]. [level]
        blocks: Row blocks.
        input_bits: Read cycles. [bit]

    Returns:
        Counts [slices, bins], over all positions, bits, blocks and outputs, and the column sum of the first bin.
    """
    groups = codes.shape[0]
    slices, outputs = nominal.shape[2:]
    lowest = int(block_sums(nominal.clamp_max(0), blocks).min())
    bins = int(block_sums(nominal.clamp_min(0), blocks).max()) - lowest + 1
    counts = torch.zeros(slices * bins, dtype=torch.int64, device=codes.device)
    first_bin = (torch.arange(slices, device=codes.device) * bins - lowest).repeat_interleave(outputs).float()
    chunk = max(1, CHUNK // (groups * input_bits * slices * outputs))
    for part in codes.split(chunk, dim=1):
        for start, stop in blocks:
            planes = bit_planes(part[..., start:stop], input_bits)
            sums = torch.baddbmm(first_bin, planes, nominal[:, start:stop].flatten(2))
            counts += torch.bincount(sums.flatten().int(), minlength=slices * bins)
    return counts.unflatten(0, (slices, bins)), lowest


__all__ = [
    "Blocks",
    "Columns",
    "Conversion",
    "bit_planes",
    "block_sums",
    "code_sums",
    "converted_sums",
    "on_grid",
    "sum_histogram",
    "summed_readings",
    "torch_readings",
    "unconverted_sums",
]
