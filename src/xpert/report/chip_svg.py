"""A chip as a picture of its own: its floorplan to scale, each tile divided by what its area goes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from xpert.errors import DataError
from xpert.hardware.floorplan import Rectangle
from xpert.report.chip_drawing import MAX_TILES, WHITE_SPACE, ChipDrawing, draw_chip, h_tree, scale_bar, slot_lines
from xpert.report.palette import component_colours
from xpert.report.tables import component_title
from xpert.results import EvaluationRecord
from xpert.text import number, percent

_SIDE = 600.0
"""Width of the chip, or its height where that is more. [pixel]"""

_MARGIN, _LEGEND, _LINE = 24.0, 270.0, 22.0
"""Blank space around, width of the legend, distance of its lines. [pixel]"""

_LEAST_LABEL = 16.0
"""Shorter side of the smallest tile that carries the number of its layer. [pixel]"""

_HATCH = (
    '<defs><pattern id="spare" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" fill="#fff"/><path d="M0 0V7" stroke="#cbd5e1" stroke-width="2"/></pattern></defs>'
)


def chip_svg(evaluation: Mapping[str, Any]) -> str:
    """A chip drawn to scale from its evaluation, as an SVG file.

    Tiles lie where the floorplan has them, each as large as the model says, in bands of the areas of its components,
    under the number of its layer. White space is what tiles leave free of their parts of a slot. What all layers share
    lies in the rest of the last row and below.

    Args:
        evaluation: What `Evaluation.to_dict()` or `xpert evaluate --json` gave.

    Raises:
        DataError: If it is no such evaluation, has no floorplan, or more than `MAX_TILES` tiles.
    """
    chip = EvaluationRecord.parse(evaluation, "evaluation")
    drawing = draw_chip(chip)
    if drawing is None:
        raise DataError(
            f"evaluation: a chip with a floorplan (slot_mm2) and 1 to {MAX_TILES} tiles can be drawn; the reference "
            "mode has no floorplan"
        )
    areas = {name: value for name, value in chip.breakdown.get("area_mm2", {}).items() if value > 0}
    colours = component_colours([*areas, WHITE_SPACE])
    scale = _SIDE / max(drawing.width, drawing.height)
    notes = list(_notes(drawing))
    width = scale * drawing.width + _LEGEND + 3 * _MARGIN
    height = max(scale * drawing.height, _LINE * (len(areas) + len(notes) + 3)) + 3 * _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#1f2937">',
            f"<title>{escape(chip.name)}: {len(drawing.tiles)} tiles, {number(chip.area_mm2)} mm²</title>",
            _HATCH,
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
            _white_space(drawing, colours, scale),
            *_tiles(chip, drawing, colours, scale),
            _lines(slot_lines(drawing), scale, 'stroke="#fff" stroke-width="2.5"'),
            *_rest(drawing, colours, scale),
            _lines(h_tree(drawing), scale, 'stroke="#0f172a" stroke-opacity=".4"'),
            *_numbers(drawing, scale),
            *_scale_line(drawing, scale),
            "</g>",
            f'<g transform="translate({scale * drawing.width + 2 * _MARGIN:.1f} {_MARGIN:.0f})">',
            *_legend(chip, areas, colours, drawing, notes),
            "</g>",
            "</svg>\n",
        ]
    )


def _rect(place: Rectangle, scale: float, fill: str, more: str = "") -> str:
    x, y, width, height = (scale * length for length in (place.x, place.y, place.width, place.height))
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}"{more}/>'


def _titled(title: str, shape: str) -> str:
    return f"<g><title>{escape(title)}</title>{shape}</g>"


def _white_space(drawing: ChipDrawing, colours: Mapping[str, str], scale: float) -> str:
    """All slots, on which the rest lies."""
    slots = Rectangle(0.0, 0.0, drawing.width, drawing.pitch * drawing.rows)
    return _titled(f"White space: {number(drawing.white_space)} mm²", _rect(slots, scale, colours[WHITE_SPACE]))


def _rest(drawing: ChipDrawing, colours: Mapping[str, str], scale: float) -> Iterator[str]:
    """Shared blocks, and what is not the chip's."""
    for block in drawing.blocks:
        title = f"{component_title(block.component)}, shared: {number(block.width * block.height)} mm²"
        yield _titled(title, _rect(block, scale, colours[block.component]))
    for spare in drawing.spare:
        title = f"Left to the rest of the system, not charged: {number(spare.width * spare.height)} mm²"
        yield _titled(title, _rect(spare, scale, "url(#spare)"))


