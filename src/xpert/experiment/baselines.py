"""Homogeneous designs: the backbone with the same periphery in every layer."""

from __future__ import annotations

from collections.abc import Iterator

from xpert.design import ADC_TYPES, Chip, Design, Periphery
from xpert.experiment.config import PeripheryOptions
from xpert.networks.spaces import Space


def typical_of(space: Space, chip: Chip, periphery: Periphery) -> Design:
    """The typical design: the unsearched backbone."""
    return Design.homogeneous(space.network(space.default_channels), chip, periphery, name="typical")


def with_adcs(typical: Design, adc_type: str, columns_per_adc: int) -> Design:
    """The typical design with other ADCs and another column sharing in all layers."""
    entry = typical.periphery[0].replace(adc_type=adc_type, columns_per_adc=columns_per_adc)
    name = f"homogeneous {adc_type}, {columns_per_adc} columns per ADC"
    return Design.homogeneous(typical.network, typical.chip, entry, name=name)


def adc_options(typical: Design, options: PeripheryOptions) -> Iterator[tuple[str, int]]:
    """Pairs (ADC type, columns per ADC) of the homogeneous designs that a search is compared with."""
    for adc_type in dict.fromkeys((*ADC_TYPES, *options.adc_types)):
        for columns in sorted({*options.columns_per_adc, typical.periphery[0].columns_per_adc}):
            yield adc_type, columns


__all__ = ["adc_options", "typical_of", "with_adcs"]
