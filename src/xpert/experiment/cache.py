"""Results of stages, found again by what they depend on.

::

    CACHE/STAGE-KEY.json   the result
    CACHE/STAGE-KEY/...    files that go with it, such as trained weights

The key is a hash of everything that decides the result. Where it is computed (device, processes, versions) is left out,
as it is when a run is resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xpert.files import copy_atomically, write_atomically
from xpert.results import Record

_VERSION = 1
"""To be raised when a stage computes something else from the same settings."""

_DIGITS = 16

R = TypeVar("R", bound=Record)


class StageCache:
    """A folder of results that several runs share.

    Args:
        folder: Where they are; made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(
        self, stage: str, depends: dict[str, Any], kind: type[R], compute: Callable[[], R], files: Sequence[Path] = ()
    ) -> R:
        """A result: the kept one, if there is one with the same dependencies, else computed and kept.

        Args:
            stage: Name of the stage.
            depends: Everything that decides the result, as plain data.
            kind: What the result is.
            compute: Computes it and leaves the files.
            files: Files of the run that go with it; where the result was kept, they are copied there.

        Raises:
            DataError: If the kept result is broken.
            RunError: If a file cannot be written.
        """
        entry = self._folder / f"{stage}-{key_of(stage, depends)}"
        result = entry.with_suffix(".json")
        if result.exists():
            for file in files:
                copy_atomically(entry / file.name, file)
            return kind.read(result, "kept result")
        found = compute()
        (entry if files else self._folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            copy_atomically(file, entry / file.name)
        write_atomically(result, found.to_json())  # last: it says that the files are there
        return found


def key_of(stage: str, depends: dict[str, Any]) -> str:
    """The hash under which a result is kept."""
    text = json.dumps([_VERSION, stage, depends], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


__all__ = ["StageCache", "key_of"]
