"""The binary layout of CIFAR-10 and CIFAR-100: files of records, each a few label bytes and then the pixels."""

from __future__ import annotations

import hashlib
import http.client
import math
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from xpert.errors import DataError
from xpert.training.source import Parts, Progress

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


def read(archive: Archive, data_dir: Path, progress: Progress | None) -> Parts:
    """The images and labels of an archive that lies, unpacked, in a folder; it is downloaded where it is missing.

    Args:
        archive: Which.
        data_dir: Folder that holds the archive's folder, or that folder itself.
        progress: Takes figures of a download.

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
        _fetch(archive, data_dir, progress)
        folder = data_dir / archive.folder
    parts = []
    for files in (archive.train, archive.test):
        records = np.concatenate([_records(archive, folder / name, count) for name, count in files.items()])
        n_labels = len(archive.labels)
        # Red, green and blue planes, row by row; the channels go last.
        pixels = records[:, n_labels:].reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
        parts.append(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2))
        parts.append(torch.from_numpy(records[:, n_labels - 1].astype(np.int64)))
    return Parts(*parts)


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


def _fetch(archive: Archive, data_dir: Path, progress: Progress | None) -> None:
    """Download the archive, check it, and unpack its data files into `data_dir`."""
    if not data_dir.resolve().parent.is_dir():
        raise DataError(f"{data_dir}: no such folder")
    try:
        with tempfile.TemporaryFile() as file:
            checksum = _download(archive.url, file, progress)
            if checksum != archive.md5:
                raise DataError(f"{archive.url}: md5 must be {archive.md5}, got {checksum}: the download is broken")
            _unpack(archive, file, data_dir)
    except urllib.error.URLError as error:
        raise DataError(
            f"{data_dir / archive.folder}: missing, and {archive.url} cannot be reached ({error.reason}): "
            "unpack that archive into the folder by hand"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{data_dir / archive.folder}: missing, and fetching it failed: {error}") from None


def _download(url: str, target: IO[bytes], progress: Progress | None) -> str:
    """Copy what lies at an address into a file, which is rewound; the md5 checksum of it."""
    checksum = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 (an address in a module of ours)
        total = int(response.headers.get("Content-Length") or 0)
        while block := response.read(1 << 20):
            target.write(block)
            checksum.update(block)
            if progress:
                progress({"event": "download", "bytes": target.tell(), "total_bytes": total})
    target.seek(0)
    return checksum.hexdigest()


def _unpack(archive: Archive, file: IO[bytes], data_dir: Path) -> None:
    """Write the data files out of the downloaded file, and nothing else: no path in it is followed."""
    with tarfile.open(fileobj=file, mode="r:gz") as members:
        contents = {}
        for name in (*archive.train, *archive.test):
            member = members.extractfile(f"{archive.folder}/{name}")
            if member is None:
                raise DataError(f"{archive.url}: {name} is not a file in it")
            contents[name] = member.read()
    data_dir.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir) as temporary:
        whole = Path(temporary) / archive.folder
        whole.mkdir()
        for name, content in contents.items():
            (whole / name).write_bytes(content)
        whole.rename(data_dir / archive.folder)


__all__ = ["Archive", "read"]
