from __future__ import annotations

import numpy as np
import pytest

from xpert.search.statistics import accuracy_interval, difference_interval


def sample(random: np.random.Generator, chips: int, images: int, shift: float = 0.0) -> np.ndarray:
    """Right or wrong by a difficulty of each image, a quality of each chip, and chance."""
    logit = 1.5 + shift + 1.5 * random.standard_normal(images) + 0.4 * random.standard_normal((chips, 1))
    return random.random((chips, images)) < 1 / (1 + np.exp(-logit))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth = sample(random, 4000, 4000).mean()
    found = [accuracy_interval(sample(random, 8, 300)) for _ in range(400)]
    held = np.mean([entry.low <= truth <= entry.high for entry in found])
    assert 0.91 <= held <= 0.995
    widths = [entry.high - entry.low for entry in found]
    spread = np.std([entry.mean for entry in found])
    assert np.mean(widths) == pytest.approx(2 * 1.96 * spread, rel=0.35)


def test_pairs_tell_differences_that_single_accuracies_do_not() -> None:
    random = np.random.default_rng(1)
    difficulty = random.random((2, 500))
    better, worse = difficulty < 0.9, difficulty < 0.885
    difference = difference_interval(better, worse)
    assert difference.mean == pytest.approx(better.mean() - worse.mean())
    assert difference.low > 0
    assert accuracy_interval(better).low < accuracy_interval(worse).high
    assert difference_interval(better, better) == (0, 0, 0)


def test_an_interval_stays_within_what_can_be() -> None:
    assert accuracy_interval(np.ones((1, 10), bool)) == (1, 1, 1)
    one = accuracy_interval(np.array([[True]]))
    assert (one.low, one.high) == (0, 1)
