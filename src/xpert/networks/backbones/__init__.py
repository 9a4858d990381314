"""Families of backbones, one file each, found by the names of their networks. No torch here.

Another family is registered with `BACKBONES.register(Family(...))`, or announced by an installed package as an entry
point of the group `xpert.backbones`.
"""

from __future__ import annotations

from xpert.networks.family import Family
from xpert.registry import Registry

BACKBONES: Registry[Family] = Registry(
    "backbone", __name__, "FAMILY", "xpert.backbones", names=lambda family: family.names
)
"""The families, by the names of their backbones."""

__all__ = ["BACKBONES"]
