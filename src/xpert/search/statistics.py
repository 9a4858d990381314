"""How sure an accuracy is that was measured on some images and some chips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Bools = NDArray[np.bool_]

CONFIDENCE = 0.95
"""Chance with which an interval holds the value of all images and all chips."""


class Interval(NamedTuple):
    """A mean over images and chips, and the interval in which that of all of them lies."""

    mean: float
    low: float
    high: float


def accuracy_interval(correct: Bools) -> Interval:
    """Accuracy with its confidence interval.

    Images and chips are both samples: the variance of the mean is that between images plus that between chips, as each
    over its number (a bound slightly above the truth, for both hold what images and chips do together).

    Args:
        correct: Whether an image was right on a chip, [chips, images].

    Source: Owen, Annals of Applied Statistics 1(2), 2007, "The pigeonhole bootstrap", section 3.
    """
    return _interval(correct.astype(np.float64), 0.0, 1.0)


def difference_interval(correct: Bools, reference: Bools) -> Interval:
    """Accuracy of one design less that of another on the same images and chips, with its confidence interval.

    What makes an image hard or a chip bad meets both, so far fewer images tell than for each accuracy alone.

    Args:
        correct: [chips, images].
        reference: Of the other design, [chips, images].
    """
    return _interval(correct.astype(np.float64) - reference, -1.0, 1.0)


def _interval(values: NDArray[np.float64], least: float, most: float) -> Interval:
    chips, images = values.shape
    variance = values.mean(axis=0).var(ddof=1) / images if images > 1 else np.inf
    if chips > 1:
        variance += values.mean(axis=1).var(ddof=1) / chips
    mean = float(values.mean())
    half = float(norm.ppf(0.5 + CONFIDENCE / 2) * np.sqrt(variance))
    return Interval(mean, max(least, mean - half), min(most, mean + half))


__all__ = ["CONFIDENCE", "Bools", "Interval", "accuracy_interval", "difference_interval"]
