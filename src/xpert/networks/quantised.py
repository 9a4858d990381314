"""Convolution and linear layers that compute with the numbers which crossbars hold.

A layer's weights are signed integers times one scale; its inputs are unsigned integer codes, fed bit by bit, with a
scale and a zero point. Training sees exactly this arithmetic, and the analog simulation reads the same integers from
`integer_weight()` and `input_code(x)`. Batch norm, bias and ReLU stay digital.
"""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from xpert.errors import ConfigError
from xpert.networks import products
from xpert.networks.passes import Rounding

_SMALLEST_CLIP = 1e-6
_CALIBRATION_VALUES = 1 << 16
_CALIBRATION_CLIPS = 64
BFLOAT16_BITS = 8
"""Codes of so many bits are exact in bfloat16. [bit]"""

_PRODUCT_BITS = 8
"""Codes and weights of so many bits can be multiplied as integers. [bit]"""


class IntegerWeight(NamedTuple):
    """Weights as crossbars hold them: `weight = scale * value`."""

    value: Tensor
    """int32, shaped as the layer's weight, within +-(2**(weight_bits - 1) - 1); of 1 bit +1 or -1."""

    scale: Tensor
    """One number per layer, shape ()."""


class InputCode(NamedTuple):
    """Inputs as they enter the crossbar: `input = scale * (value - zero_point)`."""

    value: Tensor
    """int32, shaped as the input, within 0 ... 2**input_bits - 1."""

    scale: Tensor
    """One number per layer, shape ()."""

    zero_point: Tensor
    """int32, shape (): the code of 0.0, and so of padding; 0 for inputs that follow a ReLU."""


class _QuantiseInput(torch.autograd.Function):
    """Rounds to the codes' grid; straight-through gradient for the input, LSQ's for the clip.

    `low` and `high` are the smallest and largest code, less the zero point. Computes in the input's own number format,
    in passes over memory that processors vectorise: PyTorch's own fake quantisation takes 12 times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, scale: Tensor, low: int, high: int) -> Tensor:  # type: ignore[override]
        position = x * (1 / scale)
        quantised = position.clamp(low, high).round_().mul_(scale)
        ctx.save_for_backward(position, quantised, clip, scale)
        ctx.bounds = low, high
        return quantised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # type: ignore[override]
        position, quantised, clip, scale = ctx.saved_tensors
        if not any(ctx.needs_input_grad):
            return None, None, None, None, None
        # Zero on the bounds too: at 0 the ReLU before, which has no gradient there either, makes no difference.
        for_x = torch.ops.aten.hardtanh_backward(gradient, position, *ctx.bounds)
        if not ctx.needs_input_grad[1]:
            return for_x, None, None, None, None
        # Sum of gradient * (quantised - x within the range, quantised outside) as two dot products: no temporaries.
        change = _dot(gradient, quantised) - scale * _dot(for_x, position)
        channels = position.shape[1] if position.dim() == 4 else position.shape[-1]
        return for_x, change / (clip * channels**0.5), None, None, None


class StraightThrough(torch.autograd.Function):
    """Value of the second argument, gradient to the first."""

    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]  # noqa: D102
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]  # noqa: D102
        return gradient, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the products of two tensors of one shape; no copy where both are channels-last or both contiguous."""
    if a.dim() == 4 and a.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.linalg.vecdot(a.reshape(len(a), -1), b.reshape(len(a), -1)).float().sum()


