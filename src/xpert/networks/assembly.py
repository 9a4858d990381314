"""What backbones are put together from: chains of layers, convolutions with their norm, residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from xpert.design import Layer, Network


def chain(network: Network, layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """A network in which every layer reads the one before: convolutions with what follows them, then the classifier.

    Batch norm, ReLU and pooling are modules of their own.

    Args:
        network: What is built.
        layers: The modules of its layers, by name.
    """
    *convolutions, linear = network.layers
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in convolutions:
        modules |= with_norm(layer, layers[layer.name])
        if layer.pool != 1:
            pool = nn.AvgPool2d if layer.averages else nn.MaxPool2d
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


__all__ = ["BasicBlock", "chain", "with_norm"]
