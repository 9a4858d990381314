"""The inner loop: bit-serial products of row blocks, one ADC conversion per column sum, shift-add.

Inputs that are pulse widths are one read cycle of numbers in the place of several of bits.

`converted_sums` is the function in which time goes by. All of it is arithmetic of integers on the grid of
`xpert.analog.grid`, so that its result depends neither on the order of additions nor on how positions are batched,
chunked or spread over threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from xpert.analog import gaussian, native
from xpert.analog.grid import SIGMA_BITS, Blocks, Columns, Conversion, block_sums, on_grid, sigma

CHUNK = 1 << 18
"""Column sums held at a time on a CPU: 1 MiB, within a core's share of cache."""

_CHUNK_ELSEWHERE = 1 << 24
"""The same on other devices, which have work for a hundred thousand threads at once."""

_MANTISSA = 24
"""Integers up to 2**24 are exact in float32."""


def bit_planes(codes: Tensor, bits: int) -> Tensor:
    """The bits of unsigned codes as 0.0 and 1.0: [groups, positions, rows] to [groups, bits * positions, rows]."""
    shifts = torch.arange(bits, dtype=codes.dtype, device=codes.device).reshape(1, bits, 1, 1)
    # [groups, 1, positions, rows] >> [1, bits, 1, 1]: bits become an axis, then part of the positions'.
    return (codes.unsqueeze(1) >> shifts).bitwise_and_(1).flatten(1, 2).float()


