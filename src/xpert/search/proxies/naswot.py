"""NASWOT: how differently an untrained network sees the images of a batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from xpert.errors import ConfigError


@torch.no_grad()
def naswot(network: nn.Module, images: Tensor) -> float:
    """Log-determinant of the kernel of binary activation patterns, summed over all ReLUs.

    Image i sets every ReLU unit to on or off. The kernel counts the units on which two images agree,
    `K_ij = units - hamming(code_i, code_j)`; the score is `ln |det K|`. A network that tells all images apart has a
    kernel with a large diagonal and a large determinant. Kernels of n images scale with the number of units, so that
    the score is about `n ln(units)` plus a constant: in networks that differ in their widths it counts ReLU units, to
    within noise.

    Batch norm uses the statistics of the batch, as in the original; the network is copied and not changed.

    Args:
        network: Any module whose ReLUs are `nn.ReLU` modules, freshly initialised.
        images: A batch, [n, channels, height, width].

    Returns:
        The score; -inf where two images have the same code in every layer (a singular kernel).

    Raises:
        ConfigError: If the network has no ReLU module.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021, section 3 (arXiv 2006.04647).
    """
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    count = len(images)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=images.device)
    seen = 0

    def add(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal seen
        code = (output > 0).flatten(1).float()
        # Agreements on "on" and on "off"; counts stay below 2**24, where float32 is exact.
        kernel.add_((code @ code.T + (1 - code) @ (1 - code).T).double())
        seen += code.shape[1]

    handles = [module.register_forward_hook(add) for module in network.modules() if isinstance(module, nn.ReLU)]
    if not handles:
        raise ConfigError("naswot: the network has no nn.ReLU module, whose activation patterns it compares")
    network(images)
    sign, logarithm = torch.linalg.slogdet(kernel)
    return float(logarithm) if sign > 0 else float("-inf")


__all__ = ["naswot"]
