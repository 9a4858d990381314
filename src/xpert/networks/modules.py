"""From a network's description to the torch module that it describes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

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

    Convolutions (without bias) are followed by batch norm, ReLU and pooling as modules of their own, those of a
    residual block within a `BasicBlock`; weights start from He's normal distribution, the classifier from a uniform
    one.

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
    expected = space(network.backbone, options, network.input_shape, network.num_classes).network(
        network.channels, network.kernels
    )
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
    blocks: dict[str, OrderedDict[str, nn.Module]] = {}
    # Constructors draw initial weights from torch's global generator; leave that as it was.
    with torch.random.fork_rng(devices=()):
        for index, (layer, layer_bits) in enumerate(zip(network.layers, bits, strict=True)):
            if layer.kind == "linear":
                modules["flatten"] = nn.Flatten()
                modules[layer.name] = QuantLinear(
                    layer.in_channels, layer.out_channels, weight_bits=weight_bits, input_bits=layer_bits
                )
                continue
            convolution = QuantConv2d(
                layer.in_channels,
                layer.out_channels,
                (layer.kernel_height, layer.kernel_width),
                stride=layer.stride,
                padding=layer.padding,
                bias=False,
                weight_bits=weight_bits,
                input_bits=layer_bits,
                signed_input=index == 0,
            )
            # Of a block, the modules are gathered under their names there; its last layer closes it.
            block, _, name = layer.name.rpartition(".")
            into = blocks.setdefault(block, OrderedDict()) if block else modules
            number = name.removeprefix("conv")
            into[name] = convolution
            into[f"norm{number}" if number != name else f"{name}_norm"] = nn.BatchNorm2d(layer.out_channels)
            if layer.relu:
                into[f"relu{number}"] = nn.ReLU(inplace=True)
            if layer.residual:
                modules[block] = BasicBlock(into)
            if layer.pool > 1:
                last = network.layers[index + 1].kind == "linear"
                pool = nn.AvgPool2d(layer.pool) if last else nn.MaxPool2d(layer.pool)
                modules["pool" if block else f"pool{number}"] = pool
    model = nn.Sequential(modules)
    _initialise(model, generator or torch.Generator().manual_seed(0))
    return model


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, `relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x))`.

    Args:
        parts: `conv1`, `norm1`, `relu1`, `conv2`, `norm2`, `relu2`; and, where the shortcut is a projection, `shortcut`
            and `shortcut_norm` before them.

    Source: He et al., CVPR 2016, figure 5 and eq. (2).
    """

    shortcut: nn.Module
    shortcut_norm: nn.Module
    conv1: nn.Module
    norm1: nn.Module
    relu1: nn.Module
    conv2: nn.Module
    norm2: nn.Module
    relu2: nn.Module

    def __init__(self, parts: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.projects = "shortcut" in parts

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        # The shortcut first: it is the first of the block's layers.
        shortcut = self.shortcut_norm(self.shortcut(x)) if self.projects else x
        inner = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(inner)) + shortcut)


def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, QuantConv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, QuantLinear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.bias)


__all__ = ["BasicBlock", "build"]
