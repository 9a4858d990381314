"""A convolution or linear layer computed on crossbars."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from xpert.analog.adc import AdcRange, choose_range, percentiles
from xpert.analog.cells import WeightCode, program, row_blocks
from xpert.analog.columns import Conversion, block_sums, code_sums, converted_sums, sum_histogram, unconverted_sums
from xpert.analog.settings import AnalogSettings
from xpert.analog.unroll import Geometry, unroll, unroll_some
from xpert.design import Chip, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLayer

_UNROLLED_BYTES = 1 << 21
"""Unrolled input codes held at a time."""


class AnalogLayer(nn.Module):
    """A quantised layer on crossbars, with its own periphery.

    `program` writes weights to a chip, `calibrate` gives what ADC ranges are derived from, and `set_precision` changes
    neither. Bias, like everything between layers, is digital. The gradient is that of the quantised layer (straight
    through); a changed weight takes effect with the next `program`.

    Args:
        layer: The quantised layer; kept, and read again by `program`. Its precisions become the design's.
        chip: Crossbar, device and mapping.
        periphery: ADC and input precision.
        settings: Conventions and effects.

    Raises:
        ConfigError: If the layer pads with anything but zeros; when it computes, if torch may shorten float32 products.
    """

    weights: Tensor
    """Integer weights as they were written [groups, rows, outputs], int16."""

    weight_scale: Tensor
    """What an integer weight of 1 stands for, shape ()."""

    conductance: Tensor
    """Conductance of each cell less that of its reference [groups, rows, slices, outputs]. [level]"""

    _samples: Tensor | None

    def __init__(self, layer: QuantLayer, chip: Chip, periphery: Periphery, settings: AnalogSettings) -> None:
        super().__init__()
        self.layer = layer
        self.chip = chip
        self.settings = settings
        self.bypassed = False
        """Whether the layer computes as the quantised layer, as it does while samples are taken."""
        self.geometry = Geometry.of(layer)
        self.code = WeightCode.of(chip, settings)
        kernel = math.prod(self.geometry.kernel)
        self.blocks = row_blocks(kernel, layer.weight[0].numel() // kernel, chip)
        layer.weight_bits = chip.weight_bits
        self.register_buffer("weights", torch.empty(0, dtype=torch.int16))
        self.register_buffer("weight_scale", torch.empty(()))
        self.register_buffer("conductance", torch.empty(0))
        self.register_buffer("_samples", None, persistent=False)
        self._forget()
        self.set_precision(periphery.adc_bits, periphery.input_bits)
        self.program(None)

    @property
    def input_bits(self) -> int:
        """Input precision. [bit]."""
        return self.layer.input_bits

    def set_precision(self, adc_bits: int, input_bits: int) -> None:
        """Change precisions; chip and calibration samples stay."""
        self.adc_bits = adc_bits
        self.layer.input_bits = input_bits
        self._range = self._prepared = None

    def program(self, generator: torch.Generator | None) -> None:
        """Write the layer's present weights to a new chip.

        Args:
            generator: Source of the programming variation; None writes perfectly.
        """
        integer = self.layer.integer_weight()
        weights = self.geometry.weight_matrix(integer.value).short()
        if not torch.equal(weights, self.weights):
            self.weights = weights
            self._forget()
        self.weight_scale = integer.scale
        cells = self.code.cells(weights)
        if generator is None or not self.settings.programming_variation or self.chip.device.programming_sigma == 0:
            self.conductance = cells.nominal
        else:
            self.conductance = program(cells, self.chip, self.settings, generator)
        self._prepared = None

    def calibrate(self, samples: Tensor) -> None:
        """Keep typical inputs, from which calibrated ADC ranges of any precision follow.

        Args:
            samples: Float input vectors [groups, positions, rows], as from `sample_inputs`.
        """
        self._samples = samples
        self._forget()

    def sample_inputs(self, x: Tensor, positions: int) -> Tensor:
        """At most `positions` of the vectors that an input sends to the crossbars: [groups, positions, rows], float."""
        return unroll_some(self.geometry.windows(self._as_maps(x), 0.0), positions)

    @property
    def adc_range(self) -> AdcRange:
        """Range and steps of the ADCs at the present precision.

        Raises:
            ConfigError: If the range is to be calibrated and there are no samples.
        """
        if self._range is None:
            possible = wanted = [(self.chip.rows * low, self.chip.rows * high) for low, high in self.code.limits]
            if self.settings.adc_range == "calibrated":
                counts, lowest = self._histogram()
                wanted = [percentiles(of_slice, lowest, self.settings.adc_tail) for of_slice in counts]
            self._range = choose_range(wanted, possible, self.adc_bits, self.chip.device.cell_bits)
        return self._range

    @property
    def lossless(self) -> bool:
        """Whether ADCs pass every column sum that can occur on this chip unchanged."""
        if self.settings.adc_range == "unbounded":
            return True
        if not torch.equal(self.conductance, self.conductance.round()):
            return False
        lows = block_sums(self.conductance.clamp_max(0), self.blocks).amin(dim=(0, 1, 3)).tolist()
        highs = block_sums(self.conductance.clamp_min(0), self.blocks).amax(dim=(0, 1, 3)).tolist()
        return self.adc_range.lossless(lows, highs)

    def accumulate(self, codes: Tensor) -> Tensor:
        """What crossbars, ADCs and digital adders make of input codes, in the place of `sum of weight * code`.

        Args:
            codes: Unsigned integers [groups, positions, rows] below `2**input_bits`.

        Returns:
            [groups, positions, outputs], float64.
        """
        if self._prepared is None:
            self._prepared = self._prepare()
        conductance, conversion = self._prepared
        if conversion is None:
            result = unconverted_sums(codes, conductance, self.input_bits)
        else:
            adc = self.adc_range
            sums = converted_sums(codes, conductance, conversion, self.blocks, self.input_bits)
            # Integers, added exactly in steps of `unit`; only the multiplication by `unit` rounds.
            shifts = torch.tensor(
                [weight * 2.0**exponent for weight, exponent in zip(self.code.significance, adc.exponents)],
                dtype=torch.float64,
                device=sums.device,
            )
            result = torch.einsum("gpso,s->gpo", sums.double().unflatten(2, (len(shifts), -1)), shifts)
            result *= adc.unit
        if self.code.input_weight:
            result += code_sums(codes, self.input_bits) * self.code.input_weight
        return result

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if self.bypassed:
            return self.layer(input)
        with torch.no_grad(), torch.autocast(input.device.type, enabled=False):
            output = self._compute(input.float())
        return _StraightThrough.apply(self.layer(input), output) if torch.is_grad_enabled() else output

    def _compute(self, x: Tensor) -> Tensor:
        if torch.get_float32_matmul_precision() != "highest":
            raise ConfigError("analog layers need full float32 products: torch.set_float32_matmul_precision('highest')")
        code = self.layer.input_code(x)
        zero = int(code.zero_point)
        codes = code.value.to(torch.uint8) if self.input_bits <= 8 else code.value
        windows = self.geometry.windows(self._as_maps(codes), zero)
        n, height, width = windows.shape[:3]
        per_image = math.prod(windows.shape[1:]) * windows.element_size()
        images = windows.split(max(1, _UNROLLED_BYTES // per_image))
        sums = torch.cat([self.accumulate(unroll(some)) for some in images], dim=1)
        if zero:
            sums -= zero * self.weights.sum(dim=1, keepdim=True)
        sums *= code.scale.double() * self.weight_scale.double()
        output = sums.float().unflatten(1, (n, height * width)).permute(1, 0, 3, 2).reshape(n, -1, height, width)
        if self.layer.bias is not None:
            output += self.layer.bias.reshape(-1, 1, 1)
        if isinstance(self.layer, QuantConv2d):
            return output.reshape(*x.shape[:-3], *output.shape[1:])
        return output.reshape(*x.shape[:-1], -1)

    def _prepare(self) -> tuple[Tensor, Conversion | None]:
        """Conductances and conversion for `converted_sums`, or weights for `unconverted_sums` and None."""
        conductance = self.conductance
        if self.lossless:
            significance = torch.tensor(self.code.significance, dtype=torch.float64, device=conductance.device)
            return torch.einsum("grso,s->gro", conductance.double(), significance), None
        adc = self.adc_range
        steps = torch.tensor(adc.steps, device=conductance.device).unsqueeze(1)
        lowest = torch.tensor(adc.lowest, dtype=torch.float32, device=conductance.device)
        conversion = Conversion(lowest.repeat_interleave(conductance.shape[3]), adc.bits)
        return (conductance / steps).flatten(2), conversion

    def _histogram(self) -> tuple[Tensor, int]:
        """Counts of nominal column sums on the samples at the present input precision; see `sum_histogram`."""
        bits = self.input_bits
        if bits not in self._histograms:
            if self._samples is None:
                raise ConfigError("a calibrated ADC range needs calibration images")
            codes = self.layer.input_code(self._samples).value
            self._histograms[bits] = sum_histogram(codes, self.code.cells(self.weights).nominal, self.blocks, bits)
        return self._histograms[bits]

    def _as_maps(self, x: Tensor) -> Tensor:
        """A linear layer's input [..., features] as maps of one pixel; a convolution's with a batch axis."""
        shape = x.shape[-3:] if isinstance(self.layer, QuantConv2d) else (x.shape[-1], 1, 1)
        return x.reshape(-1, *shape)

    def _forget(self) -> None:
        """Drop what was derived from weights, conductances and samples."""
        self._histograms: dict[int, tuple[Tensor, int]] = {}
        self._range: AdcRange | None = None
        self._prepared: tuple[Tensor, Conversion | None] | None = None

    def _apply(self, fn: Any, recurse: bool = True) -> AnalogLayer:
        self._forget()  # it would not move along
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        super()._load_from_state_dict(*arguments, **options)
        self._forget()


class _StraightThrough(torch.autograd.Function):
    """Value of the second argument, gradient to the first."""

    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient, None


__all__ = ["AnalogLayer"]
