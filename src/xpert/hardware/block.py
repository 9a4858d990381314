"""A block of a subarray: one row of the table that areas, latencies, energies and leakage are summed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xpert.hardware.circuits import Cost
from xpert.hardware.gates import Array

Group = Literal["adc", "accumulation", "other"]
"""Component of the breakdown that a block counts as."""

Place = Literal["stack", "beside", "corner"]
"""Where a block lies: below the columns, in the width of a row; beside the rows; or in the corner of the two."""


@dataclass(frozen=True, slots=True)
class Block:
    """Circuits of one kind in a subarray. The defaults are those of a converter."""

    name: str
    """Name in tables."""

    cost: Cost
    """Cost of all of them together, for one use."""

    uses: Array | None = 1.0
    """How often they are used per input bit; None: not at all in a read."""

    group: Group = "adc"
    """What they count as."""

    place: Place = "stack"
    """Where they lie."""

    leaks: bool = True
    """Whether their leakage counts."""

    of_columns: bool = False
    """Whether the energy of one use is summed over the columns (or pairs) that were given."""


__all__ = ["Block", "Group", "Place"]
