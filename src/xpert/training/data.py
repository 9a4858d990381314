"""Data sets: held in memory as bytes, augmented a batch at a time on the device that trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from xpert.errors import ConfigError, DataError
from xpert.networks.images import NormalisedImages, normalised
from xpert.progress import Report
from xpert.training.datasets import DATASETS
from xpert.training.source import DatasetInfo
from xpert.training.splits import stratified


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as bytes [n, channels, height, width] in channels-last memory, and their labels [n]."""

    name: str
    """Name by which it is loaded."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""

    mean: tuple[float, ...]
    """Mean of each channel over the training images, as a share of full scale."""

    std: tuple[float, ...]
    """Standard deviation of each channel, likewise."""

    mirror: bool
    """Whether an image and its mirror image mean the same."""

    train_images: Tensor
    """uint8; what is trained on."""

    train_labels: Tensor
    """int64."""

    validation_images: Tensor
    """uint8; empty until `split`."""

    validation_labels: Tensor
    """int64."""

    test_images: Tensor
    """uint8; for final accuracies only."""

    test_labels: Tensor
    """int64."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def split(self, validation: float, seed: int) -> Dataset:
        """The same data with a share of the training images held back for validation, alike in every class.

        Args:
            validation: Share of the training images, above 0 and below 1.
            seed: Of the choice.

        Raises:
            ConfigError: If the share is out of range or leaves nothing on either side.
        """
        if not 0 < validation < 1:
            raise ConfigError(f"validation must be above 0 and below 1, got {validation}")
        images = torch.cat([self.train_images, self.validation_images])
        labels = torch.cat([self.train_labels, self.validation_labels])
        kept, held_back = stratified(labels, validation, seed)
        if not len(kept) or not len(held_back):
            raise ConfigError(f"validation: a share of {validation} of {len(labels)} images leaves one part empty")
        return replace(
            self,
            train_images=_chosen(images, kept),
            train_labels=labels[kept],
            validation_images=_chosen(images, held_back),
            validation_labels=labels[held_back],
        )

    def normalised(self, images: Tensor) -> Tensor:
        """Images [n, channels, height, width] of bytes as float32 of zero mean and unit spread per channel."""
        return normalised(images, self.mean, self.std)

    def in_batches(self, images: Tensor) -> NormalisedImages:
        """The same for many images, which stay bytes until a batch of them is taken."""
        return NormalisedImages(images, self.mean, self.std)

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on a device."""
        names = (f"{part}_{kind}" for part in ("train", "validation", "test") for kind in ("images", "labels"))
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def augmented(images: Tensor, draws: Tensor, shift: int, mirrored: Tensor, cutout: int = 0) -> Tensor:
    """Images shifted, with mirrored edges, by up to `shift` pixels each way; some mirrored; each with a square blanked.

    Args:
        images: Bytes [n, channels, height, width].
        draws: Uniform in [0, 1): two for the shift and two for the place of the square, [4, n].
        shift: Largest shift; below the side of an image. [pixel]
        mirrored: Which images are flipped left to right, [n].
        cutout: Side of the square, which may reach over the edge; 0 for none. [pixel]

    Returns:
        Bytes of the same shape, channels-last.

    Source: DeVries and Taylor, arXiv 1708.04552 (cutout).
    """
    _, _, height, width = images.shape
    down, right = ((draws[:2] * (2 * shift + 1)).long() - shift)[:, :, None]
    rows = _reflected(torch.arange(height, device=images.device) + down, height)
    columns = _reflected(torch.arange(width, device=images.device) + right, width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    views = images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    if cutout:
        top, left = ((draws[2:] * torch.tensor([[height], [width]], device=images.device)).long() - cutout // 2)[
            :, :, None
        ]
        row, column = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        in_rows, in_columns = (row >= top) & (row < top + cutout), (column >= left) & (column < left + cutout)
        views[in_rows[:, :, None] & in_columns[:, None, :]] = _GREY
    return views.permute(0, 3, 1, 2)


_GREY = 128
"""What a blanked pixel shows."""


def _reflected(index: Tensor, size: int) -> Tensor:
    return size - 1 - (size - 1 - index.abs()).abs()


def load_dataset(name: str, data_dir: Path | str | None = None, progress: Report | None = None) -> Dataset:
    """A data set by name.

    Args:
        name: One of those in `xpert.training.datasets.DATASETS`.
        data_dir: Folder of data sets, or of this one alone; unset: `data`.
        progress: Called with the bytes done while data are fetched.

    Raises:
        ConfigError: If the name is unknown.
        DataError: If a file is missing and cannot be fetched, or is broken, or images or labels are not what the data
            set says of itself.
    """
    source = DATASETS.find(name)
    info, parts = source.info, source.load(Path("data" if data_dir is None else data_dir), progress)
    _check(info, "training", parts.train_images, parts.train_labels)
    _check(info, "test", parts.test_images, parts.test_labels)
    train_images, test_images = (
        images.contiguous(memory_format=torch.channels_last) for images in (parts.train_images, parts.test_images)
    )
    mean, std = _statistics(train_images) if info.mean is None or info.std is None else (info.mean, info.std)
    return Dataset(
        name=info.name,
        classes=info.classes,
        mean=mean,
        std=std,
        mirror=info.mirror,
        train_images=train_images,
        train_labels=parts.train_labels,
        validation_images=train_images[:0],
        validation_labels=parts.train_labels[:0],
        test_images=test_images,
        test_labels=parts.test_labels,
    )


def _check(info: DatasetInfo, part: str, images: Tensor, labels: Tensor) -> None:
    """Whether images and labels are what a data set says of itself."""
    where = f"data set {info.name}: {part} images"
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != info.input_shape or not len(images):
        expected = " x ".join(map(str, info.input_shape))
        found = " x ".join(map(str, images.shape))
        raise DataError(f"{where} must be n x {expected} of torch.uint8, got {found} of {images.dtype}")
    if labels.dtype != torch.int64 or tuple(labels.shape) != (len(images),):
        found = " x ".join(map(str, labels.shape))
        raise DataError(f"{where} need {len(images)} labels of torch.int64, got {found} of {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(info.classes):
        raise DataError(f"{where} must have labels 0 ... {len(info.classes) - 1}, got {low} ... {high}")


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, as shares of full scale."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(dim=1):
        # Counts of the 256 levels: exact, and no copy of the images in float.
        counts = torch.stack([block.flatten().bincount(minlength=256) for block in channel.split(1024)]).sum(0).double()
        average = float(counts @ levels / counts.sum())
        mean.append(average)
        std.append(float(counts @ (levels - average).square() / counts.sum()) ** 0.5)
    return tuple(mean), tuple(std)


def _chosen(images: Tensor, indices: Tensor) -> Tensor:
    """Some of the images, in channels-last memory, which torch gives up when it joins and picks."""
    return images[indices].contiguous(memory_format=torch.channels_last)


__all__ = ["Dataset", "augmented", "load_dataset"]
