"""Which images a network gets right on sampled chips, design by design: what phase 2 measures."""

from __future__ import annotations

from torch import Tensor, nn

from xpert.analog import to_analog
from xpert.analog.accuracy import SampledChips
from xpert.design import Design
from xpert.errors import DataError
from xpert.search.statistics import Bools


class ChipBench:
    """A trained network on the same chips and images for every design that is asked for.

    Chips are those of `ni_accuracy` with the same seed: designs that differ in their precisions alone are measured on
    identical cells.

    Args:
        model: Trained; its present weights are written to every chip.
        design: Network and chip; the designs to measure may differ in ADC and input precision.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        calibration: Normalised images on which ADC ranges are set, and batch norms measured; others than those.
        seed: Of the chips.
        chips: How many.
        first_chip: Number of the first of them.
        batch_size: Images at a time on each chip.

    Raises:
        ConfigError: If model and design do not match.
        DataError: If there are no images.
    """

    def __init__(
        self,
        model: nn.Module,
        design: Design,
        images: Tensor,
        labels: Tensor,
        calibration: Tensor,
        *,
        seed: int,
        chips: int,
        first_chip: int = 0,
        batch_size: int = 128,
    ) -> None:
        if not len(images):
            raise DataError("precision search: there are no validation images to measure accuracy on")
        analog = to_analog(model, design, generator=None, calibration=calibration)
        numbers = range(first_chip, first_chip + chips)
        self._sampled = SampledChips(
            analog, design, images, labels, calibration, seed=seed, chips=numbers, batch_size=batch_size
        )

    def __call__(self, design: Design) -> Bools:
        """Whether each image is right on each chip, [chips, images].

        Args:
            design: Differs from the first in precisions only.
        """
        return self._sampled.correct(design)


__all__ = ["ChipBench"]
