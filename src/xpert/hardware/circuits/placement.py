"""How identical cells fill an imposed width or height."""

from __future__ import annotations

import numpy as np

from xpert.hardware.gates import Array


def bank(
    count: Array, unit_width: Array, unit_height: Array, width: Array | None, height: Array | None
) -> tuple[Array, Array, Array]:
    """Area, width and height of a bank of cells.

    With a width imposed, rows of cells fill it and the whole rectangle counts; likewise with a height. With neither,
    the cells stand in one row.

    Args:
        count: Number of cells.
        unit_width: Width of one cell. [m]
        unit_height: Height of one cell. [m]
        width: Imposed width, or None. [m]
        height: Imposed height (used where no width is imposed), or None. [m]

    Returns:
        Area [m2], width [m], height [m].
    """
    if width is not None:
        rows = np.ceil(count / np.minimum(count, np.floor(width / unit_width)))
        height = unit_height * rows
    elif height is not None:
        columns = np.ceil(count / np.minimum(count, np.floor(height / unit_height)))
        width = unit_width * columns
    else:
        width, height = unit_width * count, unit_height
    return width * height, width, height


def spread(area: Array, unit_height: Array, width: Array | None, height: Array | None) -> tuple[Array, Array]:
    """Width and height of a block of given area that adapts to an imposed width or height; one row with neither. [m]"""
    if width is not None:
        return width, area / width
    if height is None:
        height = unit_height
    return area / height, height
