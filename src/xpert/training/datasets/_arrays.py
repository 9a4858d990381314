"""Arrays of images and labels as users bring them, brought to bytes [n, height, width, channels] and numbers from 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xpert.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def as_bytes(values: NDArray[Any], where: str, first: int = 0) -> NDArray[np.uint8]:
    """Pixels as bytes: whole numbers from 0 to 255 as they are; of floats 0 is black and 1 is white.

    Args:
        values: Of any shape, the first axis counts images.
        where: What they are, for messages.
        first: Number of the first of them, likewise.

    Raises:
        DataError: If they are not finite, or out of range.
    """
    import numpy as np

    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "fiub":
        raise DataError(f"{where}: must be bytes or floating-point numbers, is {values.dtype}")
    full = 255 if values.dtype.kind in "iu" else 1
    found = np.empty(values.shape, np.uint8)
    for number, image in enumerate(values, start=first):
        if not np.isfinite(image).all():
            raise DataError(f"{where}: image {number} holds NaN or infinity")
        low, high = image.min(), image.max()
        if low < 0 or high > full:
            raise DataError(
                f"{where}: image {number} has values {low:g} ... {high:g}; must be bytes, or floats from 0 (black) to "
                "1 (white), not normalised: mean and spread are computed from the training images"
            )
        found[number - first] = np.rint(image.astype(np.float64) * (255 // full))
    return found


def channels_last(images: NDArray[Any], where: str) -> NDArray[Any]:
    """Images [n, height, width, channels] of [n, height, width], or with channels last or after the number.

    Channels are the axis that is the shorter one.

    Raises:
        DataError: If they have another form.
    """
    import numpy as np

    if images.ndim == 3:
        return images[..., None]
    if images.ndim != 4 or not images.size:
        raise DataError(f"{where}: must be N,H,W or N,H,W,C or N,C,H,W, is {','.join(map(str, images.shape))}")
    first, last = images.shape[1], images.shape[3]
    if first == last:
        raise DataError(f"{where}: are channels first or last in {','.join(map(str, images.shape))}?")
    return images if last < first else np.moveaxis(images, 1, 3)


def as_labels(labels: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    """Classes of images, whole numbers from 0.

    Raises:
        DataError: If they are not.
    """
    import numpy as np

    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise DataError(f"{where}: needs a label for each of {count} images, is {' x '.join(map(str, labels.shape))}")
    if labels.dtype.kind not in "iu" and not (labels.dtype.kind == "f" and (labels == np.floor(labels)).all()):
        raise DataError(f"{where}: must be whole numbers from 0, is {labels.dtype}")
    found = labels.astype(np.int64)
    if count and found.min() < 0:
        raise DataError(f"{where}: must be whole numbers from 0, got {found.min()} for image {int(found.argmin())}")
    return found


def classes_of(
    names: Sequence[str] | None, train: NDArray[np.int64], test: NDArray[np.int64], where: str
) -> tuple[str, ...]:
    """Names of the classes: as given, else the numbers.

    Raises:
        DataError: If there is only one class, a class has no training image, or labels are out of range.
    """
    import numpy as np

    n_classes = len(names) if names is not None else int(train.max()) + 1
    if n_classes < 2:
        raise DataError(f"{where}: all training images are of one class; two are needed")
    for part, labels in (("training", train), ("test", test)):
        if labels.max() >= n_classes:
            known = "names of classes" if names is not None else "classes among the training images"
            raise DataError(
                f"{where}: image {int(labels.argmax())} of the {part} images has label {labels.max()}, but there are "
                f"{n_classes} {known}"
            )
    counts = np.bincount(train, minlength=n_classes)
    if not counts.all():
        raise DataError(f"{where}: no training image has label {int(counts.argmin())} of 0 ... {n_classes - 1}")
    return tuple(names) if names is not None else tuple(map(str, range(n_classes)))


__all__ = ["as_bytes", "as_labels", "channels_last", "classes_of"]
