"""Kinds of ADC that are made of circuits: their names, and where each is found.

A design is checked against the names alone. The kind itself, an `xpert.hardware.AdcKind`, is loaded when something is
built of it, so this module knows no circuit.

Other packages add kinds in the way of Python plug-ins, by an entry point in the group `xpert.adcs`::

    [project.entry-points."xpert.adcs"]
    dual-slope = "my_package.dual_slope:DUAL_SLOPE"

Every process finds those. `register_adc` adds a kind to the running process alone, for notebooks and tests.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from xpert.design._base import shown
from xpert.errors import ConfigError

GROUP = "xpert.adcs"
"""Group of the entry points."""

ADC_NAME = r"^[a-z][a-z0-9_-]*$"
"""Names of kinds: lower-case letters, digits, - and _."""

_BUILT_IN = {
    "sar": "xpert.hardware.adcs.sar:SAR",
    "flash": "xpert.hardware.adcs.flash:FLASH",
    "ramp": "xpert.hardware.adcs.ramp:RAMP",
}
"""XPert's own kinds, each where an entry point would say that it is."""

_registered: dict[str, object] = {}


def adc_kinds() -> tuple[str, ...]:
    """Names of all kinds: XPert's own, those of installed packages, those of this process."""
    return (*_BUILT_IN, *_installed(), *_registered)


def register_adc(name: str, kind: object) -> None:
    """Add a kind of ADC to this process.

    Args:
        name: What `adc_type` calls it.
        kind: An `xpert.hardware.AdcKind`.

    Raises:
        ConfigError: If the name is taken, or is not one of lower-case letters, digits, - and _.
    """
    _check_name(name, adc_kinds(), "register_adc")
    _registered[name] = kind


def find_adc(name: str) -> object:
    """The kind of this name, as it was registered or as its module has it.

    Raises:
        ConfigError: If there is none, or if it cannot be imported.
    """
    if name in _registered:
        return _registered[name]
    if name in _BUILT_IN:
        return EntryPoint(name, _BUILT_IN[name], GROUP).load()
    if name not in _installed():
        raise ConfigError(f"adc_type must be one of {', '.join(adc_kinds())}, got {shown(name)}")
    point = _installed()[name]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"adc_type {name!r}: cannot load {point.value} (entry point of {GROUP}): {error}") from None


@cache
def _installed() -> dict[str, EntryPoint]:
    """Kinds of installed packages; the first call reads their metadata."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        _check_name(point.name, (*_BUILT_IN, *found), f"entry point {point.value} of {GROUP}")
        found[point.name] = point
    return found


def _check_name(name: str, taken: tuple[str, ...], where: str) -> None:
    if not re.fullmatch(ADC_NAME, name):
        raise ConfigError(f"{where}: a name has lower-case letters, digits, - and _ alone, got {shown(name)}")
    if name in taken:
        raise ConfigError(f"{where}: there is an ADC {name!r} already; choose another name")


__all__ = ["ADC_NAME", "GROUP", "adc_kinds", "find_adc", "register_adc"]
