"""Convolutions of input codes with integer weights, by oneDNN's 8-bit products.

Where the processor has them they are twice as fast as those in bfloat16, and exact: the output is what crossbars give
if nothing disturbs, scaled once. Gradients take torch's own convolutions. torch knows the operation by an internal
name, so it is tried once before it is used.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_LARGEST_SUM = 2**31 - 1
"""Of products, in a 32-bit integer."""


class Geometry(NamedTuple):
    """What of a convolution is no tensor; each for height and width."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def able(weight: Tensor, geometry: Geometry) -> bool:
    """Whether a weight [outputs, inputs, height, width] of 8-bit integers can be multiplied with 8-bit codes here.

    Only convolutions that keep the size of maps: torch 2.13's operation is not safe on every other.
    """
    kernel = tuple(weight.shape[2:])
    return (
        weight.device.type == "cpu"
        and kernel in ((1, 1), (3, 3))
        and geometry == Geometry((1, 1), (kernel[0] // 2,) * 2, (1, 1))
        and weight[0].numel() * 255 * 127 <= _LARGEST_SUM
        and _operation_is_there()
    )


@functools.cache
def _operation_is_there() -> bool:
    """Whether the processor has 8-bit products, and torch's operation computes with them what it should."""
    if not getattr(torch.cpu, "_is_vnni_supported", bool)():
        return False
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (2, 20, 5, 5), generator=generator).to(torch.uint8)
    weight = torch.randint(-127, 128, (7, 20, 3, 3), generator=generator).to(torch.int8)
    geometry = Geometry((1, 1), (1, 1), (1, 1))
    try:
        found = sums(codes, weight, geometry)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # another version of torch
        return False
    with torch.autocast("cpu", enabled=False):
        return torch.equal(found, F.conv2d(codes.float(), weight.float(), None, *geometry))


def sums(codes: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Sums of products, float32: exact below 2**24.

    Args:
        codes: uint8 [n, inputs, height, width].
        weight: int8 [outputs, inputs, height, width], for which `able` holds.
        geometry: Stride, padding and dilation.
    """
    return _convolution(codes, 1.0, weight, 1.0, geometry, torch.float32)


def convolution(
    x: Tensor,
    weight: Tensor,
    codes: Tensor,
    integer: Tensor,
    code_scale: Tensor,
    weight_scale: Tensor,
    geometry: Geometry,
    dtype: torch.dtype,
) -> Tensor:
    """The convolution of rounded inputs with rounded weights, with straight-through gradients.

    Args:
        x: Inputs [n, inputs, height, width] as they are rounded; they get the gradient.
        weight: Weights [outputs, inputs, height, width], which get the gradient as if they were what is computed with.
        codes: The inputs in steps of `code_scale`, uint8.
        integer: What is computed with, in steps of `weight_scale`, int8; for which `able` holds.
        code_scale: One number, shape ().
        weight_scale: Likewise.
        geometry: Stride, padding and dilation.
        dtype: Number format of the output and of the products in the backward pass.
    """
    return _Convolution.apply(x, weight, codes, integer, code_scale, weight_scale, geometry, dtype)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        codes: Tensor,
        integer: Tensor,
        code_scale: Tensor,
        weight_scale: Tensor,
        geometry: Geometry,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(x.to(dtype), integer, weight_scale)
        ctx.geometry, ctx.formats = geometry, (x.dtype, weight.dtype)
        return _convolution(codes, float(code_scale), integer, float(weight_scale), geometry, dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, integer, scale = ctx.saved_tensors
        weight = (integer * scale).to(x.dtype, memory_format=torch.channels_last)
        for_x, for_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, *ctx.geometry, False, [0, 0], 1, [*ctx.needs_input_grad[:2], False]
        )
        for_both = (
            None if found is None else found.to(dtype)
            for found, dtype in zip((for_x, for_weight), ctx.formats, strict=True)
        )
        return *for_both, None, None, None, None, None, None


def _convolution(
    codes: Tensor, code_scale: float, weight: Tensor, weight_scale: float, geometry: Geometry, dtype: torch.dtype
) -> Tensor:
    scales = torch.full((len(weight),), weight_scale)
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    packed = torch.ops.onednn.qconv_prepack(weight, scales, code_scale, 0, *geometry, 1, list(codes.shape))
    return torch.ops.onednn.qconv2d_pointwise(
        codes, code_scale, 0, packed, scales, zeros, None, *geometry, 1, 1.0, 0, dtype, "none", [], ""
    )


__all__ = ["Geometry", "able", "convolution", "sums"]
