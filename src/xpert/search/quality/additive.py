"""What a network will be worth, known before it is trained, as a sum over layers.

A hardware-only search shrinks every network to its narrowest; quality holds it up. A quality that is a sum over layers,
each term a function of the layer's own channels and those that enter it, is one more table of a `Problem`, and exact
search stays exact. There are five: the *width law*, and four sizes. Scores that are not sums are in `scores`.

The width law says what accuracy a network reaches in a short training, from its widths and the layers it leaves out:

    accuracy = ceiling - sum over its layers of loss * (width / 64) ** -exponent - sum over missing layers of absence

Ceiling, losses, absences and exponent are fitted to trained networks of the VGG16 space (docs/quality.md). None is
negative, so that no layer gains from being narrower. VGG networks of another depth take them at the same relative
depth; for other backbones, whose missing blocks it does not know, one loss serves all alike. The family of a backbone
says which of the two laws is its own, and which layers are counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xpert.design import DataModel, Layer, Network
from xpert.errors import ConfigError
from xpert.networks.backbones import BACKBONES
from xpert.networks.spaces import LEFT_OUT, Space, layer_positions
from xpert.search.quality.registry import QUALITIES, LayerSum, Term

UNIT_WIDTH = 64
"""Widths are counted in units of this."""

_FILE = "width_law.json"


class WidthLaw(DataModel):
    """Fitted coefficients of the width law, and how good they are."""

    losses: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    """Accuracy that each layer costs if it has 64 channels, from the first to the last; one number: all together."""

    absences: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Accuracy that each layer costs if it is left out; empty: not known."""

    exponent: Annotated[float, Field(gt=0)]
    """How fast the loss falls with width."""

    ceiling: float
    """Accuracy of a network of unlimited width."""

    networks: int
    """Trained networks that it was fitted to."""

    least_width: int
    """Narrowest layer among them."""

    largest_width: int
    """Widest layer among them."""

    error: float
    """Root mean square error on networks that were left out of the fit."""

    spearman: float
    """Rank correlation of predicted and measured accuracy on networks that were left out of the fit."""

    def shortfall(self, width: int) -> float:
        """(width / 64) ** -exponent; below the narrowest fitted width its tangent in the logarithm of the width.

        The tangent keeps predictions above 0 where the power, which is not backed by measurements there, does not.
        """
        known = max(width, self.least_width)
        return (known / UNIT_WIDTH) ** -self.exponent * (1 + self.exponent * math.log(known / width))

    def losses_along(self, n_layers: int) -> NDArray[np.float64]:
        """The losses of a backbone of so many layers: interpolated along the depth, their sum about the same."""
        return _along(self.losses, n_layers)

    def absences_along(self, n_layers: int) -> NDArray[np.float64]:
        """The absences, likewise."""
        return _along(self.absences, n_layers)

    def covers(self, widths: Sequence[int]) -> bool:
        """Whether the widths are within those that it was fitted to."""
        return self.least_width <= min(widths) and max(widths) <= self.largest_width


class QualityTables(NamedTuple):
    """A quality as a sum over the layers of a space."""

    tables: tuple[NDArray[np.float64], ...]
    """Per layer [in_widths, out_widths, kernels]."""

    constant: float
    """What the sum starts from."""


@dataclass(frozen=True)
class Quality:
    """What a search holds up; higher is better."""

    name: str

    measure: Callable[[Network], float]
    """The quality of a network."""

    tabulated: str = "relu_units"
    """Which sum over layers stands for it in cost tables: itself, or, of a score, what it grows with."""


_NOT_FITTED = (
    "the width law knows 3x3 kernels, and 0 for a layer that is left out, alone; with other network.kernels, or 0 "
    "among network.choices, give macs, parameters, relu_units or a score"
)


def is_sum(name: str) -> bool:
    """Whether a quality is a sum over layers.

    Raises:
        ConfigError: If it is unknown.
    """
    return isinstance(QUALITIES.find(name), LayerSum)


def layer_sum(name: str) -> LayerSum:
    """A quality that is a sum over layers, by its name.

    Raises:
        ConfigError: If it is unknown, or none.
    """
    found = QUALITIES.find(name)
    if not isinstance(found, LayerSum):
        raise ConfigError(f"quality: must be a sum over layers, got {name!r}")
    return found


def additive_quality(name: str) -> Quality:
    """A quality that is a sum over layers.

    Raises:
        ConfigError: If it is unknown, or none.
    """
    layer_sum(name)
    return Quality(name, partial(total_quality, name), name)


