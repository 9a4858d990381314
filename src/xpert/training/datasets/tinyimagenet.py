"""TinyImageNet in its official layout: 200 classes of ImageNet at 64x64; classes are the sorted WordNet names.

Its images are for research only, so users fetch it themselves: http://cs231n.stanford.edu/tiny-imagenet-200.zip.

Source: Le and Yang, "Tiny ImageNet Visual Recognition Challenge", Stanford CS231n, 2015.
"""

from __future__ import annotations

from pathlib import Path

from xpert.errors import DataError
from xpert.training.datasets._pictures import of_pictures
from xpert.training.pictures import Found, class_folders, found_in

_FOLDER = "tiny-imagenet-200"


def _find(folder: Path) -> tuple[tuple[str, ...], Found, Found]:
    root = next((place for place in (folder, folder / _FOLDER) if (place / "train").is_dir()), None)
    if root is None:
        raise DataError(
            f"{folder}: holds no {_FOLDER}/train; unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip there"
        )
    classes = class_folders(root / "train")
    return classes, found_in(root / "train", classes), _validation(root / "val", classes)


def _validation(folder: Path, classes: tuple[str, ...]) -> Found:
    """The validation pictures, whose classes a list says; they serve as test images, since those have no classes.

    Raises:
        DataError: If the list or a picture is missing, or a line of it is wrong.
    """
    path = folder / "val_annotations.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None
    numbers = {name: label for label, name in enumerate(classes)}
    paths, labels = [], []
    for number, line in enumerate(lines, start=1):
        # Name of the file, class, and a box, between tabs.
        name, _, rest = line.partition("\t")
        label = numbers.get(rest.partition("\t")[0])
        if label is None or not name or "/" in name:
            raise DataError(
                f"{path}: line {number}: must be a picture and one of the classes in train, got {line[:60]!r}"
            )
        if not (picture := folder / "images" / name).is_file():
            raise DataError(f"{picture}: missing, but in {path.name}")
        paths.append(picture)
        labels.append(label)
    if not paths:
        raise DataError(f"{path}: empty")
    return Found(tuple(paths), tuple(labels))


DATASET = of_pictures("tinyimagenet", _find)

__all__ = ["DATASET"]
