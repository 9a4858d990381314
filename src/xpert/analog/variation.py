"""How much the weights of a chip vary: the noise to add in a training for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xpert.analog.convert import to_analog
from xpert.design import Chip, Design, Network, Periphery
from xpert.design.encoding import largest_weight
from xpert.networks.quantised import QuantLinear
from xpert.workload.trace import trace


def weight_deviation(chip: Chip, *, seed: int = 0, draws: int = 2048) -> Tensor:
    """Standard deviation of what crossbars make of each integer weight, over chips.

    Measured on the simulation: every integer weight is written `draws` times and read back by an input that is on in
    its row alone, without conversion and IR drop. Whatever else varies in the simulation is in it.

    Args:
        chip: Device, weight precision and encoding.
        seed: Of the cells' variation.
        draws: Times that each weight is written; the relative error is about `1 / sqrt(2 * draws)`.

    Returns:
        [2**weight_bits], for the weights `-2**(weight_bits - 1) ...`; the first, which no layer holds, has its
        neighbour's; of weights of 1 bit, for -1 and +1. [integer weight]
    """
    largest = largest_weight(chip.weight_bits)
    binary = chip.weight_bits == 1
    values = torch.arange(-largest, largest + 1, 2 if binary else 1, dtype=torch.float32)
    layer = QuantLinear(len(values), draws, bias=False, weight_bits=chip.weight_bits, input_bits=1)
    layer.weight.data = values.expand(draws, -1).clone()
    layer.input_clip.data.fill_(1.0)
    model = nn.Sequential(nn.Flatten(), layer)
    shape = len(values), 1, 1
    network = Network(backbone="custom", input_shape=shape, layers=trace(model, shape))
    design = Design.homogeneous(network, chip, Periphery(input_bits=1))
    settings = chip.analog.replace(adc_range="unbounded", ir_drop=False)
    analog = to_analog(model, design, generator=torch.Generator().manual_seed(seed), settings=settings)
    with torch.no_grad():
        read = analog(torch.eye(len(values)).reshape(-1, *shape))
    deviation = read.double().std(dim=1, correction=0).float()
    return deviation if binary else torch.cat([deviation[:1], deviation])


__all__ = ["weight_deviation"]
