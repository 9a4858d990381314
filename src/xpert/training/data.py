"""Data sets: bytes, in memory or streamed, augmented a batch at a time on the device that trains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from xpert.errors import ConfigError, DataError
from xpert.machine import memory_bytes
from xpert.networks.images import NormalisedImages, normalised
from xpert.progress import Progress, Report
from xpert.training.datasets import find_dataset
from xpert.training.source import DataRequest, DatasetInfo, RawImages
from xpert.training.splits import stratified
from xpert.training.streaming import StreamedImages

_SHARE_OF_MEMORY = 0.25
"""Images that take up more of the memory are streamed: beside them stand the copies of splitting and of devices."""

_BATCH = 1024
"""Images that are counted at a time."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as bytes [n, channels, height, width], in channels-last memory or streamed, and their labels [n]."""

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

    train_images: Tensor | StreamedImages
    """uint8; what is trained on."""

    train_labels: Tensor
    """int64."""

    validation_images: Tensor | StreamedImages
    """uint8; empty until `split`."""

    validation_labels: Tensor
    """int64."""

    test_images: Tensor | StreamedImages
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
        images = _joined(self.train_images, self.validation_images)
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

    def normalised(self, images: Tensor | StreamedImages) -> Tensor:
        """Images [n, channels, height, width] of bytes as float32 of zero mean and unit spread per channel."""
        return normalised(images.loaded() if isinstance(images, StreamedImages) else images, self.mean, self.std)

    def in_batches(self, images: Tensor | StreamedImages) -> NormalisedImages:
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


def load_dataset(
    what: str | DataRequest, data_dir: Path | str | None = None, progress: Report | None = None
) -> Dataset:
    """A data set.

    Args:
        what: Its name, one of those in `xpert.training.datasets.DATASETS`, or the code that makes it; or a request that
            also says how it is read.
        data_dir: Folder of data sets, or of this one alone; unset: the request's, which is `data` by default.
        progress: Called with the bytes done while data are fetched, and with the images done while they are decoded.

    Raises:
        ConfigError: If there is no such data set, or what is asked of it does not fit it.
        DataError: If a file is missing and cannot be fetched, or is broken, or images or labels are not what the data
            set says of itself.
    """
    request = DataRequest(what) if isinstance(what, str) else what
    if data_dir is not None:
        request = replace(request, data_dir=Path(data_dir))
    source = find_dataset(request.name)
    info, parts = source.describe(request), source.read(request, progress)
    _check(info, "training", parts.train_images, parts.train_labels)
    _check(info, "test", parts.test_images, parts.test_labels)
    train_images, test_images, mean, std = _prepared(request, info, parts, progress)
    for channel, spread in enumerate(std):
        if spread == 0:
            raise DataError(
                f"data set {info.name}: all training images are one and the same value in channel {channel}"
            )
    return Dataset(
        name=info.name,
        classes=info.classes,
        mean=mean,
        std=std,
        mirror=info.mirror if request.mirror is None else request.mirror,
        train_images=train_images,
        train_labels=parts.train_labels,
        validation_images=train_images[:0],
        validation_labels=parts.train_labels[:0],
        test_images=test_images,
        test_labels=parts.test_labels,
    )


def _prepared(
    request: DataRequest, info: DatasetInfo, parts: RawImages, progress: Report | None
) -> tuple[Tensor | StreamedImages, Tensor | StreamedImages, tuple[float, ...], tuple[float, ...]]:
    """Training and test images, decoded where they are to be in memory, and what is known of their values.

    All are looked at once, so that a broken one is named before work begins.
    """
    counted = _Counted(len(parts.train_images) + len(parts.test_images), progress)
    if isinstance(parts.train_images, Tensor) or isinstance(parts.test_images, Tensor):
        if request.streaming:
            raise ConfigError(f"dataset.streaming: {info.name} is read as a whole; pictures in files can be streamed")
    elif streams(request, info, parts):
        found = _statistics(map(counted.noted, parts.train_images.split(_BATCH)))
        for _ in map(counted.noted, parts.test_images.split(_BATCH)):
            pass
        return parts.train_images, parts.test_images, *found
    train, test = (
        (images.loaded(counted.note) if isinstance(images, StreamedImages) else images).contiguous(
            memory_format=torch.channels_last
        )
        for images in (parts.train_images, parts.test_images)
    )
    if info.mean is not None and info.std is not None:
        return train, test, info.mean, info.std
    return train, test, *_statistics(train.split(_BATCH))


def streams(request: DataRequest, info: DatasetInfo, parts: RawImages) -> bool:
    """Whether images stay on disk: as asked, else if they are larger than a quarter of the memory."""
    if request.streaming is not None:
        return request.streaming
    size = (len(parts.train_images) + len(parts.test_images)) * math.prod(info.input_shape)
    memory = memory_bytes()
    return memory is not None and size > _SHARE_OF_MEMORY * memory


class _Counted:
    """Reports how many images are done."""

    def __init__(self, total: int, progress: Report | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def note(self, count: int) -> None:
        self.done += count
        if self.progress:
            self.progress(Progress(stage="images", unit="image", done=self.done, total=self.total))

    def noted(self, batch: Tensor) -> Tensor:
        self.note(len(batch))
        return batch


def _check(info: DatasetInfo, part: str, images: Tensor | StreamedImages, labels: Tensor) -> None:
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


def _statistics(batches: Iterable[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, as shares of full scale."""
    # Counts of the 256 levels: exact in any order, and no copy of the images in float.
    counts = torch.stack(
        [
            torch.stack([channel.flatten().bincount(minlength=256) for channel in batch.unbind(dim=1)])
            for batch in batches
        ]
    ).sum(0)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for of_channel in counts.double():
        average = float(of_channel @ levels / of_channel.sum())
        mean.append(average)
        std.append(float(of_channel @ (levels - average).square() / of_channel.sum()) ** 0.5)
    return tuple(mean), tuple(std)


def _joined(one: Tensor | StreamedImages, other: Tensor | StreamedImages) -> Tensor | StreamedImages:
    if not len(other):
        return one
    if isinstance(one, StreamedImages):
        assert isinstance(other, StreamedImages)  # noqa: S101 (parts of one data set are alike)
        return one.joined(other)
    assert isinstance(other, Tensor)  # noqa: S101
    return torch.cat([one, other])


def _chosen(images: Tensor | StreamedImages, indices: Tensor) -> Tensor | StreamedImages:
    """Some of the images, in channels-last memory, where each is one block: twenty times as fast to copy."""
    if isinstance(images, StreamedImages):
        return images[indices]
    return images.permute(0, 2, 3, 1).contiguous()[indices].permute(0, 3, 1, 2)


__all__ = ["Dataset", "augmented", "load_dataset", "streams"]
