"""Sizes of a network as scores: what any other training-free score has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xpert.design import Layer


def total_parameters(layers: Sequence[Layer]) -> float:
    """Weights of all layers; biases and batch norm not counted."""
    return float(sum(layer.weights for layer in layers))


def total_macs(layers: Sequence[Layer]) -> float:
    """Multiply-accumulates per image."""
    return float(sum(layer.macs for layer in layers))


def total_relu_units(layers: Sequence[Layer]) -> float:
    """Outputs that pass a ReLU, per image."""
    return float(sum(layer.out_channels * layer.out_height * layer.out_width for layer in layers if layer.relu))


def log_widths(layers: Sequence[Layer]) -> float:
    """Sum over layers of log2 of the output channels: every doubling of any layer counts the same. [bit]

    What SynFlow measures in a chain of convolutions (see `synflow`), without a network.
    """
    return sum(math.log2(layer.out_channels) for layer in layers)


__all__ = ["log_widths", "total_macs", "total_parameters", "total_relu_units"]
