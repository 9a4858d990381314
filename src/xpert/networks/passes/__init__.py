"""What lies between two products of a network, in few passes over memory (`passes.c`, on a CPU).

Batch norm, an addition, ReLU, rounding to the codes of the next layer's input and max pooling each read and write maps
that do not fit a core's cache. Here they are one operation, whose backward pass keeps nothing but its input: mask and
rounding are computed again. torch computes the same to rounding (`xpert.networks.fused` says where which of them does).

Pooling commutes with what follows it, for all of that is monotonic: where the norm's scale is positive the largest of
the norm's inputs gives the largest of its results, where it is negative the smallest does. So what follows is computed
on the pooled map. The norm's statistics are those of the whole map, as in torch.

Source: Ioffe and Szegedy, ICML 2015, algorithm 1 and its gradients, for batch norm.
"""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xpert.native import Code

_MOST_POSITIONS = 256
"""Of a pooling window: positions are kept in a byte."""


class _Pass(ctypes.Structure):
    """`struct pass` of passes.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("y", "gradient", "added", "out", "result", "pooled", "masked")),
        *((name, ctypes.c_void_p) for name in ("codes", "index")),
        *((name, ctypes.c_void_p) for name in ("scale", "shift", "running_mean", "running_variance", "constants")),
        *((name, ctypes.c_void_p) for name in ("scale_gradient", "shift_gradient")),
        ("clip_gradient", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("bfloat16", "normalise", "rounded", "threads")),
        *((name, ctypes.c_int64) for name in ("images", "height", "width", "channels")),
        *((name, 2 * ctypes.c_int64) for name in ("window", "stride", "padding", "pooled_size")),
        *((name, ctypes.c_float) for name in ("momentum", "epsilon", "low", "high", "step", "inverse_step")),
    )


def _declare(library: ctypes.CDLL) -> None:
    library.forward.argtypes = library.backward.argtypes = [ctypes.POINTER(_Pass)]


CODE = Code(Path(__file__).with_name("passes.c"), _declare)


class Rounding(NamedTuple):
    """To the codes of an unsigned input."""

    clip: Tensor
    """Upper end of the range, shape (); it gets a gradient as `QuantConv2d.quantised_input` describes."""

    scale: Tensor
    """Of the codes, shape ()."""

    largest: int
    """Code."""

    codes: bool = False
    """Whether the codes themselves are asked for as well; of up to 8 bits."""


class Rounded(NamedTuple):
    """A map rounded to codes."""

    values: Tensor
    """Codes times their scale."""

    codes: Tensor | None
    """uint8, if they were asked for; without a gradient."""


class Pooling(NamedTuple):
    """Max pooling; each for height and width."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the pooled map."""
        high, wide = (
            (size + 2 * padding - window) // stride + 1
            for size, window, stride, padding in zip((height, width), *self, strict=True)
        )
        return high, wide


class Norm(NamedTuple):
    """Batch norm with the statistics of the batch."""

    running_mean: Tensor | None
    """[channels], changed in place, like the variance; None: they are not kept."""

    running_variance: Tensor | None

    momentum: float
    """Weight of this batch in them."""

    epsilon: float


def able(y: Tensor) -> bool:
    """Whether maps [n, channels, height, width] like this one can be computed here."""
    return (
        y.device.type == "cpu"
        and y.dim() == 4
        and y.dtype in (torch.float32, torch.bfloat16)
        and y.numel() > 0
        and CODE.library() is not None
    )


def can_pool(pooling: Pooling, y: Tensor) -> bool:
    """Whether a pooling of a map can be computed here: its positions fit a byte, and each window holds some of it."""
    return (
        math.prod(pooling.window) <= _MOST_POSITIONS
        and all(2 * padding <= window for window, padding in zip(pooling.window, pooling.padding, strict=True))
        and min(pooling.size(y.shape[2], y.shape[3])) > 0
    )


