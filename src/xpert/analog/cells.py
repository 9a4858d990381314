"""Integer weights as conductances of cells, and the currents that a column pair leaves to the ADC.

The unit of conductance here is the level, `(g_on - g_off) / (2**cell_bits - 1)`: a cell that stores code u conducts
`pedestal + u` levels, where the pedestal is g_off in levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xpert.analog.settings import AnalogSettings
from xpert.design import Chip


@dataclass(frozen=True)
class Cells:
    """Codes of the cells that hold a layer's weights. Shapes: groups, rows (all blocks), weight slices, outputs."""

    data: Tensor
    """Codes of the data columns [groups, rows, slices, outputs], float32."""

    reference: Tensor
    """Codes of what is subtracted from them before the ADC, broadcastable to `data`."""

    shared: bool
    """Whether all weights of a crossbar subtract one reference column per slice."""

    input_weight: int
    """What a row still lacks: its input times this is added digitally to every output."""

    limits: tuple[tuple[int, int], ...]
    """Least and most that a cell of each slice can conduct after subtraction, whatever the weights. [level]"""

    @property
    def nominal(self) -> Tensor:
        """Conductance after subtraction when programmed perfectly; integers. [level]"""
        return self.data - self.reference


def slice_bits(weight_bits: int, cell_bits: int, settings: AnalogSettings) -> tuple[int, ...]:
    """Bits in each weight slice, least significant first. A differential pair stores magnitudes: one bit less."""
    bits = weight_bits - (settings.encoding == "differential")
    return tuple(min(cell_bits, bits - low) for low in range(0, bits, cell_bits))


def encode(weights: Tensor, weight_bits: int, cell_bits: int, settings: AnalogSettings) -> Cells:
    """Codes of the cells that hold integer weights.

    Offset binary stores `w + 2**(weight_bits - 1)` and subtracts a reference column that all weights of the crossbar
    share; differential stores `max(w, 0)` and `max(-w, 0)`.

    Args:
        weights: Integers [groups, rows, outputs] within +-(2**(weight_bits - 1) - 1).
        weight_bits: Weight precision. [bit]
        cell_bits: Bits per cell. [bit]
        settings: Encoding and reference.

    Source: offset binary with a dummy column as in DNN+NeuroSim V1.3; subtraction before conversion as in Xiao et al.,
    IEEE Circuits and Systems Magazine 22(4), 2022 (arXiv 2109.01262), section 3.2.
    """
    sizes = slice_bits(weight_bits, cell_bits, settings)
    weights = weights.int()

    def sliced(codes: Tensor) -> Tensor:
        parts = [(codes >> (cell_bits * s)) & ((1 << size) - 1) for s, size in enumerate(sizes)]
        return torch.stack(parts, dim=2).float()

    if settings.encoding == "differential":
        positive, negative = sliced(weights.clamp_min(0)), sliced((-weights).clamp_min(0))
        limits = tuple((1 - (1 << size), (1 << size) - 1) for size in sizes)
        return Cells(positive, negative, shared=False, input_weight=0, limits=limits)
    offset = 1 << (weight_bits - 1)
    middle = [1 << (size - 1) if settings.reference == "middle" else 0 for size in sizes]
    reference = torch.tensor(middle, dtype=torch.float32, device=weights.device).reshape(1, 1, -1, 1)
    left = sum(code << (cell_bits * s) for s, code in enumerate(middle)) - offset
    limits = tuple((-code, (1 << size) - 1 - code) for size, code in zip(sizes, middle))
    return Cells(sliced(weights + offset), reference, shared=True, input_weight=left, limits=limits)


def program(cells: Cells, chip: Chip, settings: AnalogSettings, generator: torch.Generator) -> Tensor:
    """Conductance of each data cell less that of its reference cell, on one sampled chip.

    Every cell strays in proportion to its own conductance, `g = g_nominal * max(0, 1 + programming_sigma * normal)`.
    There is one reference column per slice in every crossbar, so its error is common to the `columns // slices`
    outputs beside it.

    Args:
        cells: The codes.
        chip: Gives the crossbar's columns, on/off ratio and programming variation.
        settings: Whether reference columns stray too.
        generator: Source of the variation; one draw per cell, data columns first.

    Returns:
        [groups, rows, slices, outputs], float32. [level]
    """
    groups, rows, slices, outputs = cells.data.shape
    device = chip.device
    pedestal = (2**device.cell_bits - 1) / (device.on_off_ratio - 1)

    def strayed(codes: Tensor, columns: int) -> Tensor:
        normal = torch.randn((groups, rows, slices, columns), generator=generator, device=generator.device)
        stray = normal.to(codes.device).mul_(device.programming_sigma).clamp_min_(-1)
        return stray.mul_(codes + pedestal)

    per_crossbar = max(1, chip.columns // slices) if cells.shared else 1
    data = strayed(cells.data, outputs)
    if cells.shared and not settings.reference_variation:
        return cells.nominal + data
    reference = strayed(cells.reference, -(-outputs // per_crossbar))
    return cells.nominal + data - reference.repeat_interleave(per_crossbar, dim=3)[..., :outputs]


def row_blocks(kernel_positions: int, channels: int, chip: Chip) -> tuple[tuple[int, int], ...]:
    """First and last-plus-one row of each row block, in an unrolled kernel with channels running fastest.

    `conventional` mapping cuts the whole unrolled kernel every `chip.rows` rows; `novel` mapping gives each kernel
    position its own crossbars and so cuts within a position.
    """
    length, repeats = kernel_positions * channels, 1
    if chip.mapping == "novel":
        length, repeats = channels, kernel_positions
    return tuple(
        (base + start, base + min(start + chip.rows, length))
        for base in range(0, repeats * length, length)
        for start in range(0, length, chip.rows)
    )


__all__ = ["Cells", "encode", "program", "row_blocks", "slice_bits"]