class _Quantised(nn.Module):
    """What both kinds of layer share; arguments as for `QuantConv2d`."""

    weight: Tensor
    _conv_forward: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    stride: tuple[int, ...]
    padding: Any
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: Tensor | None
    input_clip: nn.Parameter
    input_floor: Tensor

    def __init__(
        self,
        *arguments: Any,
        weight_bits: int = 8,
        input_bits: int = 8,
        signed_input: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.signed_input = signed_input
        self.set_precision(weight_bits, input_bits)
        self.quantised = True
        self.range_rate = 0.0
        self.weight_step: tuple[int, float] | None = None
        self.weight_noise: float | Tensor | None = None
        self.noise_generator: torch.Generator | None = None
        # Batch norm, ReLU and image normalisation leave values of about unit spread: a start until calibration.
        self.input_clip = nn.Parameter(torch.tensor(4.0), requires_grad=not signed_input)
        self.register_buffer("input_floor", torch.tensor(-4.0 if signed_input else 0.0))

    def forward(self, input: Tensor, codes: Tensor | None = None, *, rounded: bool = False) -> Tensor:
        """The layer's output.

        Args:
            input: What the layer reads.
            codes: The same as codes, uint8, where `input_rounding` asks for them.
            rounded: Whether it is rounded to the codes' grid already, in training; see `input_rounding`.
        """
        if not self.quantised:
            return super().forward(input)
        if self.training and self.range_rate:
            self._follow_range(input)
        if not self.training:
            output = self._evaluated(input)
        elif codes is not None:
            output = self._integer_products(input, codes)
        else:
            output = self.differentiable(input, rounded)
        # Networks in other formats than float32 go on in theirs.
        return output if self.weight.dtype == torch.float32 else output.to(self.weight.dtype)

    @torch.no_grad()
    def _follow_range(self, x: Tensor) -> None:
        """Move the range of a signed input towards that of a batch, by `range_rate` of the way.

        Source: Jacob et al., CVPR 2018 (arXiv 1712.05877), section 3.1: exponential moving averages of the ranges.
        """
        x = x.float()
        self.input_floor.lerp_(x.amin().clamp_max(0), self.range_rate)
        self.input_clip.lerp_(x.amax().clamp_min(_SMALLEST_CLIP), self.range_rate)

    def set_precision(self, weight_bits: int, input_bits: int, symmetric_input: bool = False) -> None:
        """Change precisions; weights and the input's clip stay, the steps follow.

        Args:
            weight_bits: Weight precision, 1 ... 16. [bit]
            input_bits: Input precision, 1 ... 16. [bit]
            symmetric_input: Whether a signed input's codes reach as far below as above zero, as in two's complement.

        Raises:
            ConfigError: If a precision is out of range.
        """
        if not 1 <= weight_bits <= 16:
            raise ConfigError(f"weight_bits must be 1 ... 16, got {weight_bits}")
        if not 1 <= input_bits <= 16:
            raise ConfigError(f"input_bits must be 1 ... 16, got {input_bits}")
        self.weight_bits = weight_bits
        self.input_bits = input_bits
        self.symmetric_input = symmetric_input

    def integer_weight(self) -> IntegerWeight:
        """Weights as integers: `round(weight / scale)` with `scale = max|weight| / (2**(weight_bits - 1) - 1)`.

        Weights that come rounded to so many bits, `weight_step`, keep their own step as the scale.

        Weights of 1 bit are the sign, +1 for 0, with `scale = mean|weight|`, which is nearest to them in squares.

        Source: Krishnamoorthi, arXiv 1806.08342, section 2.2 (uniform symmetric quantiser), one scale per layer;
        Rastegari et al., ECCV 2016 (arXiv 1603.05279), eq. (6), for 1 bit.
        """
        weight = self.weight.detach().float()
        if self.weight_bits == 1:
            scale = weight.abs().mean().clamp_min(torch.finfo(weight.dtype).tiny)
            return IntegerWeight(torch.where(weight >= 0, 1, -1).int(), scale)
        levels = 2 ** (self.weight_bits - 1) - 1
        if self.weight_step is not None and self.weight_step[0] == self.weight_bits:
            step = torch.tensor(self.weight_step[1], dtype=weight.dtype, device=weight.device)
            return IntegerWeight(torch.round(weight / step).clamp_(-levels, levels).int(), step)
        # A layer of zeros has no scale of its own; any positive one represents it.
        scale = weight.abs().amax().clamp_min(torch.finfo(weight.dtype).tiny * levels) / levels
        return IntegerWeight(torch.round(weight / scale).int(), scale)

    def input_grid(self, input_bits: int | None = None) -> tuple[Tensor, Tensor]:
        """Scale (shape ()) and zero point (int32, shape ()) of the input codes.

        They span `input_floor ... input_clip`; the zero point is rounded so that 0.0, and so padding, has its own code,
        and the step is then the least with which both ends still have codes.
        Symmetric ones have the zero point `2**(input_bits - 1)` and reach the larger of the two magnitudes.

        Args:
            input_bits: Precision of the codes; the layer's own by default. [bit]

        Source: Jacob et al., CVPR 2018 (arXiv 1712.05877), eq. (1) and section 3.
        """
        bits = input_bits or self.input_bits
        clip = self.input_clip.detach().clamp_min(_SMALLEST_CLIP)
        if self.signed_input and self.symmetric_input:
            half = 1 << (bits - 1)
            return torch.maximum(clip, -self.input_floor) / max(half - 1, 1), torch.full_like(clip, half).int()
        largest = 2**bits - 1
        zero = torch.round(-self.input_floor * largest / (clip - self.input_floor))
        # With zero on a code one side has fewer steps than its share of the range.
        scale = torch.maximum(clip / (largest - zero).clamp_min(1), -self.input_floor / zero.clamp_min(1))
        return scale, zero.int()

    def input_code(self, x: Tensor, input_bits: int | None = None) -> InputCode:
        """Inputs as unsigned integers: `clamp(round(x / scale) + zero_point, 0, 2**input_bits - 1)`.

        Args:
            x: The layer's float input, any shape.
            input_bits: Precision of the codes; the layer's own by default. [bit]
        """
        scale, zero_point = self.input_grid(input_bits)
        code = torch.round(x.detach() * (1 / scale)) + zero_point
        return InputCode(code.clamp_(0, 2 ** (input_bits or self.input_bits) - 1).int(), scale, zero_point)

    def quantised_input(self, x: Tensor) -> Tensor:
        """The input rounded to the grid of its codes, differentiable.

        The gradient passes straight through within the codes' range. The clip of an unsigned input is learned with
        LSQ's gradient, written for the clip a instead of the step: d(output)/da = (quantised - x) / a within the range
        and 1 above it. It is scaled by 1/sqrt(channels), unlike LSQ's: a clip gathers over all channels what batch
        norm's scale gathers over one, and so learns at the same pace. A signed input (the image) keeps its range.

        Source: Esser et al., ICLR 2020 (arXiv 1902.08153), eq. (3) and section 2.2; Choi et al., arXiv 1805.06085
        (PACT), for learning a clip.
        """
        scale, zero_point = self.input_grid()
        low = -int(zero_point) if self.signed_input else 0
        if x.dtype != torch.bfloat16 or self.weight.dtype != torch.float32 or self.input_bits > BFLOAT16_BITS:
            x = x.float()
        return _QuantiseInput.apply(x, self._clip(), scale, low, low + 2**self.input_bits - 1)

    def input_rounding(self) -> Rounding:
        """What `quantised_input` does to unsigned inputs, for whoever does it before they get here."""
        return Rounding(self._clip(), self.input_grid()[0], 2**self.input_bits - 1, self._multiplies_codes())

    def _multiplies_codes(self) -> bool:
        """Whether the layer can multiply codes and weights as the 8-bit integers that they are."""
        return False

    def _integer_products(self, x: Tensor, codes: Tensor) -> Tensor:
        """The output of an input in training, from its codes."""
        raise NotImplementedError

    def _sums(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Exact sums of products of integers, of a weight in a number format in which they are exact."""
        # A float64 convolution may go by way of a transform, whose error is far below 1/2.
        return self._output(inputs.to(weight.dtype), weight, None).double().round_()

    def _clip(self) -> Tensor:
        return self.input_clip.clamp_min(_SMALLEST_CLIP)

    def quantised_weight(self) -> Tensor:
        """The weight rounded to its grid, with weight noise while training; the gradient passes straight through."""
        integer, scale = self.felt_weight()
        weight = self.weight.float()
        return weight + (integer * scale - weight).detach()

    def felt_weight(self) -> IntegerWeight:
        """What the layer computes with: integer weights, and while training those with noise, rounded again.

        Noise is Gaussian. Its standard deviation is `weight_noise` times the largest weight, rounded where weights have
        1 bit, or, where `weight_noise` is a table, the entry of the integer weight times the weight's scale. What comes
        of it is rounded to integers of 8 bits, or as many as the weight has, the largest of which is its own largest;
        that adds 0.3 % of it at most.

        Source: Joshi et al., Nature Communications 11, 2473 (2020): additive noise relative to the largest weight.
        """
        integer, scale = self.integer_weight()
        if not self.training or self.weight_noise is None:
            return IntegerWeight(integer, scale)
        # In the order of the memory, whatever that is: a mixture of orders takes three times as long.
        flat = integer.as_strided((integer.numel(),), (1,))
        noise = torch.randn(flat.shape, generator=self.noise_generator, device=scale.device, dtype=scale.dtype)
        if isinstance(self.weight_noise, Tensor):
            # One deviation for each integer, the most negative first.
            entry = (flat + 1) >> 1 if self.weight_bits == 1 else flat + (1 << (self.weight_bits - 1))
            noise *= self.weight_noise.to(noise).index_select(0, entry)
        else:
            # In integers the largest weight is 1, or the end of their range.
            noise *= self.weight_noise * max(1, 2 ** (self.weight_bits - 1) - 1)
        noise += flat
        levels = 2 ** (max(self.weight_bits, _PRODUCT_BITS) - 1) - 1
        step = noise.abs().amax().clamp_min(torch.finfo(scale.dtype).tiny * levels) / levels
        value = noise.div_(step).round_().int().as_strided(integer.shape, integer.stride())
        return IntegerWeight(value, scale * step)

    def _exact(self, x: Tensor) -> Tensor:
        """The layer's output from the exact sums of integers, scaled once; as crossbars give it if nothing disturbs.

        Sums of integers are exact in float32 below 2**24, in any order. Where that is not enough, weights are split
        into digits of which it is; else float64 is, below 2**53.
        """
        code, weight = self.input_code(x), self.integer_weight()
        inputs, zero = code.value, int(code.zero_point)
        inputs = inputs - zero if zero else inputs
        # Codes are 0 ... 2**bits - 1, so that inputs reach from -zero to 2**bits - 1 - zero.
        largest = max(2**self.input_bits - 1 - zero, zero)
        sums = torch.zeros((), dtype=torch.float64, device=x.device)
        for part, significance in self._digits(weight.value, largest):
            of_part = self._sums(inputs, part)
            sums = of_part.add_(sums) if significance == 1 else sums.add_(of_part, alpha=significance)
        output = sums.mul_(code.scale.double() * weight.scale.double()).float()
        if self.bias is None:
            return output
        return output + self.bias.float().reshape(-1, *[1] * (self.weight.dim() - 2))

    def _digits(self, weight: Tensor, largest: int) -> list[tuple[Tensor, int]]:
        """A weight as parts with their factors, the products of which with inputs up to `largest` add up exactly."""

        def exact(part: Tensor) -> bool:
            # [outputs, weights of an output] -> [outputs]: what these can add up to at most.
            return int(self._by_output(part).abs().sum(dim=1).max()) * largest < _EXACT

        if weight.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
            return [(weight.double(), 1)]  # float32 products may be shortened, or made by way of a transform
        if exact(weight):
            return [(weight.float(), 1)]
        significance = 1 << (self.weight_bits // 2)
        high = torch.div(weight, significance, rounding_mode="floor")
        low = weight - high * significance
        if exact(high) and exact(low):
            return [(low.float(), 1), (high.float(), significance)]
        return [(weight.double(), 1)]

    def _evaluated(self, x: Tensor) -> Tensor:
        """The output in evaluation: the value is exact, the gradient that of `differentiable`."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            exact = self._exact(x.float())
        if not torch.is_grad_enabled():
            return exact
        return StraightThrough.apply(self.differentiable(x), exact)

    def differentiable(self, x: Tensor, rounded: bool = False) -> Tensor:
        """The output to float32's rounding, with straight-through gradients; of an input that may be `rounded`."""
        inputs = x if rounded else self.quantised_input(x)
        bias = None if self.bias is None else self.bias.float()
        return self._output(inputs, self.quantised_weight(), bias)

    def _output(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _by_output(self, weight: Tensor) -> Tensor:
        """A weight as [outputs, weights of an output]."""
        return weight.flatten(1)


_EXACT = 1 << 24
"""Integers below are exact in float32."""


class _QuantConv(_Quantised):
    """Convolutions of one and two dimensions."""

    def _output(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(inputs, weight, bias)


class QuantConv2d(_QuantConv, nn.Conv2d):
    """`nn.Conv2d` with integer weights and input codes.

    Args:
        *arguments: As for `nn.Conv2d`.
        weight_bits: Weight precision, 1 ... 16. [bit]
        input_bits: Input precision, 1 ... 16. [bit]
        signed_input: Whether inputs can be negative (the image); such inputs get a zero point.
        **options: As for `nn.Conv2d`.

    Raises:
        ConfigError: If a precision is out of range.
    """

    def _multiplies_codes(self) -> bool:
        return (
            max(self.input_bits, self.weight_bits) <= _PRODUCT_BITS
            and not self.signed_input
            and self.groups == 1
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and products.able(self.weight, self._geometry())
        )

    def _integer_products(self, x: Tensor, codes: Tensor) -> Tensor:
        weight, input_scale = self.felt_weight(), self.input_grid()[0]
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        y = products.convolution(
            x, self.weight, codes, weight.value.to(torch.int8), input_scale, weight.scale, self._geometry(), dtype
        )
        return y if self.bias is None else y + self.bias.to(dtype).reshape(-1, 1, 1)

    def _sums(self, inputs: Tensor, weight: Tensor) -> Tensor:
        if weight.dtype != torch.float32 or not self._multiplies_codes():
            return super()._sums(inputs, weight)
        return products.sums(inputs.to(torch.uint8), weight.to(torch.int8), self._geometry()).double()

    def _geometry(self) -> products.Geometry:
        return products.Geometry(tuple(self.stride), tuple(self.padding), tuple(self.dilation))


class QuantConv1d(_QuantConv, nn.Conv1d):
    """`nn.Conv1d` with integer weights and input codes; arguments as for `QuantConv2d`.

    Raises:
        ConfigError: If a precision is out of range.
    """


class _QuantConvTranspose(_Quantised):
    """Transposed convolutions of one and two dimensions."""

    def _by_output(self, weight: Tensor) -> Tensor:
        # [inputs, outputs of a group, ...] -> [groups, outputs, inputs of a group, ...]
        return weight.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)

    def _output(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = F.conv_transpose2d if weight.dim() == 4 else F.conv_transpose1d
        shape = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return convolve(inputs, weight, bias, *shape)


class QuantConvTranspose2d(_QuantConvTranspose, nn.ConvTranspose2d):  # type: ignore[override]
    """`nn.ConvTranspose2d` with integer weights and input codes; arguments as for `QuantConv2d`.

    Raises:
        ConfigError: If a precision is out of range.
    """


class QuantConvTranspose1d(_QuantConvTranspose, nn.ConvTranspose1d):  # type: ignore[override]
    """`nn.ConvTranspose1d` with integer weights and input codes; arguments as for `QuantConv2d`.

    Raises:
        ConfigError: If a precision is out of range.
    """


class QuantLinear(_Quantised, nn.Linear):
    """`nn.Linear` with integer weights and input codes; arguments as for `QuantConv2d`.

    Raises:
        ConfigError: If a precision is out of range.
    """

    def _output(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(inputs, weight, bias)


QuantLayer = QuantConv2d | QuantConv1d | QuantConvTranspose2d | QuantConvTranspose1d | QuantLinear

PlainLayer = nn.Conv2d | nn.Conv1d | nn.ConvTranspose2d | nn.ConvTranspose1d | nn.Linear

_MADE_FROM: dict[type[nn.Module], type[QuantLayer]] = {
    nn.Conv2d: QuantConv2d,
    nn.Conv1d: QuantConv1d,
    nn.ConvTranspose2d: QuantConvTranspose2d,
    nn.ConvTranspose1d: QuantConvTranspose1d,
    nn.Linear: QuantLinear,
}
"""Plain layer -> the quantised one in its place."""

_TAKEN = "crossbars take nn.Conv2d and nn.Linear, nn.Conv1d and transposed convolutions of one and two dimensions"

ROOT = "module"
"""What a network is called that is a layer itself."""


def quantised_layers(model: nn.Module) -> dict[str, QuantLayer]:
    """The quantised layers of a model by module name, in the order in which they were registered."""
    return {name or ROOT: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}


def has_plain_layers(model: nn.Module) -> bool:
    """Whether a model has convolution or linear layers, or others that multiply by weights, that are not quantised."""
    kinds = (PlainLayer, *_UNSUPPORTED)
    return any(isinstance(module, kinds) and not isinstance(module, QuantLayer) for module in model.modules())


def quantise(model: nn.Module, images: Tensor, *, weight_bits: int = 8, input_bits: int = 8) -> nn.Module:
    """A network whose plain convolution and linear layers have become quantised ones, in evaluation mode.

    Inputs that were negative anywhere on the images get a zero point; ranges are set by `calibrate_quantisers`.
    Layers that are quantised already stay as they are, and so do those that do not run, such as heads for training.
    Weights that are computed from others (pruning, weight norm, parametrisations) are taken as they are now; those that
    Brevitas rounds with one scale keep its step at its width.

    Args:
        model: Any module; left as it is. Products of functions (`F.conv2d`) are not seen: layers must be modules.
        images: Normalised images [n, channels, height, width] that show the range of every layer's inputs.
        weight_bits: Weight precision. [bit]
        input_bits: Input precision. [bit]

    Raises:
        ConfigError: If a module multiplies by weights in another way than plain 1-d and 2-d convolutions and linear
            layers do, the model does not run on the images, a number is not finite, or there are no images.
    """
    if len(images) == 0:
        raise ConfigError("quantising a network needs at least one image to set its layers' input ranges")
    if images.is_floating_point() and not bool(images.isfinite().all()):
        raise ConfigError("the images hold numbers that are not finite")
    model = copied(model).eval()
    plain = _plain_layers(model)
    smallest: dict[str, float] = {}

    def observer(name: str) -> Callable[[nn.Module, Any], None]:
        def observe(layer: nn.Module, inputs: Any) -> None:
            if name not in plain:
                raise ConfigError(_refusal(name, layer))
            smallest[name] = min(smallest.get(name, 0.0), float(inputs[0].amin()))

        return observe

    watched = plain | _unsupported(model)
    handles = [module.register_forward_pre_hook(observer(name)) for name, module in watched.items()]
    try:
        _run(model, images)
    finally:
        for handle in handles:
            handle.remove()
    # Some weights exist only while the model runs, so that they are looked at now.
    check_weights({name: plain[name] for name in smallest})
    signed = {name: least < 0 for name, least in smallest.items()}
    made = replace_plain(model, signed, weight_bits=weight_bits, input_bits=input_bits)
    layers = quantised_layers(made)
    ran: set[str] = set()
    handles = [layers[name].register_forward_pre_hook(lambda *_, name=name: ran.add(name)) for name in signed]
    calibrate_quantisers(made, images, [layers[name] for name in signed])
    for handle in handles:
        handle.remove()
    if lost := [name for name in signed if name not in ran]:
        raise ConfigError(f"layer {lost[0]!r} is called by another way than as a module of the network")
    return made


def check_weights(layers: Mapping[str, nn.Module]) -> None:
    """Refuse layers with weights or biases that are NaN or infinite.

    Raises:
        ConfigError: If there are any, with the layer's name.
    """
    for name, layer in layers.items():
        for kind in ("weight", "bias"):
            values = getattr(layer, kind, None)
            if isinstance(values, Tensor) and not bool(values.isfinite().all()):
                raise ConfigError(f"layer {name!r}: its {kind} holds numbers that are not finite")


def replace_plain(
    model: nn.Module, signed: Mapping[str, bool], *, weight_bits: int = 8, input_bits: int = 8
) -> nn.Module:
    """A network with quantised layers in the place of plain ones; their input ranges are still to be set.

    Args:
        model: Any module; left as it is.
        signed: Name of each plain layer that is replaced -> whether its inputs can be negative.
        weight_bits: Weight precision. [bit]
        input_bits: Input precision. [bit]

    Raises:
        ConfigError: If one of these is none that crossbars take.
    """
    model = copied(model).eval()
    plain = _plain_layers(model)
    for name in signed:
        if name in plain:
            model = replace_module(model, name, _quantised_copy(plain[name], weight_bits, input_bits, signed[name]))
    return model


def replace_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """A model with a module in the place of the one of a name, under all names that it has.

    Args:
        model: Changed in place, unless it is itself replaced.
        name: Name within the model; `ROOT` where the model is the layer.
        module: What takes the place.

    Returns:
        The model.
    """
    if name == ROOT and not hasattr(model, ROOT):
        return module
    old = model.get_submodule(name)
    for parent in list(model.modules()):
        for child, present in list(parent.named_children()) if parent is not module else []:
            if present is old:
                setattr(parent, child, module)
    return model


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of a model, with weights that are computed from parameters as they are now.

    Raises:
        ConfigError: If it cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in model.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # which cannot be copied otherwise
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:  # noqa: BLE001 - whatever an attribute of the user's own raises
        raise ConfigError(f"the model cannot be copied: {' '.join(str(error).split())}") from None


def _run(model: nn.Module, images: Tensor) -> None:
    try:
        with torch.no_grad():
            model(images)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a module of the user's own raises
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(
            f"the model does not run on images of {'x'.join(map(str, images.shape[1:]))}: {reason}"
        ) from None


def _plain_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The convolution and linear layers that are not quantised and compute as such, by name."""
    return {
        name or ROOT: module
        for name, module in model.named_modules()
        if isinstance(module, PlainLayer) and not isinstance(module, QuantLayer) and _computes_plainly(module)
    }


def _computes_plainly(layer: nn.Module) -> bool:
    kind = type(layer)
    alike = kind.forward in [known.forward for known in _MADE_FROM] or f"{kind.__module__}.{kind.__name__}" in _ALIKE
    return alike or _rounds_weights(layer)


_ALIKE = ("timm.layers.linear.Linear",)
"""Layers of others whose forward differs from the plain one under torch.jit.script alone."""


def _rounds_weights(layer: nn.Module) -> bool:
    """Whether a layer is one of Brevitas', which rounds its weights and nothing else."""
    others = (getattr(layer, name, None) for name in ("input_quant", "output_quant", "bias_quant"))
    return callable(getattr(layer, "quant_weight", None)) and not any(
        getattr(quantiser, "is_quant_enabled", False) for quantiser in others
    )


@torch.no_grad()
def _rounded_weight(layer: Any) -> tuple[Tensor, tuple[int, float]]:
    """The weight that a layer of Brevitas computes with, and its width and step.

    Raises:
        ConfigError: If it has several steps, or another code than 0 for zero.
    """
    found = layer.quant_weight()
    if found.scale.numel() != 1 or bool((found.zero_point != 0).any()):
        raise ConfigError(
            f"a {type(layer).__name__} rounds weights with a scale for each channel, or around another code than 0: "
            "export it as QONNX, which is read with its scales"
        )
    return found.value.detach().clone(), (int(found.bit_width), float(found.scale))


def _unsupported(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that multiply by weights in ways that are not taken, by name."""
    return {
        name or ROOT: module
        for name, module in model.named_modules()
        if isinstance(module, _UNSUPPORTED)
        or (isinstance(module, PlainLayer) and not isinstance(module, QuantLayer) and not _computes_plainly(module))
    }


def _refusal(name: str, layer: nn.Module) -> str:
    own = ", which computes in its own way" if isinstance(layer, PlainLayer) else ""
    return f"layer {name!r} is a {type(layer).__name__}{own}: {_TAKEN}"


def _quantised_copy(layer: Any, weight_bits: int, input_bits: int, signed: bool) -> QuantLayer:
    """A quantised layer with the parameters of a plain one, in evaluation mode."""
    kind = next(kind for kind in _MADE_FROM if isinstance(layer, kind))
    options: dict[str, Any] = {"weight_bits": weight_bits, "input_bits": input_bits, "signed_input": signed}
    options["bias"] = layer.bias is not None
    shape = ["in_features", "out_features"]
    if kind is not nn.Linear:
        shape = ["in_channels", "out_channels", "kernel_size", "stride", "padding"]
        options |= {name: getattr(layer, name) for name in ("dilation", "groups", "padding_mode")}
        if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
            options["output_padding"] = layer.output_padding
    with torch.random.fork_rng(devices=()):  # constructors draw initial weights
        made = _MADE_FROM[kind](*(getattr(layer, name) for name in shape), **options)
    rounded = _rounded_weight(layer) if _rounds_weights(layer) else None
    for name in ("weight", "bias"):
        values = rounded[0] if rounded is not None and name == "weight" else getattr(layer, name)
        if values is not None:
            setattr(made, name, values if isinstance(values, nn.Parameter) else nn.Parameter(values.detach().clone()))
    # What the user's own hooks do stays; those that compute the weight have done so.
    for hooks in ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs"):
        setattr(made, hooks, getattr(layer, hooks))
    made._forward_pre_hooks = OrderedDict(
        (key, hook) for key, hook in layer._forward_pre_hooks.items() if not isinstance(hook, _COMPUTES_WEIGHTS)
    )
    if rounded is not None:
        made.weight_step = rounded[1]
    return made.to(made.weight.device).eval()


_COMPUTES_WEIGHTS = (BasePruningMethod, WeightNorm, SpectralNorm)
"""Hooks that set a layer's weight before it runs."""

_UNSUPPORTED = (
    nn.Conv3d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
    nn.Bilinear,
)
"""Modules that multiply by weights which would not be on crossbars."""


@contextlib.contextmanager
def unquantised(model: nn.Module) -> Iterator[None]:
    """Within this context the model computes with its float weights and inputs."""
    layers = list(quantised_layers(model).values())
    before = [layer.quantised for layer in layers]
    try:
        for layer in layers:
            layer.quantised = False
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.quantised = value


def set_weight_noise(
    model: nn.Module,
    noise: float | Tensor | Mapping[str, Tensor] | None,
    generator: torch.Generator | None = None,
) -> None:
    """Make every quantised layer add noise to its weights while training; see `quantised_weight`.

    Args:
        model: Changed in place.
        noise: Standard deviation, relative to the layer's largest weight; or that of every integer weight
            `-2**(weight_bits - 1) ... 2**(weight_bits - 1) - 1` (of 1 bit: -1 and +1), in integer weights, for
            all layers or by their names; None for no noise.
        generator: Source of the noise, on the model's device; required where there is noise.

    Raises:
        ConfigError: If `noise` is negative or not a table of the layers' weights, or the generator is missing.
    """
    if noise is not None:
        if isinstance(noise, float | int) and noise < 0:
            raise ConfigError(f"weight_noise must not be negative, got {noise}")
        if generator is None:
            raise ConfigError("weight_noise needs a generator")
    for name, layer in quantised_layers(model).items():
        own = noise.get(name) if isinstance(noise, Mapping) else noise
        if isinstance(own, Tensor) and own.shape != (1 << layer.weight_bits,):
            raise ConfigError(
                f"layer {name!r}: weights of {layer.weight_bits} bits need a table of {1 << layer.weight_bits} "
                f"deviations, got {list(own.shape)}"
            )
        layer.weight_noise = own
        layer.noise_generator = generator


@torch.no_grad()
def calibrate_quantisers(model: nn.Module, images: Tensor, layers: Iterable[QuantLayer] | None = None) -> None:
    """Set the input range of every quantised layer from a batch.

    Unsigned inputs: the clip with the least mean squared error at the layer's `input_bits`, among 64 fractions of the
    largest input (over a sample of its values). Signed inputs: smallest ... largest input. A layer is set before it
    passes its output on, so later layers see quantised inputs. The model computes in the mode that it is in; a fresh
    one, whose batch norm has no statistics yet, belongs in training mode.

    Args:
        model: Changed in place.
        images: Normalised images [n, channels, height, width].
        layers: Those whose range is set; all by default.
    """

    def observe(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        largest = x.amax().clamp_min(_SMALLEST_CLIP)
        if layer.signed_input:
            layer.input_floor.copy_(x.amin().clamp_max(0))
            layer.input_clip.copy_(largest)
            return
        values = x.flatten()[:: max(1, x.numel() // _CALIBRATION_VALUES)]
        clips = largest * torch.arange(1, _CALIBRATION_CLIPS + 1, device=x.device) / _CALIBRATION_CLIPS
        steps = clips / (2**layer.input_bits - 1)
        errors = [
            F.mse_loss((values / step).round_().mul_(step).clamp_max_(clip), values) for clip, step in zip(clips, steps)
        ]
        layer.input_clip.copy_(clips[torch.stack(errors).argmin()])

    chosen = quantised_layers(model).values() if layers is None else layers
    handles = [layer.register_forward_pre_hook(observe) for layer in chosen]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()


__all__ = [
    "BFLOAT16_BITS",
    "ROOT",
    "InputCode",
    "IntegerWeight",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConvTranspose1d",
    "QuantConvTranspose2d",
    "QuantLayer",
    "QuantLinear",
    "StraightThrough",
    "calibrate_quantisers",
    "check_weights",
    "copied",
    "has_plain_layers",
    "quantise",
    "quantised_layers",
    "replace_module",
    "replace_plain",
    "set_weight_noise",
    "unquantised",
]
