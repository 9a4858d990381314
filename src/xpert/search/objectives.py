"""What both phases minimise, and the hardware model's tables in the form that a `Problem` takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.tables import CostTables, SearchSpace, cost_tables
from xpert.solver.problem import Problem

OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency",),
    "energy": ("energy",),
    "area": ("area",),
    "edp": ("energy", "latency"),
    "edap": ("energy", "latency", "area"),
}
"""Quantities whose product an objective is, each in the unit that people read: mm2, us, uJ."""

UNITS: Mapping[str, str] = {"area": "mm2", "latency": "us", "energy": "uJ"}
"""Units of the tables and of the objectives' factors."""

PER_SI = 1e6
"""Any of these units in one of SI."""

Tables = dict[str, tuple[NDArray[np.float64], ...]]
"""For every quantity one array [in_widths, out_widths, options] per layer, in `UNITS`."""


ENERGY_PER_OPERATION = "tops_per_watt"
"""The objective that is no product: energy over operations is minimised, which maximises TOPS/W. [pJ]"""

PHASE_1 = (*OBJECTIVES, ENERGY_PER_OPERATION)
"""What phase 1 can minimise. Phase 2 leaves the operations as they are: there it would be the energy."""


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
        costs = dict(problem.costs)
        if self.least_area_mm2 is not None:
            at_least["area"] = self.least_area_mm2
        if self.power_mw is not None:
            costs["excess energy"] = tuple(
                np.where(np.isfinite(energy), energy - self._watt * np.where(np.isfinite(energy), latency, 0.0), np.inf)
                for energy, latency in zip(problem.costs["energy"], problem.costs["latency"])
            )
            at_most["excess energy"] = 0.0
        units = dict(problem.units) | {"excess energy": "uJ above the power budget"} if "excess energy" in costs else {}
        return replace(problem, costs=costs, at_most=at_most, at_least=at_least, units=units or problem.units)


def objective_value(evaluation: Evaluation, objective: str) -> float:
    """The objective of an evaluated design, in `UNITS`; less is better."""
    if objective == ENERGY_PER_OPERATION:
        return 1.0 / float(evaluation.tops_per_watt)
    return math.prod(float(getattr(evaluation, name)) * PER_SI for name in OBJECTIVES[objective])


def space_tables(
    space: SearchSpace, chip: Chip, options: Sequence[Periphery], context: Design
) -> tuple[Tables, dict[str, float]]:
    """Costs of every layer of a space in the context of a design.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries; with each layer's kernels they make the tables' last axis, see `layer_options`.
        context: The design whose chip the layers are assumed to be part of.

    Returns:
        The tables, and what the blocks that all layers share add to a sum, in `UNITS`.
    """
    tables = cost_tables(chip, space, options, evaluate(context).context)
    return {name: tuple(getattr(layer, name) * PER_SI for layer in tables.layers) for name in UNITS}, _constants(tables)


def network_tables(
    design: Design, peripheries: Sequence[Sequence[Periphery]]
) -> tuple[dict[str, tuple[NDArray[np.float64], ...]], dict[str, float]]:
    """Costs of every layer of a design for other peripheries, in the design's own context.

    Args:
        design: Network and chip, and the context of the tables.
        peripheries: Those that each layer could have.

    Returns:
        For every quantity an array [peripheries] per layer, and what shared blocks add to a sum, in `UNITS`.
    """
    index = {entry: place for place, entry in enumerate(dict.fromkeys(entry for row in peripheries for entry in row))}
    tables = cost_tables(design.chip, _FixedNetwork(design.network), list(index), evaluate(design).context)
    return {
        name: tuple(
            getattr(layer, name)[0, 0][[index[entry] for entry in row]] * PER_SI
            for layer, row in zip(tables.layers, peripheries, strict=True)
        )
        for name in UNITS
    }, _constants(tables)


def _constants(tables: CostTables) -> dict[str, float]:
    return {"area": tables.area_constant * PER_SI}


@dataclass(frozen=True)
class _FixedNetwork:
    """A network as a space of one."""

    fixed: Network

    @property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        return tuple((layer.out_channels,) for layer in self.fixed.layers[:-1])

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.fixed.layers)

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(-1, len(self.fixed.layers) - 1))

    @property
    def decisions(self) -> tuple[int, ...]:
        return (*range(len(self.fixed.layers) - 1), -1)

    @property
    def kernels(self) -> tuple[tuple[int, ...], ...]:
        return tuple((layer.kernel_height,) for layer in self.fixed.layers)

    @property
    def default_channels(self) -> tuple[int, ...]:
        return self.fixed.channels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.fixed.input_shape

    @property
    def num_classes(self) -> int:
        return self.fixed.layers[-1].out_channels

    def layer(self, index: int, in_channels: int, out_channels: int, kernel: int | None = None) -> Layer:
        del in_channels, out_channels, kernel  # the layer before need not be the one that feeds it
        return self.fixed.layers[index]

    def network(self, channels: Sequence[int]) -> Network:
        del channels
        return self.fixed


__all__ = [
    "ENERGY_PER_OPERATION",
    "OBJECTIVES",
    "PER_SI",
    "PHASE_1",
    "UNITS",
    "Budgets",
    "Tables",
    "network_tables",
    "objective_value",
    "space_tables",
]
