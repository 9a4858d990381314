"""What both phases minimise, under which budgets, and how that ranks designs that were evaluated in full."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xpert.hardware import Evaluation
from xpert.solver.problem import Problem

OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency",),
    "throughput": ("latency",),
    "energy": ("energy",),
    "area": ("area",),
    "edp": ("energy", "latency"),
    "edap": ("energy", "latency", "area"),
}
"""Quantities whose product an objective is, each in the unit that people read: mm2, us, uJ.

Throughput is one over the time from image to image, which is the latency of an evaluation: pipelined, the period that
the slowest layer sets.
"""

UNITS: Mapping[str, str] = {"area": "mm2", "latency": "us", "energy": "uJ"}
"""Units of the tables and of the objectives' factors."""

PER_SI = 1e6
"""Any of these units in one of SI."""

ENERGY_PER_OPERATION = "tops_per_watt"
"""The objective that is no product: energy over operations is minimised, which maximises TOPS/W. [pJ]"""

PHASE_1 = (*OBJECTIVES, ENERGY_PER_OPERATION)
"""What phase 1 can minimise."""

PHASE_2 = tuple(name for name in OBJECTIVES if name != "area")
"""What phase 2 can minimise: precisions hardly move the area, and with the operations fixed TOPS/W is the energy."""


@dataclass(frozen=True)
class Budgets:
    """What a chip may cost; None is no limit."""

    area_mm2: float | None = None
    """Largest area. [mm2]"""

    least_area_mm2: float | None = None
    """Least area, for comparisons with searches that want a window. [mm2]"""

    latency_us: float | None = None
    """Longest latency of an image. [us]"""

    energy_uj: float | None = None
    """Most energy of an image. [uJ]"""

    power_mw: float | None = None
    """Largest mean power while images follow one another: energy over latency. [mW]"""

    def met(self, evaluation: Evaluation) -> NDArray[np.bool_]:
        """Which of the evaluated designs [*batch] keep all budgets."""
        area, latency, energy = (np.asarray(getattr(evaluation, name)) * PER_SI for name in UNITS)
        kept = np.ones(area.shape, dtype=bool)
        for figure, limit in ((area, self.area_mm2), (latency, self.latency_us), (energy, self.energy_uj)):
            if limit is not None:
                kept &= figure <= limit
        if self.power_mw is not None:
            kept &= energy <= self._watt * latency
        if self.least_area_mm2 is not None:
            kept &= area >= self.least_area_mm2
        return kept

    @property
    def _watt(self) -> float:
        return math.inf if self.power_mw is None else 1e-3 * self.power_mw  # uJ per us

    def restrict(self, problem: Problem) -> Problem:
        """A problem with these budgets; a budget on power is one on `energy - power * latency`, which is a sum."""
        limits = {"area": self.area_mm2, "latency": self.latency_us, "energy": self.energy_uj}
        at_most = dict(problem.at_most) | {name: limit for name, limit in limits.items() if limit is not None}
        at_least = dict(problem.at_least)
        costs, coupled = dict(problem.costs), dict(problem.coupled)
        if self.least_area_mm2 is not None:
            at_least["area"] = self.least_area_mm2
        if self.power_mw is not None:
            costs["excess energy"] = tuple(
                np.where(np.isfinite(energy), energy - self._watt * np.where(np.isfinite(energy), latency, 0.0), np.inf)
                for energy, latency in zip(problem.costs["energy"], problem.costs["latency"])
            )
            at_most["excess energy"] = 0.0
            if "energy" in coupled:
                coupled["excess energy"] = coupled["energy"]
        units = dict(problem.units) | {"excess energy": "uJ above the power budget"} if "excess energy" in costs else {}
        constants = dict(problem.constants)
        if "excess energy" in costs and "energy" in constants:
            constants["excess energy"] = constants["energy"]
        return replace(
            problem,
            costs=costs,
            constants=constants,
            coupled=coupled,
            at_most=at_most,
            at_least=at_least,
            units=units or problem.units,
        )


def objective_value(evaluation: Evaluation, objective: str) -> float:
    """The objective of an evaluated design, in `UNITS`; less is better."""
    if objective == ENERGY_PER_OPERATION:
        return 1.0 / float(evaluation.tops_per_watt)
    return math.prod(float(getattr(evaluation, name)) * PER_SI for name in OBJECTIVES[objective])


@dataclass(frozen=True)
class Goal:
    """What a design is judged by: an objective to be minimised, under budgets."""

    objective: str
    """One of `PHASE_1`."""

    budgets: Budgets = Budgets()
    """What the chip may cost."""

    @property
    def factors(self) -> tuple[str, ...]:
        """The tabulated quantities whose product is minimised.

        Of energy per operation the energy: the operations are a sum over layers that a ratio takes into account.
        """
        return OBJECTIVES.get(self.objective, ("energy",))

    def value(self, evaluation: Evaluation) -> float:
        """The objective of an evaluated design; less is better."""
        return objective_value(evaluation, self.objective)

    def met(self, evaluation: Evaluation) -> bool:
        """Whether an evaluated design keeps all budgets."""
        return bool(self.budgets.met(evaluation))

    def rank(self, evaluation: Evaluation) -> tuple[bool, float]:
        """What sorts evaluated designs, the best first: those within the budgets before the others."""
        return not self.met(evaluation), self.value(evaluation)


__all__ = [
    "ENERGY_PER_OPERATION",
    "OBJECTIVES",
    "PER_SI",
    "PHASE_1",
    "PHASE_2",
    "UNITS",
    "Budgets",
    "Goal",
    "objective_value",
]
