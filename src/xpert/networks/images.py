"""Images as networks read them, of zero mean and unit spread in each channel; on disk and in memory they are bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor


class ImageBytes(Protocol):
    """Images of bytes [n, channels, height, width] that are taken in batches: a tensor, or what reads them then."""

    def __len__(self) -> int: ...

    def __getitem__(self, some: slice | Tensor, /) -> Self: ...

    def split(self, size: int, /) -> Iterable[Tensor]:
        """Batches of so many, in order; the last may be smaller."""
        ...


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images of bytes as float32 of zero mean and unit spread per channel, in channels-last memory.

    Args:
        images: uint8 [n, channels, height, width].
        mean: Of each channel, as a share of full scale.
        std: Standard deviation of each channel, likewise.
    """
    centre, spread = (torch.tensor(values, device=images.device).view(-1, 1, 1) * 255 for values in (mean, std))
    return (images.float() - centre).div_(spread).contiguous(memory_format=torch.channels_last)


class NormalisedImages:
    """Normalised images that stay bytes until a batch of them is taken: a quarter of the memory.

    Args:
        images: uint8 [n, channels, height, width].
        mean: Of each channel, as a share of full scale.
        std: Standard deviation of each channel, likewise.
    """

    def __init__(self, images: ImageBytes, mean: Sequence[float], std: Sequence[float]) -> None:
        self._images, self._mean, self._std = images, mean, std

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, some: slice | Tensor) -> NormalisedImages:
        """Some of the images, by a slice or their numbers."""
        return NormalisedImages(self._images[some], self._mean, self._std)

    def split(self, size: int) -> Iterable[Tensor]:
        """Batches of so many images, float32 [size, channels, height, width]; the last may be smaller."""
        for batch in self._images.split(size):
            yield normalised(batch, self._mean, self._std)


Images = Tensor | NormalisedImages
"""Normalised images that are read a batch at a time."""

__all__ = ["ImageBytes", "Images", "NormalisedImages", "normalised"]
