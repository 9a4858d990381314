"""The hardware model's tables as a `Problem`: for the networks of a space, or for the peripheries of one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.design import ARCHITECTURE_FIELDS, PRECISION_FIELDS, Chip, Design, Layer, Network, Periphery
from xpert.hardware import evaluate
from xpert.hardware.tables import CostTables, Option, SearchSpace, cost_tables, layer_options
from xpert.networks.spaces import Space
from xpert.search.objectives import PER_SI, UNITS, Goal
from xpert.solver.problem import Choices, Problem

Tables = Sequence[NDArray[np.float64]]
"""One array [in_widths, out_widths, options] per layer."""


@dataclass(frozen=True)
class Term:
    """A quantity of a problem beside the costs of the chip: a sum over layers, which may have a bound."""

    tables: Tables
    """What every layer adds; an axis of length 1 stands for all choices."""

    constant: float = 0.0
    """What the sum starts from."""

    at_most: float | None = None
    """Its upper bound."""

    at_least: float | None = None
    """Its lower bound."""


def build_problem(
    layers: Sequence[Choices],
    costs: Mapping[str, Tables],
    constants: Mapping[str, float],
    terms: Mapping[str, Term],
    goal: Goal,
    *,
    inputs: tuple[int, ...] = (),
    ties: tuple[int, ...] = (),
    name: str,
) -> Problem:
    """The problem of a goal on tabulated costs.

    Args:
        layers: What each layer may choose.
        costs: Area, latency and energy, in `UNITS`.
        constants: What blocks that all layers share add to a sum, in `UNITS`.
        terms: Quantities beside the costs, by name.
        goal: What is minimised, and the budgets.
        inputs: For every layer the one that feeds it; by default a chain.
        ties: For every layer the one whose width it shares; by default its own.
        name: For messages.
    """
    shapes = [table.shape for table in costs["area"]]
    problem = Problem(
        layers=tuple(layers),
        costs={quantity: tuple(tables) for quantity, tables in costs.items()}
        | {
            quantity: tuple(np.broadcast_to(part, shape) for part, shape in zip(term.tables, shapes, strict=True))
            for quantity, term in terms.items()
        },
        minimize=goal.factors,
        at_most={quantity: term.at_most for quantity, term in terms.items() if term.at_most is not None},
        at_least={quantity: term.at_least for quantity, term in terms.items() if term.at_least is not None},
        constants=dict(constants) | {quantity: term.constant for quantity, term in terms.items() if term.constant},
        inputs=inputs,
        ties=ties,
        units=UNITS,
        name=name,
    )
    return goal.budgets.restrict(problem)


def space_problem(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    context: Design,
    terms: Mapping[str, Term],
    goal: Goal,
    *,
    name: str,
) -> Problem:
    """The problem of choosing a network and its peripheries, in the context of a design.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries from which every layer chooses; with its kernels they are its options, see `layer_options`.
        context: The design whose chip the layers are assumed to be part of.
        terms: Quantities beside the costs, by name.
        goal: What is minimised, and the budgets.
        name: For messages.
    """
    costs, constants = space_tables(space, chip, options, context)
    labels = [
        tuple(_label(option, options, several_kernels=len(kernels) > 1) for option in row)
        for kernels, row in zip(space.kernels, layer_options(space, options), strict=True)
    ]
    layers = [
        Choices(position.name, widths, row)
        for position, widths, row in zip(space.positions, space.widths, labels, strict=True)
    ]
    return build_problem(layers, costs, constants, terms, goal, inputs=space.inputs, ties=space.leaders, name=name)


def _label(option: Option, options: Sequence[Periphery], *, several_kernels: bool) -> str:
    """What a layer chose, for people: the kernel where it has several, and what the peripheries differ in."""
    chosen = option.periphery
    if chosen is None:
        return "left out"
    parts = [f"{option.kernel}x{option.kernel}"] if several_kernels else []
    parts.append(chosen.short(ARCHITECTURE_FIELDS))
    if len({entry.values(PRECISION_FIELDS) for entry in options}) > 1:
        parts.append(chosen.short(PRECISION_FIELDS))
    return "/".join(parts)


def design_of(space: Space, chip: Chip, options: Sequence[Periphery], chosen: NDArray[np.int64]) -> Design:
    """The design that a solution [layers, 2] of a `space_problem` stands for."""
    channels = [choices[chosen[layer, 0]] for choices, layer in zip(space.choices, space.decided_by, strict=True)]
    taken = [row[option] for row, option in zip(layer_options(space, options), chosen[:, 1], strict=True)]
    kernels = [option.kernel for option in taken]
    network = space.network(channels, kernels)
    periphery = tuple(
        option.periphery
        for option, there in zip(taken, space.present(channels, kernels), strict=True)
        if there and option.periphery is not None
    )
    return Design(name="searched", chip=chip, network=network, periphery=periphery)


def space_tables(
    space: SearchSpace, chip: Chip, options: Sequence[Periphery], context: Design
) -> tuple[dict[str, Tables], dict[str, float]]:
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
) -> tuple[dict[str, Tables], dict[str, float]]:
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
    def layer_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.fixed.layers)

    @property
    def widths(self) -> tuple[tuple[int, ...], ...]:
        return tuple((layer.out_channels,) for layer in self.fixed.layers)

    @property
    def entering(self) -> tuple[tuple[int, ...], ...]:
        return tuple((layer.in_channels,) for layer in self.fixed.layers)

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

    def layer(self, index: int, in_channels: int, out_channels: int, kernel: int | None = None) -> Layer:
        del in_channels, out_channels, kernel
        return self.fixed.layers[index]

    def network(self, channels: Sequence[int]) -> Network:
        del channels
        return self.fixed


__all__ = [
    "Tables",
    "Term",
    "build_problem",
    "design_of",
    "network_tables",
    "space_problem",
    "space_tables",
]
