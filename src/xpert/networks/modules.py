"""From a network's description to the torch module that it describes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xpert.design import Layer, Network
from xpert.errors import ConfigError
from xpert.networks.assembly import chain
from xpert.networks.backbones import BACKBONES
from xpert.networks.quantised import QuantConv2d, QuantLinear, quantised_layers
from xpert.networks.spaces import space


def build(
    network: Network,
    *,
    weight_bits: int = 8,
    input_bits: int | Sequence[int] = 8,
    generator: torch.Generator | None = None,
    initialisation: str = "he",
) -> nn.Module:
    """The module of a network, freshly initialised; its layers are named as in the network.

    Convolutions have no bias. The backbone's family puts them together.

    Initial weights of convolutions are, with `he`, from He's normal distribution; with `dirac` from the uniform one of
    `nn.Conv2d`, with the identity in the first filters of each but the first, as many as it has inputs or outputs. The
    classifier's are uniform within 1/sqrt(features), its bias is 0.

    Args:
        network: From `Space.network` or a design file.
        weight_bits: Weight precision. [bit]
        input_bits: Input precision, one for all layers or one for each. [bit]
        generator: Source of the initial weights; unset: seeded with 0.
        initialisation: `he` or `dirac`.

    Raises:
        ConfigError: If the backbone is unknown, the layers are not what it builds, or a precision is wrong.

    Source: He et al., ICCV 2015, eq. (14); Jordan, arXiv 2404.00498, section 3.3, for the identity.
    """
    family = BACKBONES.find(network.backbone)
    options = [(width,) for width in network.channels]
    expected = space(network.backbone, options, network.image_shape, network.num_classes).network(
        network.channels, network.kernels
    )
    given = tuple(map(_comparable, network.layers, expected.layers))
    if given != expected.layers or len(given) != len(network.layers):
        wrong = next(
            (i for i, (a, b) in enumerate(zip(given, expected.layers)) if a != b),
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
        model = (family.assemble or chain)(expected, layers)
    if quantised_layers(model) != layers:
        raise ConfigError(
            f"backbone {network.backbone}: its module must have the layers {', '.join(layers)}, has "
            f"{', '.join(quantised_layers(model)) or 'none'}"
        )
    _initialise(model, generator or torch.Generator().manual_seed(0), initialisation)
    return model


def _comparable(layer: Layer, expected: Layer) -> Layer:
    """A layer wherever it is computed, and with what its pooling takes; files of before version 0.3 do not say that."""
    layer = layer.replace(digital=False) if layer.digital else layer
    return layer.replace(pool_kind=expected.pool_kind) if layer.pool_kind is None else layer


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


def _initialise(model: nn.Module, generator: torch.Generator, initialisation: str) -> None:
    if initialisation not in ("he", "dirac"):
        raise ConfigError(f"initialisation must be he or dirac, got {initialisation!r}")
    for index, module in enumerate(quantised_layers(model).values()):
        if isinstance(module, QuantLinear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.get_parameter("bias"))
        elif initialisation == "he":
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        else:
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            if index > 0:
                for of_group in module.weight.chunk(module.groups):
                    nn.init.dirac_(of_group[: of_group.shape[1]])


__all__ = ["build"]
