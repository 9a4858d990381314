"""The network as the chip sees it: a list of layers with shapes, and the recipe that rebuilds the module."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from xpert.design._base import DataModel, shown
from xpert.errors import ConfigError

Size = Annotated[int, Field(ge=1, le=1 << 20)]

PoolKind = Literal["max", "average"]

LARGEST_KERNEL = 31
"""Largest side of a backbone's kernel. [pixel]"""

Channels = Annotated[int, Field(ge=0, le=1 << 20)]
"""A backbone's channel decision; 0 leaves a residual block out."""

KernelSide = Annotated[int, Field(ge=0, le=LARGEST_KERNEL)]
"""Side of a backbone's kernel; 0 leaves the layer out. [pixel]"""


def _shortest(sides: tuple[int, ...]) -> int | tuple[int, ...]:
    """Sides in their shortest form: one number where all are equal, two where opposite ones are."""
    if len(sides) == 4 and sides[0] == sides[1] and sides[2] == sides[3]:
        sides = (sides[0], sides[2])
    return sides[0] if len(set(sides)) == 1 else sides


Step = Annotated[int, Field(ge=1, le=1 << 20)]

Steps = Step | Annotated[tuple[Step, Step], AfterValidator(_shortest)]
"""One number for both directions, or [down, right]. [pixel]"""

Border = Annotated[int, Field(ge=0, le=1 << 20)]

Borders = (
    Border
    | Annotated[tuple[Border, Border], AfterValidator(_shortest)]
    | Annotated[tuple[Border, Border, Border, Border], AfterValidator(_shortest)]
)
"""One number for all sides, [above and below, left and right] or [top, bottom, left, right]. [pixel]"""

WorkKind = Literal["product", "softmax", "norm", "activation", "elementwise", "pool", "lookup"]


class Work(DataModel):
    """Digital work that follows a layer and is neither its ReLU nor its pooling nor its skip connection."""

    kind: WorkKind
    """`product`: matrix products of two maps, as attention has; `softmax`; `norm`: layer, group and other norms that
    are measured on the image; `activation`: functions that are looked up (GELU, sigmoid, ...); `elementwise`: sums,
    products and comparisons of values; `pool`: pooling beside the main map; `lookup`: rows read from a table."""

    operations: Annotated[int, Field(ge=0)]
    """Operations per image: multiply-accumulates of a product, values that pass through all others."""

    reads: Annotated[int, Field(ge=0)]
    """Values per image that are read from the global buffer for it."""

    writes: Annotated[int, Field(ge=0)]
    """Values per image that are written back."""

    held: Annotated[int, Field(ge=0)] = 0
    """Values that the global buffer holds at once for it, at most."""


_LARGEST_MAXIMUM = 3
"""Side of the largest window of which networks take maxima (3 x 3, from AlexNet on); larger ones are averages."""


