"""Grids of numbers that a file rounds to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xpert.networks.quantised import QuantLayer, quantised_layers


class Codes(NamedTuple):
    """Numbers on a grid, as a quantiser of the file has them: `value = scale * (code - zero)`."""

    bits: int
    """Width of the codes. [bit]"""

    scale: Tensor
    """Step of the grid: one number, or one for each channel."""

    zero: float
    """Code of 0.0."""

    low: float
    """Smallest code."""

    high: float
    """Largest code."""

    axis: int | None = None
    """Axis of scales that are a list."""

    @property
    def weight_bits(self) -> int:
        """Width of weights on this grid: signed, whose largest and smallest code are each other's negative. [bit]

        A smallest code that is larger by one, as -128, is left out.
        """
        if self.bits == 1:
            return 1
        reach = max(self.high - self.zero, self.zero - self.low - 1)
        return 1 + math.ceil(math.log2(reach + 1))


@torch.no_grad()
def keep_codes(model: nn.Module, weights: Mapping[str, Codes], inputs: Mapping[str, Codes]) -> None:
    """Let a quantised network compute on the grids of its file instead of those that follow from ranges.

    Weights keep their step at the file's width, inputs the range of the file's codes at every width.

    Args:
        model: From `quantise`; changed in place.
        weights: Grids of layers' weights, by the layers' names.
        inputs: Grids of layers' inputs, with one scale each.
    """
    for name, layer in quantised_layers(model).items():
        if name in weights:
            layer.weight_step = (weights[name].weight_bits, float(weights[name].scale))
        if name in inputs:
            _keep_range(layer, inputs[name])


def _keep_range(layer: QuantLayer, codes: Codes) -> None:
    if codes.scale.numel() != 1:
        return
    scale = float(codes.scale)
    layer.signed_input = codes.low < codes.zero
    layer.input_floor.fill_(scale * (codes.low - codes.zero))
    layer.input_clip.fill_(scale * (codes.high - codes.zero))
    layer.input_clip.requires_grad_(not layer.signed_input)


__all__ = ["Codes", "keep_codes"]
