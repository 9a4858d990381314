"""Does the answer survive? What a searched design gives away under each variant of the model.

Under a variant another design may be best. The regret of a design is by how much its objective exceeds that of the best
design known there, 0 where it is the best itself. Two kinds of it are found here, both among designs whose accuracy is
that of the searched one:

- `converter_regrets`: of the finished design, against its own network and precisions with ADC types and column sharings
  chosen anew under the variant;
- `network_regrets`: of phase 1's design, against the designs that phase 1 finds under the variant and under all others,
  with the same options and quality. Everything that was found is evaluated under every variant.

No design is refused for a budget that the searched one itself exceeds under a variant: the budget becomes what that one
costs there. So the searched design is always among those it is compared with, and no regret is below 0. A regret is a
lower bound as far as the best design known is an upper bound on the best there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Chip, Design, Periphery
from xpert.errors import ConfigError, InfeasibleError
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.variants import NOMINAL, Variant
from xpert.networks.spaces import Space
from xpert.progress import Progress, Report
from xpert.search.architecture import polished, search_architecture
from xpert.search.objectives import PER_SI, Budgets, Goal
from xpert.search.precision.converters import Kind, cheapest_converters, peripheries
from xpert.search.quality.additive import Quality

EVALUATIONS = 200_000
"""Designs that a search of phase 1 looks at under each variant, at most: enough for the presets' to finish."""


@dataclass(frozen=True)
class Regret:
    """What a design gives away under a variant."""

    value: float
    """Its objective there."""

    best: float
    """The smallest objective that is known there."""

    design: Design
    """The design that has it, on the chip as it is."""

    @property
    def regret(self) -> float:
        """How much more the design costs, relative to the best: 0.1 is ten per cent."""
        return self.value / self.best - 1


def relaxed(goal: Goal, evaluation: Evaluation) -> Goal:
    """The goal with budgets that an evaluated design keeps: what it exceeds becomes what it costs."""
    area, latency, energy = (float(getattr(evaluation, name)) * PER_SI for name in ("area", "latency", "energy"))
    costs = {"area_mm2": area, "latency_us": latency, "energy_uj": energy, "power_mw": 1e3 * energy / latency}
    slack = 1 + 1e-12  # the design itself keeps them, whatever the rounding
    limits: dict[str, float] = {}
    for name, cost in costs.items():
        limit = getattr(goal.budgets, name)
        if limit is not None:
            limits[name] = max(limit, cost * slack)
    if goal.budgets.least_area_mm2 is not None:
        limits["least_area_mm2"] = min(goal.budgets.least_area_mm2, area / slack)
    return Goal(goal.objective, Budgets(**limits))


def converter_regrets(
    design: Design, kinds: Sequence[Kind], goal: Goal, variants: Iterable[Variant]
) -> dict[str, Regret]:
    """Regret of a design against other ADC types and column sharings, by variant.

    Left out are variants that refuse the design or all kinds, and that of measured activity, which tables and batches
    do not have.

    Args:
        design: The finished design.
        kinds: ADC types and column sharings from which every layer chooses.
        goal: What is minimised, and what the chip may cost.
        variants: Under which it is asked.
    """
    precisions = {entry.adc_bits for entry in design.periphery}
    regrets = {}
    for variant in variants:
        try:
            own, there = variant.evaluate(design), variant.apply_to(design)
        except ConfigError:
            continue
        if there.activity is not None:
            continue
        asked = relaxed(goal, own)
        possible = [kind for kind in kinds if _has(there.chip, kind, precisions)]
        if not possible:
            continue
        found = [there]
        if variant.tabulates:
            found.append(cheapest_converters(there, possible, asked))
        values = {one: _value(one, variant, asked) for one in found}
        start = min(found, key=values.__getitem__)
        choices = [peripheries(possible, entry, [entry.values(PRECISION_FIELDS)]) for entry in start.periphery]
        best = polished(start, choices, asked, variant.switches)
        regrets[variant.name] = _regret(values[there], [start, best], variant, asked, design.chip)
    return regrets


