"""From a network's description to the torch module that it describes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xpert.design import Layer, Network
from xpert.errors import ConfigError
from xpert.networks.backbones import BACKBONES
from xpert.networks.quantised import QuantConv2d, QuantLinear, quantised_layers
from xpert.networks.spaces import space


def build(
    network: Network,
    *,
    weight_bits: int = 8,
    input_bits: int | Sequence[int] = 8,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """The module of a network, freshly initialised; its layers are named as in the network.

    Convolutions have no bias. Their weights start from He's normal distribution, the classifier's from a uniform one.
    The backbone's family puts them together.

    Args:
        network: From `Space.network` or a design file.
        weight_bits: Weight precision. [bit]
        input_bits: Input precision, one for all layers or one for each. [bit]
        generator: Source of the initial weights; unset: seeded with 0.

    Raises:
        ConfigError: If the backbone is unknown, the layers are not what it builds, or a precision is wrong.

    Source: He et al., ICCV 2015, eq. (14), for the initial weights.
    """
    family = BACKBONES.find(network.backbone)
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

    # Constructors draw initial weights from torch's global generator; leave that as it was.
    with torch.random.fork_rng(devices=()):
        layers = {
            layer.name: _quantised(layer, weight_bits, layer_bits, signed_input=index == 0)
            for index, (layer, layer_bits) in enumerate(zip(network.layers, bits, strict=True))
        }
        model = (family.assemble or chain)(network, layers)
    if quantised_layers(model) != layers:
        raise ConfigError(
            f"backbone {network.backbone}: its module must have the layers {', '.join(layers)}, has "
            f"{', '.join(quantised_layers(model)) or 'none'}"
        )
    _initialise(model, generator or torch.Generator().manual_seed(0))
    return model


def _quantised(layer: Layer, weight_bits: int, input_bits: int, *, signed_input: bool) -> QuantConv2d | QuantLinear:
    if layer.kind == "linear":
        return QuantLinear(layer.in_channels, layer.out_channels, weight_bits=weight_bits, input_bits=input_bits)
    return QuantConv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_height, layer.kernel_width),
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
        bias=False,
        weight_bits=weight_bits,
        input_bits=input_bits,
        signed_input=signed_input,
    )


def chain(network: Network, layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """A network in which every layer reads the one before: convolutions with what follows them, then the classifier.

    Batch norm, ReLU and pooling are modules of their own. The last pooling takes averages, the others take maxima.

    Args:
        network: What is built.
        layers: The modules of its layers, by name.
    """
    *convolutions, linear = network.layers
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in convolutions:
        modules |= with_norm(layer, layers[layer.name])
        if layer.pool > 1:
            pool = nn.AvgPool2d if layer is convolutions[-1] else nn.MaxPool2d
            modules[_beside(layer, "pool")] = pool(layer.pool)
    modules["flatten"] = nn.Flatten()
    modules[linear.name] = layers[linear.name]
    return nn.Sequential(modules)


def with_norm(layer: Layer, convolution: nn.Module) -> OrderedDict[str, nn.Module]:
    """A convolution with its batch norm and, where one follows, its ReLU, by their names within the layer's block."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts[layer.name.rpartition(".")[2]] = convolution
    parts[_beside(layer, "norm")] = nn.BatchNorm2d(layer.out_channels)
    if layer.relu:
        parts[_beside(layer, "relu")] = nn.ReLU(inplace=True)
    return parts


def _beside(layer: Layer, kind: str) -> str:
    """The name of what follows a convolution: `norm3` after `conv3`, `shortcut_norm` after `shortcut`."""
    name = layer.name.rpartition(".")[2]
    number = name.removeprefix("conv")
    return f"{kind}{number}" if number != name else f"{name}_{kind}"


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


__all__ = ["BasicBlock", "build", "chain", "with_norm"]
