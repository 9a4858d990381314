"""What makes up an area, a latency or an energy, and helpers for structures of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import numpy as np

from xpert.hardware.gates import Array

T = TypeVar("T")


@dataclass(frozen=True)
class Breakdown:
    """One quantity by component; the fields broadcast with one another."""

    array: Array = 0.0
    """The cells."""
    adc: Array = 0.0
    """ADCs, encoders, SRAM prechargers."""
    accumulation: Array = 0.0
    """Shift-adds and adder trees."""
    buffers: Array = 0.0
    """Buffers of PEs, tiles and chip."""
    interconnect: Array = 0.0
    """Buses and H-trees."""
    digital: Array = 0.0
    """Pooling, ReLU and residual adders."""
    other: Array = 0.0
    """Drivers, switches, multiplexers and level shifters of the subarrays."""
    leakage: Array = 0.0
    """Leakage; energies only."""
    white_space: Array = 0.0
    """What tiles leave free of their slots; areas only."""

    @property
    def total(self) -> Array:
        """Sum over the components, always in the same order."""
        return sum((getattr(self, name) for name in COMPONENTS[1:]), self.array)

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(*(getattr(self, name) + getattr(other, name) for name in COMPONENTS))

    def __mul__(self, factor: Array | np.ndarray) -> Breakdown:
        return Breakdown(*(getattr(self, name) * factor for name in COMPONENTS))

    def map(self, function: Callable[[Array], Array]) -> Breakdown:
        """The same function of every component."""
        return Breakdown(*(function(getattr(self, name)) for name in COMPONENTS))

    def maximum(self, other: Breakdown) -> Breakdown:
        """The larger of each component."""
        return Breakdown(*(np.maximum(getattr(self, name), getattr(other, name)) for name in COMPONENTS))


COMPONENTS = tuple(field.name for field in fields(Breakdown))
"""Names of the components, in the order in which they are added."""


def map_arrays(function: Callable[[np.ndarray], np.ndarray], structure: T) -> T:
    """Apply a function to every array of a dataclass, however nested; numbers stay as they are."""
    if isinstance(structure, np.ndarray):
        return function(structure)
    if is_dataclass(structure) and not isinstance(structure, type):
        values = (map_arrays(function, getattr(structure, field.name)) for field in fields(structure))
        return type(structure)(*values)
    return structure


def distinct(*arrays: Array) -> tuple[list[np.ndarray], np.ndarray]:
    """The different tuples among broadcast arrays, and where each element's tuple is among them.

    Designs repeat a few peripheries many times; costs are computed once per different one.

    Returns:
        One array [different] per argument, and the index [*shape] of every element.
    """
    broadcast = np.broadcast_arrays(*arrays)
    shape = broadcast[0].shape
    code = np.zeros(broadcast[0].size, dtype=np.int64)
    first = np.zeros(0, dtype=np.int64)
    for array in broadcast:
        values, inverse = np.unique(array, return_inverse=True)
        code = code * len(values) + inverse.reshape(-1)
        # Renumbering keeps the code small whatever the number of arguments.
        _, first, code = np.unique(code, return_index=True, return_inverse=True)
    return [array.reshape(-1)[first] for array in broadcast], code.reshape(shape)


__all__ = ["COMPONENTS", "Breakdown", "distinct", "map_arrays"]
