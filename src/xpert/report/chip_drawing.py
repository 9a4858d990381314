"""The chip drawn to scale from its own numbers: geometry only, the page turns it into SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xpert.results import EvaluationRecord

MAX_TILES = 5000
"""Chips with more tiles are not drawn: squares of less than a few pixels show nothing."""


@dataclass(frozen=True)
class Tile:
    """A tile as a square. [mm]"""

    layer: int
    """Index of its layer."""

    x: float
    y: float
    side: float


@dataclass(frozen=True)
class ChipDrawing:
    """Tiles in rows, and what belongs to no layer as a strip below. [mm]"""

    tiles: tuple[Tile, ...]
    width: float
    height: float
    strip: float
    """Height of the strip, whose area is the chip's area less that of all layers."""


def draw_chip(evaluation: EvaluationRecord) -> ChipDrawing | None:
    """Place the tiles of every layer, each as large as its layer's area over its tiles.

    Areas are exact; places are not: a floorplan is not part of an evaluation. Larger tiles come first, since rows of
    equal squares leave no gaps, and the width is the one that makes the outline most nearly square.

    Returns:
        The drawing, or None for an evaluation without layers or with more than `MAX_TILES` tiles.
    """
    if not 0 < sum(layer.tiles for layer in evaluation.layers) <= MAX_TILES:
        return None
    sides = []
    for index, layer in enumerate(evaluation.layers):
        count = max(1, round(layer.tiles))
        sides += [(math.sqrt(layer.area_mm2 / count), index)] * count
    sides.sort(key=lambda entry: (-entry[0], entry[1]))
    strip_area = max(0.0, evaluation.area_mm2 - sum(layer.area_mm2 for layer in evaluation.layers))
    side = math.sqrt(evaluation.area_mm2)
    candidates = [_in_rows(sides, max(side * step / 20, sides[0][0]), strip_area) for step in range(18, 28)]
    return min(candidates, key=lambda drawing: max(drawing.width, drawing.height))


def _in_rows(sides: list[tuple[float, int]], width: float, strip_area: float) -> ChipDrawing:
    tiles, x, y, row = [], 0.0, 0.0, 0.0
    for side, layer in sides:
        if x and x + side > width * (1 + 1e-9):
            x, y, row = 0.0, y + row, 0.0
        tiles.append(Tile(layer, x, y, side))
        x, row = x + side, max(row, side)
    used = max(tile.x + tile.side for tile in tiles)
    strip = strip_area / used
    return ChipDrawing(tuple(tiles), used, y + row + strip, strip)


def scale_bar(width: float) -> float:
    """A round length of at most a third of the width: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= width / 3)
