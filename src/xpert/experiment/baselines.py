"""Homogeneous designs: the backbone with the same periphery in every layer."""

from __future__ import annotations

from xpert.design import ARCHITECTURE_FIELDS, Chip, Design, Periphery
from xpert.networks.spaces import Space


def typical_of(space: Space, chip: Chip, periphery: Periphery) -> Design:
    """The typical design: the unsearched backbone."""
    return Design.homogeneous(space.network(space.default_channels), chip, periphery, name="typical")


def with_periphery(typical: Design, periphery: Periphery) -> Design:
    """The typical design with another periphery in all layers, after which it is called."""
    name = f"homogeneous {periphery.in_words(ARCHITECTURE_FIELDS)}"
    return Design.homogeneous(typical.network, typical.chip, periphery, name=name)


__all__ = ["typical_of", "with_periphery"]
