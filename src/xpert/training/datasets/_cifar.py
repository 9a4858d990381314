"""The binary layout of CIFAR-10 and CIFAR-100: files of records, each a few label bytes and then the pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xpert.errors import DataError
from xpert.progress import Report
from xpert.training.download import fetch_archive
from xpert.training.source import RawImages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Archive:
    """A published archive, and what is in it."""

    title: str
    """What people call the data set."""

    url: str
    """Where it is published."""

    md5: str
    """Its checksum, as published."""

    folder: str
    """Folder in the archive that holds the files."""

    train: Mapping[str, int]
    """Files of training images, and how many images each holds."""

    test: Mapping[str, int]
    """Files of test images, likewise."""

    labels: Mapping[str, int]
    """Name and number of classes of each label byte; the last is the one that is learnt."""


def read(archive: Archive, data_dir: Path, progress: Report | None) -> RawImages:
    """The images and labels of an archive that lies, unpacked, in a folder; it is downloaded where it is missing.

    Args:
        archive: Which.
        data_dir: Folder that holds the archive's folder, or that folder itself.
        progress: Called with the bytes of a download.

    Raises:
        DataError: If a file is missing and cannot be fetched, or is broken.
    """
    import numpy as np
    import torch

    if data_dir.exists() and not data_dir.is_dir():
        raise DataError(f"{data_dir}: must be a folder that holds {archive.folder}, is a file")
    folders = (data_dir, data_dir / archive.folder)
    names = (*archive.train, *archive.test)
    folder = next((folder for folder in folders if any((folder / name).exists() for name in names)), None)
    if folder is None:
        folder = data_dir / archive.folder
        fetch_archive(archive.url, f"md5:{archive.md5}", folder, names, progress)
    parts = []
    for files in (archive.train, archive.test):
        records = np.concatenate([_records(archive, folder / name, count) for name, count in files.items()])
        n_labels = len(archive.labels)
        # Red, green and blue planes, row by row; the channels go last.
        pixels = records[:, n_labels:].reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
        parts.append(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2))
        parts.append(torch.from_numpy(records[:, n_labels - 1].astype(np.int64)))
    return RawImages(*parts)


def _records(archive: Archive, path: Path, n_images: int) -> NDArray[np.uint8]:
    """The records of a file, [images, label bytes and pixels]."""
    import numpy as np

    record = len(archive.labels) + math.prod(_SHAPE)
    n_bytes = n_images * record
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        needed = ", ".join(archive.train if path.name in archive.train else archive.test)
        raise DataError(f"{path}: missing; {archive.title} (binary version) needs {needed}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) != n_bytes:
        raise DataError(f"{path}: must have {n_bytes} bytes ({n_images} images), has {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    for byte, (label, n_classes) in enumerate(archive.labels.items()):
        row = int(records[:, byte].argmax())
        if (largest := records[row, byte]) >= n_classes:
            raise DataError(f"{path}: image {row}: {label} must be 0 ... {n_classes - 1}, got {largest}")
    return records


__all__ = ["Archive", "read"]
