"""Training-free scores: what stands in for accuracy before anything is trained.

One door: `score(name, network, images, labels)`. The scores themselves are functions of a module: `activations.py`
(what ReLUs put out) and `gradients.py`. What each is worth was measured: docs/quality.md. Qualities that need no module
are in `additive.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xpert.design import Network
from xpert.errors import ConfigError
from xpert.networks import build
from xpert.networks.quantised import unquantised
from xpert.search.quality.activations import channel_entropies, expressivity, naswot, progressivity, swap
from xpert.search.quality.gradients import fisher, gradient_norm, jacobian_covariance, snip, synflow, zico
from xpert.search.quality.registry import QUALITIES, Score

NASWOT = Score(lambda module, images, _labels: naswot(module, images))
SWAP = Score(lambda module, images, _labels: swap(module, images))
EXPRESSIVITY = Score(lambda module, images, _labels: expressivity(module, images))
SYNFLOW = Score(lambda module, images, _labels: synflow(module, images.shape[1:]))
ZICO = Score(zico)

_STUDIED: dict[str, Score] = {
    "naswot": NASWOT,
    "swap": SWAP,
    "expressivity": EXPRESSIVITY,
    "progressivity": Score(lambda module, images, _labels: progressivity(module, images)),
    "synflow": SYNFLOW,
    "zico": ZICO,
    "snip": Score(snip),
    "fisher": Score(fisher),
    "gradient_norm": Score(gradient_norm),
    "jacobian_covariance": Score(lambda module, images, _labels: jacobian_covariance(module, images)),
}

SCORES = tuple(_STUDIED)
"""Names of the scores that were compared; those worth their time are among `QUALITIES`."""


@dataclass(frozen=True)
class _Key:
    name: str
    network: Network
    seed: int
    batch: bytes


_KNOWN: dict[_Key, float] = {}
"""Scores of this process: a search asks for the same network again and again."""

_REMEMBERED = 1 << 14


def score(name: str, network: Network | nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> float:
    """A training-free score of a network; higher promises a higher accuracy.

    Modules compute with float weights and inputs, in training mode, and are not changed. The score of a `Network` is
    kept for the life of the process, by name, network, seed and batch.

    Args:
        name: One of `SCORES`, or of a score among `QUALITIES`.
        network: A description, whose module is built with weights of the given seed; or a freshly initialised module.
        images: Normalised images, [n, channels, height, width].
        labels: Their classes, [n].
        seed: Of the initial weights of a description.

    Raises:
        ConfigError: If the score is unknown, the batch does not fit the network, or the score does not apply to it.
    """
    found = _STUDIED.get(name) or (QUALITIES.find(name) if name in QUALITIES else None)
    if not isinstance(found, Score):
        raise ConfigError(f"score: must be one of {', '.join(SCORES)}, got {name!r}")
    if len(images) != len(labels) or not len(images):
        raise ConfigError(f"{name}: needs a class for every image, got {len(images)} images, {len(labels)} classes")
    if isinstance(network, nn.Module):
        return _score(found, network, images, labels)
    if tuple(images.shape[1:]) != network.input_shape:
        raise ConfigError(f"{name}: images must be {network.input_shape}, got {tuple(images.shape[1:])}")
    key = _Key(name, network, seed, _digest(images, labels))
    if key not in _KNOWN:
        while len(_KNOWN) >= _REMEMBERED:
            _KNOWN.pop(next(iter(_KNOWN)))
        module = build(network, generator=torch.Generator().manual_seed(seed)).to(images.device)
        _KNOWN[key] = _score(found, module, images, labels)
    return _KNOWN[key]


def _score(found: Score, module: nn.Module, images: Tensor, labels: Tensor) -> float:
    with unquantised(module):
        return found.function(module, images, labels)


def _digest(*tensors: Tensor) -> bytes:
    checksum = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        checksum.update(repr(tuple(tensor.shape)).encode())
        checksum.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return checksum.digest()


__all__ = [
    "EXPRESSIVITY",
    "NASWOT",
    "SCORES",
    "SWAP",
    "SYNFLOW",
    "ZICO",
    "channel_entropies",
    "expressivity",
    "fisher",
    "gradient_norm",
    "jacobian_covariance",
    "naswot",
    "progressivity",
    "score",
    "snip",
    "swap",
    "synflow",
    "zico",
]
