"""What a kind of ADC is: what its circuits cost in a subarray, and how its errors are spread over converters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xpert.hardware.block import Block
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a subarray asks of its ADCs of one kind; arrays [*batch] that broadcast."""

    bits: Array
    """ADC precision. [bit]"""

    instances: Array
    """ADCs of the subarray."""

    turns: Array
    """Columns, or pairs, that each converts one after the other."""

    width: float
    """Width of all columns, which the ADCs fill. [m]"""

    column_resistance: Array
    """Resistance of each (group of) column; infinite without active rows. `[*batch, columns]` [ohm]"""

    multiplicity: Array
    """Columns in each group. `[*batch, columns]`"""

    read_voltage: float
    """Across the cells. [V]"""

    rows: int
    """Rows of the crossbar."""

    r_on: float
    """Smallest resistance of a cell, for which reference levels are set. [ohm]"""

    r_off: float
    """Largest resistance of a cell. [ohm]"""

    sensing: str
    """How a flash ADC compares: `current` or `voltage`."""

    offset_sigma: float
    """Standard deviation of a comparator's offset after trimming. [ADC step]"""

    trim_bits: int
    """Precision of the trimming; 0: none. [bit]"""


AdcEffect = Literal["adc_offset", "adc_gain"]
"""Error of a converter: an offset in ADC steps, or a relative error of its gain."""

Normal = Callable[[AdcEffect, tuple[int, ...]], Any]
"""Standard normal numbers of an effect, of a shape: what a chip draws."""

AdcErrors = Callable[[AdcEffect, Normal, tuple[int, ...]], Any]
"""Errors of all converters in standard deviations, from `(effect, normal, shape)`.

The shape is [row blocks, groups, crossbars, ADCs of a crossbar]; the answer broadcasts with it.
"""


def independent_errors(effect: AdcEffect, normal: Normal, shape: tuple[int, ...]) -> Any:
    """Each ADC has an error of its own; see `AdcErrors`."""
    return normal(effect, shape)


@dataclass(frozen=True)
class AdcKind:
    """A kind of ADC, as `ADCS.register` and entry points of `xpert.adcs` give it."""

    blocks: Callable[[Process, Conversion], Sequence[Block]]
    """Circuits of a subarray's ADCs. Converters are `of_columns`: one use converts every column once, and their latency
    is that of one conversion."""

    errors: AdcErrors = independent_errors
    """How errors are spread over converters; their sizes are those of `chip.analog`."""

    own_levels: bool = False
    """Whether each level has a comparator, with an offset, of its own; `errors` then gives no offset."""

    reference_load: Callable[[Process, Conversion], Array] | None = None
    """Capacitance that all ADCs of a subarray connect to their references [F]; None: of a capacitive DAC in each."""

    column_time: Callable[[Process], float | None] = lambda p: None
    """How long a column conducts in a conversion [s]; None: as long as that takes."""


__all__ = ["AdcEffect", "AdcErrors", "AdcKind", "Conversion", "Normal", "independent_errors"]
