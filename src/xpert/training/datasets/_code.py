"""Data sets that the user's Python code makes: a function that gives torch data sets of (image, label).

The code is executed, as if it were imported. It gives a pair of data sets, to train and to test on, or a mapping with
`train` and `test` (or `val`, `validation`). Images are PIL pictures, arrays or tensors [height, width], with channels
first or last; of bytes or of floats from 0 to 1, and the same whenever they are read.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xpert.errors import ConfigError, DataError
from xpert.networks.sources import Source, find_source
from xpert.training.datasets._arrays import as_bytes, as_labels, channels_last, classes_of
from xpert.training.pictures import is_grey, pixels
from xpert.training.source import DataRequest, DatasetInfo, OwnData, RawImages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEST = ("test", "val", "validation")


def data_of_code(name: str) -> OwnData | None:
    """The data set of `path.py:factory` or `package.module:factory`; None where a name has no such form."""
    source = find_source(name)
    if source is None or source.kind != "python":
        return None
    return OwnData(name, lambda request: _opened(source, request).info, lambda request, _: _read(source, request))


@dataclass(frozen=True)
class _Part:
    """One of the two data sets."""

    items: Any
    where: str
    size: tuple[int, int] | None
    """To which pictures are scaled."""

    channels: int | None
    """Into which they are converted."""

    grey: bool = False
    """Whether pictures in colour are refused, because the first is grey and nobody asked for that."""

    def __len__(self) -> int:
        try:
            count = len(self.items)
        except TypeError:
            raise DataError(
                f"{self.where}: a {type(self.items).__name__} has no length, as data sets by number do"
            ) from None
        if not count:
            raise DataError(f"{self.where}: there are none")
        return count

    def pair(self, number: int) -> tuple[Any, Any]:
        """An image and its label, as they come."""
        from xpert.networks.sources.python import described

        try:
            found = self.items[number]
        except Exception as error:  # noqa: BLE001 - the user's code
            raise DataError(f"{self.where}: image {number}: {described(error)}") from None
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise DataError(f"{self.where}: image {number}: must be a pair (image, label), is a {type(found).__name__}")
        return found[0], found[1]

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """Those of an image, [height, width, channels]."""
        import numpy as np
        from PIL import Image

        where = f"{self.where}: image {number}"
        image, _ = self.pair(number)
        if not isinstance(image, Image.Image):
            array = np.asarray(image)
            if array.ndim not in (2, 3):
                raise DataError(f"{where}: must be a picture or an array of 2 or 3 axes, is a {type(image).__name__}")
            return as_bytes(channels_last(array[None], where), self.where, first=number)[0]
        if self.grey and not is_grey(image):
            raise DataError(f"{where}: is in colour, and the first is not: say dataset.channels in a config")
        try:
            return pixels(
                image, self.channels or (1 if is_grey(image) else 3), self.size or (image.height, image.width)
            )
        except Exception as error:  # noqa: BLE001 - decoders raise what they like on broken files
            raise DataError(f"{where}: {' '.join(str(error).split())}") from None

    def like(self, shape: tuple[int, ...], number: int) -> NDArray[np.uint8]:
        """The same, if it has the shape that all must have."""
        found = self.pixels(number)
        if found.shape != shape:
            sides = [" x ".join(map(str, one)) for one in (found.shape, shape)]
            raise DataError(
                f"{self.where}: image {number} is {sides[0]}, not {sides[1]} as the first (height x width x channels)"
            )
        return found

    def labels(self) -> NDArray[np.int64]:
        """All labels: `targets`, as torchvision's data sets have them, else from one pass over the images."""
        import numpy as np

        where = f"{self.where}: labels"
        found = getattr(self.items, "targets", None)
        if found is None:
            found = [self.pair(number)[1] for number in range(len(self))]
        try:
            values = np.asarray([int(label) for label in found] if isinstance(found, list) else found)
        except (TypeError, ValueError, RuntimeError):
            raise DataError(f"{where}: must be whole numbers from 0") from None
        return as_labels(values, len(self), where)


@dataclass(frozen=True)
class _Opened:
    info: DatasetInfo
    parts: tuple[_Part, _Part]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]


def _read(source: Source, request: DataRequest) -> RawImages:
    import torch

    from xpert.training.streaming import StreamedImages

    opened = _opened(source, request)
    channels, height, width = shape = opened.info.input_shape
    found: list[Any] = []
    for part, labels in zip(opened.parts, opened.labels, strict=True):
        read = functools.partial(part.like, (height, width, channels))
        # One thread: the user's code need not be made for several.
        found += [StreamedImages(read, shape, torch.arange(len(labels))), torch.from_numpy(labels)]
    return RawImages(*found)


@functools.lru_cache(maxsize=2)
def _opened(source: Source, request: DataRequest) -> _Opened:
    """The two data sets with their labels and what can be known of them."""
    made = [
        _Part(items, f"{source.text}: {name} images", request.size, request.channels)
        for name, items in zip(("training", "test"), _made(source, request), strict=True)
    ]
    labels = [part.labels() for part in made]
    height, width, channels = made[0].pixels(0).shape
    names = getattr(made[0].items, "classes", None)
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    classes = classes_of(names if named else None, labels[0], labels[1], source.text)
    info = DatasetInfo(source.title, (channels, height, width), classes, mirror=bool(request.mirror))
    grey = request.channels is None and channels == 1
    train, test = (replace(part, channels=request.channels or channels, grey=grey) for part in made)
    return _Opened(info, (train, test), (labels[0], labels[1]))


def _made(source: Source, request: DataRequest) -> tuple[Any, Any]:
    """What the code gives: something to train and something to test on."""
    from xpert.networks.sources.python import code_of, described

    code = code_of(source)
    try:
        takes = "data_dir" in inspect.signature(code).parameters
        made = code(data_dir=request.data_dir) if takes else code()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise ConfigError(f"{source.text}: {described(error)}") from None
    if isinstance(made, Mapping):
        test = next((made[name] for name in _TEST if name in made), None)
        if "train" in made and test is not None:
            return made["train"], test
    elif isinstance(made, tuple | list) and len(made) == 2:
        return made[0], made[1]
    raise ConfigError(
        f"{source.text}: must give a pair of data sets (to train, to test) or a mapping with train and test, gives a "
        f"{type(made).__name__}"
    )


__all__ = ["data_of_code"]
