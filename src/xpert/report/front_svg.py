"""EDAP against NI-accuracy as a picture of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 720.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 150.0, 20.0, 48.0
"""Size of the picture and its margins. [pixel]"""

_COLOURS = ("#64748b", "#d97706", "#2563eb", "#059669", "#7c3aed", "#db2777", "#0891b2", "#4d7c0f")


class Point(NamedTuple):
    """One measured design."""

    edap: float
    accuracy: float


def front_svg(fronts: Mapping[str, Sequence[Point]], target: float | None = None) -> str:
    """Fronts of designs, EDAP (logarithmic) against NI-accuracy, as an SVG file.

    Args:
        fronts: Points of each, cheap ones first.
        target: NI-accuracy at which a line is drawn.
    """
    points = [point for front in fronts.values() for point in front]
    edaps, accuracies = [point.edap for point in points] or [1.0], [point.accuracy for point in points] or [1.0]
    low, high = math.log10(min(edaps)) - 0.1, math.log10(max(edaps)) + 0.1
    # The bottom of the scale belongs to designs that nobody wants: half of the room is for the best ten points.
    floor = max(min(accuracies), max(accuracies) - 0.1) - 0.005
    ceiling = max(*accuracies, target or 0.0) + 0.008

    def x(edap: float) -> float:
        return _LEFT + (math.log10(edap) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(accuracy: float) -> float:
        return _HEIGHT - _BOTTOM - (accuracy - floor) / (ceiling - floor) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" font-family="sans-serif" '
        'font-size="12" fill="#334155" role="img">',
        "<title>EDAP against NI-accuracy</title>",
        f'<rect width="{_WIDTH:g}" height="{_HEIGHT:g}" fill="#ffffff"/>',
    ]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        at = x(10.0**exponent)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP:g}" y2="{bottom:g}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18:g}" text-anchor="middle">10<tspan dy="-5" font-size="9">')
        parts.append(f"{exponent}</tspan></text>")
    step = 0.01 if ceiling - floor < 0.12 else 0.05
    for count in range(math.ceil(floor / step), math.floor(ceiling / step) + 1):
        at = y(count * step)
        parts.append(f'<line x1="{_LEFT:g}" x2="{right:g}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{_LEFT - 8:g}" y="{at + 4:.1f}" text-anchor="end">{100 * count * step:.0f} %</text>')
    if target is not None and floor <= target:
        at = y(target)
        parts.append(f'<line x1="{_LEFT:g}" x2="{right:g}" y1="{at:.1f}" y2="{at:.1f}" stroke="#94a3b8" ')
        parts.append(f'stroke-dasharray="4 4"/><text x="{_LEFT + 6:g}" y="{at - 5:.1f}">target</text>')
    for index, (name, front) in enumerate(fronts.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        shown = [point for point in front if point.accuracy >= floor]
        line = " ".join(f"{x(point.edap):.1f},{y(point.accuracy):.1f}" for point in shown)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for point in shown:
            parts.append(f'<circle cx="{x(point.edap):.1f}" cy="{y(point.accuracy):.1f}" r="3" fill="{colour}">')
            parts.append(f"<title>{escape(name)}: EDAP {point.edap:.4g}, {100 * point.accuracy:.2f} %</title></circle>")
        at = _TOP + 14 + 18 * index
        parts.append(f'<circle cx="{right + 14:g}" cy="{at - 4:g}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{right + 24:g}" y="{at:g}">{escape(name)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle:g}" y="{_HEIGHT - 10:g}" text-anchor="middle">EDAP [µJ·µs·mm²]</text>')
    parts.append(f'<text transform="translate(16 {(_TOP + bottom) / 2:g}) rotate(-90)" text-anchor="middle">')
    parts.append("NI-accuracy</text></svg>")
    return "\n".join(parts) + "\n"


__all__ = ["Point", "front_svg"]
