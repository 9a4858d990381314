"""The periphery of one layer: what the co-search chooses besides the network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xpert.design._base import DataModel
from xpert.design.adc_registry import ADC_NAME

AdcType = Annotated[str, Field(pattern=ADC_NAME, max_length=60)]
"""A kind of ADC that is made of circuits (`adc_kinds`), or the name of one of the chip's own ADCs (`Adc`)."""

ColumnsPerAdc = Annotated[int, Field(ge=1, le=1024)]
AdcBits = Annotated[int, Field(ge=1, le=12)]
InputBits = Annotated[int, Field(ge=1, le=16)]


class Periphery(DataModel):
    """ADC type, column sharing, ADC precision and input precision of a layer's subarrays."""

    adc_type: AdcType = "sar"
    """Kind of analogue-to-digital converter: one of `adc_kinds()`, or the name of one of `chip.adcs`."""

    columns_per_adc: ColumnsPerAdc = 8
    """Columns multiplexed onto one ADC. At most the columns of the crossbar."""

    adc_bits: AdcBits = 6
    """ADC precision: 2**adc_bits levels. [bit]"""

    input_bits: InputBits = 8
    """Input precision: bit-serial read cycles per input vector. [bit]"""