def chunks(codes: Tensor, input_bits: int, n_columns: int, most: int) -> Iterator[slice]:
    """Positions that are computed together.

    Args:
        codes: [n, positions, rows].
        input_bits: Read cycles. [bit]
        n_columns: Columns.
        most: Column sums held at a time.
    """
    step = max(1, most // (len(codes) * input_bits * n_columns))
    for first in range(0, codes.shape[1], step):
        yield slice(first, min(first + step, codes.shape[1]))


def column_sums(
    codes: Tensor, cells: Tensor, blocks: Blocks, input_bits: int, offset: Tensor | None = None, pulses: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Column sums of one row block after the other, in every read cycle.

    Args:
        codes: Unsigned input codes [n, positions, rows].
        cells: What they are multiplied with [n, rows, columns], float32 or float64.
        blocks: Row blocks.
        input_bits: Read cycles. [bit]
        offset: Added to the sums [blocks, n, columns], of the same type.
        pulses: Largest code where codes are pulse widths, read in one cycle.

    Yields:
        Bits of the block's inputs [n, bits * positions, rows of the block], and sums [n, bits * positions, columns].
    """
    for block, (start, stop) in enumerate(blocks):
        of_rows = codes[..., start:stop]
        planes = bit_planes(of_rows, input_bits) if pulses == 1 else of_rows.to(cells.dtype)
        of_block = cells[:, start:stop]
        if offset is None:
            yield planes, torch.bmm(planes, of_block)
        else:
            yield planes, torch.baddbmm(offset[block].unsqueeze(1), planes, of_block)


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

    is read as `clamp(round(y), lowest, lowest + 2**bits - 1)`, halves to even, or up where sums are noisy and a half is
    no more likely than any other number; where thresholds have errors, as lowest and the number of thresholds
    `lowest + i + 1/2 + error` that it is not below. The result is the sum of all `2**b * reading`. z is standard normal
    (`xpert.analog.gaussian`), a function of `key`, `first` + position, block, bit, group and column. All of it is
    rounded to a grid, see `on_grid`.

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
    able = codes.device.type == "cpu" and all(one.fraction > 0 and one.pulses == 1 for one in columns)
    library = native.CODE.library() if able else None
    if library is not None:
        return native.summed_readings(library, codes, columns, input_bits, keys, first)
    return torch_readings(codes, columns, input_bits, keys, first)


def torch_readings(
    codes: Tensor, columns: Sequence[Columns], input_bits: int, keys: Sequence[int], first: int
) -> Tensor:
    """`summed_readings` on any device, all chips in the same operations."""
    n_chips, groups, positions, _ = codes.shape
    shared = columns[0]  # in its blocks, ADCs and windows every chip is alike
    n_columns = shared.conductance.shape[1]
    device = shared.conductance.device
    span = 2**shared.bits - 1
    largest = (span // 2 + 2) * (2**input_bits - 1) * len(shared.blocks)
    exact = torch.float32 if largest <= 2**_MANTISSA else torch.float64
    significance = (2.0 ** torch.arange(input_bits, device=device)).to(exact).expand(n_chips * groups, 1, input_bits)
    of_cells = [one.conductance.transpose(1, 2).to(shared.exact) for one in columns]
    cells = torch.cat(of_cells)  # [chips * groups, rows, columns]
    starts = torch.cat([one.start for one in columns], dim=1).to(shared.exact)  # [blocks, chips * groups, columns]
    step = _of_each(columns, groups, [2.0**-one.fraction for one in columns])
    noise = _Noise(columns) if any(one.noisy for one in columns) else None
    noisy = _of_each(columns, groups, [float(one.noisy) for one in columns]) > 0
    levels = _levels(columns)
    total = torch.empty((n_chips * groups, positions, n_columns), dtype=shared.sum_type(input_bits), device=device)
    codes = codes.flatten(0, 1)  # [chips * groups, positions, rows]
    most = CHUNK if device.type == "cpu" else _CHUNK_ELSEWHERE
    for chunk in chunks(codes, input_bits, n_columns, most):
        numbers = torch.arange(first + chunk.start, first + chunk.stop, device=device)
        accumulated = torch.zeros((len(codes), 1, len(numbers) * n_columns), dtype=exact, device=device)
        in_turn = column_sums(codes[:, chunk], cells, shared.blocks, input_bits, starts, shared.pulses)
        for k, (planes, sums) in enumerate(in_turn):
            if noise is not None:
                z = gaussian.draw(keys, numbers, k, input_bits, groups, n_columns)
                sums += noise(planes, *shared.blocks[k], z.flatten(2, 3).flatten(0, 1))
            if levels is None:
                sums.mul_(step)
                # Where there is noise, halves go up, for what was rounded down before; elsewhere to even.
                sums = torch.where(noisy, (sums + 0.5).floor_(), sums.round()) if noise is not None else sums.round_()
                sums.clamp_(shared.lowest, shared.lowest + span)
            else:
                sums = _counted(sums, levels[k], shared)
            # Shift-add: the bits go, [chips * groups, 1, positions * columns].
            accumulated.baddbmm_(significance, sums.reshape(len(codes), input_bits, len(numbers) * n_columns).to(exact))
        total[:, chunk] = accumulated.view(len(codes), len(numbers), n_columns)
    total += shared.base.to(total.dtype) * ((2**input_bits - 1) * len(shared.blocks))
    return total.unflatten(0, (n_chips, groups))


def _levels(columns: Sequence[Columns]) -> Tensor | None:
    """Thresholds of every column on all chips, on the scale of its sums [blocks, chips * groups, columns, levels]."""
    of_chips = []
    for one in columns:
        if one.levels is None or one.adc is None:
            return None
        of_chips.append(one.levels[:, :, one.adc.long()] + (one.lowest * 2.0**one.fraction)[:, None])
    return torch.cat(of_chips, dim=1).to(columns[0].exact)


def _counted(sums: Tensor, levels: Tensor, shared: Columns) -> Tensor:
    """Readings less base of sums [n, positions, columns] by thresholds [n, columns, levels], which they may equal."""
    by_column = sums.transpose(1, 2).contiguous()
    return torch.searchsorted(levels, by_column, right=True).transpose(1, 2) + shared.lowest


def _of_each(columns: Sequence[Columns], groups: int, numbers: list[float]) -> Tensor:
    """A number of each chip for all of its groups, [chips * groups, 1, 1], float32."""
    device = columns[0].conductance.device
    return torch.tensor(numbers, device=device).repeat_interleave(groups).reshape(-1, 1, 1)


class _Noise:
    """Noise of the column sums of several chips, on the grid."""

    def __init__(self, columns: Sequence[Columns]) -> None:
        # Numbers of each column, [chips * groups, 1, columns].
        self._unit = torch.cat([one.variance_unit for one in columns]).unsqueeze(1)
        self._floor = torch.cat([one.floor for one in columns]).unsqueeze(1)
        self._scale = 2.0 ** torch.cat([one.sigma_shift for one in columns]).unsqueeze(1)
        self._variance: Tensor | None = None
        if any(one.variance is not None for one in columns):
            parts = [one.conductance.new_zeros(()) if one.variance is None else one.variance for one in columns]
            shape, exact = columns[0].conductance.shape, columns[0].exact
            self._variance = torch.cat([part.expand(shape).transpose(1, 2).to(exact) for part in parts])
        self._pulsed = columns[0].pulses > 1

    def __call__(self, planes: Tensor, low: int, high: int, z: Tensor) -> Tensor:
        """Integers as floats [chips * groups, bits * positions, columns].

        Args:
            planes: Bits of the inputs of a row block, or pulse widths.
            low: First row of the block.
            high: Last row of the block plus one.
            z: Normal numbers.
        """
        # [chips * groups, bits * positions, rows] -> [..., columns]: variances of the driven rows add up.
        if self._pulsed:
            planes = planes.square()  # a cell's deviation lasts as long as the row's pulse
        no_rows = torch.zeros((), device=planes.device)
        of_rows = no_rows if self._variance is None else torch.bmm(planes, self._variance[:, low:high])
        deviation = sigma(of_rows, self._unit, self._floor) * self._scale
        # A product of two numbers with fractions, rounded down: a sum then passes a level as if it was not rounded.
        noise = (deviation.long() * z.long()).bitwise_right_shift_(gaussian.FRACTION + SIGMA_BITS)
        return noise.to(planes.dtype)


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
    # [chips, groups, rows, outputs] -> [chips]: the largest sum that any column can reach.
    bounds = [bound * (2**input_bits - 1) for bound in weights.abs().sum(dim=2).flatten(1).amax(dim=1).tolist()]
    if max(bounds) < 2**_MANTISSA and bool((weights == weights.round()).all()):
        return torch.matmul(codes.float(), weights.float()).double()
    # How many binary digits after the point a chip's sums have room for.
    digits = [51 - math.ceil(math.log2(max(bound, 1.0))) for bound in bounds]
    grid = torch.tensor([2.0**f for f in digits], dtype=torch.float64, device=weights.device).reshape(-1, 1, 1, 1)
    return torch.matmul(codes.double(), (weights * grid).round_().div_(grid))


def code_sums(codes: Tensor, input_bits: int) -> Tensor:
    """Sum of each vector's codes: [..., rows] to [..., 1], float64, exact."""
    library = native.CODE.library() if codes.device.type == "cpu" else None
    if library is not None:
        return native.code_sums(library, codes)
    exact = codes.shape[-1] * (2**input_bits - 1) <= 2**_MANTISSA
    return codes.to(torch.float32 if exact else torch.float64).sum(dim=-1, keepdim=True).double()


def sum_histogram(
    codes: Tensor, nominal: Tensor, blocks: Blocks, input_bits: int, pulses: int = 1
) -> tuple[Tensor, int]:
    """How often each nominal column sum occurs.

    Args:
        codes: Unsigned input codes [groups, positions, rows].
        nominal: Integer conductances [groups, rows, slices, outputs]. [level]
        blocks: Row blocks.
        input_bits: Read cycles. [bit]
        pulses: Largest code where codes are pulse widths, read in one cycle.

    Returns:
        Counts [slices, bins], over all positions, bits, blocks and outputs, and the column sum of the first bin.
    """
    groups = codes.shape[0]
    slices, outputs = nominal.shape[2:]
    lowest = pulses * int(block_sums(nominal.clamp_max(0), blocks).min())
    bins = pulses * int(block_sums(nominal.clamp_min(0), blocks).max()) - lowest + 1
    counts = torch.zeros(slices * bins, dtype=torch.int64, device=codes.device)
    exact = torch.float32 if slices * bins <= 2**_MANTISSA else torch.float64
    first_bin = (torch.arange(slices, device=codes.device) * bins - lowest).repeat_interleave(outputs).to(exact)
    # A number for every slice and sum, [blocks, groups, slices * outputs].
    offset = first_bin.expand(len(blocks), groups, -1)
    cells = nominal.flatten(2).to(exact)
    for chunk in chunks(codes, input_bits, slices * outputs, CHUNK):
        for _, sums in column_sums(codes[:, chunk], cells, blocks, input_bits, offset, pulses):
            counts += torch.bincount(sums.flatten().int(), minlength=slices * bins)
    return counts.unflatten(0, (slices, bins)), lowest


__all__ = [
    "bit_planes",
    "chunks",
    "code_sums",
    "column_sums",
    "converted_sums",
    "sum_histogram",
    "summed_readings",
    "torch_readings",
    "unconverted_sums",
]
