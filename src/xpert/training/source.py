"""What a data set says about itself, and what loading it gives. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xpert.progress import Report

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is loaded."""

    name: str
    """Name by which it is found."""

    input_shape: tuple[int, int, int]
    """Channels, height and width of an image."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""

    mirror: bool
    """Whether an image and its mirror image mean the same, so that training may flip images."""

    mean: tuple[float, ...] | None = None
    """Mean of each channel over the training images, as a share of full scale; None: computed when it is loaded."""

    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, likewise."""


class RawImages(NamedTuple):
    """The images and labels of a data set as they lie on disk."""

    train_images: Tensor
    """uint8 [n, channels, height, width]."""

    train_labels: Tensor
    """int64 [n]."""

    test_images: Tensor
    """uint8; for final accuracies only."""

    test_labels: Tensor
    """int64."""


@dataclass(frozen=True)
class DataSource:
    """A data set that can be loaded."""

    info: DatasetInfo
    """What is known of it."""

    load: Callable[[Path, Report | None], RawImages]
    """Reads it from a folder of data sets. It may import torch when it is called, and call the second argument with
    the bytes of a download. It raises a `DataError` if a file is missing or broken."""


__all__ = ["DataSource", "DatasetInfo", "RawImages"]
