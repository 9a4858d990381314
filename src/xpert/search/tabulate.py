"""The hardware model's tables as a `Problem`: for the networks of a space, or for the peripheries of one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xpert.design import ARCHITECTURE_FIELDS, PRECISION_FIELDS, Chip, Design, Layer, Network, Periphery
from xpert.hardware import evaluate
from xpert.hardware.chip import Context
from xpert.hardware.tables import CostTables, Option, cost_tables, layer_options
from xpert.networks.spaces import Space
from xpert.search.objectives import PER_SI, UNITS, Goal
from xpert.search.period import LEAKAGE, PipelinedProblem
from xpert.solver.problem import Choices, Problem
from xpert.workload.layers import on_crossbars

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
    coupled: Mapping[str, tuple[str, str, float]] | None = None,
    inputs: tuple[int, ...] = (),
    ties: tuple[int, ...] = (),
    pipelined: bool = False,
    name: str,
) -> Problem:
    """The problem of a goal on tabulated costs.

    Args:
        layers: What each layer may choose.
        costs: Area, latency and energy, in `UNITS`; pipelined: those of a `PipelinedProblem`.
        constants: What blocks that all layers share add to a sum, in `UNITS`.
        terms: Quantities beside the costs, by name.
        goal: What is minimised, and the budgets.
        coupled: As in `Problem`.
        inputs: For every layer the one that feeds it; by default a chain.
        ties: For every layer the one whose width it shares; by default its own.
        pipelined: Whether the slowest layer sets the time for all.
        name: For messages.
    """
    shapes = [table.shape for table in costs["area"]]
    problem = (PipelinedProblem if pipelined else Problem)(
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
        coupled=coupled or {},
        inputs=inputs,
        ties=ties,
        units=UNITS,
        name=name,
    )
    budgets = goal.budgets
    if pipelined:  # what depends on the period is in the goal
        budgets = replace(budgets, latency_us=None, energy_uj=None, power_mw=None)
    return budgets.restrict(problem)


def space_problem(
    space: Space,
    chip: Chip,
    options: Sequence[Periphery],
    context: Context,
    terms: Mapping[str, Term],
    goal: Goal,
    *,
    name: str,
) -> Problem:
    """The problem of choosing a network and its peripheries on a chip that is given but for the leakage of its tiles.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        options: Peripheries from which every layer chooses; with its kernels they are its options, see `layer_options`.
        context: Of the chip that the layers are assumed to be part of. Of its leakage power only the shared blocks'
            part is used: the tiles leak as they are chosen.
        terms: Quantities beside the costs, by name.
        goal: What is minimised, and the budgets.
        name: For messages.
    """
    return problem_of(space, options, cost_tables(chip, space, options, context), terms, goal, name=name)


def problem_of(
    space: Space,
    options: Sequence[Periphery],
    tables: CostTables,
    terms: Mapping[str, Term],
    goal: Goal,
    *,
    allowed: Sequence[NDArray[np.bool_]] | None = None,
    name: str,
) -> Problem:
    """The problem of choosing a network and its peripheries, on tables.

    All tiles leak as long as an image takes. So the energy is D + P T with the dynamic energy D, the leakage power P
    and the latency T, sums over layers all three. With lower bounds p and t of P and T that is (D + p T + t P - p t) +
    (P - p)(T - t), of which the first is a sum, too, and the second is small. On pipelined chips the time is the
    largest latency, which `period` takes care of: then D, P and the latencies are the tables.

    Args:
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
        tables: Costs of every entry, and what layers share.
        terms: Quantities beside the costs, by name.
        goal: What is minimised, and the budgets.
        name: For messages.
        allowed: Which entries [in_widths, out_widths, options] of each layer may be chosen; by default all.
    """
    layers, shared = tables.layers, tables.leakage_constant

    def least(quantity: str) -> float:
        return sum(
            float(np.min(entries[np.isfinite(entries)])) for entries in (getattr(own, quantity) for own in layers)
        )

    power, time = shared + least("leakage"), least("latency")
    costs: dict[str, Tables] = {
        name: tuple(getattr(own, name) * PER_SI for own in layers) for name in ("area", "latency")
    }
    if tables.pipelined:
        power = time = 0.0
    costs["energy"] = tuple(
        (own.dynamic_energy + power * own.latency + time * own.leakage) * PER_SI for own in layers
    )  # uJ
    costs[LEAKAGE] = tuple(own.leakage for own in layers)  # W
    if allowed is not None:
        costs["area"] = tuple(
            np.where(kept, entries, np.inf) for kept, entries in zip(allowed, costs["area"], strict=True)
        )
    constants = {
        "area": tables.area_constant * PER_SI,
        "energy": time * (shared - power) * PER_SI,
        LEAKAGE: shared - power,
    }
    several_precisions = len({entry.values(PRECISION_FIELDS) for entry in options}) > 1
    labels = [
        tuple(_label(option, several_kernels=len(kernels) > 1, several_precisions=several_precisions) for option in row)
        for kernels, row in zip(space.kernels, layer_options(space, options), strict=True)
    ]
    choices = [
        Choices(position.name, widths, row)
        for position, widths, row in zip(space.positions, space.choices_of_layers, labels, strict=True)
    ]
    return build_problem(
        choices,
        costs,
        constants,
        terms,
        goal,
        coupled={} if tables.pipelined else {"energy": (LEAKAGE, "latency", time * PER_SI)},
        inputs=space.inputs,
        ties=space.leaders,
        pipelined=tables.pipelined,
        name=name,
    )


def _label(option: Option, *, several_kernels: bool, several_precisions: bool) -> str:
    """What a layer chose, for people: the kernel where it has several, and what the peripheries differ in."""
    chosen = option.periphery
    if chosen is None:
        return "left out"
    parts = [f"{option.kernel}x{option.kernel}"] if several_kernels else []
    parts.append(chosen.short(ARCHITECTURE_FIELDS))
    if several_precisions:
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


def chosen_of(space: Space, options: Sequence[Periphery], design: Design) -> NDArray[np.int64]:
    """The solution [layers, 2] of a `space_problem` that stands for a design of the space; what `design_of` undoes.

    Layers of a residual block that is not there have their first option.
    """
    network = design.network
    kernels = network.kernels or space.backbone_kernels
    present = space.present(network.channels, kernels)
    entries = iter(design.periphery)
    chosen = np.zeros((len(space.positions), 2), dtype=np.int64)
    rows = zip(space.decisions, space.choices_of_layers, layer_options(space, options), kernels, present, strict=True)
    for layer, (decision, widths, row, kernel, there) in enumerate(rows):
        chosen[layer, 0] = widths.index(network.channels[decision]) if decision >= 0 else 0
        if there or not kernel:
            chosen[layer, 1] = row.index(Option(kernel, next(entries) if there else None))
    return chosen


def network_tables(
    design: Design, peripheries: Sequence[Sequence[Periphery]], context: Context | None = None
) -> tuple[dict[str, Tables], dict[str, float]]:
    """Costs of every layer of a design for other peripheries, in the design's own context.

    Args:
        design: Network and chip, and the context of the tables.
        peripheries: Those that each layer could have.
        context: The design's own, where that is known already.

    Returns:
        For every quantity an array [peripheries] per layer, and what shared blocks add to a sum, in `UNITS`; of a
        pipelined chip those of a `PipelinedProblem`.
    """
    index = {entry: place for place, entry in enumerate(dict.fromkeys(entry for row in peripheries for entry in row))}
    # Layers that are kept off the crossbars have no periphery, and so no cost that depends on it.
    network = design.network.replace(layers=on_crossbars(design.network))
    tables = cost_tables(design.chip, _FixedNetwork(network), list(index), context or evaluate(design).context)
    by_name = {layer.name: layer for layer in tables.layers}
    quantities, constants = {name: (name, PER_SI) for name in UNITS}, {"area": tables.area_constant * PER_SI}
    if tables.pipelined:
        quantities |= {"energy": ("dynamic_energy", PER_SI), LEAKAGE: (LEAKAGE, 1.0)}
        constants[LEAKAGE] = tables.leakage_constant
    return {
        name: tuple(
            getattr(by_name[layer.name], figure)[0, 0][[index[entry] for entry in row]] * factor
            if layer.name in by_name
            else np.zeros(len(row))
            for layer, row in zip(design.network.layers, peripheries, strict=True)
        )
        for name, (figure, factor) in quantities.items()
    }, constants


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
    "LEAKAGE",
    "Tables",
    "Term",
    "build_problem",
    "chosen_of",
    "design_of",
    "network_tables",
    "problem_of",
    "space_problem",
]
