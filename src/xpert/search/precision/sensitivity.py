"""How much each layer's output noise costs the network: the weights of phase 2's additive error model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import at_precision
from xpert.design import Design
from xpert.networks.quantised import quantised_layers

NOISE_TO_SIGNAL = 0.05
"""Power of the noise put into one layer, relative to the power of its output: a few ADC levels, a linear range."""


@torch.no_grad()
def noise_sensitivity(
    model: nn.Module,
    design: Design,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    draws: int = 4,
    progress: Callable[[dict[str, object]], None] | None = None,
) -> NDArray[np.float64]:
    """Rise of the loss per unit of relative output noise, for each quantised layer.

    White noise with a power of `NOISE_TO_SIGNAL` times that of the layer's own output (per image) is added to one layer
    at a time; the mean rise of the cross entropy over `draws` draws, divided by that ratio, is the layer's sensitivity.
    To first order the loss of several small independent errors is the sum of such terms, because their cross terms
    vanish in the mean; this is what lets phase 2 choose precisions by a knapsack. Rises that the draws cannot tell from
    zero are taken as the smallest that they can tell.

    Args:
        model: A network of quantised layers; left as it is.
        design: The precisions at which it computes.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        seed: Of the noise.
        draws: Draws per layer.
        progress: Called with {"layer", "layers"} after each layer.

    Returns:
        Loss per unit of noise-to-signal power, [layers], all positive. [nat]
    """
    generator = torch.Generator(device=images.device).manual_seed(seed)
    layers = quantised_layers(model)
    training = model.training
    model.eval()
    try:
        with at_precision(model, design):
            base = F.cross_entropy(model(images), labels)

            def disturb(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                power = output.square().flatten(1).mean(dim=1).view(-1, *[1] * (output.dim() - 1))
                noise = torch.randn(output.shape, generator=generator, device=output.device, dtype=output.dtype)
                return output + noise * (NOISE_TO_SIGNAL * power).sqrt()

            rises, spreads = [], []
            for index, layer in enumerate(layers.values()):
                handle = layer.register_forward_hook(disturb)
                try:
                    losses = torch.stack([F.cross_entropy(model(images), labels) for _ in range(draws)])
                finally:
                    handle.remove()
                rises.append(float(losses.mean() - base))
                spreads.append(float(losses.std()) / draws**0.5 if draws > 1 else 0.0)
                if progress:
                    progress({"layer": index + 1, "layers": len(layers)})
    finally:
        model.train(training)
    smallest = max(float(np.median(spreads)), 1e-9)
    return np.maximum(rises, smallest) / NOISE_TO_SIGNAL


__all__ = ["NOISE_TO_SIGNAL", "noise_sensitivity"]
