"""Kinds of ADC that are made of circuits: their names, and where each is found.

A design is checked against the names alone. The kind itself, an `xpert.hardware.AdcKind`, is loaded when something is
built of it, so this module knows no circuit.

Other packages add kinds in the way of Python plug-ins, by an entry point in the group `xpert.adcs`::

    [project.entry-points."xpert.adcs"]
    dual-slope = "my_package.dual_slope:DUAL_SLOPE"

Every process finds those. `ADCS.register(KIND, "dual-slope")` adds a kind to the running process alone, for notebooks
and tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpert.registry import Registry

ADC_NAME = r"^[a-z][_a-z0-9-]*$"
"""Names of kinds: lower-case letters, digits, - and _."""

ADCS: Registry[Any] = Registry(
    "adc_type",
    "xpert.adcs",
    lambda: {
        "sar": "xpert.hardware.adcs.sar:SAR",
        "flash": "xpert.hardware.adcs.flash:FLASH",
        "ramp": "xpert.hardware.adcs.ramp:RAMP",
    },
    pattern=ADC_NAME,
)
"""The kinds, by name."""


def adc_types(own: Iterable[str]) -> tuple[str, ...]:
    """Names of the kinds that are known so far, in the order of the indices that arrays hold.

    What packages bring comes last. It is looked at only when a name is not known without them, and moves no index then.

    Args:
        own: Names of a chip's own ADCs.
    """
    shipped = ADCS.shipped()
    return (*shipped, *own, *(name for name in ADCS.known() if name not in shipped))


__all__ = ["ADCS", "ADC_NAME", "adc_types"]
