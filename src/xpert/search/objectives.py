"""What both phases minimise, and the hardware model's tables in the form that a `Problem` takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.tables import CostTables, SearchSpace, cost_tables

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


def objective_value(evaluation: Evaluation, objective: str) -> float:
    """The objective of an evaluated design, in `UNITS`."""
    return math.prod(float(getattr(evaluation, name)) * PER_SI for name in OBJECTIVES[objective])


def space_tables(
    space: SearchSpace, chip: Chip, options: Sequence[Periphery], context: Design
) -> tuple[Tables, dict[str, float]]:
    """Costs of every layer of a space in the context of a design.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries, the tables' last axis.
        context: The design whose chip the layers are assumed to be part of.

    Returns:
        The tables, and what the blocks that all layers share add to a sum, in `UNITS`.
    """
    tables = cost_tables(chip, space, options, evaluate(context).context)
    return {name: tuple(getattr(layer, name) * PER_SI for layer in tables.layers) for name in UNITS}, _constants(tables)


def network_tables(
    design: Design, options: Sequence[tuple[int, int]]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Costs of every layer of a design for other precisions, in the design's own context.

    Args:
        design: Network, chip, and every layer's ADC type and column sharing.
        options: Pairs (ADC bits, input bits).

    Returns:
        For every quantity an array [layers, options], and what shared blocks add to a sum, in `UNITS`.
    """
    kinds = list(dict.fromkeys((entry.adc_type, entry.columns_per_adc) for entry in design.periphery))
    peripheries = [
        Periphery(adc_type=adc_type, columns_per_adc=columns, adc_bits=adc_bits, input_bits=input_bits)
        for adc_type, columns in kinds
        for adc_bits, input_bits in options
    ]
    tables = cost_tables(design.chip, _FixedNetwork(design.network), peripheries, evaluate(design).context)
    rows = [kinds.index((entry.adc_type, entry.columns_per_adc)) for entry in design.periphery]
    return {
        name: np.stack(
            [
                getattr(layer, name)[0, 0].reshape(len(kinds), len(options))[row] * PER_SI
                for layer, row in zip(tables.layers, rows, strict=True)
            ]
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
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(-1, len(self.fixed.layers) - 1))

    @property
    def decisions(self) -> tuple[int, ...]:
        return (*range(len(self.fixed.layers) - 1), -1)

    @property
    def default_channels(self) -> tuple[int, ...]:
        return self.fixed.channels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.fixed.input_shape

    @property
    def num_classes(self) -> int:
        return self.fixed.layers[-1].out_channels

    def layer(self, index: int, in_channels: int, out_channels: int) -> Layer:
        del in_channels, out_channels  # the layer before need not be the one that feeds it
        return self.fixed.layers[index]

    def network(self, channels: Sequence[int]) -> Network:
        del channels
        return self.fixed


__all__ = ["OBJECTIVES", "PER_SI", "UNITS", "Tables", "network_tables", "objective_value", "space_tables"]
