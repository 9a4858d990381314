"""What data sets of pictures in files have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xpert.errors import DataError
from xpert.progress import Report
from xpert.training.pictures import Found, decoded, shape_of
from xpert.training.source import DataRequest, DatasetInfo, OwnData, RawImages

if TYPE_CHECKING:
    from xpert.training.streaming import StreamedImages

Find = Callable[[Path], tuple[tuple[str, ...], Found, Found]]
"""Finds the class names, the training and the test pictures of a folder; raises a `DataError` if one is missing."""


def of_pictures(name: str, find: Find) -> OwnData:
    """A data set of pictures in files.

    Args:
        name: Name by which it is found.
        find: Finds the pictures in a folder.
    """

    def describe(request: DataRequest) -> DatasetInfo:
        return _described(request)[0]

    def read(request: DataRequest, _progress: Report | None) -> RawImages:
        import torch

        info, train, test = _described(request)
        return RawImages(
            _streamed(train, info, request.workers),
            torch.tensor(train.labels),
            _streamed(test, info, request.workers),
            torch.tensor(test.labels),
        )

    def _described(request: DataRequest) -> tuple[DatasetInfo, Found, Found]:
        folder = request.data_dir
        if not folder.is_dir():
            raise DataError(
                f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'} of pictures"
            )
        classes, train, test = find(folder)
        shape = shape_of((train, test), request.channels, request.size, str(folder))
        return DatasetInfo(name, shape, classes, mirror=bool(request.mirror)), train, test

    return OwnData(name, describe, read)


def _streamed(part: Found, info: DatasetInfo, workers: int) -> StreamedImages:
    import torch

    from xpert.training.streaming import StreamedImages

    channels, *size = info.input_shape
    sides = (size[0], size[1])
    return StreamedImages(
        lambda number: decoded(part.paths[number], channels, sides),
        info.input_shape,
        torch.arange(len(part.paths)),
        workers,
    )


__all__ = ["of_pictures"]
