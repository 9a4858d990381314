"""Integer weights as conductances of cells, and the currents that a column pair leaves to the ADC.

The unit of conductance here is the level, `(g_on - g_off) / (2**cell_bits - 1)`: a cell that stores code u conducts
`pedestal + u` levels, where the pedestal is g_off in levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xpert.design import Chip, WeightCode


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


def encode(weights: Tensor, code: WeightCode) -> Cells:
    """Codes of the cells that hold integer weights.

    Args:
        weights: Integers [groups, rows, outputs] within +-`largest_weight(weight_bits)`.
        code: How they are spread over cells.
    """

    def sliced(codes: Tensor) -> Tensor:
        return torch.stack(code.digits(codes), dim=2).float()  # [groups, rows, slices, outputs]

    data, subtracted = code.stored(weights.int())
    if subtracted is not None:
        return Cells(sliced(data), sliced(subtracted))
    reference = torch.tensor(code.reference_codes, dtype=torch.float32, device=weights.device)
    return Cells(sliced(data), reference.reshape(1, 1, -1, 1))


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


def read_groups(blocks: Sequence[tuple[int, int]], chip: Chip) -> tuple[tuple[int, int], ...]:
    """First and last-plus-one row of what is read at once: each row block in groups of `chip.read_rows` rows."""
    return tuple(
        (start, min(start + chip.read_rows, stop))
        for first, stop in blocks
        for start in range(first, stop, chip.read_rows)
    )


__all__ = ["Cells", "encode", "read_groups", "row_blocks"]
