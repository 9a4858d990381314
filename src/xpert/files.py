"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

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