def _tiles(chip: EvaluationRecord, drawing: ChipDrawing, colours: Mapping[str, str], scale: float) -> Iterator[str]:
    for tile in drawing.tiles:
        layer = chip.on_crossbars[tile.layer]
        own = tile.width * tile.height
        title = (
            f"{layer.name} ({tile.layer + 1}): tile of {number(own)} mm² in {_fraction(layer.slot_share)} slot, "
            f"{layer.in_words()}"
        )
        bands, top = [], tile.y
        for name, area in layer.breakdown.get("area_mm2", {}).items():
            if area > 0 and name != WHITE_SPACE:
                band = Rectangle(tile.x, top, tile.width, area / layer.tiles / tile.width)
                bands.append(_rect(band, scale, colours[name]))
                top += band.height
        yield _titled(title, "".join([*bands, _rect(tile, scale, "none", ' stroke="#fff"')]))


def _fraction(share: float | None) -> str:
    return "a" if not share or share == 1 else f"1/{1 / share:.0f} of a"


def _lines(lines: Iterable[tuple[float, float, float, float]], scale: float, look: str) -> str:
    path = "".join(f"M{scale * a:.1f} {scale * b:.1f}L{scale * c:.1f} {scale * d:.1f}" for a, b, c, d in lines)
    return f'<path d="{path}" fill="none" pointer-events="none" {look}/>'


def _numbers(drawing: ChipDrawing, scale: float) -> Iterator[str]:
    yield (
        '<g text-anchor="middle" font-weight="bold" fill="#fff" stroke="#1f2937" stroke-width="3" paint-order="stroke" '
        'pointer-events="none">'
    )
    for tile in drawing.tiles:
        if scale * min(tile.width, tile.height) >= _LEAST_LABEL:
            x, y = scale * (tile.x + tile.width / 2), scale * (tile.y + tile.height / 2)
            yield f'<text x="{x:.2f}" y="{y:.2f}" dominant-baseline="central">{tile.layer + 1}</text>'
    yield "</g>"


def _scale_line(drawing: ChipDrawing, scale: float) -> Iterator[str]:
    length, y = scale_bar(drawing.width), scale * drawing.height + 16
    yield f'<path d="M0 {y:.1f}h{scale * length:.1f}m0 -4v8M0 {y - 4:.1f}v8" fill="none" stroke="#1f2937"/>'
    yield f'<text x="{scale * length + 8:.1f}" y="{y + 4:.1f}">{length:g} mm</text>'


def _legend(
    chip: EvaluationRecord,
    areas: Mapping[str, float],
    colours: Mapping[str, str],
    drawing: ChipDrawing,
    notes: Iterable[str],
) -> Iterator[str]:
    yield f'<text y="12" font-weight="bold" font-size="15">{escape(chip.name)}</text>'
    tiles, layers = len(drawing.tiles), len(chip.on_crossbars)
    yield f'<text y="{12 + _LINE:.0f}">{number(chip.area_mm2)} mm², {tiles} tiles, {layers} layers</text>'
    for line, (name, area) in enumerate(areas.items(), 2):
        y = 12 + _LINE * (line + 0.5)
        yield _rect(Rectangle(0, y - 10, 12, 12), 1.0, colours[name])
        yield f'<text x="20" y="{y:.0f}">{escape(component_title(name))}</text>'
        for x, text in ((200, f"{number(area)} mm²"), (_LEGEND, percent(area / chip.area_mm2))):
            yield f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="end">{text}</text>'
    for line, text in enumerate(notes, len(areas) + 3):
        yield f'<text y="{12 + _LINE * line:.0f}" fill="#6b7280">{text}</text>'


def _notes(drawing: ChipDrawing) -> Iterator[str]:
    yield f"{drawing.rows} x {drawing.columns} slots of {number(drawing.pitch**2)} mm²"
    yield f"{percent(drawing.above_bound)} above the bound: tiles and shared"
    yield "Numbers: layers, in order"
    yield "Below the tiles: shared by all layers"
    yield "Thin lines: the H-tree, schematic"
    if drawing.spare:
        yield "Hatched: not charged, left to other parts"


__all__ = ["chip_svg"]