def total_quality(name: str, network: Network) -> float:
    """A quality of a network that is a sum over its layers.

    Raises:
        ConfigError: If it is none, or if it does not know such networks: the width law none with kernels of other sides
            than the backbone's, or without residual blocks.
    """
    quality = layer_sum(name)
    layers: list[Layer | None] = list(network.layers)
    if network.source is None and (network.kernels or LEFT_OUT in network.channels):
        alone = Space(
            network.backbone,
            tuple((width,) for width in network.channels),
            network.image_shape,
            network.num_classes,
            tuple((kernel,) for kernel in network.kernels),
        )
        _refuse_unknown(quality, alone)
        there = iter(network.layers)
        layers = [next(there) if found else None for found in alone.present(network.channels, network.kernels)]
    constant, term = quality.terms(network.backbone, network.image_shape)
    return constant + sum(term(index, layer) for index, layer in enumerate(layers))


def quality_tables(name: str, space: Space) -> QualityTables:
    """A quality that is a sum over layers, for every layer of a space.

    Raises:
        ConfigError: If it is none, or if it does not know all networks of the space; see `total_quality`.
    """
    quality = layer_sum(name)
    _refuse_unknown(quality, space)
    constant, term = quality.terms(space.name, space.input_shape)

    def entry(index: int, entering: int, width: int, kernel: int) -> float:
        there = LEFT_OUT not in (entering, width, kernel)
        return term(index, space.layer(index, entering, width, kernel) if there else None)

    tables = [
        np.array([[[entry(index, i, o, k) for k in kernels] for o in outs] for i in ins], dtype=np.float64)
        for index, (ins, outs, kernels) in enumerate(zip(space.entering, space.widths, space.kernels, strict=True))
    ]
    return QualityTables(tuple(tables), constant)


def _refuse_unknown(quality: LayerSum, space: Space) -> None:
    why_not = quality.refusal(space)
    if why_not is not None:
        raise ConfigError(f"quality: {why_not}")


def is_fitted(space: Space) -> bool:
    """Whether the width law knows all kernels that the layers of a backbone may have, and all blocks stay."""
    if space.offers_missing_blocks:
        return False
    missing = [LEFT_OUT] if width_law(space.name).absences else []
    return all({*options} <= {own, *missing} for own, options in zip(space.backbone_kernels, space.kernels))


def width_law(backbone: str) -> WidthLaw:
    """The law of a backbone, which its family names: that of VGG networks, or one that takes all layers alike.

    Raises:
        ConfigError: If the backbone or its law is unknown.
    """
    name, laws = BACKBONES.find(backbone).width_law, _laws()
    if name not in laws:
        raise ConfigError(f"backbone {backbone}: width_law must be one of {', '.join(laws)}, got {name!r}")
    return laws[name]


def _law_terms(backbone: str, input_shape: tuple[int, int, int]) -> tuple[float, Term]:
    """What the width law starts from, and what every layer adds to it."""
    law = width_law(backbone)
    in_law = [index for index, position in enumerate(layer_positions(backbone, input_shape)) if position.in_width_law]
    losses = dict(zip(in_law, law.losses_along(len(in_law)).tolist()))
    absences = dict(zip(in_law, law.absences_along(len(in_law)).tolist())) if law.absences else {}

    def term(index: int, layer: Layer | None) -> float:
        if layer is None:
            return -absences[index]
        return -losses[index] * law.shortfall(layer.out_channels) if index in losses else 0.0

    return law.ceiling, term


def _size(label: str, of_layer: Callable[[Layer], float]) -> LayerSum:
    """The sum of a size of the layers."""

    def term(_index: int, layer: Layer | None) -> float:
        return float(of_layer(layer)) if layer else 0.0

    return LayerSum(label, lambda _backbone, _shape: (0.0, term))


WIDTH_LAW = LayerSum("predicted accuracy", _law_terms, lambda space: None if is_fitted(space) else _NOT_FITTED)
PARAMETERS = _size("weights", lambda layer: layer.weights)
MACS = _size("MACs", lambda layer: layer.macs)
"""Multiply-accumulates per image."""

RELU_UNITS = _size(
    "ReLU units", lambda layer: layer.out_channels * layer.out_height * layer.out_width if layer.relu else 0
)
"""Outputs that pass a ReLU, per image."""

LOG_WIDTHS = _size("sum of log2 of widths", lambda layer: math.log2(layer.out_channels))


def _along(values: Sequence[float], n_layers: int) -> NDArray[np.float64]:
    depths = (np.arange(n_layers) + 0.5) / n_layers
    return np.interp(depths, (np.arange(len(values)) + 0.5) / len(values), values) * len(values) / n_layers


@cache
def _laws() -> dict[str, WidthLaw]:
    text = resources.files("xpert.search.quality").joinpath(_FILE).read_text(encoding="utf-8")
    return {name: WidthLaw.parse(law, _FILE) for name, law in json.loads(text).items()}


__all__ = [
    "LOG_WIDTHS",
    "MACS",
    "PARAMETERS",
    "RELU_UNITS",
    "UNIT_WIDTH",
    "WIDTH_LAW",
    "Quality",
    "QualityTables",
    "WidthLaw",
    "additive_quality",
    "is_fitted",
    "is_sum",
    "layer_sum",
    "quality_tables",
    "total_quality",
    "width_law",
]
