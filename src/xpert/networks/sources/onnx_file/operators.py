"""ONNX's operators without weights, as functions of torch.

Each entry of `OPERATORS` takes a node and gives the function of its inputs; inputs that are left out are None.

Source: the operator schemas of ONNX (onnx/defs), versions 7 to 23.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xpert.errors import ConfigError
from xpert.networks.sources.onnx_file.reading import Node

Function = Callable[..., Any]


def _plain(function: Function) -> Callable[[Node], Function]:
    return lambda node: function


def _floor(x: Tensor) -> Tensor:
    return x if not x.is_floating_point() else torch.floor(x)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    whole = not a.is_floating_point() and not b.is_floating_point()
    return torch.div(a, b, rounding_mode="trunc") if whole else torch.div(a, b)


def _power(a: Tensor, b: Tensor) -> Tensor:
    if b.numel() == 1 and b.dim() <= a.dim():
        return torch.pow(a, b.item()).to(a.dtype)
    return torch.pow(a, b).to(a.dtype)


def _mod(node: Node) -> Function:
    return torch.fmod if node.get("fmod", 0) else torch.remainder


def _folded(function: Function) -> Callable[[Node], Function]:
    """An operator of any number of inputs, two at a time."""

    def of(*inputs: Tensor) -> Tensor:
        total = inputs[0]
        for term in inputs[1:]:
            total = function(total, term)
        return total

    return lambda node: of


def _mean(*inputs: Tensor) -> Tensor:
    total = inputs[0]
    for term in inputs[1:]:
        total = torch.add(total, term)
    return total / len(inputs)


def _clip(node: Node) -> Function:
    low, high = node.get("min"), node.get("max")

    def clip(x: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
        bounds = [low if least is None else least.item(), high if most is None else most.item()]
        if bounds == [0, 6]:
            return F.relu6(x)
        if bounds[0] == 0 and (bounds[1] is None or bounds[1] >= 1e30):
            return F.relu(x)
        return torch.clamp(x, *bounds) if bounds != [None, None] else x

    return clip


def _softmax(function: Function) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        if node.opset >= 13:
            axis = node.get("axis", -1)
            return lambda x: function(x, dim=axis)
        first = node.get("axis", 1)

        def over_the_rest(x: Tensor) -> Tensor:
            axis = first % x.dim() if x.dim() else 0
            if axis == x.dim() - 1:
                return function(x, dim=axis)
            return function(x.flatten(axis), dim=axis).reshape(x.shape)

        return over_the_rest

    return make


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _numbers(value: Any) -> list[Any]:
    """The numbers of a tensor of one axis, or a list of them."""
    return value.flatten().tolist() if isinstance(value, Tensor) else list(value)


# Shapes


def _shape(node: Node) -> Function:
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64, device=x.device)


def _reshape(node: Node) -> Function:
    keeps = not node.get("allowzero", 0)

    def reshape(x: Tensor, shape: Tensor) -> Tensor:
        sizes = _numbers(shape)
        if keeps:
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        return torch.reshape(x, sizes)

    return reshape


def reshape_batch(node: Node) -> Function:
    """A reshape whose shape holds the number of images: its first axis is the batch."""
    plain = _reshape(node)

    def reshape(x: Tensor, shape: Tensor) -> Tensor:
        sizes = _numbers(shape)
        return torch.reshape(x, (len(x), *sizes[1:])) if 0 not in sizes else plain(x, shape)

    return reshape


def _flatten(node: Node) -> Function:
    axis = node.get("axis", 1)

    def flatten(x: Tensor) -> Tensor:
        if axis == 1 and x.dim() > 1:
            return torch.flatten(x, 1)
        return torch.reshape(x, (math.prod(x.shape[: axis % (x.dim() + 1) if axis < 0 else axis]), -1))

    return flatten


def _axes(node: Node, axes: Tensor | None) -> list[int] | None:
    found = node.get("axes") if axes is None else _numbers(axes)
    return None if found is None else [int(axis) for axis in found]


def _squeeze(node: Node) -> Function:
    def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _axes(node, axes)
        return torch.squeeze(x) if chosen is None else torch.squeeze(x, tuple(chosen))

    return squeeze


def _unsqueeze(node: Node) -> Function:
    def unsqueeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _axes(node, axes) or []
        rank = x.dim() + len(chosen)
        for axis in sorted(axis % rank for axis in chosen):
            x = torch.unsqueeze(x, axis)
        return x

    return unsqueeze


def _transpose(node: Node) -> Function:
    order = node.get("perm")
    return lambda x: torch.permute(x, order or list(range(x.dim()))[::-1])


def _concat(node: Node) -> Function:
    axis = node.get("axis", 1)
    return lambda *inputs: torch.cat(_one_type(inputs), dim=axis)


def _one_type(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [x.to(inputs[0].device) for x in inputs]


def _split(node: Node) -> Function:
    axis, parts = node.get("axis", 0), len(node.outputs)

    def split(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        given = node.get("split") if sizes is None else _numbers(sizes)
        if given is None:
            given = -(-x.shape[axis] // node.get("num_outputs", parts))
        return torch.split(x, given, dim=axis)

    return split


def _slice(node: Node) -> Function:
    def cut(
        x: Tensor,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        first = node.get("starts") if starts is None else _numbers(starts)
        last = node.get("ends") if ends is None else _numbers(ends)
        if first is None or last is None:
            raise ConfigError("starts and ends are missing")
        chosen = _axes(node, axes) or range(len(first))
        strides = [1] * len(first) if steps is None else _numbers(steps)
        for start, end, axis, stride in zip(first, last, chosen, strides):
            if stride > 0:
                index = [slice(None)] * (axis % x.dim()) + [slice(start, end, stride)]
                x = x[tuple(index)]
            else:
                places = list(range(x.shape[axis])[start:end:stride])
                x = torch.index_select(x, axis, torch.tensor(places, dtype=torch.int64, device=x.device))
        return x

    return cut


def _gather(node: Node) -> Function:
    axis = node.get("axis", 0)

    def gather(x: Tensor, index: Tensor) -> Tensor:
        size = x.shape[axis]
        places = torch.where(index < 0, index + size, index).to(x.device)
        found = torch.index_select(x, axis, places.flatten().long())
        return torch.reshape(found, (*x.shape[: axis % x.dim()], *index.shape, *x.shape[axis % x.dim() + 1 :]))

    return gather


def _gather_elements(node: Node) -> Function:
    axis = node.get("axis", 0)
    return lambda x, index: torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return torch.broadcast_to(x, torch.broadcast_shapes(x.shape, tuple(_numbers(shape))))


def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    return torch.tile(x, tuple(_numbers(repeats)))


def _pad(node: Node) -> Function:
    mode = node.get("mode", "constant")

    def pad(x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        given = node.get("pads", node.get("paddings")) if pads is None else _numbers(pads)
        fill = node.get("value", 0.0) if value is None else value.item()
        half = len(given) // 2
        chosen = range(half) if axes is None else [int(axis) % x.dim() for axis in _numbers(axes)]
        sides = [(0, 0)] * x.dim()
        for place, axis in enumerate(chosen):
            sides[axis] = (int(given[place]), int(given[half + place]))
        flat = [side for pair in reversed(sides) for side in pair]
        while len(flat) > 2 and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        if mode == "constant":
            return F.pad(x, flat, value=fill)
        while len(flat) // 2 > x.dim() - 1 or len(flat) // 2 > 3:
            raise ConfigError(f"padding of kind {mode} of all axes is not read")
        return F.pad(x, flat, mode={"edge": "replicate", "reflect": "reflect", "wrap": "circular"}[mode])

    return pad


def _constant_of_shape(node: Node) -> Function:
    value = node.get("value", torch.zeros(1))
    return lambda shape: torch.full(tuple(_numbers(shape)), value.item(), dtype=value.dtype, device=shape.device)


_TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
}
_TYPES |= {10: torch.float32, 11: torch.float32, 12: torch.int64, 13: torch.int64, 16: torch.float32}
"""torch's type for each of ONNX's numbers of types; all floats are computed in float32."""


def _cast(node: Node) -> Function:
    kind = _TYPES.get(node.get("to", 1))
    if kind is None:
        raise ConfigError(f"numbers of type {node.get('to')} are not read")
    return lambda x: x.to(kind)


def _arg(function: Function) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        return lambda x: function(x, dim=axis, keepdim=keep)

    return make


def _top_k(node: Node) -> Function:
    axis, largest = node.get("axis", -1), bool(node.get("largest", 1))
    return lambda x, k=None: torch.topk(x, int(node.get("k") if k is None else k.item()), axis, largest)


# Sums over axes


def _reduce(function: Function) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        keep = bool(node.get("keepdims", 1))

        def reduce(x: Tensor, axes: Tensor | None = None) -> Tensor:
            chosen = _axes(node, axes)
            if not chosen:
                if node.get("noop_with_empty_axes", 0):
                    return x
                chosen = list(range(x.dim()))
            return function(x, tuple(chosen), keep)

        return reduce

    return make


def _mean_of(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.mean(x, dim=axes, keepdim=keep)


def _sum_of(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sum(x, dim=axes, keepdim=keep).to(x.dtype)


def _product_of(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keep).to(x.dtype)
    return x


# Pooling


def _pads(node: Node, sides: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and after each axis, explicit or by `auto_pad`, for a map of these sides."""
    mode = node.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        given = node.get("pads", [0] * 2 * len(sides))
        return list(zip(given[: len(sides)], given[len(sides) :]))
    if mode == "VALID":
        return [(0, 0)] * len(sides)
    found = []
    for side, reach, stride in zip(sides, window, strides):
        total = max((-(-side // stride) - 1) * stride + reach - side, 0)
        small, large = total // 2, total - total // 2
        found.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return found


def window_pads(node: Node, x: Tensor, kernel: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and after each axis of a map that a window slides over."""
    axes = len(kernel)
    strides, dilations = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    reach = [dilation * (side - 1) + 1 for side, dilation in zip(kernel, dilations)]
    return _pads(node, x.shape[2:], reach, strides)


def _flat(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Padding as torch takes it: the last axis first."""
    return [side for pair in reversed(pads) for side in pair]


_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _max_pool(node: Node) -> Function:
    kernel = node.get("kernel_shape")
    axes = len(kernel)
    strides, dilations = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    up = bool(node.get("ceil_mode", 0))

    def pool(x: Tensor) -> Tensor:
        pads = window_pads(node, x, kernel)
        even = all(before == after and 2 * before <= side for (before, after), side in zip(pads, kernel))
        padding = [before for before, _ in pads] if even else [0] * axes
        if not even:
            x = F.pad(x, _flat(pads), value=-math.inf)
        return _MAX[axes](x, tuple(kernel), tuple(strides), tuple(padding), tuple(dilations), up)

    return pool


def _average_pool(node: Node) -> Function:
    kernel = node.get("kernel_shape")
    axes = len(kernel)
    strides, counted = node.get("strides", [1] * axes), bool(node.get("count_include_pad", 0))
    up = bool(node.get("ceil_mode", 0))
    if any(dilation != 1 for dilation in node.get("dilations", [])):
        raise ConfigError("dilated averages are not read")

    def pool(x: Tensor) -> Tensor:
        pads = window_pads(node, x, kernel)
        if all(before == after and 2 * before <= side for (before, after), side in zip(pads, kernel)):
            padding = tuple(before for before, _ in pads)
            return _AVERAGE[axes](x, tuple(kernel), tuple(strides), padding, up, counted)
        padded = F.pad(x, _flat(pads))
        averages = _AVERAGE[axes](padded, tuple(kernel), tuple(strides), 0, up)
        if counted:
            return averages
        ones = F.pad(torch.ones_like(x[:1, :1]), _flat(pads))
        return averages / _AVERAGE[axes](ones, tuple(kernel), tuple(strides), 0, up)

    return pool


def _global_average(x: Tensor) -> Tensor:
    if x.dim() == 4:
        return F.adaptive_avg_pool2d(x, 1)
    return torch.mean(x, dim=tuple(range(2, x.dim())), keepdim=True)


def _global_max(x: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(x, 1) if x.dim() == 4 else torch.amax(x, dim=tuple(range(2, x.dim())), keepdim=True)


def _resize(node: Node) -> Function:
    mode = node.get("mode", "nearest")
    place = node.get("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    if node.op == "Upsample":
        place = "asymmetric"
    kinds = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}
    if mode not in kinds:
        raise ConfigError(f"resizing of kind {mode} is not read")

    def resize(x: Tensor, *more: Tensor | None) -> Tensor:
        given = list(more)
        if node.op == "Resize" and node.opset >= 11:
            given = given[1:]  # the region of interest
        scales = node.get("scales") if not given or given[0] is None else _numbers(given[0])
        sizes = _numbers(given[1]) if len(given) > 1 and given[1] is not None else None
        if sizes is None:
            if not scales:
                raise ConfigError("resizing without sizes or scales is not read")
            if len(scales) != x.dim():
                raise ConfigError("resizing of chosen axes is not read")
            sizes = [math.floor(side * scale) for side, scale in zip(x.shape, scales)]
        if len(sizes) != x.dim() or list(sizes[1:2]) != [x.shape[1]] or x.dim() != 4:
            raise ConfigError("only maps of two axes are resized")
        target = (int(sizes[2]), int(sizes[3]))
        whole = all(new % old == 0 for new, old in zip(target, x.shape[2:]))
        if mode == "nearest":
            if not whole and (place != "asymmetric" or node.get("nearest_mode", "round_prefer_floor") != "floor"):
                raise ConfigError("nearest-neighbour resizing by other than whole factors is not read")
            return F.interpolate(x, target, mode="nearest")
        if place not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
            raise ConfigError(f"resizing with coordinates {place} is not read")
        if mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
            raise ConfigError("cubic resizing with another coefficient than -0.75 is not read")
        return F.interpolate(x, target, mode=kinds[mode], align_corners=place == "align_corners")

    return resize


def _depth_to_space(node: Node) -> Function:
    size = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return lambda x: F.pixel_shuffle(x, size)

    def shuffle(x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        parts = x.reshape(n, size, size, channels // size**2, height, width)
        return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, channels // size**2, height * size, width * size)

    return shuffle


def _space_to_depth(node: Node) -> Function:
    size = node.get("blocksize")

    def shuffle(x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        parts = x.reshape(n, channels, height // size, size, width // size, size)
        return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, channels * size**2, height // size, width // size)

    return shuffle


# Normalisation


def _instance_norm(node: Node) -> Function:
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, shift: F.instance_norm(x, weight=scale, bias=shift, eps=epsilon)


def _group_norm(node: Node) -> Function:
    epsilon, groups = node.get("epsilon", 1e-5), node.get("num_groups")

    def norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        if len(scale) == groups and groups != x.shape[1]:
            scale, shift = (part.repeat_interleave(x.shape[1] // groups) for part in (scale, shift))
        return F.group_norm(x, groups, scale, shift, epsilon)

    return norm


def _layer_norm(node: Node) -> Function:
    epsilon, axis = node.get("epsilon", 1e-5), node.get("axis", -1)

    def norm(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
        return F.layer_norm(x, x.shape[axis:], scale, shift, epsilon)

    return norm


def _local_response(node: Node) -> Function:
    size = node.get("size")
    if size % 2 == 0:
        raise ConfigError("normalisation over an even number of channels is not read")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return lambda x: F.local_response_norm(x, size, alpha, beta, bias)


# Quantised values in float: the value is rounded, the arithmetic stays float.


def _per_axis(values: Tensor | None, x: Tensor, axis: int) -> Tensor:
    """Scales or zero points of one axis, so that they broadcast; 0 where there are none."""
    if values is None:
        return x.new_zeros((), dtype=torch.float32)
    if values.dim() != 1 or values.numel() == 1:
        return values.float()
    return values.float().reshape([-1 if place == axis % x.dim() else 1 for place in range(x.dim())])


def _quantize_linear(node: Node) -> Function:
    axis = node.get("axis", 1)

    def quantise(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        kind = torch.uint8 if zero is None else zero.dtype
        low, high = torch.iinfo(kind).min, torch.iinfo(kind).max
        step, offset = _per_axis(scale, x, axis), _per_axis(zero, x, axis)
        # Half to even, and the zero point after rounding.
        codes = torch.round(x / step) + offset
        return codes.clamp(low, high).to(kind)

    return quantise


def _dequantize_linear(node: Node) -> Function:
    axis = node.get("axis", 1)
    if node.get("block_size", 0):
        raise ConfigError("scales of blocks are not read")

    def dequantise(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        step, offset = _per_axis(scale, x, axis), _per_axis(zero, x, axis)
        return (x.float() - offset) * step

    return dequantise


_ROUNDING: dict[str, Function] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "FLOOR": torch.floor,
    "CEIL": torch.ceil,
    "ROUND_TO_ZERO": torch.trunc,
    "DOWN": torch.trunc,
    "UP": lambda x: torch.sign(x) * torch.ceil(torch.abs(x)),
    "HALF_UP": lambda x: torch.sign(x) * torch.floor(torch.abs(x) + 0.5),
    "HALF_DOWN": lambda x: torch.sign(x) * torch.ceil(torch.abs(x) - 0.5),
}


def _rounding(node: Node, default: str = "ROUND") -> Function:
    mode = str(node.get("rounding_mode", default)).upper()
    if mode not in _ROUNDING:
        raise ConfigError(f"rounding mode {mode} is not read")
    return _ROUNDING[mode]


def code_range(bits: float, signed: bool, narrow: bool) -> tuple[float, float]:
    """Smallest and largest code of a quantiser of QONNX.

    Source: qonnx, docs/qonnx-custom-ops/quant_op.md.
    """
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    return low, high


def _quant(node: Node) -> Function:
    """QONNX's `Quant` and `IntQuant`: rounded after the zero point is added, unlike ONNX's own."""
    signed, narrow, rounded = bool(node.get("signed", 1)), bool(node.get("narrow", 0)), _rounding(node)

    def quant(x: Tensor, scale: Tensor, zero: Tensor, bits: Tensor) -> Tensor:
        if bits.numel() != 1:
            raise ConfigError("bit widths of channels are not read")
        low, high = code_range(float(bits.item()), signed, narrow)
        codes = rounded(torch.clamp(x / scale + zero, low, high))
        return (codes - zero) * scale

    return quant


def _bipolar(node: Node) -> Function:
    return lambda x, scale: torch.where(x >= 0, 1.0, -1.0) * scale


def _trunc(node: Node) -> Function:
    """QONNX's `Trunc`, first version: low bits are cut off, as after a sum in an average."""
    rounded = _rounding(node, "FLOOR")

    def trunc(x: Tensor, scale: Tensor, zero: Tensor, bits_in: Tensor, bits_out: Tensor, *more: Tensor) -> Tensor:
        if more:
            raise ConfigError("Trunc with a scale of its output is not read")
        step = 2.0 ** (float(bits_in.item()) - float(bits_out.item()))
        codes = rounded(torch.round(x / scale + zero) / step)
        return (codes - zero) * scale

    return trunc


def _einsum(node: Node) -> Function:
    equation = node.get("equation")
    return lambda *inputs: torch.einsum(equation, *inputs)


def _trilu(node: Node) -> Function:
    side = torch.triu if node.get("upper", 1) else torch.tril
    return lambda x, k=None: side(x, 0 if k is None else int(k.item()))


def _hard_sigmoid(node: Node) -> Function:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid
    return lambda x: torch.clamp(x * alpha + beta, 0, 1)


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device)


OPERATORS: dict[str, Callable[[Node], Function]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "AveragePool": _average_pool,
    "BipolarQuant": _bipolar,
    "Cast": _cast,
    "CastLike": _plain(lambda x, like: x.to(like.dtype)),
    "Ceil": _plain(torch.ceil),
    "Celu": lambda node: lambda x: F.celu(x, node.get("alpha", 1.0)),
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Cos": _plain(torch.cos),
    "CumSum": _plain(lambda x, axis: torch.cumsum(x, int(axis.item()))),
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize_linear,
    "Div": _plain(_divide),
    "Dropout": _plain(lambda x, *_: x),
    "Einsum": _einsum,
    "Elu": lambda node: lambda x: F.elu(x, node.get("alpha", 1.0)),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _plain(_expand),
    "Flatten": _flatten,
    "Floor": _plain(_floor),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gelu": lambda node: lambda x: F.gelu(x, approximate=node.get("approximate", "none")),
    "GlobalAveragePool": _plain(_global_average),
    "GlobalMaxPool": _plain(_global_max),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "InstanceNormalization": _instance_norm,
    "IntQuant": _quant,
    "IsNaN": _plain(torch.isnan),
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node: lambda x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Log": _plain(torch.log),
    "LogSoftmax": _softmax(F.log_softmax),
    "Max": _folded(torch.maximum),
    "MaxPool": _max_pool,
    "Mean": _plain(_mean),
    "Min": _folded(torch.minimum),
    "Mish": _plain(F.mish),
    "Mod": _mod,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "PRelu": _plain(_prelu),
    "Pad": _pad,
    "Pow": _plain(_power),
    "Quant": _quant,
    "QuantizeLinear": _quantize_linear,
    "Range": _plain(_range),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL1": _reduce(lambda x, axes, keep: _sum_of(torch.abs(x), axes, keep)),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.sqrt(_sum_of(torch.square(x), axes, keep))),
    "ReduceLogSumExp": _reduce(torch.logsumexp),
    "ReduceMax": _reduce(lambda x, axes, keep: torch.amax(x, dim=axes, keepdim=keep)),
    "ReduceMean": _reduce(_mean_of),
    "ReduceMin": _reduce(lambda x, axes, keep: torch.amin(x, dim=axes, keepdim=keep)),
    "ReduceProd": _reduce(_product_of),
    "ReduceSum": _reduce(_sum_of),
    "ReduceSumSquare": _reduce(lambda x, axes, keep: _sum_of(torch.square(x), axes, keep)),
    "Relu": _plain(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Round": _plain(torch.round),
    "Selu": _plain(F.selu),
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Size": _plain(lambda x: torch.tensor(x.numel(), device=x.device)),
    "Slice": _slice,
    "Softmax": _softmax(F.softmax),
    "Softplus": _plain(F.softplus),
    "Softsign": _plain(F.softsign),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _folded(torch.add),
    "Swish": lambda node: (
        lambda x: F.silu(x) if node.get("alpha", 1.0) == 1 else x * torch.sigmoid(node.get("alpha") * x)
    ),
    "Tanh": _plain(torch.tanh),
    "ThresholdedRelu": lambda node: lambda x: torch.where(x > node.get("alpha", 1.0), x, 0.0),
    "Tile": _plain(_tile),
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Trunc": _trunc,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    "Where": _plain(torch.where),
    "Xor": _plain(torch.logical_xor),
}
"""Maps a node to the function of its inputs, by the kind of operator."""

OF_SHAPES = ("Shape", "Size")
"""Operators whose results depend on the shape of their input alone."""

__all__ = ["OF_SHAPES", "OPERATORS", "code_range", "reshape_batch", "window_pads"]
