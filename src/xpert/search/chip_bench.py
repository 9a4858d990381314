"""Which images a network gets right on sampled chips, design by design: what phase 2 measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xpert.analog import reprogram, rewind, set_precision, to_analog
from xpert.analog.draws import chip_generator
from xpert.design import Design
from xpert.errors import DataError
from xpert.search.statistics import Bools


class ChipBench:
    """A trained network on the same chips and images for every design that is asked for.

    Chips are those of `ni_accuracy` with the same seed: designs that differ in their precisions alone are written to
    identical cells.

    Args:
        model: Trained; its present weights are written to every chip.
        design: Network and chip; the designs to measure may differ in ADC and input precision.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        calibration: Normalised images on which ADC ranges are set; others than those.
        seed: Of the chips.
        chips: How many.
        first_chip: Number of the first of them.
        batch_size: Images at a time.

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
        self._analog = to_analog(model, design, generator=None, calibration=calibration)
        self._order = [layer.name for layer in design.network.layers]
        self._batches = list(zip(images.split(batch_size), labels.split(batch_size)))
        self._seed, self._chips, self._batch_size = seed, range(first_chip, first_chip + chips), batch_size

    def __call__(self, design: Design, progress: Callable[[dict[str, Any]], None] | None = None) -> Bools:
        """Whether each image is right on each chip, [chips, images].

        Args:
            design: Differs from the first in precisions only.
            progress: Called after each batch with `chip`, `chips`, `images` done on it.
        """
        set_precision(self._analog, design)
        found = []
        with torch.no_grad():
            for chip in self._chips:
                reprogram(self._analog, chip_generator(self._seed, chip), self._order)
                rewind(self._analog)
                right = []
                for batch, truth in self._batches:
                    right.append((self._analog(batch).argmax(dim=1) == truth).cpu().numpy())
                    if progress:
                        done = sum(map(len, right))
                        progress({"chip": chip - self._chips[0], "chips": len(self._chips), "images": done})
                found.append(np.concatenate(right))
        return np.stack(found)


__all__ = ["ChipBench"]
