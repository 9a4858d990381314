"""Choices of images that are alike in every class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices, rising, of a random choice that leaves out the same share of every class, and of what it leaves out."""
    random = np.random.default_rng(seed)
    order = torch.from_numpy(random.permutation(len(labels)))
    out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = order[labels[order] == label]
        out[members[: round(len(members) * share)]] = True
    return torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]


__all__ = ["stratified"]
