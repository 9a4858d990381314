"""Data statistics of a network's layers, for the hardware model: how often rows are driven, how well cells conduct."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xpert.analog.cells import encode
from xpert.analog.convert import sample_inputs, to_analog
from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.design import Activity, Chip, Design
from xpert.hardware.crossbar import crossbar_of
from xpert.hardware.measured import mean_conductance
from xpert.hardware.technology import process_of


def measure_activity(model: nn.Module, design: Design, images: Tensor, *, positions: int = 1024) -> Design:
    """A design with the activity of its layers, measured on a network that it runs.

    Each layer gets the inputs that the quantised network sees, at its own input precision; padding counts, since it
    takes rows and cycles. Conductances are those of perfectly programmed cells.

    Args:
        model: Trained model that matches the design; left as it is. Layers that are not quantised yet become so, with
            input ranges set on the images.
        design: Chip, layers and peripheries; its own activity plays no part.
        images: Normalised images [n, channels, height, width], such as the network will see.
        positions: Input vectors per layer that are looked at, spread evenly over images and positions.

    Returns:
        The design with `activity`; SRAM cells get no conductance, since theirs does not depend on data.

    Raises:
        ConfigError: If model and design do not match.
    """
    settings = design.chip.analog.replace(adc_range="unbounded")
    analog = to_analog(model, design, generator=None, settings=settings, calibration=images)
    samples = sample_inputs(analog, images, positions)
    layers = analog_layers(analog)
    found = (
        Activity() if layer.digital else _activity(layers[layer.name], layers[layer.name].chip, samples[layer.name])
        for layer in design.network.layers
    )
    return design.replace(activity=tuple(found))


def _activity(layer: AnalogLayer, chip: Chip, vectors: Tensor) -> Activity:
    codes = layer.input_code(vectors).value
    if layer.pulses > 1:
        driven = codes.double().mean(dim=1) / layer.pulses  # share of the time, [groups, rows]
    else:
        ones = sum((codes >> bit) & 1 for bit in range(layer.input_bits))
        driven = torch.as_tensor(ones).double().mean(dim=1) / layer.input_bits  # [groups, rows]
    if chip.device.cell == "sram":
        return Activity(input_bit_density=float(driven.mean()))
    stored = encode(layer.weights, layer.code)
    columns = [stored.data, *([stored.reference] if layer.code.paired else [])]
    # Most significant slice first, as the hardware lays them out.
    levels = torch.stack([part.flip(2).transpose(2, 3) for part in columns], dim=-1).flatten(2)
    states = torch.tensor(chip.device.state_conductances_s, dtype=torch.float64, device=levels.device)
    cells = states[levels.long()]
    mean = mean_conductance(process_of(chip.technology), crossbar_of(chip), cells.cpu().numpy(), driven.cpu().numpy())
    return Activity(input_bit_density=float(driven.mean()), cell_conductance_s=mean)


__all__ = ["measure_activity"]
