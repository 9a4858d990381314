from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binom, norm, t

from xpert.statistics import Bools, accuracy_interval, difference_interval, percentile, share_interval

MEAN_LOGIT = 2.5


def sample(random: np.random.Generator, chips: int, images: int, of_images: float, of_chips: float) -> Bools:
    """Right or wrong by a difficulty of each image, a quality of each chip, and chance."""
    logit = MEAN_LOGIT + of_images * random.standard_normal(images) + of_chips * random.standard_normal((chips, 1))
    return random.random((chips, images)) < 1 / (1 + np.exp(-logit))


def truth(of_images: float, of_chips: float) -> float:
    """The accuracy over all images and all chips."""
    z = np.linspace(-8, 8, 2001)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    return float((weight / (1 + np.exp(-(MEAN_LOGIT + np.hypot(of_images, of_chips) * z)))).sum())


@pytest.mark.parametrize(
    ("chips", "images", "of_images", "of_chips"),
    [
        (2, 400, 3.0, 0.3),
        (3, 400, 3.0, 0.3),
        (3, 400, 2.0, 0.3),
        (5, 300, 1.5, 0.4),
        (8, 300, 3.0, 0.0),
        (8, 300, 1.0, 0.6),
        (20, 200, 2.0, 0.2),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    chips: int, images: int, of_images: float, of_chips: float
) -> None:
    random = np.random.default_rng(0)
    expected = truth(of_images, of_chips)
    found = [accuracy_interval(sample(random, chips, images, of_images, of_chips)) for _ in range(1000)]
    held = np.mean([entry.low <= expected <= entry.high for entry in found])
    assert 0.93 <= held <= 0.98  # a thousand draws tell 0.95 to within 0.014


def test_chips_alone_or_images_alone_are_not_enough() -> None:
    """Intervals over one of the two, as if the other were all there is, miss the truth far too often."""
    random = np.random.default_rng(1)
    tables = [sample(random, 3, 400, 3.0, 0.3) for _ in range(400)]
    expected, means = truth(3.0, 0.3), np.array([table.mean() for table in tables])
    over_chips = [t.ppf(0.975, 2) * table.mean(axis=1).std(ddof=1) / 3**0.5 for table in tables]
    over_images = [1.96 * table.mean(axis=0).std(ddof=1) / 400**0.5 for table in tables]
    for halves in (over_chips, over_images):
        assert np.mean(np.abs(means - expected) <= halves) < 0.93


def test_the_variance_by_hand() -> None:
    # Means of chips 1/4 and 3/4, of images 1, 1/2, 1/2, 0; the rest is 1/4 off everywhere.
    correct = np.array([[1, 0, 0, 0], [1, 1, 1, 0]], bool)
    # Mean squares: chips 4 * 1/8 = 1/2 with 1 degree; images 2 * 1/6 = 1/3 with 3; rest 8 * 1/16 / 3 = 1/6 with 3.
    variance = (1 / 2 + 1 / 3 - 1 / 6) / 8
    degrees = (2 / 3) ** 2 / ((1 / 2) ** 2 / 1 + (1 / 3) ** 2 / 3 + (1 / 6) ** 2 / 3)
    n, z = 0.25 / variance, t.ppf(0.975, degrees)
    half = z / (1 + z**2 / n) * (0.25 / n + z**2 / (4 * n**2)) ** 0.5
    found = accuracy_interval(correct)
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_one_chip_has_wilson_s_interval_over_images() -> None:
    correct = np.array([[True] * 90 + [False] * 10])
    # Effective number: p (1 - p) / (s^2 / n) = n - 1 = 99, and Student's t with as many degrees.
    z = t.ppf(0.975, 99)
    centre, half = (0.9 + z**2 / 198) / (1 + z**2 / 99), z / (1 + z**2 / 99) * (0.09 / 99 + z**2 / (4 * 99**2)) ** 0.5
    assert accuracy_interval(correct) == pytest.approx((0.9, centre - half, centre + half))


@pytest.mark.parametrize("right", [True, False])
def test_where_all_answers_are_the_same_the_interval_is_not_empty(right: bool) -> None:
    found = accuracy_interval(np.full((3, 200), right))
    width = 1.96**2 / (200 + 1.96**2)  # Wilson's, for 200 images
    assert found.mean == right
    assert (found.low, found.high) == pytest.approx((1 - width, 1) if right else (0, width), abs=1e-4)


def test_ten_thousand_images_on_three_chips() -> None:
    """What a table of CIFAR-10 says: nine tenths right, three chips hardly different: +-0.6 points, of images."""
    random = np.random.default_rng(2)
    difficulty = random.random(10_000)
    correct = np.array([(difficulty + 0.01 * random.standard_normal(10_000)) < 0.9 for _ in range(3)])
    found = accuracy_interval(correct)
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.9 * 0.1 / 10_000) ** 0.5, rel=0.1)


def test_pairs_tell_differences_that_single_accuracies_do_not() -> None:
    random = np.random.default_rng(1)
    difficulty = random.random((6, 500))
    better, worse = difficulty < 0.9, difficulty < 0.885
    difference = difference_interval(better, worse)
    assert difference.mean == pytest.approx(better.mean() - worse.mean())
    assert difference.low > 0
    assert accuracy_interval(better).low < accuracy_interval(worse).high
    assert difference_interval(better, better) == (0, 0, 0)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 12))))
def test_an_interval_holds_its_mean_and_stays_within_what_can_be(correct: Bools) -> None:
    found = accuracy_interval(correct)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high
    other = difference_interval(correct, correct[:, ::-1])
    assert -1 <= other.low <= other.mean <= other.high <= 1


def test_a_single_answer_says_next_to_nothing() -> None:
    found = accuracy_interval(np.array([[True]]))
    assert found.high == 1
    assert found.low < 0.25


@pytest.mark.parametrize(("share", "expected"), [(0.05, 1.0), (0.1, 2.0), (0.5, 10.0), (0.051, 2.0), (1.0, 20.0)])
def test_percentile_by_hand(share: float, expected: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 21.0))
    assert percentile(values, share) == expected


def test_share_interval_by_its_definition() -> None:
    """At the ends, so few or so many successes have a chance of 2.5 %."""
    for successes in (1, 3, 19):
        found = share_interval(successes, 20)
        assert found.mean == successes / 20
        assert binom.sf(successes - 1, 20, found.low) == pytest.approx(0.025)
        assert binom.cdf(successes, 20, found.high) == pytest.approx(0.025)
    assert share_interval(0, 20)[:2] == (0.0, 0.0)
    assert share_interval(20, 20).high == 1.0
    assert share_interval(20, 20).low == pytest.approx(0.025 ** (1 / 20))
