"""From a network's description to the torch module that it describes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from xpert.design import Network
from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLinear
from xpert.networks.spaces import BACKBONES, space


def build(
    network: Network,
    *,
    weight_bits: int = 8,
    input_bits: int | Sequence[int] = 8,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """The module of a network, freshly initialised; its layers are named as in the network.

    Convolutions (without bias) are followed by batch norm, ReLU and pooling as modules of their own; weights start from
    He's normal distribution, the classifier from a uniform one.

    Args:
        network: From `Space.network` or a design file.
        weight_bits: Weight precision. [bit]
        input_bits: Input precision, one for all layers or one for each. [bit]
        generator: Source of the initial weights; unset: seeded with 0.

    Raises:
        ConfigError: If the backbone is not one of ours, the layers are not what it builds, or a precision is wrong.

    Source: He et al., ICCV 2015, eq. (14), for the initial weights.
    """
    if network.backbone not in BACKBONES:
        raise ConfigError(f"network.backbone: can build {', '.join(BACKBONES)}, got {network.backbone!r}")
    options = [(width,) for width in network.channels]
    expected = space(network.backbone, options, network.input_shape, network.num_classes).network(network.channels)
    if network.layers != expected.layers:
        wrong = next(
            (i for i, (a, b) in enumerate(zip(network.layers, expected.layers)) if a != b),
            min(len(network.layers), len(expected.layers)),
        )
        raise ConfigError(f"network.layers.{wrong}: not what {network.backbone} with these channels has there")
    n_layers = len(network.layers)
    bits = [input_bits] * n_layers if isinstance(input_bits, int) else list(input_bits)
    if len(bits) != n_layers:
        raise ConfigError(f"input_bits: one for each of the {n_layers} layers, got {len(bits)}")

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    # Constructors draw initial weights from torch's global generator; leave that as it was.
    with torch.random.fork_rng(devices=()):
        for index, (layer, layer_bits) in enumerate(zip(network.layers, bits, strict=True)):
            if layer.kind == "linear":
                modules["flatten"] = nn.Flatten()
                modules[layer.name] = QuantLinear(
                    layer.in_channels, layer.out_channels, weight_bits=weight_bits, input_bits=layer_bits
                )
                continue
            modules[layer.name] = QuantConv2d(
                layer.in_channels,
                layer.out_channels,
                (layer.kernel_height, layer.kernel_width),
                padding=layer.padding,
                bias=False,
                weight_bits=weight_bits,
                input_bits=layer_bits,
                signed_input=index == 0,
            )
            number = index + 1
            modules[f"norm{number}"] = nn.BatchNorm2d(layer.out_channels)
            modules[f"relu{number}"] = nn.ReLU(inplace=True)
            if layer.pool > 1:
                last = network.layers[number].kind == "linear"
                modules[f"pool{number}"] = nn.AvgPool2d(layer.pool) if last else nn.MaxPool2d(layer.pool)
    model = nn.Sequential(modules)
    _initialise(model, generator or torch.Generator().manual_seed(0))
    return model


def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, QuantConv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, QuantLinear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.bias)


__all__ = ["build"]
