"""What ADCs are given to convert: how much lies beyond their range, and how much of it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xpert.analog.columns import column_sums
from xpert.analog.convert import sample_inputs, to_analog
from xpert.analog.draws import chip_generator
from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.design import AnalogSettings, Design

_UNUSED = 5e-4
"""Share of the conversions at each end of a slice's readings that does not count as use of the range."""


class LayerConversions(NamedTuple):
    """The readings of a layer's ADCs."""

    layer: str
    """Name in the design."""

    below: float
    """Share of conversions whose column sum is below the lowest level."""

    above: float
    """Share of conversions whose column sum is above the highest level."""

    used: int
    """Levels between the ends of all readings but the 0.05 % lowest and highest, of the slice that has most."""

    levels: int
    """Levels that the ADC has."""

    step: float
    """Distance of levels of the finest slice. [level of conductance]"""


def layer_conversions(
    model: nn.Module,
    design: Design,
    images: Tensor,
    calibration_images: Tensor | None,
    *,
    seed: int,
    chip: int = 0,
    positions: int = 256,
    settings: AnalogSettings | None = None,
) -> list[LayerConversions]:
    """What the ADCs of every layer convert on one sampled chip, of the inputs that the quantised network sees.

    Sums are those of the cells as they conduct, with the ADCs' gain and common offset. Noise of reads, and errors of
    single thresholds, are left out.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        images: Normalised images [n, channels, height, width].
        calibration_images: Normalised images on which ADC ranges are calibrated.
        seed: Of the chips.
        chip: Which of them.
        positions: Input vectors of each layer, about.
        settings: Conventions and effects in the place of the design's `chip.analog`.

    Returns:
        Of the layers on crossbars, in the design's order; empty where nothing is converted.
    """
    if (settings or design.chip.analog).adc_range == "unbounded":
        return []
    order = [layer.name for layer in design.network.on_crossbars]
    drawn = chip_generator(seed, chip)
    analog = to_analog(model, design, generator=drawn, settings=settings, calibration=calibration_images)
    samples, layers = sample_inputs(analog, images, positions), analog_layers(analog)
    with torch.no_grad():
        return [_conversions(name, layers[name], samples[name]) for name in order]


def _conversions(name: str, layer: AnalogLayer, vectors: Tensor) -> LayerConversions:
    """Of input vectors [groups, positions, rows]."""
    codes = layer.input_code(vectors).value
    if layer.twos_complement:
        codes = codes ^ (1 << (layer.input_bits - 1))
    cells, conversion = layer.in_steps(0)
    levels, slices = 2**conversion.bits, layer.code.slices
    cycles = layer.input_bits if layer.pulses == 1 else 1
    offset = None
    if conversion.offset is not None:
        offset = conversion.offset.expand(len(layer.blocks), len(cells), cells.shape[2]).to(cells)
    counts = torch.zeros((slices, levels), dtype=torch.int64, device=cells.device)
    below = above = total = 0
    for _, sums in column_sums(codes, cells, layer.blocks, cycles, offset, layer.pulses):
        readings = (sums.round() - conversion.lowest).unflatten(2, (slices, -1))  # [groups, bits * positions, ...]
        below += int((readings < 0).sum())
        above += int((readings >= levels).sum())
        total += readings.numel()
        words = readings.clamp(0, levels - 1).long()
        for index, of_slice in enumerate(words.unbind(2)):
            counts[index] += torch.bincount(of_slice.flatten(), minlength=levels)
    used = max(_span(of_slice.tolist()) for of_slice in counts)
    return LayerConversions(name, below / total, above / total, used, levels, min(layer.adc_range.steps))


def _span(counts: Sequence[int]) -> int:
    """Levels from the first to the last that is used, of how often each is."""
    cut = _UNUSED * sum(counts)

    def unused(ordered: Sequence[int]) -> int:
        seen = 0
        for index, count in enumerate(ordered):
            seen += count
            if seen > cut:
                return index
        return len(ordered)

    return max(1, len(counts) - unused(counts) - unused(counts[::-1]))


__all__ = ["LayerConversions", "layer_conversions"]
