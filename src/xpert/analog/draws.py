"""The randomness of a chip: one seed per layer, and from it one stream per effect.

Streams of their own keep a chip the same chip when an effect is switched on or off: the other effects draw what they
would have drawn. They are drawn on the CPU, so that a chip is the same on every device.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Effect = Literal["programming", "drift", "relaxation", "stuck_cells", "adc_offset", "adc_gain", "reads", "noise_1f"]

_STREAMS: dict[Effect, int] = {
    "programming": 0,
    "drift": 1,
    "relaxation": 2,
    "stuck_cells": 3,
    "adc_offset": 4,
    "adc_gain": 5,
    "reads": 6,
    "noise_1f": 7,
}


def _seed(*entropy: int) -> int:
    """A seed of 63 bits."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def chip_generator(seed: int, chip: int) -> torch.Generator:
    """Source of the variation of one chip; chips of one seed are independent, and chip k is the same however many."""
    return torch.Generator().manual_seed(_seed(seed, chip))


class Draws:
    """What one layer of one chip draws.

    Args:
        source: Generator of the chip, which gives this layer's seed; or that seed.
    """

    def __init__(self, source: torch.Generator | int) -> None:
        if isinstance(source, torch.Generator):
            source = int(torch.randint(1 << 62, (), generator=source, device=source.device))
        self.seed = source
        """Of the layer: an equal one draws the same."""
        self._generators: dict[Effect, torch.Generator] = {}

    def _generator(self, effect: Effect) -> torch.Generator:
        if effect not in self._generators:
            self._generators[effect] = torch.Generator().manual_seed(_seed(self.seed, _STREAMS[effect]))
        return self._generators[effect]

    def normal(self, effect: Effect, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """The next standard normal numbers of an effect, float64 of float32 draws."""
        return torch.randn(shape, generator=self._generator(effect)).to(device, torch.float64)

    def uniform(self, effect: Effect, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """The next numbers of an effect, uniform within 0 ... 1, float64 of float32 draws."""
        return torch.rand(shape, generator=self._generator(effect)).to(device, torch.float64)

    @property
    def read_key(self) -> int:
        """Key of the noise of reads, which is drawn by counting; see `converted_sums`."""
        return _seed(self.seed, _STREAMS["reads"])


__all__ = ["Draws", "Effect", "chip_generator"]
