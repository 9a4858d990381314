"""EDAP against NI-accuracy as a picture of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

_COLOURS = ("#64748b", "#d97706", "#2563eb", "#059669", "#7c3aed", "#db2777", "#0891b2", "#4d7c0f")

_TEXT, _LINES, _TARGET = "#334155", "#e2e8f0", "#94a3b8"

_STYLE = {
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINES,
    "axes.grid": True,
    "grid.color": _LINES,
    "xtick.color": _LINES,
    "ytick.color": _LINES,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "xpert",
}
"""On white, so that it can be read on a dark page, too; with text as text, and the same bytes for the same figures."""


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
    from matplotlib import style  # slow to import
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    accuracies = [point.accuracy for front in fronts.values() for point in front] or [1.0]
    # The bottom of the scale belongs to designs that nobody wants: half of the room is for the best ten points.
    floor = max(min(accuracies), max(accuracies) - 0.1) - 0.005
    ceiling = max(*accuracies, target or 0.0) + 0.008
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        if target is not None and floor <= target:
            axes.axhline(target, color=_TARGET, linestyle="--", linewidth=1)
            axes.annotate("target", (0, target), (6, 4), ("axes fraction", "data"), "offset points")
        for (name, front), colour in zip(fronts.items(), cycle(_COLOURS)):
            shown = [point for point in front if point.accuracy >= floor]
            edaps, heights = [point.edap for point in shown], [point.accuracy for point in shown]
            axes.plot(edaps, heights, "o-", color=colour, label=name)
        axes.set(xscale="log", ylim=(floor, ceiling), xlabel="EDAP [µJ·µs·mm²]", ylabel="NI-accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if ceiling - floor > 0.04 else None, symbol=" %"))
        if fronts:
            figure.legend(loc="outside right upper", frameon=False)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", metadata={"Date": None, "Creator": None, "Title": "EDAP against NI-accuracy"}
        )
    return text.getvalue()


__all__ = ["Point", "front_svg"]
