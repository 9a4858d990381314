"""The floorplan: where tiles of different sizes go, what they leave free, and what grid the chip's H-tree spans.

The chip is a grid of equal square slots. A tile takes a slot, or a half, a quarter, ... of one: halves are cut
alternately along both sides, so that no tile is longer than twice its width. Fractions that are powers of two always
fill slots without gaps, the largest first, so the number of slots is the sum of the fractions, rounded up, and the
placement exists (`place`). What a tile leaves free of its fraction is white space, and charged. The slot is the one
that takes the least area in all.

The cut in halves is a guillotine floorplan (R. H. J. M. Otten, "Automatic floorplan design", DAC 1982) with the sizes
of a buddy system (K. C. Knowlton, "A fast storage allocator", CACM 8(10), 1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpert.hardware.gates import Array

_SLACK = 1e-9
"""Relative difference of areas that counts as none: it is rounding. Source: our choice."""


@dataclass(frozen=True)
class Floorplan:
    """Slots, and what tiles take of them."""

    slot: np.ndarray
    """Area of a slot, [*batch, 1]. [m2]"""

    share: np.ndarray
    """Share of a slot that a tile of each layer takes, a power of two, [*batch, layers]."""

    slots: np.ndarray
    """Slots in all, whole, [*batch, 1]."""


def share_of_slot(slot: Array, area: Array) -> np.ndarray:
    """The least power of two of a slot that holds a tile; above 1 for tiles larger than a slot.

    Args:
        slot: Area of a slot; broadcasts. [m2]
        area: Area of a tile. [m2]
    """
    return np.asarray(np.exp2(np.ceil(np.log2(area / slot) - _SLACK)))


def choose_slot(area: np.ndarray, tiles: np.ndarray) -> Floorplan:
    """The floorplan with the least area.

    With the shares held fixed a slot can shrink until some layer's tiles fill theirs. So one of the layers' tiles,
    doubled until the largest tile fits, is the best slot.

    Args:
        area: Area of a tile of each layer, [*batch, layers]. [m2]
        tiles: Tiles of each layer, [*batch, layers].
    """
    largest = np.max(area, axis=-1, keepdims=True)
    size = np.log2(area)
    doublings = np.ceil(np.log2(largest) - size - _SLACK)
    candidates = area * np.exp2(doublings)
    slot, alike = largest, np.all(candidates <= largest * (1 + _SLACK), axis=-1, keepdims=True)
    if not np.all(alike):  # alike: or halves of one another
        # [*batch, candidates, layers]; the layers' axis vanishes in the sum.
        shares = np.exp2(np.ceil(size[..., None, :] - (size + doublings)[..., :, None] - _SLACK))
        taken = (shares @ tiles[..., None])[..., 0] * candidates
        slot = np.take_along_axis(candidates, np.argmin(taken, axis=-1)[..., None], axis=-1)
        slot = np.where(alike, largest, slot)
    share = share_of_slot(slot, area)
    # Layers are added one after the other so that a batch adds up like a single design.
    taken = np.add.accumulate(share * tiles, axis=-1)[..., -1:]
    return Floorplan(slot=slot, share=share, slots=np.ceil(taken))


def way_in_slot(share: np.ndarray) -> np.ndarray:
    """How far the centre of a part is from the centre of its slot, along the cuts; in sides of a slot.

    Args:
        share: 1, 1/2, 1/4, ...: half a side's half for each of the first two cuts, half of that for the next two, and
            so on.
    """
    cuts = np.round(-np.log2(np.minimum(share, 1.0)))
    pairs, odd = np.floor(cuts / 2), cuts % 2
    # 2 (1/4 + 1/8 + ...) for whole pairs of cuts, and one more.
    return 1.0 - np.exp2(-pairs) + odd * np.exp2(-pairs - 2)


def grid(slots: Array) -> tuple[Array, Array]:
    """Rows and columns of the grid of slots: as near to a square as they get. Source: DNN+NeuroSim V1.3."""
    rows = np.ceil(np.sqrt(slots))
    return rows, np.ceil(slots / rows)


@dataclass(frozen=True)
class Rectangle:
    """A part of the chip, in sides of a slot from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Place(Rectangle):
    """The part of a slot that a tile has."""

    layer: int
    """Index of its layer."""


def place(shares: Sequence[float], tiles: Sequence[int], columns: int) -> list[Place]:
    """A part of a slot for every tile; no two overlap.

    Args:
        shares: Share of a slot that a tile of each layer takes: 1, 1/2, 1/4, ...
        tiles: Tiles of each layer.
        columns: Slots side by side.
    """
    places: list[Place] = []
    taken = 0.0  # slots; a multiple of every share that is still to come, since shares fall by halves
    for layer in sorted(range(len(shares)), key=lambda layer: -shares[layer]):
        for _ in range(tiles[layer]):
            part = _part(taken, shares[layer], columns)
            places.append(Place(part.x, part.y, part.width, part.height, layer))
            taken += shares[layer]
    return places


def left_over(shares: Sequence[float], tiles: Sequence[int], columns: int) -> list[Rectangle]:
    """What `place` leaves of the last row: its empty slots as one, then what is left of the slot that is begun.

    Args:
        shares: As for `place`.
        tiles: As for `place`.
        columns: As for `place`.
    """
    taken = sum(share * count for share, count in zip(shares, tiles, strict=True))
    parts = []
    while taken % 1:
        # The largest part that may begin here: the greatest power of two of which `taken` is a multiple.
        share = 1.0
        while taken % share:
            share /= 2
        parts.append(_part(taken, share, columns))
        taken += share
    row, column = divmod(int(taken), columns)
    empty = [Rectangle(column, row, columns - column, 1.0)] if column else []
    return empty + parts[::-1]


def _part(taken: float, share: float, columns: int) -> Rectangle:
    """The part of a slot that begins after so many slots, a multiple of the share."""
    slot, rest = divmod(taken, 1.0)
    row, column = divmod(int(slot), columns)
    x, y, width, height = float(column), float(row), 1.0, 1.0
    # Follow the cuts to the part that begins at `rest`: first into left and right, then upper and lower.
    size, vertical = 1.0, True
    while size > share:
        size /= 2
        second = rest >= size
        rest -= size * second
        if vertical:
            width /= 2
            x += width * second
        else:
            height /= 2
            y += height * second
        vertical = not vertical
    return Rectangle(x, y, width, height)


__all__ = [
    "Floorplan",
    "Place",
    "Rectangle",
    "choose_slot",
    "grid",
    "left_over",
    "place",
    "share_of_slot",
    "way_in_slot",
]
