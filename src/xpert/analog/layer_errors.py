"""How much each layer's output suffers from ADC and input precision: the table that phase 2 starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xpert.analog.convert import REFERENCE_INPUT_BITS, sample_inputs, to_analog
from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.design import PRECISION_FIELDS, AnalogSettings, Design, Periphery
from xpert.errors import ConfigError
from xpert.progress import Progress, Report

_SMALLEST = torch.finfo(torch.float64).tiny


def layer_errors(
    model: nn.Module,
    design: Design,
    images: Tensor,
    options: Sequence[Sequence[Any]],
    *,
    generator: torch.Generator | None = None,
    settings: AnalogSettings | None = None,
    positions: int = 512,
    progress: Report | None = None,
) -> np.ndarray:
    """Noise-to-signal power of each layer's output for each precision option.

    Each layer gets the inputs that the quantised network sees, so errors of earlier layers do not enter. Noise is the
    mean square of `output - reference`, where the reference is the same layer computed exactly with 8-bit inputs, and
    with weights at the chip's precision;
    signal is the reference's variance about each output channel's mean, which is what batch norm passes on. With
    `adaptive_batch_norm` the output of a convolution first gets the reference's mean and variance, channel by channel.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip and layers; what the options decide plays no part in it.
        images: Normalised images [n, channels, height, width]; ADC ranges are calibrated on them too.
        options: Values of the periphery's `PRECISION_FIELDS`: ADC bits, input bits and so on.
        generator: Samples the chip; None: nothing is random.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        positions: Input vectors per layer from which powers are estimated.
        progress: Called after each layer with the layers done, and with its name, `layer`.

    Returns:
        Noise-to-signal power [layers, options], layers in the design's order; 0 of digital ones. Roughly
        additive over layers.

    Raises:
        ConfigError: If model and design do not match or there are no options.
    """
    if not options:
        raise ConfigError("layer_errors needs at least one option")
    analog = to_analog(model, design, generator=generator, settings=settings, calibration=images)
    samples = sample_inputs(analog, images, positions)
    layers = analog_layers(analog)
    errors = np.zeros((len(design.network.layers), len(options)))
    for index, (entry, own) in enumerate(zip(design.network.layers, design.periphery, strict=True)):
        if entry.digital:
            continue
        peripheries = [own.with_values(PRECISION_FIELDS, values) for values in options]
        layer, vectors = layers[entry.name], samples[entry.name]
        layer.set_periphery(own.replace(weight_bits=None, cell_bits=None))
        reference, scale = _reference(layer, vectors), layer.weight_scale.double()
        variance, mean = torch.var_mean(reference, dim=1, correction=0, keepdim=True)
        signal = variance.mean().clamp_min(_SMALLEST)
        adapted = layer.chip.analog.adaptive_batch_norm and layer.is_convolution
        # Options of one precision of cells, weights and inputs follow each other: the layer keeps what it made for it.
        for option, periphery in sorted(enumerate(peripheries), key=lambda pair: _written(pair[1])):
            layer.set_periphery(periphery)
            output = _output(layer, vectors) * (layer.weight_scale.double() / scale)
            if adapted:
                output = _moved(output, variance, mean)
            errors[index, option] = float((output - reference).square().mean() / signal)
        if progress is not None:
            progress(Progress(unit="layer", done=index + 1, total=len(errors), figures={"layer": entry.name}))
    return errors


def _written(periphery: Periphery) -> tuple[int, int, int]:
    """What decides a layer's cells and input codes."""
    return periphery.cell_bits or 0, periphery.weight_bits or 0, periphery.input_bits


def _moved(output: Tensor, variance: Tensor, mean: Tensor) -> Tensor:
    """The output with another variance and mean in every channel."""
    own_variance, own_mean = torch.var_mean(output, dim=1, correction=0, keepdim=True)
    return (output - own_mean) * (variance / own_variance.clamp_min(_SMALLEST)).sqrt() + mean


def _output(layer: AnalogLayer, vectors: Tensor) -> Tensor:
    """Output before bias [groups, positions, outputs], in units of integer weight times float input."""
    code = layer.input_code(vectors)
    constant = 0 if layer.twos_complement else layer.weights.sum(dim=1, keepdim=True) * code.zero_point
    return (layer.accumulate(code.value.unsqueeze(0)).squeeze(0) - constant) * code.scale.double()


def _reference(layer: AnalogLayer, vectors: Tensor) -> Tensor:
    """The same with exact integer arithmetic and 8-bit inputs."""
    code = layer.input_code(vectors, REFERENCE_INPUT_BITS)
    return torch.bmm((code.value - code.zero_point).double(), layer.weights.double()) * code.scale.double()


__all__ = ["layer_errors"]
