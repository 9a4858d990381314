"""Scores of what an untrained network's ReLUs put out for a batch of images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from xpert.search.quality._probing import relu_outputs, working_copy

_CODE_BITS = 63
"""Images whose signs are packed into one signed 64-bit integer, at most."""

_SMALLEST = 1e-12


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
    network = working_copy(network)
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def add(output: Tensor) -> None:
        code = (output > 0).flatten(1).float()
        # Agreements on "on" and on "off"; counts stay below 2**24, where float32 is exact.
        kernel.add_((code @ code.T + (1 - code) @ (1 - code).T).double())

    with relu_outputs(network, "naswot", add):
        network(images)
    sign, logarithm = torch.linalg.slogdet(kernel)
    return float(logarithm) if sign > 0 else float("-inf")


@torch.no_grad()
def swap(network: nn.Module, images: Tensor) -> float:
    """Number of different patterns that ReLU units show over a batch.

    A unit's pattern is its on or off for each image; units that always agree count once. At most 63 images are used,
    whose patterns fit an integer. The network is copied and not changed.

    Args:
        network: Any module whose ReLUs are `nn.ReLU` modules, freshly initialised.
        images: A batch, [n, channels, height, width].

    Raises:
        ConfigError: If the network has no ReLU module.

    Source: Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS", ICLR 2024
    (arXiv 2403.04161), without its regularisation to a wanted size.
    """
    network = working_copy(network)
    images = images[:_CODE_BITS]
    place = 2 ** torch.arange(len(images), device=images.device)
    patterns: list[Tensor] = []

    def add(output: Tensor) -> None:
        signs = (output > 0).flatten(1).long()
        patterns.append((signs * place[:, None]).sum(0).unique())

    with relu_outputs(network, "swap", add):
        network(images)
    return float(len(torch.cat(patterns).unique()))


@torch.no_grad()
def channel_entropies(network: nn.Module, images: Tensor) -> list[float]:
    """Entropy of the principal components of every ReLU's channels. [nat]

    The eigenvalues of the covariance of a map's channels, over images and positions, as shares of their sum, have an
    entropy between 0 (all channels say the same) and ln(channels).

    Args:
        network: Any module whose ReLUs are `nn.ReLU` modules, freshly initialised.
        images: A batch, [n, channels, height, width].

    Returns:
        One entropy per ReLU, in the order of computation.

    Raises:
        ConfigError: If the network has no ReLU module.

    Source: Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024
    (arXiv 2403.19232).
    """
    network = working_copy(network)
    entropies: list[float] = []

    def add(output: Tensor) -> None:
        rows = output.movedim(1, -1).flatten(0, -2).double()
        rows = rows - rows.mean(0)
        values = torch.linalg.eigvalsh(rows.T @ rows).clamp_min(0)
        shares = values / values.sum().clamp_min(_SMALLEST)
        entropies.append(float(-torch.xlogy(shares, shares).sum()))

    with relu_outputs(network, "expressivity", add):
        network(images)
    return entropies


def expressivity(network: nn.Module, images: Tensor) -> float:
    """Sum of the channel entropies of all ReLUs. [nat]. See `channel_entropies`."""
    return sum(channel_entropies(network, images))


def progressivity(network: nn.Module, images: Tensor) -> float:
    """Least rise of the channel entropy from one ReLU to the next. [nat]. See `channel_entropies`."""
    entropies = channel_entropies(network, images)
    return min((after - before for before, after in pairwise(entropies)), default=0.0)


__all__ = ["channel_entropies", "expressivity", "naswot", "progressivity", "swap"]
