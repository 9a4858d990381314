"""A convolution or linear layer computed on crossbars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog.adc import AdcRange, choose_range, percentiles
from xpert.analog.cells import Cells, encode, program, row_blocks, slice_bits
from xpert.analog.columns import block_sums, converted_sums, on_grid, sum_histogram, unconverted_sums
from xpert.analog.settings import AnalogSettings
from xpert.design import Chip, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLayer

_PATCH_BYTES = 1 << 21
"""Unrolled input codes held at a time."""


@dataclass(frozen=True)
class Geometry:
    """How a layer's input is unrolled into vectors for the crossbars. A linear layer is a 1x1 kernel on a 1x1 map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """Left, right, top, bottom, as `F.pad` wants it."""
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, layer: QuantLayer) -> Geometry:
        """Read it off a layer.

        Raises:
            ConfigError: If the padding is anything but zeros.
        """
        if not isinstance(layer, QuantConv2d):
            return cls((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1)
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

    def windows(self, x: Tensor, padding_value: float) -> Tensor:
        """View of all kernel windows: [n, channels, h, w] to [n, out_h, out_w, kernel_h, kernel_w, groups, channels]."""
        padded = F.pad(x, self.padding, value=padding_value).permute(0, 2, 3, 1).contiguous()
        n, height, width, channels = padded.shape
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        out_height, out_width = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
        image, row, pixel, _ = padded.stride()
        per_group = channels // self.groups
        return padded.as_strided(
            (n, out_height, out_width, kh, kw, self.groups, per_group),
            (image, sh * row, sw * pixel, dh * row, dw * pixel, per_group, 1),
        )


def unrolled(windows: Tensor) -> Tensor:
    """Vectors for the crossbars: [..., kernel_h, kernel_w, groups, channels] to [groups, positions, rows]."""
    groups, channels = windows.shape[-2:]
    kernel = windows.shape[-4] * windows.shape[-3]
    vectors = windows.reshape(-1, kernel, groups, channels)
    return vectors.permute(2, 0, 1, 3).reshape(groups, -1, kernel * channels)


class _StraightThrough(torch.autograd.Function):
    """Value of the second argument, gradient of the first."""

    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient, None


class AnalogLayer(nn.Module):
    """A quantised layer on crossbars, with its own periphery.

    The chip is sampled by `program`, ADC ranges follow from `calibrate` and the precision; `set_precision` keeps the
    chip. The layer's bias, like everything between layers, is digital. Gradients are those of the quantised layer.

    Args:
        layer: The quantised layer; kept, and read again by `program`.
        chip: Crossbar, device and mapping.
        periphery: ADC and input precision.
        settings: Conventions and effects.
    """

    _samples: Tensor | None
    conductance: Tensor
    """Programmed conductances less their references [groups, rows, slices, outputs]. [level]"""

    def __init__(self, layer: QuantLayer, chip: Chip, periphery: Periphery, settings: AnalogSettings) -> None:
        super().__init__()
        self.layer = layer
        self.chip = chip
        self.settings = settings
        self.geometry = Geometry.of(layer)
        self.adc_bits = periphery.adc_bits
        self.bypassed = False
        layer.weight_bits = chip.weight_bits
        layer.input_bits = periphery.input_bits
        kernel = math.prod(self.geometry.kernel)
        channels = layer.weight[0].numel() // kernel
        self.blocks = row_blocks(kernel, channels, chip)
        self.register_buffer("conductance", torch.empty(0))
        self.register_buffer("_samples", None, persistent=False)
        self._histograms: dict[int, tuple[Tensor, int]] = {}
        self._range: AdcRange | None = None
        self._steps: tuple[Tensor, Tensor] | None = None
        self.program(None)

    # The chip

    def weight_matrix(self) -> Tensor:
        """Integer weights as the crossbars hold them [groups, rows, outputs], channels of a kernel position together."""
        value = self.layer.integer_weight().value
        groups = self.geometry.groups
        kernel = value.reshape(groups, value.shape[0] // groups, -1, *self.geometry.kernel)
        return kernel.permute(0, 3, 4, 2, 1).reshape(groups, -1, value.shape[0] // groups)

    def cells(self) -> Cells:
        """Codes of the cells that hold the weights."""
        return encode(self.weight_matrix(), self.chip.weight_bits, self.chip.device.cell_bits, self.settings)

    def program(self, generator: torch.Generator | None) -> None:
        """Write the layer's present weights to a new chip.

        Args:
            generator: Source of the programming variation; None writes perfectly.
        """
        cells = self.cells()
        varied = (
            generator is not None and self.settings.programming_variation and self.chip.device.programming_sigma > 0
        )
        self.conductance = program(cells, self.chip, generator) if varied else cells.nominal
        self._input_weight = cells.input_weight
        self._steps = None

    # Precision and ADC range

    @property
    def input_bits(self) -> int:
        """Input precision. [bit]."""
        return self.layer.input_bits

    def set_precision(self, adc_bits: int, input_bits: int) -> None:
        """Change precisions; chip and calibration stay."""
        self.adc_bits = adc_bits
        self.layer.input_bits = input_bits
        self._range = self._steps = None

    def calibrate(self, samples: Tensor) -> None:
        """Remember typical inputs, from which ADC ranges of any precision follow.

        Args:
            samples: Float input vectors [groups, positions, rows]; see `sample_inputs`.
        """
        self._samples = samples
        self._histograms.clear()
        self._range = self._steps = None

    def sample_inputs(self, x: Tensor, positions: int) -> Tensor:
        """Input vectors at up to `positions` places, spread evenly over a batch: [groups, positions, rows], float."""
        windows = self.geometry.windows(self._as_map(x), 0.0)
        n, height, width = windows.shape[:3]
        count = n * height * width
        places = torch.arange(min(positions, count), device=x.device) * count // min(positions, count)
        return unrolled(windows[places // (height * width), places // width % height, places % width])

    def _full_scale(self) -> list[tuple[float, float]]:
        """Bounds of the nominal column sums of any weights, per slice. [level]"""
        sizes = slice_bits(self.chip.weight_bits, self.chip.device.cell_bits, self.settings)
        rows = self.chip.rows
        if self.settings.encoding == "differential":
            return [(-rows * (2.0**size - 1), rows * (2.0**size - 1)) for size in sizes]
        reference = self.cells().reference.flatten().tolist()
        return [(-rows * code, rows * (2.0**size - 1 - code)) for size, code in zip(sizes, reference)]

    def _histogram(self) -> tuple[Tensor, int]:
        """Counts of nominal column sums on the calibration samples [slices, bins], and the sum of the first bin."""
        bits = self.layer.input_bits
        if bits not in self._histograms:
            if self._samples is None:
                raise ConfigError("a calibrated ADC range needs calibration images")
            self._histograms[bits] = sum_histogram(
                self.layer.input_code(self._samples).value, self.cells().nominal, self.blocks, bits
            )
        return self._histograms[bits]

    @property
    def adc_range(self) -> AdcRange:
        """Range and steps of the ADCs at the present precision.

        Raises:
            ConfigError: If the range is to be calibrated and no samples were given.
        """
        if self._range is None:
            possible = wanted = self._full_scale()
            if self.settings.adc_range == "calibrated":
                counts, lowest = self._histogram()
                wanted = [percentiles(slice_counts, lowest, self.settings.adc_tail) for slice_counts in counts]
            self._range = choose_range(wanted, possible, self.adc_bits, self.chip.device.cell_bits)
        return self._range

    @property
    def lossless(self) -> bool:
        """Whether ADCs pass every column sum that can occur on this chip."""
        if self.settings.adc_range == "unbounded":
            return True
        if bool((self.conductance != self.conductance.round()).any()):
            return False
        lows = block_sums(self.conductance.clamp_max(0), self.blocks).amin(dim=(0, 1, 3)).tolist()
        highs = block_sums(self.conductance.clamp_min(0), self.blocks).amax(dim=(0, 1, 3)).tolist()
        return self.adc_range.lossless(lows, highs)

    # Computation

    def accumulate(self, codes: Tensor) -> Tensor:
        """What the crossbars and their digital adders make of input codes: `sum of weight * code`, with all effects.

        Args:
            codes: [groups, positions, rows], unsigned integers.

        Returns:
            [groups, positions, outputs], float64, in units of integer weight times input code.
        """
        cell_bits = self.chip.device.cell_bits
        slices = self.conductance.shape[2]
        significance = (2.0 ** (cell_bits * torch.arange(slices, dtype=torch.float64))).tolist()
        if self._steps is None:
            self._prepare(significance)
        assert self._steps is not None
        conductance, centres = self._steps
        if self._collapsed:
            result = unconverted_sums(codes, conductance, self.input_bits)
        else:
            adc = self.adc_range
            sums = converted_sums(codes, conductance, centres, self.blocks, self.input_bits, adc.bits)
            by_slice = sums.double().unflatten(2, (slices, -1))
            conversions = len(self.blocks) * (2**self.input_bits - 1)
            result = torch.zeros_like(by_slice[:, :, 0])
            for s, (exponent, centre) in enumerate(zip(adc.exponents, adc.centres)):
                result += (by_slice[:, :, s] + conversions * centre) * (significance[s] * 2.0**exponent)
            result *= adc.unit
        if self._input_weight:
            result += codes.sum(dim=2, keepdim=True, dtype=torch.float64) * self._input_weight
        return result

    def _prepare(self, significance: list[float]) -> None:
        self._collapsed = self.lossless
        conductance = self.conductance
        if self._collapsed:
            weight = torch.tensor(significance, dtype=torch.float64, device=conductance.device)
            self._steps = torch.einsum("grso,s->gro", conductance.double(), weight), weight
            return
        steps = torch.tensor(self.adc_range.steps, device=conductance.device).reshape(-1, 1)
        outputs = conductance.shape[3]
        centres = torch.tensor(self.adc_range.centres, dtype=torch.float32, device=conductance.device)
        centres = centres.repeat_interleave(outputs)
        self._steps = on_grid((conductance / steps).flatten(2), centres, self.blocks), centres

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if self.bypassed:
            return self.layer(input)
        with torch.no_grad(), torch.autocast(input.device.type, enabled=False):
            value = self._analog(input)
        if torch.is_grad_enabled():
            return _StraightThrough.apply(self.layer(input), value)
        return value

    def _analog(self, x: Tensor) -> Tensor:
        code = self.layer.input_code(x)
        zero = int(code.zero_point)
        codes = code.value.to(torch.uint8) if self.input_bits <= 8 else code.value
        windows = self.geometry.windows(self._as_map(codes), zero)
        per_image = windows[0].numel() * windows.element_size()
        parts = [
            self.accumulate(unrolled(images)) for images in windows.split(max(1, _PATCH_BYTES // max(1, per_image)))
        ]
        sums = torch.cat(parts, dim=1)
        if zero:
            sums -= zero * self.weight_matrix().sum(dim=1, keepdim=True)
        # [groups, positions, outputs] to [n, groups * outputs, h, w]
        sums = sums.unflatten(1, windows.shape[:3]).permute(1, 0, 4, 2, 3).flatten(1, 2)
        scale = code.scale.double() * self.layer.integer_weight().scale.double()
        y = (sums * scale).float()
        if self.layer.bias is not None:
            y += self.layer.bias.reshape(-1, 1, 1)
        if isinstance(self.layer, QuantConv2d):
            return y.reshape(*x.shape[:-3], *y.shape[1:])
        return y.reshape(*x.shape[:-1], -1)

    def _as_map(self, x: Tensor) -> Tensor:
        """A linear layer's input [..., features] as maps of one pixel, a convolution's with a batch axis."""
        shape = x.shape[-3:] if isinstance(self.layer, QuantConv2d) else (x.shape[-1], 1, 1)
        return x.reshape(-1, *shape)

    def _apply(self, fn: Any, recurse: bool = True) -> AnalogLayer:
        self._steps = None
        return super()._apply(fn, recurse)
