"""Images and labels as named arrays of one `.npz` file, of which nothing is unpickled.

- `train_images`, `test_images`: N,H,W or N,H,W,C or N,C,H,W; bytes, or floats from 0 to 1
- `train_labels`, `test_labels`: N or N,1 whole numbers from 0
- `classes`: names of the classes; may be left out

`x_train`, `y_train`, `x_test`, `y_test` mean the same. Where there are no test images, those called `val`
are tested on.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from xpert.errors import DataError
from xpert.progress import Report
from xpert.training.datasets._arrays import as_bytes, as_labels, channels_last, classes_of
from xpert.training.source import DataRequest, DatasetInfo, OwnData, RawImages

_SPELLINGS = (("{part}_images", "{part}_labels"), ("x_{part}", "y_{part}"))
_TEST_PARTS = ("test", "val")


def _path(request: DataRequest) -> Path:
    place = request.data_dir
    if place.is_file():
        return place
    found = sorted(place.glob("*.npz")) if place.is_dir() else []
    if len(found) != 1:
        there = ", ".join(path.name for path in found[:5]) or "none"
        raise DataError(f"{place}: must be an .npz file, or a folder with one; has {there}")
    return found[0]


def _arrays(path: Path, *, images: bool) -> dict[str, Any]:
    """Labels, class names and shapes of an .npz file, or its images."""
    import numpy as np

    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array; an .npz file holds named ones")
            names = {part: _names(part, file.files) for part in ("train", *_TEST_PARTS)}
            train, test = names["train"], next((names[part] for part in _TEST_PARTS if names[part]), None)
            if train is None or test is None:
                raise DataError(
                    f"{path}: must hold train_images, train_labels, test_images and test_labels (or x_train, y_train, "
                    f"x_test, y_test); holds {', '.join(file.files) or 'nothing'}"
                )
            found: dict[str, Any] = {}
            for part, (of_images, of_labels) in (("train", train), ("test", test)):
                found[f"{part}_name"] = of_images
                found[f"{part}_labels"], found[f"{part}_labels_name"] = file[of_labels], of_labels
                found[f"{part}_images"] = file[of_images] if images else _shape(path, of_images)
            found["classes"] = file["classes"] if "classes" in file.files else None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        if "allow_pickle" in why:
            why = "it holds Python objects, which are not unpickled; save plain arrays"
        raise DataError(f"{path}: cannot be read: {why}") from None
    return found


def _names(part: str, there: list[str]) -> tuple[str, str] | None:
    spelled = [(images.format(part=part), labels.format(part=part)) for images, labels in _SPELLINGS]
    return next((pair for pair in spelled if set(pair) <= set(there)), None)


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array, from its header alone."""
    from numpy.lib import format as npy

    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("not without allow_pickle")
    return shape


def _described(request: DataRequest, found: dict[str, Any], path: Path) -> tuple[DatasetInfo, Any, Any]:
    import numpy as np

    labels, shapes = {}, {}
    for part in ("train", "test"):
        images, where = found[f"{part}_images"], f"{path}: {found[f'{part}_name']}"
        empty = np.broadcast_to(np.uint8(0), images if isinstance(images, tuple) else images.shape)
        if not empty.size:
            raise DataError(f"{where}: holds no images")
        shapes[part] = channels_last(empty, where).shape[1:]
        labels[part] = as_labels(found[f"{part}_labels"], len(empty), f"{path}: {found[f'{part}_labels_name']}")
    if shapes["train"] != shapes["test"]:
        sides = [" x ".join(map(str, shape)) for shape in shapes.values()]
        raise DataError(f"{path}: training images are {sides[0]}, test images {sides[1]} (height x width x channels)")
    names = found["classes"]
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        raise DataError(f"{path}: classes: must be a list of names, is {names.dtype} of {names.ndim} axes")
    texts = None if names is None else [n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in names]
    classes = classes_of(texts, labels["train"], labels["test"], str(path))
    height, width, channels = shapes["train"]
    shape = (channels, height, width)
    if request.size not in (None, (height, width)) or request.channels not in (None, channels):
        raise DataError(f"{path}: images are {channels} x {height} x {width}; arrays are not scaled or converted")
    return DatasetInfo("npz", shape, classes, mirror=bool(request.mirror)), labels["train"], labels["test"]


def _describe(request: DataRequest) -> DatasetInfo:
    path = _path(request)
    return _described(request, _arrays(path, images=False), path)[0]


def _read(request: DataRequest, _progress: Report | None) -> RawImages:
    import torch

    path = _path(request)
    found = _arrays(path, images=True)
    _, *labels = _described(request, found, path)
    parts = []
    for part, of_part in zip(("train", "test"), labels, strict=True):
        where = f"{path}: {found[f'{part}_name']}"
        images = as_bytes(channels_last(found.pop(f"{part}_images"), where), where)
        parts += [torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(of_part)]
    return RawImages(*parts)


DATASET = OwnData("npz", _describe, _read)

__all__ = ["DATASET"]
