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
    """Which of `ADDITIVE` stands for it in cost tables: itself, or, for a score that is no sum, what it grows with."""


_NOT_FITTED = (
    "quality: the width law was fitted to networks with the backbone's own kernels, some layers of VGGs left out; with "
    "other kernels, or ResNet blocks left out, use macs, parameters, relu_units or a score"
)

Term = Callable[[int, Layer | None], float]
"""What a layer adds to a quality, from its position in the backbone and its shape; None if it is left out."""

_SIZES: dict[str, Callable[[Layer], float]] = {
    "parameters": lambda layer: layer.weights,
    "macs": lambda layer: layer.macs,
    "relu_units": lambda layer: layer.out_channels * layer.out_height * layer.out_width if layer.relu else 0,
    "log_widths": lambda layer: math.log2(layer.out_channels),
}
"""Weights; multiply-accumulates per image; outputs that pass a ReLU, per image; log2 of output channels."""

ADDITIVE = ("width_law", *_SIZES)
"""Names of the qualities that are sums over layers."""

LABELS = {
    "width_law": "predicted accuracy",
    "parameters": "weights",
    "macs": "MACs",
    "relu_units": "ReLU units",
    "log_widths": "sum of log2 of widths",
}
"""What they are, for people."""


def additive_quality(name: str) -> Quality:
    """A quality that is a sum over layers.

    Raises:
        ConfigError: If the name is not one of `ADDITIVE`.
    """
    if name not in ADDITIVE:
        raise ConfigError(f"quality: must be one of {', '.join(ADDITIVE)}, got {name!r}")
    return Quality(name, partial(total_quality, name), name)


def total_quality(name: str, network: Network) -> float:
    """One of the `ADDITIVE` qualities of a network.

    Raises:
        ConfigError: If it is the width law, and the network has kernels of other sides than its backbone, or lacks
            residual blocks.
    """
    layers: list[Layer | None] = list(network.layers)
    if network.kernels or LEFT_OUT in network.channels:
        alone = Space(
            network.backbone,
            tuple((width,) for width in network.channels),
            network.input_shape,
            network.num_classes,
            tuple((kernel,) for kernel in network.kernels),
        )
        if name == "width_law" and not is_fitted(alone):
            raise ConfigError(_NOT_FITTED)
        there = iter(network.layers)
        layers = [next(there) if found else None for found in alone.present(network.channels, network.kernels)]
    constant, term = _terms(name, network.backbone, network.input_shape)
    return constant + sum(term(index, layer) for index, layer in enumerate(layers))


def quality_tables(name: str, space: Space) -> QualityTables:
    """One of the `ADDITIVE` qualities for every layer of a space.

    Raises:
        ConfigError: If it is the width law, and the space offers kernels of other sides than the backbone's, or to
            leave out residual blocks.
    """
    if name == "width_law" and not is_fitted(space):
        raise ConfigError(_NOT_FITTED)
    constant, term = _terms(name, space.name, space.input_shape)

    def entry(index: int, entering: int, width: int, kernel: int) -> float:
        there = LEFT_OUT not in (entering, width, kernel)
        return term(index, space.layer(index, entering, width, kernel) if there else None)

    tables = [
        np.array([[[entry(index, i, o, k) for k in kernels] for o in outs] for i in ins], dtype=np.float64)
        for index, (ins, outs, kernels) in enumerate(zip(space.entering, space.widths, space.kernels, strict=True))
    ]
    return QualityTables(tuple(tables), constant)


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


def _terms(name: str, backbone: str, input_shape: tuple[int, int, int]) -> tuple[float, Term]:
    """What a quality starts from, and what every layer adds to it."""
    if name in _SIZES:
        size = _SIZES[name]
        return 0.0, lambda _index, layer: float(size(layer)) if layer else 0.0
    law = width_law(backbone)
    in_law = [index for index, position in enumerate(layer_positions(backbone, input_shape)) if position.in_width_law]
    losses = dict(zip(in_law, law.losses_along(len(in_law)).tolist()))
    absences = dict(zip(in_law, law.absences_along(len(in_law)).tolist())) if law.absences else {}

    def term(index: int, layer: Layer | None) -> float:
        if layer is None:
            return -absences[index]
        return -losses[index] * law.shortfall(layer.out_channels) if index in losses else 0.0

    return law.ceiling, term


def _along(values: Sequence[float], n_layers: int) -> NDArray[np.float64]:
    depths = (np.arange(n_layers) + 0.5) / n_layers
    return np.interp(depths, (np.arange(len(values)) + 0.5) / len(values), values) * len(values) / n_layers


@cache
def _laws() -> dict[str, WidthLaw]:
    text = resources.files("xpert.search.quality").joinpath(_FILE).read_text(encoding="utf-8")
    return {name: WidthLaw.parse(law, _FILE) for name, law in json.loads(text).items()}


__all__ = [
    "ADDITIVE",
    "LABELS",
    "UNIT_WIDTH",
    "Quality",
    "QualityTables",
    "WidthLaw",
    "additive_quality",
    "is_fitted",
    "quality_tables",
    "total_quality",
    "width_law",
]
