"""What the simulation of the analogue arrays includes, and by which conventions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xpert.design._base import DataModel
from xpert.design.encoding import Reference

SignedInputs = Literal["offset", "twos_complement"]
AdcRangeMode = Literal["calibrated", "learned", "full_scale", "unbounded"]
Ohm = Annotated[float, Field(ge=0, le=1e9)]


class AnalogSettings(DataModel):
    """Conventions and effects of the analog simulation; the size of what a cell does is the device's.

    Formulas: `docs/analog-model.md`.
    """

    reference: Reference = "middle"
    """What the reference column of the chip's `encoding` holds, where it has one: the middle level or the off state.
    Its current is subtracted before the ADC; what is left of the offset is subtracted digitally."""

    signed_inputs: SignedInputs = "offset"
    """How inputs that can be negative (the image) are fed: with a zero point that is subtracted digitally, or in two's
    complement, whose highest bit counts negative."""

    finite_on_off: bool = True
    """Whether the least conductive state conducts, as the device's resistances say."""

    programming_variation: bool = True
    """Whether conductances vary from cell to cell when they are programmed, as the device says."""

    reference_variation: bool = False
    """Whether the cells of reference columns vary too, and can be stuck. By default they do not, as in DNN+NeuroSim
    V1.3: a crossbar has so few of them that they can be averaged or trimmed."""

    stuck_cells: bool = True
    """Whether cells are stuck at the device's `stuck_on_rate` and `stuck_off_rate`."""

    read_noise: bool = True
    """Whether cells fluctuate: from read cycle to read cycle by the device's `read_noise_sigma`, and since they were
    programmed by its `read_noise_1f`."""

    seconds_since_programming: Annotated[float, Field(ge=0, le=1e10)] = 0.0
    """Time over which conductances drift and relax as the device says; 0: read at once. [s]"""

    gain_compensation: bool = True
    """Whether a layer's digital outputs are scaled by what its conductances have lost in sum to drift, retention and IR
    drop, as found by driving all rows: global drift compensation."""

    adaptive_batch_norm: bool = False
    """Whether every chip, once programmed, measures the means and variances of its batch norms on the calibration
    images and uses them in the place of the training's: only digital numbers change."""

    ir_drop: bool = False
    """Whether wires, drivers and sense amplifiers take their share of the voltage."""

    row_wire_ohm: Ohm | None = None
    """Resistance of a row's wire per cell; unset: from cell width and technology. [ohm]"""

    column_wire_ohm: Ohm | None = None
    """Resistance of a column's wire per cell; unset: from cell height and technology. [ohm]"""

    driver_ohm: Ohm = 0.0
    """Output resistance of a row's driver. [ohm]"""

    sense_ohm: Ohm = 0.0
    """Input resistance at the foot of a column: sense amplifier and column multiplexer. [ohm]"""

    adc_range: AdcRangeMode = "calibrated"
    """`calibrated` on a calibration set; `learned`: calibrated, then trained with the weights; `full_scale` (what all
    rows together can conduct); or `unbounded`: column sums pass without conversion, the limit of a perfect ADC."""

    adc_tail: Annotated[float, Field(ge=0, lt=0.5)] = 1e-4
    """Share of the calibration set's column sums that may lie beyond each end of a `calibrated` range."""

    calibration_positions: Annotated[int, Field(ge=1, le=1 << 20)] = 256
    """Input vectors per layer on which ranges are calibrated and the effect of offsets is found, spread evenly over the
    calibration set."""

    adc_offset_sigma: Annotated[float, Field(ge=0, le=1024)] = 0.25
    """Spread of comparators' offsets, after trimming: over ADCs, whose columns share it, or over a flash ADC's levels.
    Comparators are built for it; those for 0, and for `unbounded` ranges, as for 1/32. [ADC step]"""

    adc_offset_compensation: bool = True
    """Whether a chip subtracts from each output what the offsets of its ADCs add to it in the mean over the calibration
    images: a whole number, found once the chip is programmed and added together with the bias."""

    adc_trim_bits: Annotated[int, Field(ge=0, le=10)] = 5
    """Precision of the DAC that trims each comparator's offset: it costs area and lets its transistors be smaller;
    0: none. [bit]"""

    adc_gain_sigma: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Spread of the gain error over ADCs, relative."""

    adc_noise: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Standard deviation of the noise of a conversion, before rounding. [ADC step]"""

    @property
    def adcs_differ(self) -> bool:
        """Whether ADCs have errors of their own that stay: what a chip computes then depends on which share one."""
        return self.adc_range != "unbounded" and (self.adc_offset_sigma > 0 or self.adc_gain_sigma > 0)

    @property
    def compensates_offsets(self) -> bool:
        """Whether there are offsets of ADCs to compensate, and they are."""
        return self.adc_offset_compensation and self.adc_range != "unbounded" and self.adc_offset_sigma > 0

    @model_validator(mode="before")
    @classmethod
    def _encoding_is_the_chips(cls, data: Any) -> Any:
        if isinstance(data, dict) and "encoding" in data:
            raise ValueError("encoding is a field of the chip, whose area it changes: Chip(encoding=...)")
        return data


OFF: dict[str, dict[str, bool | float | str]] = {
    "on_off_ratio": {"finite_on_off": False},
    "programming": {"programming_variation": False},
    "stuck_cells": {"stuck_cells": False},
    "drift": {"seconds_since_programming": 0.0},
    "read_noise": {"read_noise": False},
    "ir_drop": {"ir_drop": False},
    "adc": {"adc_range": "unbounded"},
    "adc_offset": {"adc_offset_sigma": 0.0},
    "adc_gain": {"adc_gain_sigma": 0.0},
    "adc_noise": {"adc_noise": 0.0},
}
"""Effect -> the settings that switch it off. `adc` stands for the ADC's precision and range."""

IDEAL = AnalogSettings.model_validate({key: value for changes in OFF.values() for key, value in changes.items()})
"""No effect at all: the quantised network."""

__all__ = ["IDEAL", "OFF", "AdcRangeMode", "AnalogSettings", "SignedInputs"]