def normalised(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    norm: Norm,
    *,
    added: Tensor | None = None,
    relu: bool = True,
    rounding: Rounding | None = None,
    pooling: Pooling | None = None,
) -> Rounded:
    """`pool(round(relu(norm(y) + added)))`, differentiable in maps, scale, shift and clip.

    Args:
        y: Map [n, channels, height, width] for which `able` holds, of more than one value a channel.
        scale: Of the norm, [channels]; None: 1.
        shift: Likewise; None: 0.
        norm: The rest of it.
        added: Map like `y`; not with rounding or pooling.
        relu: Whether there is a ReLU; needed where something is added.
        rounding: Whether and how the result is rounded.
        pooling: Whether and how it is pooled, one for which `can_pool` holds.

    Returns:
        The result, channels-last, in the number format of `y`; with its codes, if asked for.
    """
    clip = rounding.clip if rounding else None
    return Rounded(*_Normalised.apply(y, scale, shift, added, clip, norm, relu, rounding, pooling))


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        added: Tensor | None,
        _clip: Tensor | None,
        norm: Norm,
        relu: bool,
        rounding: Rounding | None,
        pooling: Pooling | None,
    ) -> tuple[Tensor, Tensor | None]:
        y = _stored(y)
        images, channels, *size = y.shape
        of_pool: dict[str, Any] = {}
        pooled = index = None
        if pooling:
            pooled = _map(images, channels, pooling.size(*size), y.dtype)
            index = torch.empty(pooled.numel(), dtype=torch.uint8)
            of_pool = {name: (2 * ctypes.c_int64)(*pair) for name, pair in pooling._asdict().items()}
            of_pool["pooled_size"] = (2 * ctypes.c_int64)(*pooled.shape[2:])
        out = torch.empty_like(y if pooled is None else pooled)
        constants = torch.empty(4, channels)
        if added is not None:
            added = _stored(added.to(y.dtype))
        step = float(rounding.scale) if rounding else 1.0
        common = {
            "y": y,
            "added": added,
            "pooled": pooled,
            "index": index,
            "constants": constants,
            "bfloat16": y.dtype == torch.bfloat16,
            "normalise": True,
            "rounded": rounding is not None,
            "images": images,
            "height": size[0],
            "width": size[1],
            "channels": channels,
            **of_pool,
            "low": 0.0 if relu or rounding else -math.inf,
            "high": rounding.largest * step if rounding else math.inf,
            "step": step,
            "inverse_step": float(1 / rounding.scale) if rounding else 1.0,
        }
        _run(
            "forward",
            common,
            out=out,
            codes=(codes := _codes(out, rounding)),
            scale=scale,
            shift=shift,
            running_mean=norm.running_mean,
            running_variance=norm.running_variance,
            momentum=norm.momentum,
            epsilon=norm.epsilon,
        )
        # What was added shows in the result alone.
        ctx.save_for_backward(y, pooled, index, constants, None if added is None else out)
        ctx.common = {name: value for name, value in common.items() if not isinstance(value, Tensor)}
        ctx.clip_factor = 1 / channels**0.5
        return _given(ctx, out, codes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        y, pooled, index, constants, result = ctx.saved_tensors
        gradient = _stored(gradient)
        out = torch.empty_like(y)
        masked = None if pooled is None and result is None else torch.empty_like(gradient)
        for_scale, for_shift = torch.empty(2, y.shape[1])
        common = ctx.common | {"y": y, "pooled": pooled, "index": index, "constants": constants}
        done = _run(
            "backward",
            common,
            gradient=gradient,
            out=out,
            added=result,
            result=result,
            masked=masked,
            scale_gradient=for_scale,
            shift_gradient=for_shift,
        )
        needs_clip = ctx.needs_input_grad[4]
        for_clip = torch.tensor(done.clip_gradient * ctx.clip_factor, dtype=torch.float32) if needs_clip else None
        for_added = masked if ctx.needs_input_grad[3] else None
        of_norm = (grad if needed else None for grad, needed in zip((for_scale, for_shift), ctx.needs_input_grad[1:3]))
        return out, *of_norm, for_added, for_clip, None, None, None, None


def rounded(x: Tensor, rounding: Rounding) -> Rounded:
    """A map for which `able` holds, rounded to codes; differentiable in it and the clip."""
    return Rounded(*_Rounded.apply(x, rounding.clip, rounding))


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, _clip: Tensor, rounding: Rounding) -> tuple[Tensor, Tensor | None]:
        x = _stored(x)
        out = torch.empty_like(x)
        step = float(rounding.scale)
        ctx.common = {
            "bfloat16": x.dtype == torch.bfloat16,
            "rounded": True,
            "images": x.numel(),
            "height": 1,
            "width": 1,
            "channels": 1,
            "high": rounding.largest * step,
            "step": step,
            "inverse_step": float(1 / rounding.scale),
        }
        ctx.save_for_backward(x)
        codes = _codes(out, rounding)
        _run("forward", ctx.common, y=x, out=out, codes=codes)
        return _given(ctx, out, codes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        done = _run("backward", ctx.common, y=x, gradient=_stored(gradient), out=out)
        for_clip = None
        if ctx.needs_input_grad[1]:
            for_clip = torch.tensor(done.clip_gradient / x.shape[1] ** 0.5, dtype=torch.float32)
        return out, for_clip, None


def _codes(out: Tensor, rounding: Rounding | None) -> Tensor | None:
    """Memory for the codes of a result."""
    return torch.empty_like(out, dtype=torch.uint8) if rounding and rounding.codes else None


def _given(ctx: Any, out: Tensor, codes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if codes is not None:
        ctx.mark_non_differentiable(codes)
    ctx.set_materialize_grads(False)
    return out, codes


def _run(function: str, common: dict[str, Any], **more: Any) -> _Pass:
    """Call the C code with tensors as the addresses of their memory."""
    library: Any = CODE.library()
    values = {name: value.data_ptr() if isinstance(value, Tensor) else value for name, value in (common | more).items()}
    problem = _Pass(threads=torch.get_num_threads(), **values)
    if getattr(library, function)(ctypes.byref(problem)):
        raise MemoryError("no memory for the sums of a map")
    return problem


def _stored(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _map(images: int, channels: int, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    return torch.empty((images, channels, *size), dtype=dtype, memory_format=torch.channels_last)


__all__ = ["CODE", "Norm", "Pooling", "Rounded", "Rounding", "able", "can_pool", "normalised", "rounded"]
