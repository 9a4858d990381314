"""What a family of backbones says about itself. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpert.design import Layer, Network, PoolKind
from xpert.design.network import Work
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

DEPTHWISE = 0
"""Groups of a layer that has one for each of its channels."""


MULTIPLE = 8
"""Widths of a network of the user's own are rounded to a multiple of it where there are at least twice as many."""


def units_at(units: int, numerator: int, denominator: int, *, single: bool) -> int:
    """How many units are kept at a fraction of a width.

    They are the same share of theirs where that is a whole number, else rounded: single channels to `MULTIPLE` where
    there are at least twice as many, heads and groups to whole ones; never to none.

    Args:
        units: All units.
        numerator: Units that are kept of those that are counted.
        denominator: All of those that are counted.
        single: Whether a unit is a single channel.
    """
    if numerator == denominator:
        return units
    if units % denominator == 0:
        return max(1, units // denominator * numerator)
    return rounded_units(units, numerator / denominator, single=single)


def rounded_units(units: int, fraction: float, *, single: bool) -> int:
    """A fraction of units, rounded; see `units_at`."""
    step = MULTIPLE if single and units >= 2 * MULTIPLE else 1
    return units if fraction >= 1 else min(units, step * max(1, math.floor(units * fraction / step + 0.5)))


@dataclass(frozen=True)
class Part:
    """Channels at one end of a layer that go with a decision."""

    units: int
    """Units of the network itself."""

    channels: int
    """Channels of this end in each unit."""

    single: bool = True
    """Whether a unit is a single channel of the layer that makes it."""


@dataclass(frozen=True)
class Width:
    """Channels at one end of a layer, from the channels of a decision."""

    parts: tuple[Part, ...] = ()
    """What goes with the decision."""

    constant: int = 0
    """Channels that stay."""

    counted: int = 1
    """Units of the decision in the network itself."""

    step: int = 1
    """Channels of the decision in each of these."""

    def at(self, channels: int) -> int:
        """How many there are; none without the decision's channels, where all go with them."""
        if not self.parts:
            return self.constant
        kept = channels // self.step
        found = (
            units_at(part.units, kept, self.counted, single=part.single) * part.channels if kept else 0
            for part in self.parts
        )
        return self.constant + sum(found)


@dataclass(frozen=True)
class Scaled:
    """Digital work that follows a layer, for each of its counts as `constant + inputs * in + outputs * out`."""

    kind: str
    """As in `Work`."""

    counts: tuple[tuple[float, float, float], ...]
    """Of operations, reads, writes and what is held: constant, share per input channel, share per output channel."""

    def at(self, in_channels: int, out_channels: int) -> Work:
        """The work of a layer of so many channels."""
        names = ("operations", "reads", "writes", "held")
        values = (max(0, round(c + i * in_channels + o * out_channels)) for c, i, o in self.counts)
        return Work.parse({"kind": self.kind, **dict(zip(names, values, strict=True))})


@dataclass(frozen=True)
class Traced:
    """What a layer of a network of the user's own has beside what every position has."""

    layer: Layer
    """The layer of the network itself."""

    enters: Width
    """Input channels, from the decision of the source."""

    gives: Width
    """Output channels, from its own decision."""

    after: tuple[Scaled, ...] = ()
    """Digital work that follows."""


@dataclass(frozen=True)
class Position:
    """A layer of a backbone: everything but its channels."""

    name: str
    """Name of the module; what precedes its last dot is the block that it belongs to."""

    source: int
    """The earlier layer that feeds it; -1 is the image."""

    decision: int
    """Which channel decision is its output width; -1 for the classifier, whose width is the number of classes."""

    width: int
    """Output channels of the original network; 0 for the classifier."""

    side: int
    """Height and width of the input map. [pixel]"""

    kernel: int = 3
    """Height and width of the kernel; the padding keeps the map's size. [pixel]"""

    stride: int = 1
    """Step between output positions. [pixel]"""

    groups: int = 1
    """Groups into which channels are split; `DEPTHWISE` takes the decision of its source and one group per channel."""

    pool: int = 1
    """Window side of the pooling that follows."""

    pool_kind: PoolKind | None = None
    """What the pooling takes of a window; unset: the average where one pixel is left, elsewhere the largest value."""

    relu: bool = True
    """Whether a ReLU follows."""

    residual: bool = False
    """Whether a shortcut is added to its output."""

    optional: bool = False
    """Whether it may be left out (kernel 0)."""

    optional_block: bool = False
    """Whether its residual block, this layer and the next, may be left out (its channels 0)."""

    in_width_law: bool = True
    """Whether the width law counts it; a projection or a classifier is none of its layers."""

    traced: Traced | None = None
    """Of a network of the user's own; None: the layer is what the other fields say, as wide as its decision."""

    def entering(self, channels: int) -> int:
        """Input channels, where the decision of the source has so many."""
        return self.traced.enters.at(channels) if self.traced else channels

    def leaving(self, channels: int) -> int:
        """Output channels, where its own decision has so many."""
        return self.traced.gives.at(channels) if self.traced else channels

    def layer(self, in_channels: int, out_channels: int, kernel: int | None = None) -> Layer:
        """The layer, for given widths.

        Args:
            in_channels: Input channels; any number, so that cost tables can be filled.
            out_channels: Output channels (classifier: classes).
            kernel: Side of its kernel; by default its own, and always that of a network of the user's own.
        """
        widths = {"name": self.name, "in_channels": in_channels, "out_channels": out_channels}
        if self.traced is not None:
            own = self.traced.layer
            changed: dict[str, object] = {**widths}
            if own.groups > 1:  # tables also ask for pairs of widths that no network has
                ends = in_channels // (own.in_channels // own.groups), out_channels // (own.out_channels // own.groups)
                changed["groups"] = math.gcd(*ends)
            if self.traced.after:
                changed["after"] = tuple(work.at(in_channels, out_channels) for work in self.traced.after)
            return own.replace(**changed)
        if self.decision < 0:
            return Layer(**widths, kind="linear", relu=False)
        side = self.kernel if kernel is None else kernel
        return Layer(
            **widths,
            in_height=self.side,
            in_width=self.side,
            kernel_height=side,
            kernel_width=side,
            stride=self.stride,
            padding=side // 2,
            # A depthwise layer is as wide as what enters it; tables also ask for pairs of widths that no network has.
            groups=math.gcd(in_channels, out_channels) if self.groups == DEPTHWISE else self.groups,
            pool=self.pool,
            pool_kind=self.pools,
            relu=self.relu,
            residual=self.residual,
        )

    @property
    def pools(self) -> PoolKind | None:
        """What its pooling takes of a window; None where there is no pooling."""
        if self.pool == 1:
            return None
        return self.pool_kind or ("average" if self.pool * self.stride >= self.side else "max")


@dataclass(frozen=True)
class Family:
    """Backbones that differ in their tables alone."""

    names: tuple[str, ...]
    """Names of the backbones."""

    positions: Callable[[str, tuple[int, int, int]], Sequence[Position]]
    """Maps a name and the shape of an image (channels, height, width) to the layers on crossbars, in the order in which
    they run; the last one is the classifier. It raises a `ConfigError` for images that the backbone does not take."""

    assemble: Callable[[Network, Mapping[str, nn.Module]], nn.Module] | None = None
    """Maps a network and the modules of its layers, by name, to the module of the whole, in which every layer has its
    name. It may import torch when it is called. None: a chain, see `xpert.networks.assembly.chain`."""

    width_law: str = "any"
    """Which width law applies, see `xpert.search.quality.additive`: `vgg`, or the one for any backbone."""


def classifier(source: int) -> Position:
    """The linear layer that ends a backbone.

    Args:
        source: The layer that feeds it, whose pooling leaves one pixel.
    """
    return Position("linear", source, decision=-1, width=0, side=1, kernel=1, relu=False, in_width_law=False)


def square_side(name: str, input_shape: tuple[int, int, int], multiple: int) -> int:
    """Height and width of the images of a backbone that halves maps. [pixel]

    Args:
        name: Backbone.
        input_shape: Channels, height and width of an image.
        multiple: What the side must be a multiple of.

    Raises:
        ConfigError: If images are not square or of another size.
    """
    _, height, width = input_shape
    if height != width or height % multiple:
        raise ConfigError(f"{name} takes square images of a multiple of {multiple}, got {height}x{width}")
    return height


__all__ = [
    "DEPTHWISE",
    "MULTIPLE",
    "Family",
    "Part",
    "Position",
    "Scaled",
    "Traced",
    "Width",
    "classifier",
    "rounded_units",
    "square_side",
    "units_at",
]
