"""How a layer's input becomes vectors for the crossbars.

One vector per output position; its rows run over kernel rows, kernel columns and, fastest, channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xpert.design import Chip
from xpert.errors import ConfigError
from xpert.hardware.mapping import packed_groups
from xpert.networks.quantised import QuantConvTranspose1d, QuantConvTranspose2d, QuantLayer, QuantLinear


@dataclass(frozen=True)
class Geometry:
    """Kernel of a layer as crossbars hold it.

    A linear layer has a 1x1 kernel on maps of one pixel, a 1-d convolution maps and kernels of one row. A transposed
    convolution is a convolution of stride 1 with a set of outputs for each place between inputs; see
    `xpert.workload.layers`. Packed groups are one group, whose matrix has the groups' along its diagonal.
    """

    kernel: tuple[int, int]
    """Height and width. [pixel]"""

    stride: tuple[int, int] = (1, 1)
    """Down and right. [pixel]"""

    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, right, top, bottom; what is cut off where negative. [pixel]"""

    dilation: tuple[int, int] = (1, 1)
    """Down and right. [pixel]"""

    groups: int = 1
    """Groups into which channels are split; each has its own crossbars."""

    packed: int = 1
    """The layer's groups in each of them."""

    transposed: TransposedShape | None = None
    """Of a transposed convolution."""

    @classmethod
    def of(cls, layer: QuantLayer, chip: Chip | None = None) -> Geometry:
        """Read it off a layer.

        Args:
            layer: The layer.
            chip: Packs groups, if it says so.

        Raises:
            ConfigError: If the layer pads with anything but zeros.
        """
        if isinstance(layer, QuantLinear):
            return cls((1, 1))
        if layer.padding_mode != "zeros":
            raise ConfigError(f"padding_mode must be 'zeros' on crossbars, got {layer.padding_mode!r}")
        kernel, stride, dilation = (_pair(value, 1) for value in (layer.kernel_size, layer.stride, layer.dilation))
        packed = 1
        if chip is not None and chip.pack_groups:
            rows, outputs = math.prod(kernel) * (layer.in_channels // layer.groups), layer.out_channels // layer.groups
            if isinstance(layer, QuantConvTranspose1d | QuantConvTranspose2d):
                rows = (
                    rows // math.prod(kernel) * math.prod(-(-s // t) for s, t in zip(_spans(kernel, dilation), stride))
                )
                outputs *= math.prod(stride)
            columns = chip.weight_code.columns_per_weight
            packed = int(packed_groups(chip, np.array(layer.groups), np.array(rows), np.array(outputs), columns))
        groups = layer.groups // packed
        if isinstance(layer, QuantConvTranspose1d | QuantConvTranspose2d):
            shape = TransposedShape(
                kernel, stride, _pair(layer.padding, 0), dilation, _pair(layer.output_padding, 0), layer.groups
            )
            return cls(shape.taps, (1, 1), shape.border, (1, 1), groups, packed, shape)
        (height, width), (down, right) = kernel, dilation
        if layer.padding == "same":
            rows, columns = down * (height - 1), right * (width - 1)
            padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        else:
            rows, columns = (0, 0) if isinstance(layer.padding, str) else _pair(layer.padding, 0)
            padding = (columns, columns, rows, rows)
        return cls(kernel, stride, padding, dilation, groups, packed)

    @property
    def places(self) -> int:
        """Outputs of a position for each output channel."""
        return math.prod(self.transposed.stride) if self.transposed else 1

    def positions(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the map of positions, for maps of this size. [pixel]."""
        left, right, top, bottom = self.padding
        spans = _spans(self.kernel, self.dilation)
        return (
            (height + top + bottom - spans[0]) // self.stride[0] + 1,
            (width + left + right - spans[1]) // self.stride[1] + 1,
        )

    def windows(self, x: Tensor, padding_value: float) -> Tensor:
        """View of all kernel windows.

        Args:
            x: [n, channels, height, width].
            padding_value: What surrounds the maps.

        Returns:
            [n, out_height, out_width, kernel_height, kernel_width, groups, channels of a group].
        """
        padded = F.pad(x, self.padding, value=padding_value).permute(0, 2, 3, 1).contiguous()
        n, _, _, channels = padded.shape
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        image, row, pixel, _ = padded.stride()
        per_group = channels // self.groups
        return padded.as_strided(
            (n, *self.positions(*x.shape[2:]), kh, kw, self.groups, per_group),
            (image, sh * row, sw * pixel, dh * row, dw * pixel, per_group, 1),
        )

    def weight_matrix(self, weight: Tensor) -> Tensor:
        """A layer's weight in the order of the windows: [groups, rows, outputs]."""
        kernels = self.transposed.equivalent(weight) if self.transposed else weight
        groups = self.groups * self.packed
        outputs = len(kernels) // groups
        kernels = kernels.reshape(groups, outputs, -1, *self.kernel).permute(0, 3, 4, 2, 1)  # [..., channels, outputs]
        if self.packed == 1:
            return kernels.reshape(groups, -1, outputs)
        height, width, channels = kernels.shape[1:4]
        packs = kernels.new_zeros(self.groups, height, width, self.packed, channels, self.packed, outputs)
        for place, own in enumerate(kernels.unflatten(0, (self.groups, self.packed)).unbind(1)):
            packs[:, :, :, place, :, place] = own
        return packs.reshape(self.groups, -1, self.packed * outputs)

    def arranged(self, maps: Tensor, height: int, width: int) -> Tensor:
        """Outputs of all positions as a map: of a transposed convolution those of all places, one beside the other.

        Args:
            maps: [n, outputs, positions down, positions right].
            height: Of the input map.
            width: Of the input map.
        """
        return self.transposed.interleaved(maps, height, width) if self.transposed else maps


@dataclass(frozen=True)
class TransposedShape:
    """A transposed convolution, and the convolution of stride 1 that computes it.

    Output pixel t of the map before padding is cut from it lies in place `t % stride` of position `t // stride`. It is
    the sum over taps a of `input[t // stride - a] * kernel[stride * a + t % stride]`, the kernel filled up with zeros.
    """

    kernel: tuple[int, int]
    """Height and width. [pixel]"""
    stride: tuple[int, int]
    """Down and right. [pixel]"""
    cut: tuple[int, int]
    """Pixels cut from the output, above and below, left and right."""
    dilation: tuple[int, int]
    """Down and right. [pixel]"""
    added: tuple[int, int]
    """Pixels added to the output below and right."""
    groups: int
    """The layer's groups."""

    @property
    def taps(self) -> tuple[int, int]:
        """Kernel of the convolution. [pixel]"""
        height, width = (-(-span // step) for span, step in zip(_spans(self.kernel, self.dilation), self.stride))
        return height, width

    @property
    def border(self) -> tuple[int, int, int, int]:
        """Padding of the convolution: left, right, top, bottom; only positions with outputs that are kept. [pixel]"""
        top, left = (taps - 1 - cut // step for taps, cut, step in zip(self.taps, self.cut, self.stride))
        spans = _spans(self.kernel, self.dilation)
        bottom, right = (
            (span - 1 - cut + added) // step for span, cut, added, step in zip(spans, self.cut, self.added, self.stride)
        )
        return left, right, top, bottom

    def equivalent(self, weight: Tensor) -> Tensor:
        """Kernels [in, outputs / groups, ...] as those of the convolution [outputs * places, in / groups, ...]."""
        (rows, columns), (down, right) = self.taps, self.stride
        inputs, outputs = weight.shape[:2]
        kernels = weight.reshape(self.groups, inputs // self.groups, outputs, *self.kernel)
        filled = kernels.new_zeros(*kernels.shape[:3], rows * down, columns * right)
        spans = _spans(self.kernel, self.dilation)
        filled[..., : spans[0] : self.dilation[0], : spans[1] : self.dilation[1]] = kernels
        taps = filled.reshape(*kernels.shape[:3], rows, down, columns, right).flip(3, 5)
        # [groups, inputs, outputs, tap, place, tap, place] -> [groups, outputs, place, place, inputs, tap, tap]
        return taps.permute(0, 2, 4, 6, 1, 3, 5).reshape(-1, inputs // self.groups, rows, columns)

    def interleaved(self, maps: Tensor, height: int, width: int) -> Tensor:
        """Places of all positions as one map, cut to the output of inputs of this size."""
        (down, right), spans = self.stride, _spans(self.kernel, self.dilation)
        whole = maps.unflatten(1, (-1, down, right)).permute(0, 1, 4, 2, 5, 3).flatten(4).flatten(2, 3)
        first = [cut % step for cut, step in zip(self.cut, self.stride)]
        sides = [
            (side - 1) * step + span - 2 * cut + added
            for side, step, span, cut, added in zip((height, width), self.stride, spans, self.cut, self.added)
        ]
        return whole[..., first[0] : first[0] + sides[0], first[1] : first[1] + sides[1]]


def _pair(sides: Sequence[int] | str, missing: int) -> tuple[int, int]:
    """Down and right; of a 1-d convolution, which goes to the right, with what is missing."""
    down, right = (missing, sides[0]) if len(sides) == 1 else sides
    return int(down), int(right)


def _spans(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a kernel covers. [pixel]"""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def unroll(windows: Tensor) -> Tensor:
    """Vectors of some windows: [..., kernel_height, kernel_width, groups, channels] to [groups, positions, rows]."""
    height, width, groups, channels = windows.shape[-4:]
    vectors = windows.reshape(-1, height * width, groups, channels)
    return vectors.permute(2, 0, 1, 3).reshape(groups, -1, height * width * channels)


def unroll_some(windows: Tensor, positions: int) -> Tensor:
    """Vectors of at most `positions` windows, spread evenly over images and maps: [groups, positions, rows]."""
    n, height, width = windows.shape[:3]
    available = math.prod((n, height, width))
    count = min(positions, available)
    places = torch.arange(count, device=windows.device) * available // count
    return unroll(windows[places // (height * width), places // width % height, places % width])


__all__ = ["Geometry", "TransposedShape", "unroll", "unroll_some"]
