"""What the analog simulation includes, and by which conventions."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xpert.design import Model

Encoding = Literal["offset", "differential"]
Reference = Literal["middle", "off"]
AdcRangeMode = Literal["calibrated", "full_scale", "unbounded"]


class AnalogSettings(Model):
    """Conventions and effects. Formulas: `docs/analog-model.md`."""

    encoding: Encoding = "offset"
    """`offset`: offset binary, one cell per slice, as the cost model counts; `differential`: two cells per slice."""

    reference: Reference = "middle"
    """What the reference column of `offset` holds: the middle level or the off state. Its current is subtracted before
    the ADC; what is left of the offset is subtracted digitally."""

    programming_variation: bool = True
    """Whether conductances stray by the device's `programming_sigma`."""

    reference_variation: bool = False
    """Whether the cells of reference columns stray too. By default they do not, as in DNN+NeuroSim V1.3: a crossbar has
    so few of them that they can be averaged or trimmed."""

    adc_range: AdcRangeMode = "calibrated"
    """`calibrated` on a calibration set, `full_scale` (what all rows together can conduct), or `unbounded`: column sums
    pass without conversion, the limit of a perfect ADC."""

    adc_tail: Annotated[float, Field(ge=0, lt=0.5)] = 1e-4
    """Share of the calibration set's column sums that may lie beyond each end of a `calibrated` range."""

    calibration_positions: Annotated[int, Field(ge=1, le=1 << 20)] = 256
    """Input vectors per layer on which ranges are calibrated, spread evenly over the calibration set."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.encoding == "differential" and self.reference != "middle":
            raise ValueError("reference is for encoding 'offset'; a differential pair has no reference column")
        return self


IDEAL = AnalogSettings(programming_variation=False, adc_range="unbounded")
"""No effect at all: the quantised network."""

__all__ = ["IDEAL", "AdcRangeMode", "AnalogSettings", "Encoding", "Reference"]
