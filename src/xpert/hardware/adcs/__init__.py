"""Kinds of ADC, one file each; `xpert.design.adc_registry` knows their names."""

from __future__ import annotations

from dataclasses import replace

from xpert.design import ADCS, Adc, shown
from xpert.errors import ConfigError
from xpert.hardware.adcs.kind import AdcEffect, AdcErrors, AdcKind, Conversion, Normal, independent_errors
from xpert.hardware.adcs.own import own_kind


def adc_kind(adc_type: str, adcs: tuple[Adc, ...] = ()) -> AdcKind:
    """The kind of ADC of this name.

    Args:
        adc_type: Its name.
        adcs: The chip's ADCs of the user's own.

    Raises:
        ConfigError: If there is no such kind, or if what is registered under its name is none.
    """
    for adc in adcs:
        if adc.name == adc_type and adc.replaces is None:
            return own_kind(adc)
    kind = ADCS.find(adc_type)
    if not isinstance(kind, AdcKind):
        raise ConfigError(f"adc_type {adc_type!r}: must be registered with an AdcKind, got {shown(kind)}")
    for adc in adcs:
        if adc.replaces == adc_type:
            # Its errors stay those of the kind; its circuits are unknown.
            return replace(own_kind(adc), errors=kind.errors, own_levels=kind.own_levels)
    return kind


__all__ = ["AdcEffect", "AdcErrors", "AdcKind", "Conversion", "Normal", "adc_kind", "independent_errors"]
