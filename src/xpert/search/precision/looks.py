"""Measuring a design until its verdict is clear: in which order images go, and when enough of them were seen.

A design is judged by its accuracy on all images of a bench: the mean over chips, or a percentile of theirs. Few images
tell: those that it may get wrong are mostly those on which the nominal design is nearly wrong. So these go first, and a
verdict is asked for after each part of the images:

1. *Failed*: more answers are wrong already than the floor allows of all. This is certain: what follows cannot mend it.
   A design that reaches the floor is never given up.
2. *Passed, for now*: all hard images are seen, and with what a random sample says of the others the floor is reached.
   This may be wrong. A search goes on from such a design, but it is measured to the end before it is returned, or
   measured again; if it then fails, the search takes another way.

So verdicts on designs that are returned have no error beyond that of the images and chips themselves. What is estimated
is the difference to the nominal design, stratum by stratum, since on most images there is none.

Source: Cochran, Sampling Techniques, 3rd edition, 1977, section 7.2 (a regression estimate with a slope of 1, from
differences) and chapter 5 (strata).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.statistics import Bools, Interval, accuracy_interval, difference_interval, percentile

HARD = 0.25
"""Share of the images that the nominal design has right, the least sure of them: before a design passes, it sees these,
and those that the nominal one has wrong. They are hard."""

FIRST = 1 / 12
"""The same for what every design sees at first: the hardest."""

SAMPLE = 1 / 24
"""Share of the images that a design sees along with them, drawn from all others."""

Enough: TypeAlias = "Callable[[Bools], bool]"
"""Whether these answers [chips, images], of the first images, are enough."""


@dataclass(frozen=True)
class Looks:
    """The order of images, and where one looks at what was found."""

    order: NDArray[np.int64]
    """Number of the image in each place, [images]."""

    stratum: NDArray[np.int64]
    """0: the hardest, 1: hard, 2: the others, in this order, [images]."""

    ends: tuple[int, ...]
    """Images that are seen at each look; the last one has all."""

    hard: int
    """Images that are seen when all hard ones are."""

    @classmethod
    def hardest_first(cls, margins: NDArray[np.floating], seed: int) -> Looks:
        """The order for images of these margins.

        Args:
            margins: By how much the class leads with the nominal design, in the mean over chips, [images].
            seed: Of the sample, and of the order of images that are not hard.
        """
        number = len(margins)
        by_margin = np.argsort(margins, kind="stable")
        rank = np.argsort(by_margin)
        wrong = int((margins <= 0).sum())
        first, hard = (wrong + int(np.ceil(share * (number - wrong))) for share in (FIRST, HARD))
        shuffled = np.random.default_rng(seed).permutation(number)
        others = shuffled[rank[shuffled] >= first]
        sample = others[: int(np.ceil(SAMPLE * number))]
        rest = others[len(sample) :]
        order = np.concatenate([
            by_margin[:first], sample, by_margin[first:hard][~np.isin(by_margin[first:hard], sample)],
            rest[rank[rest] >= hard],
        ])  # fmt: skip
        seen_hard = number - int((rank[rest] >= hard).sum())
        ends = (first + len(sample), seen_hard, (seen_hard + number) // 2, number)
        stratum = np.digitize(rank[order], [first, hard])
        return cls(order, stratum, tuple(sorted(set(ends))), seen_hard)


class Outlook(NamedTuple):
    """What answers on the first images say of those on all."""

    accuracy: Interval
    """On all images: the estimate, and the ends that it cannot be beyond. Where all were seen, its 95 % interval."""

    difference: Interval
    """Likewise less the nominal design's."""

    judged: Interval
    """What is compared with the floor: the mean over chips, as `accuracy`, or a percentile of theirs. Where all images
    were seen, all three are its value."""

    passed: bool
    """Whether it reaches the floor, or, until all were seen, whether it is likely to."""

    clear: bool
    """Whether more images would not change that: certainly, or, where it passed, most likely."""


def outlook(
    correct: Bools, reference: Bools, floor: float, looks: Looks | None = None, share: float | None = None
) -> Outlook:
    """Judge a design by the images that were seen.

    Args:
        correct: Its answers on the first images, [chips, images seen].
        reference: Those of the nominal design on all, [chips, images].
        floor: Least accuracy on all of them.
        looks: The order of images; needed where not all were seen.
        share: The floor is for the accuracy that this share of the chips is not above; None: for the mean.
    """
    seen = correct.shape[1]
    if seen == reference.shape[1]:
        accuracy, difference = accuracy_interval(correct), difference_interval(correct, reference)
        value = judged_accuracy(correct, share)
        return Outlook(accuracy, difference, Interval(value, value, value), value >= floor, clear=True)
    assert looks is not None  # noqa: S101 (without an order, all images are measured)
    judged = accuracy = _estimated(correct, reference, looks)
    if share is not None:
        rows = zip(correct, reference, strict=True)
        of_chips = [_estimated(own[None], others[None], looks) for own, others in rows]
        judged = Interval(*(percentile(np.array(ends), share) for ends in zip(*of_chips, strict=True)))
    difference = Interval(*(end - float(reference.mean()) for end in accuracy))
    passed = seen >= looks.hard and judged.mean >= floor
    return Outlook(accuracy, difference, judged, passed, clear=passed or judged.high < floor)


def judged_accuracy(correct: Bools, share: float | None) -> float:
    """What a floor is compared with: the mean of answers [chips, images], or a percentile over chips."""
    return float(correct.mean()) if share is None else percentile(correct.mean(axis=1), share)


def _estimated(correct: Bools, reference: Bools, looks: Looks) -> Interval:
    """Accuracy on all images, from answers on the first of them: an estimate, and what it cannot be beyond."""
    seen, total = correct.shape[1], reference.size
    right = int(correct.sum())
    low, high = right / total, (right + total - correct.size) / total
    change = (correct.astype(np.float64) - reference[:, :seen]).mean(axis=0)  # [images seen]
    likely = float(reference.mean())
    for stratum in range(3):
        own = looks.stratum[:seen] == stratum
        if own.any():
            likely += float(change[own].mean() * (looks.stratum == stratum).mean())
    return Interval(min(max(likely, low), high), low, high)


def clearly_below(correct: Bools, reference: Bools, least: float, share: float | None = None) -> bool:
    """Whether a design is below a floor, the whole of a 95 % interval.

    That of its difference to the nominal design; for a percentile, that of the chip which has it.
    Images that were not seen count as no difference, which is in favour of a design that is worse.

    Args:
        correct: [chips, images seen].
        reference: [chips, images].
        least: The floor; for the mean, less the nominal design's accuracy.
        share: As for `outlook`.
    """
    whole = np.concatenate([correct, reference[:, correct.shape[1] :]], axis=1)
    if share is None:
        return difference_interval(whole, reference).high < least
    chips = whole.mean(axis=1)
    chip = int(np.flatnonzero(chips == percentile(chips, share))[0])
    return accuracy_interval(whole[chip : chip + 1]).high < least


__all__ = ["FIRST", "HARD", "SAMPLE", "Enough", "Looks", "Outlook", "clearly_below", "judged_accuracy", "outlook"]
