"""The gradient by which an ADC's range is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from xpert.analog.columns import chunks, column_sums
from xpert.analog.programmed import ProgrammedLayer
from xpert.analog.unroll import unroll

_CHUNK = 1 << 20
"""Column sums held at a time."""


def learned_clip(layer: ProgrammedLayer, x: Tensor) -> Tensor:
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


def _slope(layer: ProgrammedLayer, x: Tensor) -> Tensor:
    """d(output) / d(adc_scale), shaped as the output."""
    code = layer.input_code(x)
    # [chips * images, height, width, kernel height, kernel width, groups, channels of a group]
    windows = layer.windows(code.value, int(code.zero_point))
    n, height, width = windows.shape[:3]
    codes, bits = unroll(windows), layer.input_bits  # [groups, chips * images * positions, rows]
    significance = 2.0 ** torch.arange(bits, device=x.device)
    if layer.twos_complement:
        codes = codes ^ (1 << (bits - 1))
        significance[-1] *= -1
    total = torch.zeros((*codes.shape[:2], layer.layout.outputs), device=x.device)
    if not layer.lossless:
        for chip, (of_chip, slope) in enumerate(zip(codes.chunk(layer.n_chips, 1), total.chunk(layer.n_chips, 1))):
            _add_slope(layer, chip, of_chip, significance, slope)
    # [chips] -> [chips * images * positions, 1].
    gain = layer.gain.float().repeat_interleave(codes.shape[1] // layer.n_chips).unsqueeze(1)
    total *= code.scale * layer.weight_scale / layer.adc_scale * gain
    # Back to maps: [chips * images, groups * outputs, height, width]
    maps = total.unflatten(1, (n, height * width)).permute(1, 0, 3, 2).reshape(n, -1, height, width)
    return layer.like_output(maps, x)


def _add_slope(layer: ProgrammedLayer, chip: int, codes: Tensor, significance: Tensor, slope: Tensor) -> None:
    """Add what one chip's conversions contribute.

    Args:
        layer: The layer.
        chip: Which of its chips.
        codes: Its input codes [groups, positions, rows].
        significance: Of the read cycles [bits].
        slope: What is added to, [groups, positions, outputs].
    """
    bits, code = layer.input_bits, layer.code
    # What a step of each slice's ADC is worth, [slices].
    weights = torch.tensor([w * step for w, step in zip(code.significance, layer.adc_range.steps)], device=codes.device)
    cells, conversion = layer.in_steps(chip)  # [groups, rows, slices * outputs]
    highest = conversion.lowest + (2**conversion.bits - 1)
    for chunk in chunks(codes, bits, cells.shape[2], _CHUNK):
        for _, sums in column_sums(codes[:, chunk], cells, layer.blocks, bits, conversion.offset):
            reading = sums.round()
            inside = (reading >= conversion.lowest) & (reading <= highest)
            error = torch.maximum(torch.minimum(reading, highest), conversion.lowest).sub_(sums.mul_(inside))
            # [groups, bits, positions, slices, outputs]; bits and slices are summed over.
            error = error.unflatten(2, (len(weights), -1)).unflatten(1, (bits, -1))
            slope[:, chunk] += torch.einsum("gbpso,b,s->gpo", error, significance, weights)


__all__ = ["learned_clip"]
