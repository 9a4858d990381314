"""What a run folder keeps of its images."""

from __future__ import annotations

from xpert.results.record import Record


class ImagesFile(Record):
    """The images of a run, as `images.json` holds them: what a deployed network needs to know of its inputs."""

    name: str
    """Of the data set."""

    input_shape: tuple[int, int, int]
    """Channels, height and width of an image."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""

    mean: tuple[float, ...]
    """Mean of each channel over the training images, as a share of full scale; subtracted from images."""

    std: tuple[float, ...]
    """Standard deviation of each channel, likewise; divides them."""

    train: int
    """Images that are trained on."""

    validation: int
    """Images held back from training."""

    test: int
    """Images for final accuracies."""


__all__ = ["ImagesFile"]
