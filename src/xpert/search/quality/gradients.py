"""Scores of an untrained network's gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError
from xpert.search.quality._probing import relu_outputs, weights, working_copy

_SMALLEST = 1e-12
_JACOBIAN_OFFSET = 1e-5
"""Keeps the logarithm of a vanishing eigenvalue finite, as in the published score."""


def synflow(network: nn.Module, image_shape: Sequence[int]) -> float:
    """Logarithm of the synaptic flow: ln of the sum over weights of `w * dR/dw`, all weights taken absolute. [nat]

    R is the sum of the outputs for an image of ones; batch norm and dropout are left out. Neither images nor classes
    matter. In a chain of layers without bias every layer's sum is R itself, and R is a product: with the initial
    weights of `build`, whose size falls as 1/sqrt(output channels), a convolution of w channels that feeds another adds
    ln(w)/2. So in a space of widths the score is half the sum of their logarithms, to within noise, the last one left
    out. The logarithm ranks as the flow does and does not overflow.

    Args:
        network: Any module of convolutions and linear layers, freshly initialised; copied.
        image_shape: Channels, height and width of an image.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS
    2020, eq. (1) (arXiv 2006.05467); as a score: Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
    """
    network = working_copy(network).eval().double()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_hook(lambda _module, inputs, _output: inputs[0])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    device = next(network.parameters()).device
    layers = weights(network)
    image = torch.ones(1, *image_shape, dtype=torch.float64, device=device)
    gradients = torch.autograd.grad(network(image).sum(), layers)
    flow = sum(float((layer.detach() * gradient).sum()) for layer, gradient in zip(layers, gradients, strict=True))
    return math.log(flow) if flow > 0 else float("-inf")


def _gradients(network: nn.Module, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights of every layer, and the gradients of the mean cross-entropy with respect to them."""
    layers = weights(network)
    gradients = torch.autograd.grad(F.cross_entropy(network(images), labels), layers)
    return [(layer.detach(), gradient) for layer, gradient in zip(layers, gradients, strict=True)]


def gradient_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the Euclidean norm of the loss gradient with respect to the weights.

    Args:
        network: Freshly initialised; copied.
        images: A batch, [n, channels, height, width].
        labels: Classes, [n].

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (arXiv 2101.08134).
    """
    return sum(float(gradient.norm()) for _, gradient in _gradients(working_copy(network), images, labels))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over weights of `|w * dL/dw|`: how much the loss would change if weights were removed one at a time.

    Arguments as for `gradient_norm`.

    Source: Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019 (arXiv
    1810.02340); as a score: Abdelfattah et al., ICLR 2021.
    """
    pairs = _gradients(working_copy(network), images, labels)
    return sum(float((weight * gradient).abs().sum()) for weight, gradient in pairs)


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over channels of half the mean square of `sum over positions of a * dL/da`, for the outputs a of ReLUs.

    L is the sum of the images' losses, so that every image's gradient is its own; else arguments as for
    `gradient_norm`.

    Raises:
        ConfigError: If the network has no ReLU module.

    Source: Turner et al., "BlockSwap: Fisher-guided Block Substitution for Network Compression on a Budget", ICLR 2020
    (arXiv 1906.04113).
    """
    network = working_copy(network)
    outputs: list[Tensor] = []
    with relu_outputs(network, "fisher", outputs.append):
        loss = F.cross_entropy(network(images), labels, reduction="sum")
    products = (a.detach() * gradient for a, gradient in zip(outputs, torch.autograd.grad(loss, outputs), strict=True))
    return sum(float(product.reshape(*product.shape[:2], -1).sum(2).square().mean(0).sum() / 2) for product in products)


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of `ln sum over weights of mean|g| / std g`, over two batches of gradients g. [nat]

    Large and steady gradients promise fast training. The images are cut into two batches; weights whose gradient does
    not change between them are left out, as in the authors' definition of a nonzero deviation.

    Arguments as for `gradient_norm`.

    Raises:
        ConfigError: If there are fewer than two images.

    Source: Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", ICLR 2023
    (arXiv 2301.11300).
    """
    if len(images) < 2:
        raise ConfigError(f"zico: needs at least two images, got {len(images)}")
    network = working_copy(network)
    half = len(images) // 2
    batches = (slice(0, half), slice(half, 2 * half))
    gradients = [[pair[1] for pair in _gradients(network, images[batch], labels[batch])] for batch in batches]
    score = 0.0
    for first, second in zip(*gradients, strict=True):
        # Two values a, b: mean of magnitudes (|a| + |b|) / 2, standard deviation |a - b| / 2.
        deviation = (first - second).abs()
        ratio = torch.where(deviation > 0, (first.abs() + second.abs()) / deviation.clamp_min(_SMALLEST), 0)
        total = float(ratio.double().sum())
        score += math.log(total) if total > 0 else 0.0
    return score


def jacobian_covariance(network: nn.Module, images: Tensor) -> float:
    """How little the images' input gradients are alike.

    It is `-sum of ln(v + k) + 1/(v + k)` over the eigenvalues v of the correlations of the gradients of the summed
    outputs, with k = 1e-5.

    Args:
        network: Freshly initialised; copied.
        images: A batch, [n, channels, height, width].

    Source: Mellor et al., "Neural Architecture Search without Training", first version (arXiv 2006.04647v1), section 3;
    Abdelfattah et al., ICLR 2021, `jacob_cov`.
    """
    network = working_copy(network)
    images = images.detach().clone().requires_grad_()
    (gradients,) = torch.autograd.grad(network(images).sum(), images)
    correlations = torch.corrcoef(gradients.flatten(1).double()).nan_to_num()
    values = torch.linalg.eigvalsh(correlations).clamp_min(0) + _JACOBIAN_OFFSET
    return float(-(values.log() + 1 / values).sum())


__all__ = ["fisher", "gradient_norm", "jacobian_covariance", "snip", "synflow", "zico"]
