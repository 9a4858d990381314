"""Designs in the organisation of tiles that suits each best.

A search tunes a design to the tiles of its chip. Another design, in the same tiles, is judged by what they were chosen
for; so rows of a comparison are also evaluated in the tiles that they would have chosen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from xpert.design import Chip, Design
from xpert.errors import ConfigError
from xpert.hardware import Evaluation, evaluate
from xpert.search.objectives import Budgets, Goal

SUBARRAYS_PER_PE = (1, 4)
PES_PER_TILE = (1, 4, 16, 64)


@dataclass(frozen=True)
class Organised:
    """A design in one organisation of tiles."""

    design: Design
    evaluation: Evaluation


def organisations(chip: Chip) -> list[Chip]:
    """The same chip in every organisation of tiles, its own first; without those that its mapping cannot have."""
    found = [chip]
    for subarrays, pes in itertools.product(SUBARRAYS_PER_PE, PES_PER_TILE):
        try:
            other = chip.replace(subarrays_per_pe=subarrays, pes_per_tile=pes)
        except ConfigError:
            continue
        if other not in found:
            found.append(other)
    return found


def best_organised(design: Design, budgets: Budgets | None = None, objective: str = "edap") -> Organised:
    """A design in the organisation of tiles in which it is best.

    Args:
        design: Network and periphery stay; of the chip all but the tiles.
        budgets: What the chip may cost. They bind where the design keeps them in its own tiles.
        objective: What is minimised, one of `PHASE_1`.
    """
    goal = Goal(objective, budgets or Budgets())
    own = Organised(design, evaluate(design))
    bound = goal.met(own.evaluation)
    found = [own]
    for chip in organisations(design.chip)[1:]:
        other = design.replace(chip=chip)
        try:
            candidate = Organised(other, evaluate(other))
        except ConfigError:
            continue
        if not bound or goal.met(candidate.evaluation):
            found.append(candidate)
    return min(found, key=lambda one: goal.value(one.evaluation))


def organisation_name(chip: Chip) -> str:
    """An organisation of tiles in words: `4 subarrays per PE, 16 PEs per tile`."""
    if chip.subarrays_per_pe is None:
        return "chosen by the floorplan"
    subarrays, pes = (
        f"{n} {word}{'' if n == 1 else 's'}"
        for n, word in ((chip.subarrays_per_pe, "subarray"), (chip.pes_per_tile, "PE"))
    )
    return f"{subarrays} per PE, {pes} per tile"


__all__ = ["PES_PER_TILE", "SUBARRAYS_PER_PE", "Organised", "best_organised", "organisation_name", "organisations"]
