"""Data sets: held in memory as bytes, augmented a batch at a time on the device that trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xpert.errors import ConfigError, DataError
from xpert.training.download import fetch_archive

DATASETS = ("digits", "cifar10")
"""Names that `load_dataset` knows."""

_DIGITS_TEST_SHARE = 0.2
_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_CHECKSUM = "md5:c32a1d4ab5d03f1284b67883e8d87530"
_CIFAR10_FOLDER = "cifar-10-batches-bin"
_CIFAR10_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_CIFAR10_TEST = ("test_batch.bin",)
_CIFAR10_RECORDS = 10_000
_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
_CIFAR10_STD = (0.2470, 0.2435, 0.2616)
"""Of the training images. Data set: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""


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
        kept, held_back = _stratified(labels, validation, seed)
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
        mean, std = (
            torch.tensor(values, device=images.device).view(-1, 1, 1) * 255 for values in (self.mean, self.std)
        )
        return (images.float() - mean).div_(std).contiguous(memory_format=torch.channels_last)

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
    name: str,
    data_dir: Path | str | None = None,
    progress: Callable[[dict], None] | None = None,
) -> Dataset:
    """A data set by name.

    - `digits`: 1797 handwritten digits of 8x8 pixels that scikit-learn ships, enlarged to 1x32x32 (the size from which
      they were once reduced), one fifth of each class for the test.
    - `cifar10`: CIFAR-10 in its official binary layout, 3x32x32; downloaded where it is missing.

    Args:
        name: One of `DATASETS`.
        data_dir: Folder that holds `cifar-10-batches-bin`, or that folder itself; unset: `data`.
        progress: Called with `{"event": "download", "bytes", "total_bytes"}` while data are fetched.

    Raises:
        ConfigError: If the name is unknown.
        DataError: If a file is missing and cannot be fetched, or is broken.
    """
    if name == "digits":
        return _digits()
    if name == "cifar10":
        return _cifar10(Path("data" if data_dir is None else data_dir), progress)
    raise ConfigError(f"dataset: must be one of {', '.join(DATASETS)}, got {name!r}")


def _stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices, rising, of a random choice that leaves out the same share of every class, and of what it leaves out."""
    random = np.random.default_rng(seed)
    order = torch.from_numpy(random.permutation(len(labels)))
    out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = order[labels[order] == label]
        out[members[: round(len(members) * share)]] = True
    return torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]


def _chosen(images: Tensor, indices: Tensor) -> Tensor:
    """Some of the images, in channels-last memory, which torch gives up when it joins and picks."""
    return images[indices].contiguous(memory_format=torch.channels_last)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    small = torch.from_numpy(np.asarray(pixels, np.float32).reshape(-1, 1, 8, 8))
    large = F.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False) * (255 / 16)
    images = large.round().to(torch.uint8).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(np.asarray(digits, np.int64))
    train, test = _stratified(labels, _DIGITS_TEST_SHARE, seed=0)
    shares = images[train].float() / 255
    return Dataset(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        mean=(shares.mean().item(),),
        std=(shares.std().item(),),
        mirror=False,
        train_images=_chosen(images, train),
        train_labels=labels[train],
        validation_images=images[:0],
        validation_labels=labels[:0],
        test_images=_chosen(images, test),
        test_labels=labels[test],
    )


def _cifar10(data_dir: Path, progress: Callable[[dict], None] | None) -> Dataset:
    if data_dir.exists() and not data_dir.is_dir():
        raise DataError(f"{data_dir}: must be a folder that holds {_CIFAR10_FOLDER}, is a file")
    folders = (data_dir, data_dir / _CIFAR10_FOLDER)
    names = (*_CIFAR10_TRAIN, *_CIFAR10_TEST)
    folder = next((folder for folder in folders if any((folder / name).exists() for name in names)), None)
    if folder is None:
        folder = data_dir / _CIFAR10_FOLDER
        fetch_archive(_CIFAR10_URL, _CIFAR10_CHECKSUM, folder, names, progress)
    train_images, train_labels = _read_cifar10(folder, _CIFAR10_TRAIN)
    test_images, test_labels = _read_cifar10(folder, _CIFAR10_TEST)
    return Dataset(
        name="cifar10",
        classes=_CIFAR10_CLASSES,
        mean=_CIFAR10_MEAN,
        std=_CIFAR10_STD,
        mirror=True,
        train_images=train_images,
        train_labels=train_labels,
        validation_images=train_images[:0],
        validation_labels=train_labels[:0],
        test_images=test_images,
        test_labels=test_labels,
    )


def _read_cifar10(folder: Path, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Images and labels of some files: per image one byte of label, then red, green and blue planes row by row."""
    record = 1 + 3 * 32 * 32
    n_bytes = _CIFAR10_RECORDS * record
    parts = []
    for name in names:
        path = folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise DataError(f"{path}: missing; CIFAR-10 (binary version) needs {', '.join(names)}") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if len(content) != n_bytes:
            raise DataError(f"{path}: must have {n_bytes} bytes ({_CIFAR10_RECORDS} images), has {len(content)}")
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        if (largest := records[:, 0].max()) >= len(_CIFAR10_CLASSES):
            row = int(records[:, 0].argmax())
            raise DataError(f"{path}: image {row}: label must be 0 ... {len(_CIFAR10_CLASSES) - 1}, got {largest}")
        parts.append(records)
    records = np.concatenate(parts)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return images, torch.from_numpy(records[:, 0].astype(np.int64))


__all__ = ["DATASETS", "Dataset", "augmented", "load_dataset"]
