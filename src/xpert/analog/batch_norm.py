"""Batch norm that a chip has measured itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from xpert.errors import ConfigError
from xpert.networks.quantised import replace_module


class ChipNorm(nn.Module):
    """A batch norm in evaluation mode with statistics of its own for each of several chips.

    An input is that of all chips, the first chip's images first, as for `AnalogLayer`. Each chip computes to the bit
    what it would alone.

    Args:
        norm: Gives scale, shift and epsilon.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.norm = norm
        self.measured: list[tuple[Tensor, Tensor]] = []
        """Mean and variance [channels] of each chip."""
        self.measuring = 0
        """Chips whose statistics the next input gives; 0: those that are there are used."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        parts = input.chunk(self.measuring or len(self.measured))
        if self.measuring:
            axes = [axis for axis in range(input.dim()) if axis != 1]
            self.measured = [(part.mean(axes), part.var(axes, correction=0)) for part in parts]
        norm = self.norm
        return torch.cat([
            F.batch_norm(part, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps)
            for part, (mean, variance) in zip(parts, self.measured, strict=True)
        ])  # fmt: skip


def with_chip_norms(model: nn.Module) -> nn.Module:
    """The model with a `ChipNorm` in the place of every batch norm; changed in place.

    Raises:
        ConfigError: If it has no batch norm.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    if not norms:
        raise ConfigError("adaptive_batch_norm: the network has no batch norm")
    for name, norm in norms.items():
        replace_module(model, name, ChipNorm(norm))
    return model


@torch.no_grad()
def measure_norms(
    model: nn.Module, images: Tensor, n_chips: int, run: Callable[[Tensor], object] | None = None
) -> None:
    """Have every chip measure the statistics of its batch norms, each on what those before it make of the images.

    Args:
        model: From `with_chip_norms`, on that many programmed chips.
        images: Normalised images [n, channels, height, width], the same for all chips.
        n_chips: How many there are.
        run: Runs the model; by default it is called.

    Source: Joshi et al., Nature Communications 11, 2473 (2020), "adaptive batch normalization statistics update": there
        as a running mean over batches, here over all images at once.
    """
    norms = [module for module in model.modules() if isinstance(module, ChipNorm)]
    for norm in norms:
        norm.measuring = n_chips
    try:
        (run or model)(images.repeat(n_chips, 1, 1, 1))
    finally:
        for norm in norms:
            norm.measuring = 0


__all__ = ["ChipNorm", "measure_norms", "with_chip_norms"]
