"""What a family of backbones says about itself. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpert.design import Network, PoolKind
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

DEPTHWISE = 0
"""Groups of a layer that has one for each of its channels."""


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


__all__ = ["DEPTHWISE", "Family", "Position", "classifier", "square_side"]
