"""The network as the chip sees it: a list of layers with shapes, and the recipe that rebuilds the module."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xpert.design._base import DataModel

Size = Annotated[int, Field(ge=1, le=1 << 20)]

PoolKind = Literal["max", "average"]

LARGEST_KERNEL = 31
"""Largest side of a backbone's kernel. [pixel]"""

Channels = Annotated[int, Field(ge=0, le=1 << 20)]
"""A backbone's channel decision; 0 leaves a residual block out."""

KernelSide = Annotated[int, Field(ge=0, le=LARGEST_KERNEL)]
"""Side of a backbone's kernel; 0 leaves the layer out. [pixel]"""


_LARGEST_MAXIMUM = 3
"""Side of the largest window of which networks take maxima (3 x 3, from AlexNet on); larger ones are averages."""


class Layer(DataModel):
    """One convolution or linear layer with what follows it before the next layer.

    A linear layer is a 1x1 convolution on a 1x1 map: `in_channels` features in, `out_channels` out.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the module in the network."""

    kind: Literal["conv", "linear"] = "conv"
    """Kind of layer."""

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

    stride: Annotated[int, Field(ge=1, le=64)] = 1
    """Step between output positions. [pixel]"""

    padding: Annotated[int, Field(ge=0, le=64)] = 0
    """Zeros added on each side. [pixel]"""

    groups: Size = 1
    """Groups into which channels are split; each has its own crossbars."""

    pool: Annotated[int, Field(ge=1, le=64)] = 1
    """Window side of the pooling that follows; 1 is none."""

    pool_kind: PoolKind | None = None
    """What the pooling takes of a window. Unset: the average where one pixel is left of the map or the window is larger
    than 3 x 3, elsewhere the largest value."""

    relu: bool = True
    """Whether a ReLU follows."""

    residual: bool = False
    """Whether the output is added to a skip connection."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} ({getattr(self, name)}) must be a multiple of groups ({self.groups})")
        if self.out_height < 1 or self.out_width < 1:
            raise ValueError(
                f"kernel {self.kernel_height}x{self.kernel_width} does not fit the padded map "
                f"{self.in_height + 2 * self.padding}x{self.in_width + 2 * self.padding}"
            )
        if self.kind == "linear" and (self.in_height, self.in_width, self.kernel_height, self.kernel_width) != (
            (1,) * 4
        ):
            raise ValueError("a linear layer has 1x1 maps and kernels")
        return self

    @property
    def out_height(self) -> int:
        """Height of the output map, before pooling. [pixel]"""
        return (self.in_height + 2 * self.padding - self.kernel_height) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Width of the output map, before pooling. [pixel]"""
        return (self.in_width + 2 * self.padding - self.kernel_width) // self.stride + 1

    @property
    def averages(self) -> bool:
        """Whether averages are taken of its output."""
        if self.pool_kind is None:
            return self.pool > 1 and self.pool >= min(_LARGEST_MAXIMUM + 1, max(self.out_height, self.out_width))
        return self.pool > 1 and self.pool_kind == "average"

    @property
    def weights(self) -> int:
        """Number of weights, biases not counted."""
        return self.in_channels // self.groups * self.kernel_height * self.kernel_width * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.weights * self.out_height * self.out_width


class Network(DataModel):
    """The layers that are mapped onto crossbars, in order, and how to rebuild the network."""

    backbone: Annotated[str, Field(min_length=1, max_length=100)]
    """Name of the backbone (`vgg16`, ...), or `custom` for a traced module."""

    channels: tuple[Channels, ...] = ()
    """The backbone's channel decisions, 0 for a residual block that is left out; empty for `custom`."""

    kernels: tuple[KernelSide, ...] = ()
    """Kernel side of each of the backbone's layers, 0 for one that is left out; empty: the backbone's own."""

    input_shape: tuple[Size, Size, Size] = (3, 32, 32)
    """Channels, height and width of an image."""

    num_classes: Annotated[int, Field(ge=2, le=1 << 20)] = 10
    """Classes."""

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=10_000)]
    """Layers on crossbars."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"layer names must differ: {twice!r} is there twice")
        return self

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return sum(layer.macs for layer in self.layers)
