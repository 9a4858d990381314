"""How sure an accuracy is that was measured on some images and some chips: the one interval that XPert reports."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

Bools = NDArray[np.bool_]

CONFIDENCE = 0.95
"""Chance with which an interval holds the value of all images and all chips."""


class Interval(NamedTuple):
    """A mean over images and chips, and the interval in which that of all of them lies."""

    mean: float
    low: float
    high: float


class _Spread(NamedTuple):
    variance: float
    """Of the mean."""

    degrees: float
    """Degrees of freedom of that estimate."""


def accuracy_interval(correct: Bools) -> Interval:
    """Accuracy with its 95 % confidence interval, over chips and over images.

    Chips and images are both samples, crossed: every image runs on every chip. The variance of the mean comes from the
    two-way analysis of variance (`_crossed`). Its size in independent images, `n = p (1 - p) / variance`, goes into
    Wilson's interval, with Student's t in the place of the normal quantile. So the interval stays within 0 ... 1 and
    is not empty where every answer is right: there `n` is the number of images. On one chip the interval is of that
    chip alone, for nothing is known of others. It holds the truth in 93 to 98 % of simulated tables of two chips and
    more; where three chips differ by ten points, in 92 %.

    Args:
        correct: Whether an image was right on a chip, [chips, images].

    Source: Wilson, Journal of the American Statistical Association 22, 1927, for the interval; Korn and Graubard,
        Survey Methodology 24, 1998, for the effective number in it.
    """
    values = correct.astype(np.float64)
    mean, n = float(values.mean()), float(values.shape[1])
    spread = _crossed(values)
    quantile = float(norm.ppf(0.5 + CONFIDENCE / 2))
    if spread.variance > 0 and values.shape[1] > 1:
        n = mean * (1 - mean) / spread.variance
        quantile = _quantile(spread)
    weight = quantile**2 / n
    centre = (mean + weight / 2) / (1 + weight)
    half = math.sqrt(weight * mean * (1 - mean) + weight**2 / 4) / (1 + weight)
    # Rounding alone could move an end past the mean, or past 0 or 1.
    return Interval(mean, max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half)))


def difference_interval(correct: Bools, reference: Bools) -> Interval:
    """Accuracy of one design less that of another on the same images and chips, with its 95 % confidence interval.

    What makes an image hard or a chip bad meets both, so far fewer images tell than for each accuracy alone.

    Args:
        correct: [chips, images].
        reference: Of the other design, [chips, images].
    """
    values = correct.astype(np.float64) - reference
    mean, spread = float(values.mean()), _crossed(values)
    half = _quantile(spread) * math.sqrt(spread.variance) if spread.variance > 0 else 0.0
    return Interval(mean, max(-1.0, mean - half), min(1.0, mean + half))


def percentile(values: NDArray[np.float64], share: float) -> float:
    """The value that a share of a sample is not above.

    The smallest value for which at least `share` of all values are as small: of 20 values the smallest for 5 %. Where a
    value rises, it rises or stays.

    Args:
        values: The sample.
        share: 0 < share <= 1.

    Source: Hyndman and Fan, The American Statistician 50, 1996, definition 1.
    """
    return float(np.quantile(values, share, method="inverted_cdf"))


def share_interval(successes: int, number: int) -> Interval:
    """A share of independent draws with its exact 95 % confidence interval.

    It holds the truth in at least 95 % of all cases, whatever the share is.

    Args:
        successes: Draws that have the property.
        number: All draws.

    Source: Clopper and Pearson, Biometrika 26, 1934; in terms of the beta distribution: Brown, Cai and DasGupta,
        Statistical Science 16, 2001, section 4.2.1.
    """
    tail, others = (1 - CONFIDENCE) / 2, number - successes
    low = float(beta.ppf(tail, successes, others + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, others)) if others else 1.0
    return Interval(successes / number, low, high)


def _quantile(spread: _Spread) -> float:
    return float(t.ppf(0.5 + CONFIDENCE / 2, spread.degrees))


def _crossed(values: NDArray[np.float64]) -> _Spread:
    """Variance of the mean of a table whose rows and columns are both samples.

    With `value = mean + row + column + rest`, of variances r, c and e, the mean over R rows and C columns has the
    variance `r / R + c / C + e / (R C)`. The mean squares MR, MC and ME of the two-way analysis of variance without
    replication estimate it by `(MR + MC - ME) / (R C)`. A negative r or c counts as none. The degrees of freedom are
    Satterthwaite's for these three, none of them taken for certain; with few chips they are few. A single row or column
    says nothing of others: the variance is that along the other axis.

    Args:
        values: [rows, columns].

    Source: Searle, Casella and McCulloch, Variance Components, 1992, section 4.7; Satterthwaite, Biometrics Bulletin 2,
        1946. The same variance by resampling: Owen, Annals of Applied Statistics 1(2), 2007, section 3.
    """
    rows, columns = values.shape
    if rows == 1 or columns == 1:
        count = values.size
        return _Spread(float(values.var(ddof=1)) / count, count - 1.0) if count > 1 else _Spread(math.inf, 1.0)
    row_means, column_means = values.mean(axis=1), values.mean(axis=0)
    residual = values - row_means[:, None] - column_means + values.mean()
    free = np.array([rows - 1, columns - 1, (rows - 1) * (columns - 1)], dtype=np.float64)
    of_rows, of_columns = columns * row_means.var(ddof=1), rows * column_means.var(ddof=1)
    rest = (residual**2).sum() / free[2]
    # A mean square below the rest's is a negative variance; it keeps the rest's size and its own few degrees.
    counted = np.array([max(of_rows, rest), max(of_columns, rest), rest])
    total = float(counted[0] + counted[1] - counted[2])
    if total <= 0:
        return _Spread(0.0, math.inf)
    return _Spread(total / values.size, total**2 / float((counted**2 / free).sum()))


__all__ = [
    "CONFIDENCE",
    "Bools",
    "Interval",
    "accuracy_interval",
    "difference_interval",
    "percentile",
    "share_interval",
]