class Layer(DataModel):
    """One convolution or linear layer with what follows it before the next layer.

    A linear layer is a 1x1 convolution on a 1x1 map: `in_channels` features in, `out_channels` out. A 1-d convolution
    has maps and kernels of one row. A transposed convolution adds to an output map what each input pixel gives, a
    kernel's height and width, `stride` apart; `padding` is what is cut from that map's sides.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the module in the network."""

    kind: Literal["conv", "linear", "transposed"] = "conv"
    """Kind of layer: a convolution, a linear layer, a transposed convolution."""

    in_channels: Size
    """Input channels (linear: features)."""

    out_channels: Size
    """Output channels (linear: features)."""

    in_height: Size = 1
    """Height of the input map, without padding. [pixel]"""

    in_width: Size = 1
    """Width of the input map, without padding. [pixel]"""

    kernel_height: Size = 1
    """Kernel height. [pixel]"""

    kernel_width: Size = 1
    """Kernel width. [pixel]"""

    stride: Steps = 1
    """Step between output positions (transposed: between what neighbouring inputs give): one number, or [down, right].
    [pixel]"""

    padding: Borders = 0
    """Zeros added on the sides of the input (transposed: cut from the output): one number, [above and below, left and
    right] or [top, bottom, left, right]. [pixel]"""

    dilation: Steps = 1
    """Step between the pixels under a kernel: one number, or [down, right]. [pixel]"""

    output_padding: Borders = 0
    """Rows and columns added to the output of a transposed convolution below and right: one number, or [down, right].
    [pixel]"""

    groups: Size = 1
    """Groups into which channels are split; each has its own crossbars, unless `chip.pack_groups` puts several into
    one."""

    uses: Size = 1
    """How often the layer runs per image, on maps of this size: for every frame, time step or branch. Its weights are
    programmed once, and the uses come one after the other."""

    pool: Steps = 1
    """Window of the pooling that follows: one number, or [down, right]; 1 is none."""

    pool_kind: PoolKind | None = None
    """What the pooling takes of a window. Unset: the average where one pixel is left of the map or the window is larger
    than 3 x 3, elsewhere the largest value."""

    relu: bool = True
    """Whether a ReLU follows."""

    residual: bool = False
    """Whether the output is added to a skip connection."""

    digital: bool = False
    """Whether the layer is computed by the digital unit, with weights from the global buffer, and not on crossbars."""

    after: tuple[Work, ...] = ()
    """Digital work that follows, before the next layer (and before it, of the first layer)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} ({getattr(self, name)}) must be a multiple of groups ({self.groups})")
        padding, plain = self.padding, self.dilation == 1 and self.kind != "transposed"
        if plain and isinstance(padding, int):  # what search spaces make by the thousand
            fits = (
                self.in_height + 2 * padding >= self.kernel_height and self.in_width + 2 * padding >= self.kernel_width
            )
        else:
            fits = self.out_height >= 1 and self.out_width >= 1
        if not fits:
            top, bottom, left, right = self.paddings
            raise ValueError(
                f"kernel {self.kernel_height}x{self.kernel_width} does not fit the padded map "
                f"{self.in_height + top + bottom}x{self.in_width + left + right}"
            )
        if self.output_padding and (
            self.kind != "transposed" or (isinstance(self.output_padding, tuple) and len(self.output_padding) > 2)
        ):
            raise ValueError("output_padding is one number or [down, right], of a transposed convolution only")
        if self.kind == "linear" and (self.in_height, self.in_width, self.kernel_height, self.kernel_width) != (
            (1,) * 4
        ):
            raise ValueError("a linear layer has 1x1 maps and kernels")
        return self

    @property
    def strides(self) -> tuple[int, int]:
        """Stride down and right. [pixel]"""
        return both_sides(self.stride)

    @property
    def dilations(self) -> tuple[int, int]:
        """Dilation down and right. [pixel]"""
        return both_sides(self.dilation)

    @property
    def pools(self) -> tuple[int, int]:
        """Window of the pooling, down and right. [pixel]"""
        return both_sides(self.pool)

    @property
    def paddings(self) -> tuple[int, int, int, int]:
        """Padding at the top, bottom, left and right. [pixel]"""
        if isinstance(self.padding, tuple) and len(self.padding) == 4:
            return self.padding
        down, right = both_sides(self.padding)
        return down, down, right, right

    @property
    def spans(self) -> tuple[int, int]:
        """Height and width that a kernel covers. [pixel]"""
        down, right = self.dilations
        return down * (self.kernel_height - 1) + 1, right * (self.kernel_width - 1) + 1

    @property
    def out_height(self) -> int:
        """Height of the output map, before pooling. [pixel]"""
        return self._out_side(0, self.in_height)

    @property
    def out_width(self) -> int:
        """Width of the output map, before pooling. [pixel]"""
        return self._out_side(1, self.in_width)

    def _out_side(self, axis: int, side: int) -> int:
        stride, span = self.strides[axis], self.spans[axis]
        before, after = self.paddings[2 * axis : 2 * axis + 2]
        if self.kind == "transposed":
            return (side - 1) * stride + span - before - after + both_sides(self.output_padding)[axis]
        return (side + before + after - span) // stride + 1

    @property
    def averages(self) -> bool:
        """Whether averages are taken of its output."""
        if self.pool_kind is None:
            largest = max(self.pools)
            return largest > 1 and largest >= min(_LARGEST_MAXIMUM + 1, max(self.out_height, self.out_width))
        return self.pool != 1 and self.pool_kind == "average"

    @property
    def weights(self) -> int:
        """Number of weights, biases not counted."""
        return self.in_channels // self.groups * self.kernel_height * self.kernel_width * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        height, width = (
            (self.in_height, self.in_width) if self.kind == "transposed" else (self.out_height, self.out_width)
        )
        return self.weights * height * width * self.uses


def both_sides(value: int | Sequence[int]) -> tuple[int, int]:
    """Down and right, of one number for both or a sequence of one or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


