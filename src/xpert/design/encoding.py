"""Weight encodings: how signed integer weights become unsigned codes of cells, and which columns that takes.

A column sum is converted after something is subtracted from it: the current of a reference column that all weights of
a crossbar share, or that of a second column of cells beside every column. Formulas: `docs/analog-model.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from xpert.design._base import OneOf
from xpert.registry import Registry

Reference = Literal["middle", "off"]


def largest_weight(weight_bits: int) -> int:
    """Largest integer weight of a precision; the smallest is its negative. Weights of 1 bit are +1 or -1, never 0."""
    return max(1, (1 << (weight_bits - 1)) - 1)


@dataclass(frozen=True)
class WeightCode(ABC):
    """How a signed weight is spread over cells: the base of all encodings."""

    weight_bits: int
    """Weight precision. [bit]"""

    cell_bits: int
    """Bits per cell: a slice weighs `2**cell_bits` times the one below. [bit]"""

    reference: Reference = "middle"
    """What a reference column holds; only where there is one."""

    paired: ClassVar[bool]
    """Whether each slice has two columns of its own, the difference of which is converted; else it has one, and a
    reference column per slice that all weights of a crossbar share."""

    binary: ClassVar[bool] = False
    """Whether it holds weights of 1 bit, which are +1 or -1."""

    @property
    @abstractmethod
    def code_bits(self) -> int:
        """Bits of the code that a weight's cells store. [bit]"""

    @property
    def offset(self) -> int:
        """What is added to a weight before it is stored."""
        return 0

    @abstractmethod
    def stored(self, weights: Any) -> tuple[Any, Any]:
        """Codes that cells store, and those that cells of their own subtract; None where a reference column does.

        Args:
            weights: Integers within +-`largest_weight(weight_bits)`: a number, an array or a tensor.
        """

    @property
    def slice_bits(self) -> tuple[int, ...]:
        """Bits in each weight slice, least significant first. [bit]"""
        return tuple(min(self.cell_bits, self.code_bits - low) for low in range(0, self.code_bits, self.cell_bits))

    @property
    def slices(self) -> int:
        """Slices of a weight."""
        return -(-self.code_bits // self.cell_bits)

    @property
    def columns_per_slice(self) -> int:
        """Columns of a slice, which are converted as one."""
        return 2 if self.paired else 1

    @property
    def columns_per_weight(self) -> int:
        """Columns that hold one weight; reference columns are extra."""
        return self.slices * self.columns_per_slice

    @property
    def significance(self) -> tuple[int, ...]:
        """What a slice's levels count for."""
        return tuple(1 << (self.cell_bits * s) for s in range(self.slices))

    @property
    def reference_codes(self) -> tuple[int, ...]:
        """Code of the reference column of each slice; zeros where there is none."""
        middle = not self.paired and self.reference == "middle"
        return tuple(1 << (size - 1) if middle else 0 for size in self.slice_bits)

    @property
    def input_weight(self) -> int:
        """What every weight still lacks after the subtraction; added digitally, times the input."""
        return sum(code * weight for code, weight in zip(self.reference_codes, self.significance)) - self.offset

    @property
    def limits(self) -> tuple[tuple[int, int], ...]:
        """Least and most that a cell of each slice can conduct after the subtraction, whatever the weights. [level]"""
        highest = [(1 << size) - 1 for size in self.slice_bits]
        if self.paired:
            return tuple((-most, most) for most in highest)
        return tuple((-code, most - code) for most, code in zip(highest, self.reference_codes))

    def digits(self, codes: Any) -> list[Any]:
        """What the cell of each slice stores of unsigned codes, least significant first. [level]"""
        return [(codes >> (self.cell_bits * s)) & ((1 << size) - 1) for s, size in enumerate(self.slice_bits)]


class OffsetBinary(WeightCode):
    """Stores `w + 2**(weight_bits - 1)`; a reference column is subtracted.

    A weight of 1 bit stores 0 for -1 and 1 for +1, so that a level counts for 2.

    Source: a dummy column as in DNN+NeuroSim V1.3; subtraction before conversion as in Xiao et al., IEEE Circuits and
    Systems Magazine 22(4), 2022 (arXiv 2109.01262), section 3.2.
    """

    paired = False
    binary = True

    @property
    def code_bits(self) -> int:
        """Bits of the code that a weight's cells store. [bit]"""
        return self.weight_bits

    @property
    def offset(self) -> int:
        """What is added to a weight before it is stored."""
        return 1 << (self.weight_bits - 1)

    @property
    def significance(self) -> tuple[int, ...]:
        """What a slice's levels count for."""
        return (2,) if self.weight_bits == 1 else super().significance

    def stored(self, weights: Any) -> tuple[Any, Any]:
        """Codes that cells store; a reference column is subtracted."""
        codes = weights + self.offset
        return (codes >> 1 if self.weight_bits == 1 else codes), None


class Differential(WeightCode):
    """Stores `max(w, 0)` and `max(-w, 0)` in pairs of cells; the sign takes no bit.

    A weight of 1 bit is a pair of cells, one of which is on.

    Source: Xiao et al., IEEE Circuits and Systems Magazine 22(4), 2022 (arXiv 2109.01262), section 3.2.
    """

    paired = True
    binary = True

    @property
    def code_bits(self) -> int:
        """Bits of the code that a weight's cells store. [bit]"""
        return max(1, self.weight_bits - 1)

    def stored(self, weights: Any) -> tuple[Any, Any]:
        """Codes that cells store, and those that are subtracted."""
        return weights * (weights > 0), -weights * (weights < 0)


ENCODINGS: Registry[type[WeightCode]] = Registry(
    "encoding",
    "xpert.encodings",
    lambda: {"offset": f"{__name__}:OffsetBinary", "differential": f"{__name__}:Differential"},
)
"""The encodings, by their names in a design file. An entry here is all that an encoding needs."""

Encoding = Annotated[str, OneOf(lambda: ENCODINGS)]
"""Name of one of `ENCODINGS`."""

__all__ = ["ENCODINGS", "Differential", "Encoding", "OffsetBinary", "Reference", "WeightCode", "largest_weight"]
