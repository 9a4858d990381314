"""Files from the net: checked before they are used, there whole or not at all."""

from __future__ import annotations

import contextlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpert.errors import DataError
from xpert.progress import Progress, Report

_TIMEOUT = 30
"""Longest silence of a server. [s]"""

_BLOCK = 1 << 20
"""Read at a time. [byte]"""


def fetch_archive(url: str, checksum: str, target: Path, names: Sequence[str], progress: Report | None = None) -> None:
    """Download a tar archive, check it, and unpack some files of one of its folders.

    Nothing is written outside the folder above `target`, and no path in the archive is followed.

    Args:
        url: Address of the archive.
        checksum: Of the archive, as `md5:...` or `sha256:...`.
        target: Folder that is made, with the name it has in the archive. The folder above is made where it is missing.
        names: Files to unpack.
        progress: Called with the bytes done while the archive is fetched.

    Raises:
        DataError: If the archive cannot be fetched, is not what it should be, or the disk refuses.
    """
    above = target.parent
    if not above.resolve().parent.is_dir():
        raise DataError(f"{above}: no such folder")
    new = not above.exists()
    try:
        above.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=above) as temporary:
            archive = _download(url, checksum, Path(temporary), progress)
            (whole := Path(temporary, target.name)).mkdir()
            _unpack(archive, whole, names)
            whole.rename(target)
    except _Refused as error:
        raise DataError(
            f"{target}: missing, and {url} cannot be fetched ({error}): unpack that archive into the folder by hand"
        ) from None
    except _Broken as error:
        raise DataError(f"{url}: {error}") from None
    except OSError as error:
        raise DataError(f"{target}: missing, and fetching it failed: {error}") from None
    finally:
        if new:
            with contextlib.suppress(OSError):  # it stays where there is something in it
                above.rmdir()


class _Refused(Exception):
    """A download that did not come to its end, and why."""


class _Broken(Exception):
    """What is wrong with an archive."""


class _Bar:
    """A progress bar as pooch moves it."""

    def __init__(self, progress: Report) -> None:
        self.total = self._done = 0
        self._progress = progress

    def update(self, n_bytes: int) -> None:
        self._done += n_bytes
        if n_bytes:
            self._progress(Progress(stage="download", unit="bytes", done=self._done, total=self.total))

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _download(url: str, checksum: str, folder: Path, progress: Report | None) -> Path:
    import pooch  # with requests, slow to import
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel("WARNING")
    bar = _Bar(progress) if progress else False
    # The library's annotations leave out what its documentation promises: bars of one's own, and its own downloader.
    get: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=_BLOCK, timeout=_TIMEOUT)  # pyright: ignore[reportArgumentType]
    try:
        return Path(pooch.retrieve(url, checksum, fname="archive", path=folder, downloader=get))
    except RequestException as error:
        raise _Refused(_reason(error)) from None
    except ValueError as error:
        raise _Broken(str(error).partition(". ")[0]) from None


def _reason(error: BaseException) -> str:
    """What the innermost error says, without the addresses that the layers around it put in front."""
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner
    return re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", " ".join(str(error).split()))


def _unpack(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Write files of an archive into a folder that has the name of theirs."""
    try:
        with tarfile.open(archive) as members:
            for name in names:
                content = members.extractfile(f"{folder.name}/{name}")
                if content is None:
                    raise _Broken(f"{name} is not a file in it")
                with (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    except KeyError as error:
        raise _Broken(error.args[0]) from None
    except (tarfile.TarError, EOFError):
        raise _Broken("not an archive, or not a whole one") from None


__all__ = ["fetch_archive"]
