"""A chip as a picture of its own: tiles to scale, each divided by what its area goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from xpert.errors import DataError
from xpert.report.chip_drawing import MAX_TILES, ChipDrawing, draw_chip, scale_bar
from xpert.report.palette import component_colours
from xpert.report.tables import component_title
from xpert.results import EvaluationRecord
from xpert.text import number, percent

_SIDE = 600.0
"""Width of the chip, or its height where that is more. [pixel]"""

_MARGIN, _LEGEND, _LINE = 24.0, 250.0, 22.0
"""Blank space around, width of the legend, distance of its lines. [pixel]"""

_LEAST_LABEL = 16.0
"""Side of the smallest tile that carries the number of its layer. [pixel]"""


def chip_svg(evaluation: Mapping[str, Any]) -> str:
    """A chip drawn to scale from its evaluation, as an SVG file.

    A tile is a square of the area that the model gives it, in bands of the areas of its components, under the number of
    its layer. Below the tiles lies what all layers share. Where tiles lie is schematic.

    Args:
        evaluation: What `Evaluation.to_dict()` or `xpert evaluate --json` gave.

    Raises:
        DataError: If it is no such evaluation, or has more than `MAX_TILES` tiles.
    """
    chip = EvaluationRecord.parse(evaluation, "evaluation")
    drawing = draw_chip(chip)
    if drawing is None:
        raise DataError(f"evaluation: layers: a chip of 1 to {MAX_TILES} tiles can be drawn")
    areas = {name: value for name, value in chip.breakdown.get("area_mm2", {}).items() if value > 0}
    colours = component_colours(list(areas))
    scale = _SIDE / max(drawing.width, drawing.height)
    width = scale * drawing.width + _LEGEND + 3 * _MARGIN
    height = max(scale * drawing.height, _LINE * (len(areas) + 5)) + 3 * _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#1f2937">',
            f"<title>{escape(chip.name)}: {len(drawing.tiles)} tiles, {number(chip.area_mm2)} mm²</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
            *_tiles(chip, drawing, colours, scale),
            *_shared(chip, areas, drawing, colours, scale),
            *_scale_line(drawing, scale),
            "</g>",
            f'<g transform="translate({scale * drawing.width + 2 * _MARGIN:.1f} {_MARGIN:.0f})">',
            *_legend(chip, areas, colours, len(drawing.tiles)),
            "</g>",
            "</svg>\n",
        ]
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}"{more}/>'


def _tiles(chip: EvaluationRecord, drawing: ChipDrawing, colours: Mapping[str, str], scale: float) -> Iterator[str]:
    for tile in drawing.tiles:
        layer = chip.layers[tile.layer]
        x, y, side = scale * tile.x, scale * tile.y, scale * tile.side
        each = number(layer.area_mm2 / layer.tiles)
        title = f"{layer.name} ({tile.layer + 1}): tile of {each} mm², {layer.in_words()}"
        yield f"<g><title>{escape(title)}</title>"
        top = y
        for name, area in layer.breakdown.get("area_mm2", {}).items():
            band = side * area / layer.area_mm2
            if area > 0:
                yield _rect(x, top, side, band, colours[name])
            top += band
        yield _rect(x, y, side, side, "none", ' stroke="#fff" stroke-width="2"')
        if side >= _LEAST_LABEL:
            centre = f'x="{x + side / 2:.2f}" y="{y + side / 2:.2f}"'
            yield (
                f'<text {centre} text-anchor="middle" dominant-baseline="central" font-weight="bold" fill="#fff" '
                f'stroke="#1f2937" stroke-width="3" paint-order="stroke">{tile.layer + 1}</text>'
            )
        yield "</g>"


def _shared(
    chip: EvaluationRecord, areas: Mapping[str, float], drawing: ChipDrawing, colours: Mapping[str, str], scale: float
) -> Iterator[str]:
    """The strip of what belongs to no layer, side by side."""
    if not drawing.strip:
        return
    x, y = 0.0, scale * (drawing.height - drawing.strip)
    for name, area in areas.items():
        own = area - sum(layer.breakdown.get("area_mm2", {}).get(name, 0.0) for layer in chip.layers)
        width = scale * max(own, 0.0) / drawing.strip
        if width > 0:
            yield f"<g><title>{escape(component_title(name))}, shared: {number(own)} mm²</title>"
            yield _rect(x, y, width, scale * drawing.strip, colours[name]) + "</g>"
        x += width


def _scale_line(drawing: ChipDrawing, scale: float) -> Iterator[str]:
    length, y = scale_bar(drawing.width), scale * drawing.height + 16
    yield f'<path d="M0 {y:.1f}h{scale * length:.1f}m0 -4v8M0 {y - 4:.1f}v8" fill="none" stroke="#1f2937"/>'
    yield f'<text x="{scale * length + 8:.1f}" y="{y + 4:.1f}">{length:g} mm</text>'


def _legend(
    chip: EvaluationRecord, areas: Mapping[str, float], colours: Mapping[str, str], tiles: int
) -> Iterator[str]:
    yield f'<text y="12" font-weight="bold" font-size="15">{escape(chip.name)}</text>'
    yield f'<text y="{12 + _LINE:.0f}">{number(chip.area_mm2)} mm², {tiles} tiles, {len(chip.layers)} layers</text>'
    for line, (name, area) in enumerate(areas.items(), 2):
        y = 12 + _LINE * (line + 0.5)
        yield _rect(0, y - 10, 12, 12, colours[name])
        yield f'<text x="20" y="{y:.0f}">{escape(component_title(name))}</text>'
        for x, text in ((190, f"{number(area)} mm²"), (_LEGEND, percent(area / chip.area_mm2))):
            yield f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="end">{text}</text>'
    for line, text in enumerate(("Numbers: layers, in order", "Strip: shared by all layers"), len(areas) + 3):
        yield f'<text y="{12 + _LINE * line:.0f}" fill="#6b7280">{text}</text>'


__all__ = ["chip_svg"]
