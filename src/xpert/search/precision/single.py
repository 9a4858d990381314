"""One periphery for all layers of a network: the designs that a layer-wise choice has to beat.

What they cost is free, and where the kinds of ADC change no sum their accuracy is that of their precisions. Where ADCs
have errors, these are of one size for all sharings of a type. So each pair of precisions is measured at most once for
each type, with its cheapest sharing, and few pairs are: the middle one by cost of those that are left tells on which
side of it to go on. One that passes rules out all that are dearer, one that clearly fails all of its type with no more
bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from xpert.design import Design, Periphery
from xpert.hardware import Evaluation, PeripheryArrays, evaluate, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.search.objectives import Goal
from xpert.search.precision.converters import Kind, Precision, peripheries
from xpert.workload.layers import Workload

SINGLE_NAME = "best single periphery"
"""What the design is called."""


@dataclass(frozen=True)
class SingleCandidate:
    """A network with one periphery in all layers."""

    design: Design
    option: int
    """Index of its precisions among the options."""

    @cached_property
    def evaluation(self) -> Evaluation:
        """What it costs."""
        return evaluate(self.design)

    @property
    def adc_type(self) -> str:
        """Type of its ADCs."""
        return self.design.periphery[0].adc_type


class Verdict(Enum):
    """What a measurement says of a candidate."""

    PASSED = "passed"
    FAILED = "failed"

    CLEARLY_FAILED = "clearly failed"
    """The whole interval is below what is asked for, so no more bits are needed to know that fewer are too few."""


def candidates(
    design: Design, options: Sequence[Precision], kinds: Sequence[Kind], goal: Goal, *, kinds_matter: bool
) -> list[SingleCandidate]:
    """Designs of one periphery within the budgets, cheap ones first.

    Args:
        design: Network and chip.
        options: Values of `PRECISION_FIELDS`.
        kinds: ADC types, sharings and so on, see `Kind`.
        goal: What they are ordered by, and what they may cost.
        kinds_matter: Whether accuracy depends on the type of ADC; each option has its cheapest kind only, or that of
            each type.
    """
    chip, network = design.chip, design.network
    entries = [
        (option, peripheries([kind], design.periphery[0], [precision])[0])
        for (option, precision), kind in itertools.product(enumerate(options), kinds)
    ]
    if not entries:
        return []
    # [candidates] -> [candidates, 1]: the same in all layers.
    periphery = map_arrays(lambda array: array[:, None], PeripheryArrays.of([entry for _, entry in entries], chip.adcs))
    costs = evaluate_batch(chip, Workload.from_network(network), periphery)
    kept = np.flatnonzero(goal.budgets.met(costs))
    values = np.prod([getattr(costs, name) for name in goal.factors], axis=0)
    first: dict[tuple[int, str], SingleCandidate] = {}
    for index in sorted(kept, key=lambda index: (values[index], entries[index][0])):
        option, entry = entries[index]
        key = (option, entry.adc_type if kinds_matter else "")
        if key not in first:
            other = Design.homogeneous(network, chip, entry, name=SINGLE_NAME)
            first[key] = SingleCandidate(other, option)
    return list(first.values())


def cheapest_passing(
    ordered: Sequence[SingleCandidate], judge: Callable[[SingleCandidate], Verdict | None], *, kinds_matter: bool
) -> SingleCandidate | None:
    """The cheapest candidate that passes.

    Args:
        ordered: Candidates, cheap ones first.
        judge: Measures one; None ends the search, because no more may be measured.
        kinds_matter: As for `candidates`. A candidate that clearly fails rules out others of its own type only.

    Returns:
        None where none passes. Where `judge` ended the search, the cheapest that has passed.
    """

    def no_finer(one: SingleCandidate, other: SingleCandidate) -> bool:
        mine, theirs = (_fineness(candidate.design) for candidate in (one, other))
        return (one.adc_type == other.adc_type or not kinds_matter) and all(np.less_equal(mine, theirs))

    left, best = list(ordered), None
    while left:
        middle = len(left) // 2
        probe = left[middle]
        verdict = judge(probe)
        if verdict is None:
            break
        if verdict is Verdict.PASSED:
            best, left = probe, left[:middle]
        elif verdict is Verdict.CLEARLY_FAILED:
            left = [one for one in left if not no_finer(one, probe)]
        else:
            left = [one for one in left if one is not probe]
    return best


def _fineness(design: Design) -> list[int]:
    """The precisions of all layers, with signs such that no sum gets worse with more of any."""
    entry, chip = design.periphery[0], design.chip
    entry, decisions = chip.resolved(entry), Periphery.decisions("precision")
    return [getattr(entry, name) * (1 if decision.finer == "more" else -1) for name, decision in decisions.items()]


__all__ = ["SINGLE_NAME", "SingleCandidate", "Verdict", "candidates", "cheapest_passing"]
