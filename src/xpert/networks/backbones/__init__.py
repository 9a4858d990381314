"""Families of backbones, one file each, found by the names of their networks. No torch here.

Another family is registered with `BACKBONES.register(Family(...))`, or announced by an installed package as an entry
point of the group `xpert.backbones`.
"""

from __future__ import annotations

from xpert.networks.family import Family
from xpert.registry import Registry, modules_of

BACKBONES: Registry[Family] = Registry(
    "backbone", "xpert.backbones", lambda: modules_of(__name__, "FAMILY"), names_of=lambda family: family.names
)
"""The families, by the names of their backbones."""

__all__ = ["BACKBONES"]
