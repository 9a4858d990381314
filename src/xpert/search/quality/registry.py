"""Qualities by name; a package adds its own by the entry point group `xpert.qualities`, a program by `register`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpert.design import Layer
from xpert.networks.spaces import Space
from xpert.registry import Registry

Term = Callable[[int, Layer | None], float]
"""What a layer adds to a quality, from its position in the backbone and its shape; None if it is left out."""


@dataclass(frozen=True)
class LayerSum:
    """A quality that is a sum over layers: one more table of a search."""

    label: str
    """What it is, for people."""

    terms: Callable[[str, tuple[int, int, int]], tuple[float, Term]]
    """What it starts from, and what every layer adds; from the backbone's name and the shape of its images."""

    refusal: Callable[[Space], str | None] = lambda _space: None
    """Why it does not know networks of a space; None: it does."""


@dataclass(frozen=True)
class Score:
    """A quality that is measured on an untrained network, and grows with the number of its ReLU units."""

    function: Callable[[Any, Any, Any], float]
    """From a torch module, images [n, channels, height, width] and their classes [n]."""


_SUMS = "xpert.search.quality.additive"
_SCORES = "xpert.search.quality.scores"

QUALITIES: Registry[LayerSum | Score] = Registry(
    "quality",
    "xpert.qualities",
    lambda: {
        **{name: f"{_SUMS}:{name.upper()}" for name in ("width_law", "parameters", "macs", "relu_units", "log_widths")},
        **{name: f"{_SCORES}:{name.upper()}" for name in ("naswot", "swap", "expressivity", "synflow", "zico")},
    },
)
"""What a search may hold up: sums over layers, and the scores that are worth their time."""

__all__ = ["QUALITIES", "LayerSum", "Score", "Term"]
