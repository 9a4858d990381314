"""How a layer's input becomes vectors for the crossbars.

One vector per output position; its rows run over kernel rows, kernel columns and, fastest, channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLayer


@dataclass(frozen=True)
class Geometry:
    """Kernel of a layer. A linear layer has a 1x1 kernel on maps of one pixel."""

    kernel: tuple[int, int]
    """Height and width. [pixel]"""

    stride: tuple[int, int] = (1, 1)
    """Down and right. [pixel]"""

    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, right, top, bottom. [pixel]"""

    dilation: tuple[int, int] = (1, 1)
    """Down and right. [pixel]"""

    groups: int = 1
    """Groups into which channels are split; each has its own crossbars."""

    @classmethod
    def of(cls, layer: QuantLayer) -> Geometry:
        """Read it off a layer.

        Raises:
            ConfigError: If the layer pads with anything but zeros.
        """
        if not isinstance(layer, QuantConv2d):
            return cls((1, 1))
        if layer.padding_mode != "zeros":
            raise ConfigError(f"padding_mode must be 'zeros' on crossbars, got {layer.padding_mode!r}")
        (height, width), (down, right) = layer.kernel_size, layer.dilation
        if layer.padding == "same":
            rows, columns = down * (height - 1), right * (width - 1)
            padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        else:
            rows, columns = (0, 0) if isinstance(layer.padding, str) else layer.padding
            padding = (columns, columns, rows, rows)
        return cls((height, width), (layer.stride[0], layer.stride[1]), padding, (down, right), layer.groups)

    def positions(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for maps of this size. [pixel]."""
        left, right, top, bottom = self.padding
        spans = [step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel)]
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
        """A layer's weight [outputs, channels of a group, ...] in the order of the windows: [groups, rows, outputs]."""
        outputs = weight.shape[0] // self.groups
        kernels = weight.reshape(self.groups, outputs, -1, *self.kernel)
        return kernels.permute(0, 3, 4, 2, 1).reshape(self.groups, -1, outputs)


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


__all__ = ["Geometry", "unroll", "unroll_some"]
