"""How identical cells fill an imposed width or height."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def bank(
    p: Process, count: Array, unit_width: Array, unit_height: Array, width: Array | None, height: Array | None
) -> tuple[Array, Array, Array]:
    """Area, width and height of a bank of cells.

    With a width imposed, rows of cells fill it and the whole rectangle counts; likewise with a height. With neither,
    the cells stand in one row. Where not a single cell fits, area and the free side are infinite.

    Args:
        p: Process.
        count: Number of cells.
        unit_width: Width of one cell. [m]
        unit_height: Height of one cell. [m]
        width: Imposed width, or None. [m]
        height: Imposed height (used where no width is imposed), or None. [m]

    Returns:
        Area [m2], width [m], height [m].
    """
    if width is not None:
        height = unit_height * lanes(count, gates.floor(p, width / unit_width))
    elif height is not None:
        width = unit_width * lanes(count, gates.floor(p, height / unit_height))
    else:
        width, height = unit_width * count, unit_height
    return width * height, width, height


def lanes(count: Array, per_lane: Array) -> Array:
    """Rows (or columns) that `count` cells take, at most `per_lane` in each; infinite if none fits, 0 for no cells."""
    with np.errstate(divide="ignore"):
        return np.ceil(np.divide(count, np.where(np.greater(count, 0), np.minimum(count, per_lane), 1.0)))


def spread(area: Array, unit_height: Array, width: Array | None, height: Array | None) -> tuple[Array, Array]:
    """Width and height of a block of given area that adapts to an imposed width or height; one row with neither. [m]"""
    if width is not None:
        return width, area / width
    if height is None:
        height = unit_height
    return area / height, height
