"""Trained networks of designs, from their weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from xpert.design import Design
from xpert.errors import ConfigError
from xpert.networks import build
from xpert.networks.own import OwnNetwork
from xpert.networks.sources import LoadedNetwork
from xpert.training import load_weights


def model_of_design(
    design: Design, weights: Path | None, network: LoadedNetwork | None, images: torch.Tensor
) -> nn.Module:
    """The trained network of a design, quantised.

    Args:
        design: The design.
        weights: Its network's weights; unused where `network` is given and was not searched.
        network: Its network where that is the user's own.
        images: Normalised images that show the ranges of the layers' inputs; of the user's own networks that were not
            searched. The weights of all others hold those ranges.

    Raises:
        ConfigError: If the network cannot be rebuilt from the design, or weights are needed.
        DataError: If the weights are missing, broken, or do not fit the design.
    """
    source = design.network.source
    if network is not None and source is not None:
        if weights is None:
            raise ConfigError("--weights: needed for a design that was searched, which holds none")
        return OwnNetwork(network, source).restored(design.network, weights, design.chip.weight_bits)
    if network is not None:
        return network.quantised(images, design.chip.weight_bits)
    if design.network.backbone == "custom":
        name = source.source if source is not None else "my_model.py:Net"
        raise ConfigError(f"network.backbone: a network of your own; say where it is: --network {name}")
    if weights is None:
        raise ConfigError("--weights: needed for a design or config, which hold none")
    model = build(design.network, weight_bits=design.chip.weight_bits)
    load_weights(model, weights)
    return model


__all__ = ["model_of_design"]
