"""Search spaces: which networks a backbone can become, layer by layer. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from xpert.design import Layer, Network
from xpert.errors import ConfigError

_WIDTHS = (64, 128, 256, 512, 512)
"""Output channels of the five stages of every VGG network. Source: Simonyan and Zisserman, ICLR 2015, table 1."""

_STAGES = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""3x3 convolutions per stage: configurations A, B, D and E of the same table."""

BACKBONES = tuple(_STAGES)
"""Names of the backbones."""


@dataclass(frozen=True)
class Space:
    """A backbone with channel options for every convolution; the classifier's width is the number of classes.

    The layout for small images: 3x3 convolutions with padding 1, batch norm and ReLU; 2x2 max pooling after every stage
    but the last, average pooling of what is left of the map after it, one linear layer.
    """

    name: str
    """Backbone, one of `BACKBONES`."""

    choices: tuple[tuple[int, ...], ...]
    """Options for the output channels of each convolution, in order."""

    input_shape: tuple[int, int, int] = (3, 32, 32)
    """Channels, height and width of an image."""

    num_classes: int = 10
    """Classes."""

    def __post_init__(self) -> None:
        if self.name not in _STAGES:
            raise ConfigError(f"backbone: must be one of {', '.join(BACKBONES)}, got {self.name!r}")
        if len(self.choices) != self.depth:
            raise ConfigError(f"{self.name} has {self.depth} searched layers, got options for {len(self.choices)}")
        for index, options in enumerate(self.choices):
            if not options or any(a >= b for a, b in pairwise(options)) or options[0] < 1:
                raise ConfigError(
                    f"channel options of layer {index} must be positive and rising, got {', '.join(map(str, options))}"
                )
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ConfigError(f"input shape must be channels, height, width, got {self.input_shape}")
        _, height, width = self.input_shape
        reduction = 2 ** (len(_WIDTHS) - 1)
        if height != width or height % reduction:
            raise ConfigError(f"{self.name} takes square images of a multiple of {reduction}, got {height}x{width}")
        if self.num_classes < 2:
            raise ConfigError(f"num_classes must be at least 2, got {self.num_classes}")

    @property
    def depth(self) -> int:
        """Number of convolutions, which is the number of searched layers."""
        return sum(_STAGES[self.name])

    @property
    def default_channels(self) -> tuple[int, ...]:
        """The original widths, scaled so that the widest is the largest option (unscaled where that is 512)."""
        largest = max(max(options) for options in self.choices)
        scale = largest / max(_WIDTHS)
        return tuple(
            max(1, round(width * scale))
            for width, n_convolutions in zip(_WIDTHS, _STAGES[self.name], strict=True)
            for _ in range(n_convolutions)
        )

    def layer(self, index: int, in_channels: int, out_channels: int) -> Layer:
        """The mapped layer at a position, for given widths.

        Args:
            index: 0 ... `depth`; `depth` is the classifier.
            in_channels: Input channels; any number, so that cost tables can be filled.
            out_channels: Output channels (classifier: classes).

        Raises:
            ConfigError: If the index is out of range.
        """
        if not 0 <= index <= self.depth:
            raise ConfigError(f"{self.name} has layers 0 ... {self.depth}, got {index}")
        if index == self.depth:
            return Layer(name="linear", kind="linear", in_channels=in_channels, out_channels=out_channels, relu=False)
        side = self.input_shape[1]
        stages = _STAGES[self.name]
        stage, position = next(
            (stage, position)
            for stage, n_convolutions in enumerate(stages)
            if (position := index - sum(stages[:stage])) < n_convolutions
        )
        side >>= stage
        last_of_stage = position == stages[stage] - 1
        last_stage = stage == len(stages) - 1
        pool = 1 if not last_of_stage else side if last_stage else 2
        return Layer(
            name=f"conv{index + 1}",
            in_channels=in_channels,
            out_channels=out_channels,
            in_height=side,
            in_width=side,
            kernel_height=3,
            kernel_width=3,
            padding=1,
            pool=pool,
        )

    def network(self, channels: Sequence[int]) -> Network:
        """The network with these output channels; they need not be among the options.

        Raises:
            ConfigError: If there are too many or too few, or one is not positive.
        """
        if len(channels) != self.depth:
            raise ConfigError(f"{self.name} needs {self.depth} channels, got {len(channels)}")
        if min(channels) < 1:
            raise ConfigError(f"channels must be positive, got {min(channels)}")
        widths = (self.input_shape[0], *channels, self.num_classes)
        return Network(
            backbone=self.name,
            channels=tuple(channels),
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            layers=tuple(self.layer(index, *pair) for index, pair in enumerate(pairwise(widths))),
        )


def space(
    name: str,
    choices: Sequence[int] | Sequence[Sequence[int]] = (64, 128, 256, 512),
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
) -> Space:
    """The search space of a backbone.

    Args:
        name: Backbone, one of `BACKBONES`.
        choices: Channel options: one list for all convolutions, or one list for each.
        input_shape: Channels, height and width of an image; square, sides a multiple of 16.
        num_classes: Classes.

    Raises:
        ConfigError: If the backbone is unknown or an argument does not fit it.
    """
    if name not in _STAGES:
        raise ConfigError(f"backbone: must be one of {', '.join(BACKBONES)}, got {name!r}")
    shared = [option for option in choices if isinstance(option, int)]
    if len(shared) == len(choices):
        per_layer = (tuple(shared),) * sum(_STAGES[name])
    elif shared:
        raise ConfigError("channel options must be one list of numbers, or one such list for each layer")
    else:
        per_layer = tuple(tuple(options) for options in choices if not isinstance(options, int))
    return Space(name, per_layer, input_shape, num_classes)


__all__ = ["BACKBONES", "Space", "space"]