_NAMES_SHOWN = 30
"""Layers that a message lists."""


class NetworkSource(DataModel):
    """What a network of the user's own was made from. It is a record: no code is run because a design holds it."""

    source: Annotated[str, Field(min_length=1, max_length=4096)]
    """File, module or name in a catalogue, see docs/networks.md."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What its class or function was called with, by name."""

    optional: bool = False
    """Whether its blocks could be left out, which ties the widths within each."""

    def __hash__(self) -> int:
        return hash((self.source, json.dumps(self.arguments, sort_keys=True, default=str), self.optional))


class Network(DataModel):
    """The layers that are mapped onto crossbars, in order, and how to rebuild the network."""

    backbone: Annotated[str, Field(min_length=1, max_length=100)]
    """Name of the backbone (`vgg16`, ...), or `custom` for a network of one's own."""

    source: NetworkSource | None = None
    """Of a network of one's own that was searched: what its channels are those of."""

    channels: tuple[Channels, ...] = ()
    """The channel decisions, 0 for a residual block that is left out; empty for a traced module as it is."""

    kernels: tuple[KernelSide, ...] = ()
    """Kernel side of each of the backbone's layers, 0 for one that is left out; empty: the backbone's own."""

    input_shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=4)] = (3, 32, 32)
    """Channels, height and width of an image; of another input (vector, sequence, frames) its sizes."""

    num_classes: Annotated[int, Field(ge=2, le=1 << 20)] = 10
    """Classes."""

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=10_000)]
    """Layers on crossbars, and those that are kept off them (`digital`)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"layer names must differ: {twice!r} is there twice")
        return self

    def with_digital(self, *patterns: str) -> Network:
        """The network with the layers off the crossbars whose names match: `features.0`, `*.depthwise`.

        Args:
            *patterns: Names, in which `*` and `?` stand for any characters.

        Raises:
            ConfigError: If a pattern matches no layer.
        """
        if not patterns:
            return self
        for pattern in patterns:
            if not any(fnmatchcase(layer.name, pattern) for layer in self.layers):
                names = [layer.name for layer in self.layers]
                more = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
                raise ConfigError(
                    f"digital: no layer is called {shown(pattern)}; there are {', '.join(names[:_NAMES_SHOWN])}{more}"
                )
        return self.replace(
            layers=tuple(
                layer.replace(digital=True) if any(fnmatchcase(layer.name, p) for p in patterns) else layer
                for layer in self.layers
            )
        )

    @model_serializer(mode="wrap")
    def _without_empty_source(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As data; a network that was not made from a source does not mention one."""
        return {key: value for key, value in serialise(self).items() if key != "source" or value is not None}

    @property
    def on_crossbars(self) -> tuple[Layer, ...]:
        """The layers that crossbars hold: all that are not `digital`."""
        return tuple(layer for layer in self.layers if not layer.digital)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image.

        Raises:
            ConfigError: If the input is no image.
        """
        if len(self.input_shape) != 3:
            raise ConfigError(f"network.input_shape: not channels, height and width of an image: {self.input_shape}")
        channels, height, width = self.input_shape
        return channels, height, width

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return sum(layer.macs for layer in self.layers)
