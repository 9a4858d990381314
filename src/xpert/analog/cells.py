"""Integer weights as conductances of cells, and the currents that a column pair leaves to the ADC.

The unit of conductance here is the level, `(g_on - g_off) / (2**cell_bits - 1)`: a cell that stores code u conducts
`pedestal + u` levels, where the pedestal is g_off in levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xpert.design import Chip


class Cells(NamedTuple):
    """Codes of the cells that hold a layer's weights. Shapes: groups, rows (all blocks), weight slices, outputs."""

    data: Tensor
    """Codes of the data columns [groups, rows, slices, outputs], float32."""

    reference: Tensor
    """Codes of what is subtracted from them before the ADC, broadcastable to `data`."""

    @property
    def nominal(self) -> Tensor:
        """Conductance after subtraction when programmed perfectly; integers. [level]"""
        return self.data - self.reference


@dataclass(frozen=True)
class WeightCode:
    """How a signed weight is spread over cells.

    Offset binary stores `w + 2**(weight_bits - 1)` and subtracts a reference column that all weights of the crossbar
    share; differential stores `max(w, 0)` and `max(-w, 0)`, one bit less.

    Source: offset binary with a dummy column as in DNN+NeuroSim V1.3; subtraction before conversion as in Xiao et al.,
    IEEE Circuits and Systems Magazine 22(4), 2022 (arXiv 2109.01262), section 3.2.
    """

    slice_bits: tuple[int, ...]
    """Bits in each weight slice, least significant first. [bit]"""

    cell_bits: int
    """Bits per cell: a slice weighs `2**cell_bits` times the one below. [bit]"""

    offset: int | None
    """What is added to a weight before it is stored; None for differential pairs."""

    reference: tuple[int, ...]
    """Code of the reference column of each slice."""

    @classmethod
    def of(cls, chip: Chip) -> WeightCode:
        """The code of a chip's weights."""
        settings = chip.analog
        differential = settings.encoding == "differential"
        cell_bits, bits = chip.device.cell_bits, chip.weight_bits - differential
        sizes = tuple(min(cell_bits, bits - low) for low in range(0, bits, cell_bits))
        middle = not differential and settings.reference == "middle"
        reference = tuple(1 << (size - 1) if middle else 0 for size in sizes)
        return cls(sizes, cell_bits, None if differential else 1 << (bits - 1), reference)

    @property
    def significance(self) -> tuple[int, ...]:
        """What a slice's levels count for."""
        return tuple(1 << (self.cell_bits * s) for s in range(len(self.slice_bits)))

    @property
    def input_weight(self) -> int:
        """What every weight still lacks after the references are subtracted; added digitally, times the input."""
        return sum(code * weight for code, weight in zip(self.reference, self.significance)) - (self.offset or 0)

    @property
    def limits(self) -> tuple[tuple[int, int], ...]:
        """Least and most that a cell of each slice can conduct after subtraction, whatever the weights. [level]"""
        if self.offset is None:
            return tuple((1 - (1 << size), (1 << size) - 1) for size in self.slice_bits)
        return tuple((-code, (1 << size) - 1 - code) for size, code in zip(self.slice_bits, self.reference))

    def cells(self, weights: Tensor) -> Cells:
        """Codes of the cells that hold integer weights.

        Args:
            weights: Integers [groups, rows, outputs] within +-(2**(weight_bits - 1) - 1).
        """
        weights = weights.int()
        if self.offset is None:
            return Cells(self._sliced(weights.clamp_min(0)), self._sliced((-weights).clamp_min(0)))
        reference = torch.tensor(self.reference, dtype=torch.float32, device=weights.device)
        return Cells(self._sliced(weights + self.offset), reference.reshape(1, 1, -1, 1))

    def _sliced(self, codes: Tensor) -> Tensor:
        parts = [(codes >> (self.cell_bits * s)) & ((1 << size) - 1) for s, size in enumerate(self.slice_bits)]
        return torch.stack(parts, dim=2).float()


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


__all__ = ["Cells", "WeightCode", "row_blocks"]