def network_regrets(
    design: Design,
    space: Space,
    options: Sequence[Periphery],
    goal: Goal,
    quality: Quality,
    minimum_quality: float | None,
    variants: Sequence[Variant],
    *,
    strategy: str = "exact",
    seed: int = 0,
    evaluations: int = EVALUATIONS,
    progress: Report | None = None,
) -> dict[str, Regret]:
    """Regret of phase 1's design against other networks and converters of the same quality, by variant.

    The reference mode cannot be tabulated: there what other variants found is polished by full evaluation.

    Args:
        design: What phase 1 found.
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
        goal: What was minimised, and what the chip may cost.
        quality: What is held up.
        minimum_quality: Least quality relative to the backbone's own; None for no limit.
        variants: Under which it is asked; those that refuse the design are left out.
        strategy: Of phase 1.
        seed: Of the strategy.
        evaluations: Limit on the designs that one search looks at.
        progress: Called as work goes on.
    """
    goals: dict[str, Goal] = {}
    taken: list[Variant] = []
    for variant in variants:
        try:
            goals[variant.name] = relaxed(goal, variant.evaluate(design))
        except ConfigError:
            continue
        taken.append(variant)
    pool: dict[Design, None] = dict.fromkeys([design])  # on the chip as it is, in the order in which they were found
    for number, variant in enumerate(taken, start=1):
        if progress is not None:
            progress(Progress(unit="variant", done=number, total=len(taken), figures={"variant": variant.name}))
        if not variant.tabulates or variant.name == NOMINAL:
            continue
        asked = goals[variant.name]
        try:
            found = search_architecture(
                space,
                variant.apply(design.chip),
                options,
                objective=asked.objective,
                budgets=asked.budgets,
                quality=quality,
                minimum_quality=minimum_quality,
                strategy=strategy,
                seed=seed,
                evaluations=evaluations,
                prove=False,
            ).design
        except (ConfigError, InfeasibleError):  # a kind of ADC that the variant does not have, or no time to find one
            continue
        pool.setdefault(found.replace(chip=design.chip, name=design.name))
    regrets = {}
    for variant in taken:
        asked = goals[variant.name]
        there = [one for entry in pool if (one := _under(variant, entry)) is not None]
        values = {one: _value(one, variant, asked) for one in there}
        best = min(there, key=values.__getitem__)
        if not variant.tabulates:
            best = polished(best, [options] * len(best.periphery), asked, variant.switches)
        regrets[variant.name] = _regret(values[there[0]], [best], variant, asked, design.chip)
    return regrets


def _under(variant: Variant, design: Design) -> Design | None:
    """The design under a variant, None where that refuses it."""
    try:
        return variant.apply_to(design)
    except ConfigError:
        return None


def _value(there: Design, variant: Variant, goal: Goal) -> float:
    """Objective of a design on a variant's chip; infinite beyond a budget."""
    evaluation = evaluate(there, variant.switches)
    return goal.value(evaluation) if goal.met(evaluation) else math.inf


def _regret(own: float, found: Sequence[Design], variant: Variant, goal: Goal, chip: Chip) -> Regret:
    values = [_value(one, variant, goal) for one in found]
    best = min(range(len(found)), key=values.__getitem__)
    return Regret(own, min(own, values[best]), found[best].replace(chip=chip))


def _has(chip: Chip, kind: Kind, precisions: Iterable[int]) -> bool:
    """Whether a chip has a kind of ADC at all these precisions."""
    adc_type = dict(zip(KIND_FIELDS, kind))["adc_type"]
    try:
        for adc_bits in precisions:
            chip.check_adc(adc_type, adc_bits)
    except ConfigError:
        return False
    return True


__all__ = ["EVALUATIONS", "Regret", "converter_regrets", "network_regrets", "relaxed"]
