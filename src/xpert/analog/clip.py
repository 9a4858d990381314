"""The gradient by which an ADC's range is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xpert.analog.columns import bit_planes
from xpert.analog.unroll import unroll

if TYPE_CHECKING:
    from xpert.analog.layer import AnalogLayer

_CHUNK = 1 << 20
"""Column sums held at a time."""


def learned_clip(layer: AnalogLayer, x: Tensor) -> Tensor:
    """A term whose derivative by the layer's `adc_scale` is that of its output; its value means nothing.

    The window of an ADC grows with its step, `step = adc_scale * calibrated step`. With straight-through rounding a
    conversion of y steps that reads q has

        d(step * q) / d(adc_scale) = step / adc_scale * (q - y within the window, q beyond it),

    which the digital adders weigh like the readings. As in LSQ it is scaled by 1 / sqrt(outputs * (2**adc_bits - 1)).
    Noise of reads is left out.

    Source: Esser et al., ICLR 2020 (arXiv 1902.08153), eq. (3) and section 2.2.
    """
    with torch.no_grad():
        slope = _slope(layer, x.detach().float())
    levels = 2**layer.adc_bits - 1
    return slope * (layer.adc_scale / (layer.layout.outputs * levels) ** 0.5)


def _slope(layer: AnalogLayer, x: Tensor) -> Tensor:
    """d(output) / d(adc_scale), shaped as the output."""
    code = layer.input_code(x)
    windows = layer.windows(code.value, int(code.zero_point))
    n, height, width = windows.shape[:3]
    codes, bits = unroll(windows), layer.input_bits
    significance = 2.0 ** torch.arange(bits, device=x.device)
    if layer.twos_complement:
        codes = codes ^ (1 << (bits - 1))
        significance[-1] *= -1
    total = torch.zeros((*codes.shape[:2], layer.layout.outputs), device=x.device)
    if not layer.lossless:
        adc = layer.adc_range
        weights = torch.tensor(
            [weight * step for weight, step in zip(layer.code.significance, adc.steps)], device=x.device
        )
        for chip, (of_chip, result) in enumerate(zip(codes.chunk(layer.chips, 1), total.chunk(layer.chips, 1))):
            conductance, conversion = layer.in_steps(chip)
            highest = conversion.lowest + (2**conversion.bits - 1)
            chunk = max(1, _CHUNK // (bits * conductance.shape[0] * conductance.shape[2]))
            for part, slope in zip(of_chip.split(chunk, 1), result.split(chunk, 1)):
                for block, (start, stop) in enumerate(layer.blocks):
                    sums = torch.bmm(bit_planes(part[..., start:stop], bits), conductance[:, start:stop])
                    if conversion.offset is not None:
                        sums += conversion.offset[block].unsqueeze(1)
                    reading = sums.round()
                    inside = (reading >= conversion.lowest) & (reading <= highest)
                    error = torch.maximum(torch.minimum(reading, highest), conversion.lowest).sub_(sums.mul_(inside))
                    error = error.unflatten(2, (len(weights), -1)).unflatten(1, (bits, -1))
                    slope += torch.einsum("gbpso,b,s->gpo", error, significance, weights)
    gain = layer.gain.float().repeat_interleave(codes.shape[1] // layer.chips).unsqueeze(1)
    total *= code.scale * layer.weight_scale / layer.adc_scale * gain
    maps = total.unflatten(1, (n, height * width)).permute(1, 0, 3, 2).reshape(n, -1, height, width)
    return layer.like_output(maps, x)


__all__ = ["learned_clip"]
