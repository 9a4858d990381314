"""Pictures in folders: `train/` and `test/` or `val/`, each with a folder for each class, whose name is the class's.

Where both are there, `test/` is tested on, and `val/` is passed over: XPert holds back validation images of its own.
"""

from __future__ import annotations

from pathlib import Path

from xpert.errors import DataError
from xpert.training.datasets._pictures import of_pictures
from xpert.training.pictures import Found, class_folders, found_in

_TEST = ("test", "val", "valid", "validation")
"""Folders of what is tested on, the first that is there."""


def _find(folder: Path) -> tuple[tuple[str, ...], Found, Found]:
    train = folder / "train"
    test = next((folder / name for name in _TEST if (folder / name).is_dir()), None)
    if not train.is_dir() or test is None:
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
        raise DataError(f"{folder}: must hold the folders train and test (or val); has {there}")
    classes, of_test = class_folders(train), class_folders(test)
    if classes != of_test:
        lacking = [
            f"{part} lacks {', '.join(sorted(missing))}"
            for part, missing in (
                (test.name, set(classes) - set(of_test)),
                (train.name, set(of_test) - set(classes)),
            )
            if missing
        ]
        raise DataError(f"{folder}: train and {test.name} must have the same classes: {'; '.join(lacking)}")
    return classes, found_in(train, classes), found_in(test, classes)


DATASET = of_pictures("imagefolder", _find)

__all__ = ["DATASET"]
