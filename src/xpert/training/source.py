"""What a data set says about itself, and what loading it gives. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xpert.progress import Report

if TYPE_CHECKING:
    from torch import Tensor

    from xpert.training.streaming import StreamedImages


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


@dataclass(frozen=True)
class DataRequest:
    """Which data set, and how it is read where that is open."""

    name: str
    """Name of a data set, or the code that makes one, as `path.py:factory`."""

    data_dir: Path = field(default_factory=lambda: Path("data"))
    """Folder of data sets, or of this one alone."""

    size: tuple[int, int] | None = None
    """Height and width to which pictures are scaled; None: as they are, which must be alike. [pixel]"""

    channels: int | None = None
    """1 or 3, into which pictures are converted; None: 1 where all pictures are grey, else 3."""

    mirror: bool | None = None
    """Whether training may flip images; None: as the data set says, which for one of the user's own is no."""

    streaming: bool | None = None
    """Whether images stay on disk until a batch of them is needed; None: where they are large, see `data.streams`."""

    workers: int = 2
    """Threads that decode streamed pictures."""


def request_for(name: str, data_dir: Path | str | None, input_shape: Sequence[int]) -> DataRequest:
    """A data set whose pictures, where it has any, come in the shape that a network takes."""
    channels, *sides = input_shape
    size = (sides[0], sides[1]) if len(sides) == 2 else None
    pictures = DataRequest(name, size=size, channels=channels if size and channels in (1, 3) else None)
    return pictures if data_dir is None else replace(pictures, data_dir=Path(data_dir))


class RawImages(NamedTuple):
    """The images and labels of a data set as they lie on disk."""

    train_images: Tensor | StreamedImages
    """uint8 [n, channels, height, width]."""

    train_labels: Tensor
    """int64 [n]."""

    test_images: Tensor | StreamedImages
    """uint8; for final accuracies only."""

    test_labels: Tensor
    """int64."""


@dataclass(frozen=True)
class DataSource:
    """A data set that is always the same."""

    info: DatasetInfo
    """What is known of it."""

    load: Callable[[Path, Report | None], RawImages]
    """Reads it from a folder of data sets. It may import torch when it is called, and call the second argument with
    the bytes of a download. It raises a `DataError` if a file is missing or broken."""

    @property
    def name(self) -> str:
        """Name by which it is found."""
        return self.info.name

    def describe(self, _request: DataRequest) -> DatasetInfo:
        """What is known of it."""
        return self.info

    def read(self, request: DataRequest, progress: Report | None) -> RawImages:
        """Its images."""
        return self.load(request.data_dir, progress)


@dataclass(frozen=True)
class OwnData:
    """A form in which users keep images of their own: what they are is found where they lie."""

    name: str
    """Name by which it is found."""

    describe: Callable[[DataRequest], DatasetInfo]
    """Finds out what can be known without torch and without the pixels. It raises a `DataError` if something is missing
    or does not fit together."""

    read: Callable[[DataRequest, Report | None], RawImages]
    """Reads the images; see `DataSource.load`."""


__all__ = ["DataRequest", "DataSource", "DatasetInfo", "OwnData", "RawImages", "request_for"]
