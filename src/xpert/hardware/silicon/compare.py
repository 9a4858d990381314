"""The model beside published macros: `xpert validate --silicon`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

from xpert.hardware.silicon.macros import FIGURES, Half, Macro, MacroFigures, macro_figures, published_macros

UNITS = {"energy": ("fJ", 1e15), "density": ("TOPS/mm2", 1e-18)}
"""Figure -> unit, and how many of it are an SI unit."""

OUTLIER = 1.0
"""Distance in doublings beyond which a figure is an outlier."""

HALVES: tuple[Half, ...] = get_args(Half)
"""The halves: what may be fitted on, and what may not."""


@dataclass(frozen=True)
class Comparison:
    """A macro and what the model says of it."""

    macro: Macro
    """What was published."""
    figures: MacroFigures
    """What the model says."""

    @property
    def doublings(self) -> dict[str, float]:
        """log2(model / published) of the figures that are published."""
        return {
            name: math.log2(self.figures.figure(name) / published) for name, published in self.macro.published.items()
        }

    @property
    def counted(self) -> dict[str, float]:
        """Those of `doublings` that count in medians."""
        return {name: value for name, value in self.doublings.items() if name not in self.macro.left_out}

    @property
    def outliers(self) -> tuple[str, ...]:
        """Figures that are further off than `OUTLIER`."""
        return tuple(name for name, value in self.doublings.items() if abs(value) > OUTLIER)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        macro, figures = self.macro, self.figures
        return {
            "key": macro.key,
            "name": macro.name,
            "source": macro.source,
            "half": macro.half,
            "assumed": macro.assumed,
            "figures": {
                name: {
                    "unit": UNITS[name][0],
                    "published": published * UNITS[name][1],
                    "model": figures.figure(name) * UNITS[name][1],
                    "log2_ratio": self.doublings[name],
                    "left_out": macro.left_out.get(name),
                }
                for name, published in macro.published.items()
            },
            "area_mm2": figures.area * 1e6,
            "latency_ns": figures.latency * 1e9,
            "energy_pj": figures.energy * 1e12,
            "comment": macro.comment,
        }


@dataclass(frozen=True)
class Medians:
    """How far the model is off over the macros of a half."""

    macros: int
    """Macros that count."""
    median: float
    """Median of abs(log2(model / published))."""
    signed: float
    """Median of log2(model / published): above 0 where the model says more."""
    worst: float
    """Largest abs(log2(model / published))."""


@dataclass(frozen=True)
class SiliconValidation:
    """The outcome: no parameter of the model was fitted to any of it."""

    comparisons: tuple[Comparison, ...]
    """All macros."""

    @property
    def comments(self) -> dict[str, list[str]]:
        """Why figures are outliers: comment -> names of the macros."""
        found: dict[str, list[str]] = {}
        for entry in self.comparisons:
            if entry.outliers:
                found.setdefault(entry.macro.comment, []).append(entry.macro.name)
        return found

    @property
    def fitted(self) -> dict[str, tuple[float, float]]:
        """What a factor on each figure would do, fitted to the fitting half as its median; the model has none.

        Returns:
            By figure log2 of the factor, and the held-out half's median of abs(log2(model / published)) with it.
        """
        fitting, held_out = HALVES
        found = {}
        for name in FIGURES:
            shift = -self.medians[fitting][name].signed
            values = [entry.counted for entry in self.comparisons if entry.macro.half == held_out]
            found[name] = shift, median(abs(counted[name] + shift) for counted in values if name in counted)
        return found

    @property
    def medians(self) -> dict[Half, dict[str, Medians]]:
        """By half and figure."""
        found: dict[Half, dict[str, Medians]] = {}
        for half in HALVES:
            of_half = [entry.counted for entry in self.comparisons if entry.macro.half == half]
            for name in FIGURES:
                values = [counted[name] for counted in of_half if name in counted]
                if values:
                    sizes = [abs(value) for value in values]
                    found.setdefault(half, {})[name] = Medians(len(values), median(sizes), median(values), max(sizes))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "macros": [entry.to_dict() for entry in self.comparisons],
            "medians": {
                half: {name: vars(found) for name, found in figures.items()} for half, figures in self.medians.items()
            },
            "fitted": {
                name: {"log2_factor": shift, "held_out_median": left} for name, (shift, left) in self.fitted.items()
            },
        }


def validate_silicon() -> SiliconValidation:
    """The model beside all published macros.

    Raises:
        ConfigError: If the model does not build one of them.
    """
    return SiliconValidation(tuple(Comparison(macro, macro_figures(macro)) for macro in published_macros()))


__all__ = ["HALVES", "OUTLIER", "UNITS", "Comparison", "Medians", "SiliconValidation", "validate_silicon"]
