"""NI-accuracy: how often the network is right on sampled chips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from xpert.analog.convert import reprogram, to_analog
from xpert.analog.draws import chip_generator
from xpert.design import AnalogSettings, Design
from xpert.errors import ConfigError, DataError


class NiAccuracy(NamedTuple):
    """Accuracy over chips, fractions 0 ... 1."""

    mean: float
    """Mean over chips."""

    std: float
    """Standard deviation over chips (n - 1 in the denominator); 0 for one chip."""

    chips: list[float]
    """Accuracy of each chip."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Two-sided 95 % confidence interval of the mean over all chips, on these images; None for one chip.

        Student's t interval, `mean +- t(0.975, n - 1) * std / sqrt(n)`, cut to 0 ... 1. It says nothing about how well
        these images stand for others.
        """
        n = len(self.chips)
        if n < 2:
            return None
        half = float(stdtrit(n - 1, 0.975)) * self.std / n**0.5
        return max(self.mean - half, 0.0), min(self.mean + half, 1.0)


def ni_accuracy(
    model: nn.Module,
    design: Design,
    images: Tensor,
    labels: Tensor,
    calibration_images: Tensor | None,
    *,
    seed: int,
    chips: int = 1,
    batch_size: int = 64,
    settings: AnalogSettings | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> NiAccuracy:
    """Accuracy of a design on sampled chips.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        calibration_images: Normalised images on which ADC ranges are calibrated; not those that are evaluated.
        seed: Of the chips.
        chips: How many chips to sample.
        batch_size: Images at a time; results do not depend on it.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        progress: Called after each batch with `chip`, `chips`, `images` done on it, `total` and `accuracy` so far; with
            IR drop also after each layer that is programmed, with `chip`, `chips` and `layer`.

    Raises:
        ConfigError: If model and design do not match, or a count is not positive.
        DataError: If there are no images, or labels of another number.
    """
    for name, value in (("chips", chips), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    if len(images) == 0 or len(images) != len(labels):
        raise DataError(f"NI-accuracy needs one label per image and at least one, got {len(images)} and {len(labels)}")
    order = [layer.name for layer in design.network.layers]
    analog_settings = settings or design.chip.analog
    analog = to_analog(model, design, generator=None, settings=settings, calibration=calibration_images)
    accuracies = []
    for chip in range(chips):

        def programmed(figures: dict[str, Any], chip: int = chip) -> None:
            if progress is not None:
                progress({"chip": chip, "chips": chips, "layer": figures["layer"]})

        # With IR drop, programming takes longer than many images.
        told = programmed if analog_settings.ir_drop else None
        reprogram(analog, chip_generator(seed, chip), order, told)
        right = done = 0
        for batch, truth in zip(images.split(batch_size), labels.split(batch_size)):
            with torch.no_grad():
                right += int((analog(batch).argmax(dim=1) == truth).sum())
            done += len(batch)
            if progress is not None:
                accuracy = right / done
                progress({"chip": chip, "chips": chips, "images": done, "total": len(images), "accuracy": accuracy})
        accuracies.append(right / len(images))
    std = float(np.std(accuracies, ddof=1)) if chips > 1 else 0.0
    return NiAccuracy(float(np.mean(accuracies)), std, accuracies)


__all__ = ["NiAccuracy", "chip_generator", "ni_accuracy"]
