"""The chip drawn to scale: its floorplan, with all that is charged. Geometry only, the page turns it into SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xpert.errors import DataError
from xpert.hardware.floorplan import Rectangle, grid, left_over, place
from xpert.results import EvaluationRecord, LayerCost

MAX_TILES = 5000
"""Chips with more tiles are not drawn: tiles of less than a few pixels show nothing."""

WHITE_SPACE = "white_space"
"""Name of the component that tiles leave free of their slots."""

_SLACK = 1e-6
"""Relative excess of a tile over its part of a slot that is rounding."""


@dataclass(frozen=True)
class Tile(Rectangle):
    """A tile in the upper left corner of its part of a slot, of the same shape. [mm]"""

    layer: int
    """Index of its layer."""


@dataclass(frozen=True)
class SharedBlock(Rectangle):
    """What all layers share of a component, or a piece of it. [mm]"""

    component: str
    """Its name in the breakdown."""


@dataclass(frozen=True)
class ChipDrawing:
    """A chip from its upper left corner. Tiles, white space and blocks are what is charged. [mm]"""

    pitch: float
    """Side of a slot."""

    rows: int
    """Rows of slots."""

    columns: int
    """Slots side by side."""

    tiles: tuple[Tile, ...]
    """Tiles, each as large as its own area."""

    white_space: float
    """Area that tiles leave free of their parts of a slot. [mm2]"""

    blocks: tuple[SharedBlock, ...]
    """Shared blocks: in what tiles leave of the last row, and below it."""

    spare: tuple[Rectangle, ...]
    """What is left of the last row. It is not charged: the rest of the system may use it."""

    width: float
    height: float

    @property
    def above_bound(self) -> float:
        """How much larger the chip is than its tiles and shared blocks, the bound of all floorplans; a share."""
        charged = sum(piece.width * piece.height for piece in (*self.tiles, *self.blocks))
        return self.white_space / charged


def draw_chip(evaluation: EvaluationRecord) -> ChipDrawing | None:
    """Place the tiles of every layer where the hardware model has them, see `hardware.floorplan`.

    Shared blocks have an area, but no shape: they fill what tiles leave of the last row of slots, and a strip below.

    Returns:
        The drawing, or None for an evaluation without layers, without a floorplan or with more than `MAX_TILES` tiles.

    Raises:
        DataError: If tiles do not fit the slots that the evaluation gives them.
    """
    layers, slot = evaluation.on_crossbars, evaluation.slot_mm2
    if slot is None or not 0 < sum(layer.tiles for layer in layers) <= MAX_TILES:
        return None
    shares = [_share(layer, slot) for layer in layers]
    counts = [max(1, round(layer.tiles)) for layer in layers]
    pitch = math.sqrt(slot)
    taken = sum(share * count for share, count in zip(shares, counts, strict=True))
    rows, columns = (int(sides) for sides in grid(math.ceil(taken)))
    # Of a part's area, the tile's own.
    filled = [min(1.0, _own_area(layer) / (share * slot)) for layer, share in zip(layers, shares, strict=True)]
    tiles = tuple(
        Tile(pitch * one.x, pitch * one.y, pitch * one.width * side, pitch * one.height * side, one.layer)
        for one in place(shares, counts, columns)
        for side in (math.sqrt(filled[one.layer]),)
    )
    white_space = taken * slot - sum(tile.width * tile.height for tile in tiles)
    free = [
        Rectangle(pitch * one.x, pitch * one.y, pitch * one.width, pitch * one.height)
        for one in left_over(shares, counts, columns)
    ]
    blocks, spare, bottom = _fill(shared_areas(evaluation), free, pitch * columns, pitch * rows)
    return ChipDrawing(
        pitch, rows, columns, tiles, max(0.0, white_space), tuple(blocks), tuple(spare), pitch * columns, bottom
    )


def shared_areas(evaluation: EvaluationRecord) -> dict[str, float]:
    """Area of every component that belongs to no layer. [mm2]"""
    areas = {
        name: area - sum(layer.breakdown.get("area_mm2", {}).get(name, 0.0) for layer in evaluation.layers)
        for name, area in evaluation.breakdown.get("area_mm2", {}).items()
    }
    return {name: area for name, area in areas.items() if area > _SLACK * evaluation.area_mm2 and name != WHITE_SPACE}


def slot_lines(drawing: ChipDrawing) -> Iterator[tuple[float, float, float, float]]:
    """Lines between slots, each from (x, y) to (x, y). [mm]"""
    bottom = drawing.pitch * drawing.rows
    for column in range(1, drawing.columns):
        yield drawing.pitch * column, 0.0, drawing.pitch * column, bottom
    for row in range(1, drawing.rows):
        yield 0.0, drawing.pitch * row, drawing.width, drawing.pitch * row


def h_tree(drawing: ChipDrawing) -> Iterator[tuple[float, float, float, float]]:
    """Wires of the H-tree, schematic: from the lower edge to the middle, then on by halves to every slot. [mm]"""
    middle, pitch = drawing.columns / 2, drawing.pitch
    yield pitch * middle, pitch * drawing.rows, pitch * middle, pitch * drawing.rows / 2
    waiting = [(0, 0, drawing.columns, drawing.rows)]
    while waiting:
        left, top, right, bottom = waiting.pop()
        if right - left == bottom - top == 1:
            continue
        if right - left >= bottom - top:
            cut = (left + right) // 2
            halves = [(left, top, cut, bottom), (cut, top, right, bottom)]
        else:
            cut = (top + bottom) // 2
            halves = [(left, top, right, cut), (left, cut, right, bottom)]
        x, y = (left + right) / 2, (top + bottom) / 2
        for half in halves:
            yield pitch * x, pitch * y, pitch * (half[0] + half[2]) / 2, pitch * (half[1] + half[3]) / 2
        waiting += halves


def scale_bar(width: float) -> float:
    """A round length of at most a third of the width: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= width / 3)


