"""Pictures in files: found, sized up and decoded. No torch here.

Pixels are taken as they are stored: the orientation that a camera noted is not applied, nor is a colour profile.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""What the names of pictures end in, in small or large letters; other files are passed over."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Found:
    """The pictures of one part of a data set."""

    paths: tuple[Path, ...]
    """In the order in which they are numbered."""

    labels: tuple[int, ...]
    """Class of each, by its place among the sorted names."""


def pictures_in(folder: Path) -> list[Path]:
    """Pictures in a folder and the folders in it, sorted by path.

    Raises:
        DataError: If there are none.
    """
    found = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )
    if not found:
        raise DataError(f"{folder}: no pictures ({', '.join(SUFFIXES)})")
    return found


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names of the folders in a folder, sorted.

    Raises:
        DataError: If there are not two at least.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    if len(names) < 2:
        raise DataError(f"{folder}: needs a folder for each class, two at least; has {', '.join(names) or 'none'}")
    return tuple(names)


def found_in(folder: Path, classes: Sequence[str]) -> Found:
    """The pictures in the folders of the classes.

    Raises:
        DataError: If a class has none.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        of_class = pictures_in(folder / name)
        paths += of_class
        labels += [label] * len(of_class)
    return Found(tuple(paths), tuple(labels))


def shape_of(
    parts: Sequence[Found], channels: int | None, size: tuple[int, int] | None, where: str
) -> tuple[int, int, int]:
    """Channels, height and width that all pictures come to.

    Args:
        parts: The pictures.
        channels: As asked for.
        size: As asked for.
        where: What they are, for messages.

    Raises:
        DataError: If a picture cannot be read, or sizes differ and none is asked for.
    """
    if channels is not None and size is not None:
        return channels, *size
    grey, first, other = _headers(_Stamped(_stamp(parts), parts))
    if size is None and other is not None:
        (a, (height, width)), (b, (height_b, width_b)) = first, other
        raise DataError(
            f"{where}: pictures differ in size ({a.name} {height} x {width}, {b.name} {height_b} x {width_b}): say to "
            "which they are scaled: dataset.size in a config, --input-shape C,H,W of a command"
        )
    return channels or (1 if grey else 3), *(size or first[1])


@dataclass(frozen=True)
class _Stamped:
    """Pictures that equal others where their paths, sizes and times do."""

    stamp: str
    parts: Sequence[Found] = field(compare=False)


def _stamp(parts: Sequence[Found]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for path in part.paths:
            state = path.stat()
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=8)
def _headers(pictures: _Stamped) -> tuple[bool, tuple[Path, tuple[int, int]], tuple[Path, tuple[int, int]] | None]:
    """Whether all pictures are grey; one with its size; and another of another size, if there is one."""
    grey, first, other = True, None, None
    for part in pictures.parts:
        for path in part.paths:
            with _opened(path) as picture:
                grey &= is_grey(picture)
                found = path, (picture.height, picture.width)
            first = first or found
            if other is None and found[1] != first[1]:
                other = found
    if first is None:
        raise AssertionError("no pictures")
    return grey, first, other


def is_grey(picture: Image) -> bool:
    """Whether a picture has no colours."""
    return picture.mode in _GREY_MODES


def _opened(path: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except Exception as error:  # noqa: BLE001 - decoders raise what they like on broken files
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    why = getattr(error, "strerror", None) or " ".join(str(error).replace(repr(str(path)), "it").split())
    return DataError(f"{path}: not a picture that can be read: {why or type(error).__name__}")


def decoded(path: Path, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of a picture, [height, width, channels].

    One of another size is scaled until it covers the size asked for, and its middle is cut out.

    Args:
        path: The file.
        channels: 1 (grey) or 3 (red, green, blue).
        size: Height and width. [pixel]

    Raises:
        DataError: If it cannot be read.
    """
    with _opened(path) as picture:
        try:
            return pixels(picture, channels, size)
        except Exception as error:  # noqa: BLE001 - decoders raise what they like on broken files
            raise _unreadable(path, error) from None


def pixels(picture: Image, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of an open picture; see `decoded`.

    Raises:
        ValueError: If its pixels are no bytes and no 16-bit numbers.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if picture.mode.startswith("I"):
        values: NDArray[Any] = np.asarray(picture).astype(np.int64)
        # 65535 is white in 16 bits, as 255 is in 8.
        picture = Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))
    mode = "L" if channels == 1 else "RGB"
    if picture.mode != mode:
        if picture.mode == "P" and "transparency" in picture.info:
            picture = picture.convert("RGBA")
        picture = picture.convert(mode)
    height, width = size
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(height, width, channels)


__all__ = ["SUFFIXES", "Found", "class_folders", "decoded", "found_in", "is_grey", "pictures_in", "pixels", "shape_of"]
