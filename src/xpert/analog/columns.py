"""The inner loop: bit-serial products of row blocks, one ADC conversion per column sum, shift-add.

`converted_sums` is the only function in which time goes by; anything that returns the same numbers may replace it.
All of its arithmetic is exact in float32 (see `on_grid`), so that its result depends neither on the order of
additions nor on how positions are batched, chunked or spread over threads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Blocks = tuple[tuple[int, int], ...]

CHUNK = 1 << 18
"""Column sums held at a time: 1 MiB, within a core's share of cache."""

_MANTISSA = 24
"""Integers up to 2**24 are exact in float32."""


def block_sums(conductance: Tensor, blocks: Blocks) -> Tensor:
    """Sums over the rows of each block: [groups, rows, ...] to [blocks, groups, ...]."""
    return torch.stack([conductance[:, start:stop].sum(dim=1) for start, stop in blocks])


def on_grid(conductance: Tensor, blocks: Blocks) -> Tensor:
    """Conductances rounded to the finest binary grid on which every column sum is exact in float32.

    The grid is `2**-f` ADC steps, with the largest f for which `2**f` times the sum of |conductance| over the rows of
    any block's column stays within `2**23`: f is about 17 for 6-bit ADCs. Integers stay as they are.

    Args:
        conductance: [groups, rows, columns], in ADC steps.
        blocks: Row blocks.
    """
    bound = float(block_sums(conductance.abs(), blocks).max())
    grid = 2.0 ** (_MANTISSA - 1 - math.ceil(math.log2(max(bound, 1.0))))
    return (conductance * grid).round_().div_(grid)


def bit_planes(codes: Tensor, bits: int) -> Tensor:
    """The bits of unsigned codes as 0.0 and 1.0: [groups, positions, rows] to [groups, bits * positions, rows]."""
    shifts = torch.arange(bits, dtype=codes.dtype, device=codes.device).reshape(1, bits, 1, 1)
    return (codes.unsqueeze(1) >> shifts).bitwise_and_(1).flatten(1, 2).float()


def converted_sums(
    codes: Tensor, conductance: Tensor, lowest: Tensor, blocks: Blocks, input_bits: int, adc_bits: int
) -> Tensor:
    """ADC readings of all column sums, shift-added over input bits and accumulated over row blocks.

    For each row block and input bit b, the column sum `y = sum over rows of bit_b(code) * conductance` is read as
    `clamp(round(y), lowest, lowest + 2**adc_bits - 1)`; the result is `sum over blocks and bits of 2**b * reading`.

    Args:
        codes: Unsigned input codes [groups, positions, rows], any integer type.
        conductance: [groups, rows, columns], float32, in ADC steps and on the grid.
        lowest: Lowest reading of each column's ADC [columns], float32 integers, in ADC steps.
        blocks: Row blocks.
        input_bits: Read cycles. [bit]
        adc_bits: ADC precision. [bit]

    Returns:
        [groups, positions, columns]; float32 where that is exact, float64 elsewhere.
    """
    groups, positions, _ = codes.shape
    columns = conductance.shape[2]
    highest = lowest + (2**adc_bits - 1)
    largest = float(torch.maximum(lowest.abs(), highest.abs()).max())
    exact = largest * (2**input_bits - 1) * len(blocks) <= 2**_MANTISSA
    dtype = torch.float32 if exact else torch.float64
    device = conductance.device
    significance = (2.0 ** torch.arange(input_bits, device=device)).to(dtype).expand(groups, 1, input_bits)
    total = torch.zeros((groups, positions, columns), dtype=dtype, device=device)
    chunk = max(1, CHUNK // (groups * input_bits * columns))
    for first in range(0, positions, chunk):
        part = codes[:, first : first + chunk]
        n = part.shape[1]
        accumulated = torch.zeros((groups, 1, n * columns), dtype=dtype, device=device)
        sums = torch.empty((groups, input_bits * n, columns), device=device)
        for start, stop in blocks:
            torch.bmm(bit_planes(part[..., start:stop], input_bits), conductance[:, start:stop], out=sums)
            sums.round_().clamp_(lowest, highest)
            accumulated.baddbmm_(significance, sums.view(groups, input_bits, n * columns).to(dtype))
        total[:, first : first + n] = accumulated.view(groups, n, columns)
    return total


def unconverted_sums(codes: Tensor, weights: Tensor, input_bits: int) -> Tensor:
    """The same sums when every column sum passes unchanged; then bits, slices and blocks collapse into one product.

    Args:
        codes: Unsigned input codes [groups, positions, rows].
        weights: What each input is multiplied with, [groups, rows, outputs], float64.
        input_bits: Input precision. [bit]

    Returns:
        [groups, positions, outputs], float64; exact, since the weights are rounded to the grid that makes it so.
        Integers of up to 2**53 over the sum of a column stay as they are.
    """
    bound = float(weights.abs().sum(dim=1).max()) * (2**input_bits - 1)
    if bound < 2**_MANTISSA and bool((weights == weights.round()).all()):
        return torch.bmm(codes.float(), weights.float()).double()
    grid = 2.0 ** (51 - math.ceil(math.log2(max(bound, 1.0))))
    return torch.bmm(codes.double(), (weights * grid).round_().div_(grid))


def code_sums(codes: Tensor, input_bits: int) -> Tensor:
    """Sum of each vector's codes: [groups, positions, rows] to [groups, positions, 1], float64, exact."""
    exact = codes.shape[2] * (2**input_bits - 1) <= 2**_MANTISSA
    return codes.to(torch.float32 if exact else torch.float64).sum(dim=2, keepdim=True).double()


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
    "bit_planes",
    "block_sums",
    "code_sums",
    "converted_sums",
    "on_grid",
    "sum_histogram",
    "unconverted_sums",
]
