"""Measuring until a verdict is clear: which images come first, and what is said of those that were not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.search.precision.looks import Looks, clearly_below, judged_accuracy, outlook
from xpert.statistics import accuracy_interval, difference_interval

CHIPS, IMAGES = 3, 120
HARDNESS = np.random.default_rng(1).permutation(IMAGES) / IMAGES
WRONG = 6
"""Images that the nominal design has wrong in the mean over chips."""

MARGINS = HARDNESS - (WRONG - 0.5) / IMAGES
LOOKS = Looks.hardest_first(MARGINS, seed=2)


def answers(hard_images: float, stray: float, seed: int) -> np.ndarray:
    """A design that gets so large a share of the images wrong, the hardest, and others by chance; in order."""
    random = np.random.default_rng(seed)
    wrong = (hard_images > HARDNESS) & (random.random((CHIPS, IMAGES)) < 0.7)
    return ~(wrong | (random.random((CHIPS, IMAGES)) < stray))[:, LOOKS.order]


def test_hard_images_come_first_with_a_sample_of_the_others() -> None:
    assert sorted(LOOKS.order) == list(range(IMAGES))
    hardest, hard = WRONG + 10, WRONG + 29  # of 114 that are right a twelfth, and a quarter
    assert LOOKS.ends[0] == hardest + 5
    assert LOOKS.ends[-1] == IMAGES
    assert LOOKS.hard in LOOKS.ends
    rank = (HARDNESS[LOOKS.order] * IMAGES).round().astype(int)  # of each image in order, the hardest first
    assert rank[:hardest].tolist() == list(range(hardest))
    assert set(rank[: LOOKS.hard]) >= set(range(hard))
    assert (LOOKS.stratum == np.digitize(rank, [hardest, hard])).all()
    # The sample is the seed's, the hardest are not.
    other = Looks.hardest_first(MARGINS, seed=3)
    assert (other.order[:hardest] == LOOKS.order[:hardest]).all()
    assert (other.order != LOOKS.order).any()


@settings(deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.1), st.floats(0, 0.05), st.integers(0, 1000))
def test_a_design_is_given_up_only_where_it_fails(hard: float, stray: float, drop: float, seed: int) -> None:
    reference, correct = answers(0.1, 0.0, 7), answers(hard, stray, seed)
    floor = float(reference.mean()) - drop
    for end in LOOKS.ends:
        found = outlook(correct[:, :end], reference, floor, LOOKS)
        assert found.accuracy.low <= correct.mean() <= found.accuracy.high or end == IMAGES
        assert found.accuracy.low <= found.accuracy.mean <= found.accuracy.high
        if found.clear and not found.passed:
            assert correct.mean() < floor
        if found.passed:
            assert end >= LOOKS.hard
    assert found.passed == (correct.mean() >= floor)
    assert found.accuracy == accuracy_interval(correct)
    assert found.difference == difference_interval(correct, reference)


def test_most_designs_are_clear_early() -> None:
    reference = answers(0.1, 0.0, 7)
    floor = float(reference.mean()) - 0.02
    bad, good = answers(0.4, 0.1, 1), answers(0.1, 0.0, 2)
    assert outlook(bad[:, : LOOKS.hard], reference, floor, LOOKS).clear
    assert outlook(good[:, : LOOKS.hard], reference, floor, LOOKS).passed
    assert not outlook(good[:, : LOOKS.ends[0]], reference, floor, LOOKS).clear


def test_estimates_are_right_on_average_over_the_sample() -> None:
    """Of 300 samples: the difference that a design has on images which are not hard shows in the estimates."""
    reference, correct = answers(0.1, 0.0, 7), answers(0.1, 0.08, 1)
    back = np.argsort(LOOKS.order)  # to the images' own order
    estimates = []
    for seed in range(300):
        looks = Looks.hardest_first(MARGINS, seed)
        table, base = correct[:, back][:, looks.order], reference[:, back][:, looks.order]
        estimates.append(outlook(table[:, : looks.hard], base, 0.0, looks).accuracy.mean)
    assert np.mean(estimates) == pytest.approx(correct.mean(), abs=0.01)
    assert np.mean(estimates) < reference.mean() - 0.02


def test_what_is_clearly_below_is_on_all_images() -> None:
    reference, correct = answers(0.1, 0.0, 7), answers(0.5, 0.2, 1)
    assert clearly_below(correct[:, : LOOKS.hard], reference, -0.01)
    assert clearly_below(correct, reference, -0.01)
    assert not clearly_below(reference[:, : LOOKS.hard], reference, -0.01)


SHARE = 0.4
"""Of three chips, those that one of them may be below: the floor is for the second worst."""


@settings(deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.1), st.floats(0, 0.05), st.integers(0, 1000))
def test_a_percentile_over_chips_is_bounded_too(hard: float, stray: float, drop: float, seed: int) -> None:
    reference, correct = answers(0.1, 0.0, 7), answers(hard, stray, seed)
    correct[0] &= np.random.default_rng(seed).random(IMAGES) < 0.8  # one chip is bad, and may be
    value = sorted(correct.mean(axis=1))[1]
    floor = judged_accuracy(reference, SHARE) - drop
    for end in LOOKS.ends:
        found = outlook(correct[:, :end], reference, floor, LOOKS, SHARE)
        assert found.judged.low <= value + 1e-12
        assert found.judged.high >= value - 1e-12
        assert found.judged.low <= found.judged.mean <= found.judged.high
        if found.clear and not found.passed:
            assert value < floor
    assert found.judged.mean == value == judged_accuracy(correct, SHARE)
    assert found.passed == (value >= floor)
    assert found.accuracy == accuracy_interval(correct)


def test_a_percentile_is_clearly_below_by_the_chip_that_has_it() -> None:
    reference = answers(0.1, 0.0, 7)
    correct = reference.copy()
    correct[0] = False  # one chip knows nothing
    floor = float(reference.mean()) - 0.05
    assert not clearly_below(correct, reference, floor, SHARE)
    assert clearly_below(correct, reference, floor, 1 / 3)
    correct[1, : IMAGES // 4] = False
    assert clearly_below(correct, reference, floor, SHARE)
