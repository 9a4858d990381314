"""Rank correlations, how sure they are, and how high they can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

RESAMPLES = 4000
"""Bootstrap samples of an interval."""

ALIKE = 1.25
"""Networks whose MACs differ by less than this factor count as equally large."""


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's rank correlation along the last axis, [*batch]. Ties get their mean rank."""
    ranks = [rankdata(values, axis=-1) for values in (x, y)]
    a, b = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), scale, out=np.zeros(scale.shape), where=scale > 0)


def kendall(x: Floats, y: Floats, among: NDArray[np.bool_] | None = None) -> Floats:
    """Kendall's tau-b along the last axis, [*batch]; only over the pairs [*batch, n, n] that `among` names."""
    a, b = (np.sign(values[..., :, None] - values[..., None, :]) for values in (x, y))
    if among is not None:
        a, b = np.where(among, a, 0.0), np.where(among, b, 0.0)
    scale = np.sqrt((a**2).sum(axis=(-2, -1)) * (b**2).sum(axis=(-2, -1)))
    return np.divide((a * b).sum(axis=(-2, -1)), scale, out=np.zeros(scale.shape), where=scale > 0)


def alike(sizes: Floats) -> NDArray[np.bool_]:
    """Which pairs of networks are about equally large, [*batch, n, n]."""
    logs = np.log(sizes)
    return np.abs(logs[..., :, None] - logs[..., None, :]) < np.log(ALIKE)


@dataclass(frozen=True)
class Estimate:
    """A figure and the central 95 % of its bootstrap distribution."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} ... {self.high:.2f})"


@dataclass(frozen=True)
class Agreement:
    """How well a score ranks networks."""

    spearman: Estimate
    kendall: Estimate
    kendall_alike: Estimate
    """Among pairs of about equal MACs: what a score says beyond size."""


def resamples(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Networks drawn with replacement, [resamples, count]."""
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))


def agreement(score: Floats, truth: Floats, sizes: Floats) -> Agreement:
    """Rank correlations of a score with the truth, with percentile bootstrap intervals over networks.

    Args:
        score: [networks].
        truth: Accuracies, [networks].
        sizes: MACs, [networks].
    """
    rows = resamples(len(score))
    pairs = alike(sizes)
    spearmans = spearman(score[rows], truth[rows])
    kendalls, alikes = [], []
    for part in np.array_split(rows, 40):  # pairs of a few hundred samples at a time
        kendalls.append(kendall(score[part], truth[part]))
        alikes.append(kendall(score[part], truth[part], pairs[part[:, :, None], part[:, None, :]]))
    return Agreement(
        _estimate(spearman(score, truth), spearmans),
        _estimate(kendall(score, truth), np.concatenate(kendalls)),
        _estimate(kendall(score, truth, pairs), np.concatenate(alikes)),
    )


def lead(score: Floats, other: Floats, truth: Floats) -> Estimate:
    """By how much a score's Spearman correlation is above another's, over the same resamples."""
    rows = resamples(len(score))
    differences = spearman(score[rows], truth[rows]) - spearman(other[rows], truth[rows])
    return _estimate(spearman(score, truth) - spearman(other, truth), differences)


def chance(first: Floats, second: Floats) -> float:
    """Standard deviation of one training's accuracy over seeds, from pairs of trainings [pairs] of the same network."""
    return float(np.sqrt(np.mean((first - second) ** 2) / 2))


def ceiling(truth: Floats, deviation: float, seed: int = 0) -> tuple[Estimate, Estimate]:
    """Spearman's and Kendall's correlation that a score would have which knew every network's expected accuracy.

    Expected accuracies are not known, but how far they spread: as far as the measured ones, less what chance adds. So
    the measured ones, drawn together to that spread, play their part, and chance is added anew in every resample.

    Args:
        truth: Measured accuracies, [networks].
        deviation: Standard deviation of one by chance alone.
        seed: Of chance.
    """
    share = max(0.0, 1 - deviation**2 / truth.var())
    expected = truth.mean() + np.sqrt(share) * (truth - truth.mean())
    noise = np.random.default_rng(seed).normal(0, deviation, (RESAMPLES, len(truth)))
    known = np.broadcast_to(expected, noise.shape)
    spearmans = spearman(known, known + noise)
    kendalls = np.concatenate(
        [kendall(a, a + b) for a, b in zip(np.array_split(known, 40), np.array_split(noise, 40), strict=True)]
    )
    return tuple(
        Estimate(float(np.mean(values)), *np.quantile(values, [0.025, 0.975])) for values in (spearmans, kendalls)
    )


def _estimate(value: Floats, samples: Floats) -> Estimate:
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


__all__ = ["Agreement", "Estimate", "agreement", "alike", "ceiling", "chance", "kendall", "lead", "spearman"]
