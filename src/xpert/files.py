"""Files are written whole or not at all, and hold plain data."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xpert.errors import RunError


def write_atomically(path: Path | str, content: str | bytes | Callable[[Path], None]) -> None:
    """Write a file so that a reader sees the old content or the new, even after a kill or on a full disk.

    Args:
        path: Where to.
        content: Text, bytes, or a function that writes to the temporary path which it is given.

    Raises:
        RunError: If the folder is missing or the disk refuses; an existing file stays as it was.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        if callable(content):
            content(temporary)
        elif isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            temporary.write_bytes(content)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private; give them the permissions that an ordinary file would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"{path}: cannot write: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file, so that a reader of the target sees the old content or the new.

    Raises:
        RunError: If the source cannot be read, or the target cannot be written.
    """

    def copy(temporary: Path) -> None:
        shutil.copyfile(source, temporary)

    write_atomically(target, copy)


def jsonable(value: Any) -> Any:
    """The same data in what JSON has: arrays and tuples as lists, array scalars as numbers, NaN and infinities as null.

    Raises:
        TypeError: If something in it has no place in JSON.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if callable(getattr(value, "tolist", None)):  # arrays and tensors, without importing their libraries
        return jsonable(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in JSON")


__all__ = ["copy_atomically", "jsonable", "write_atomically"]
