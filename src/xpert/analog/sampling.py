"""What accuracies are measured on: images, and sampled chips."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xpert.networks.images import Images


@dataclass(frozen=True)
class TestSet:
    """Images with their classes, and others on which a chip is set up before it sees them."""

    images: Images
    """Normalised images [n, channels, height, width], all in memory or a batch at a time."""

    labels: Tensor
    """Their classes [n]."""

    calibration: Tensor | None
    """Normalised images, none of those above, on which ADC ranges are set and batch norms measured."""

    def take(self, order: Tensor) -> TestSet:
        """The same images, or some of them, in another order.

        Args:
            order: Number of the image in each place.
        """
        return TestSet(self.images[order], self.labels[order], self.calibration)

    __test__ = False  # pytest takes classes of this name for tests


@dataclass(frozen=True)
class Sampling:
    """Which chips are sampled, and how many images run at a time."""

    seed: int
    """Of the chips."""

    n_chips: int = 1
    """How many."""

    batch_size: int = 64
    """Images at a time on each chip; results do not depend on it."""

    first_chip: int = 0
    """Number of the first of them; the same seed and number give the same chip."""

    @property
    def numbers(self) -> range:
        """Numbers of the chips, see `chip_generator`."""
        return range(self.first_chip, self.first_chip + self.n_chips)


__all__ = ["Sampling", "TestSet"]