def _own_area(layer: LayerCost) -> float:
    """Area of a tile without its white space. [mm2]"""
    return (layer.area_mm2 - layer.breakdown.get("area_mm2", {}).get(WHITE_SPACE, 0.0)) / layer.tiles


def _share(layer: LayerCost, slot: float) -> float:
    """Share of a slot that a tile takes, if it fits."""
    share, area = layer.slot_share, _own_area(layer)
    if share is None or math.frexp(share)[0] != 0.5 or not 0 < area <= share * slot * (1 + _SLACK):
        raise DataError(
            f"evaluation: layers: {layer.name}: slot_share: must be 1, 1/2, 1/4, ... of {slot:.4g} mm2 and hold "
            f"a tile of {area:.4g} mm2, got {share}"
        )
    return share


def _fill(
    areas: Mapping[str, float], free: Sequence[Rectangle], width: float, bottom: float
) -> tuple[list[SharedBlock], list[Rectangle], float]:
    """Blocks in free rectangles from left to right, then in a strip below; what stays free; the new bottom."""
    waiting, blocks, spare = dict(areas), [], []
    for rectangle in free:
        x, right = rectangle.x, rectangle.x + rectangle.width
        while waiting and right - x > _SLACK * rectangle.width:
            name = next(iter(waiting))
            long = min(waiting[name] / rectangle.height, right - x)
            blocks.append(SharedBlock(x, rectangle.y, long, rectangle.height, name))
            x += long
            waiting[name] -= long * rectangle.height
            if waiting[name] <= _SLACK * areas[name]:
                del waiting[name]
        if right - x > _SLACK * rectangle.width:
            spare.append(Rectangle(x, rectangle.y, right - x, rectangle.height))
    x, high = 0.0, sum(waiting.values()) / width
    for name, area in waiting.items():
        blocks.append(SharedBlock(x, bottom, area / high, high, name))
        x += area / high
    return blocks, spare, bottom + high
