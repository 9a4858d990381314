"""A proof that holds for every design of a space: what chips can share, bounded, split and pruned.

A layer's cost depends on its own choices and on what its chip shares (`hardware.Context`): the slot of the floorplan,
how many slots there are, how large buffer and trees are, and the clock where there is one for all layers. With these
given, the chip is a sum over layers but for the leakage, and the solver proves its optimum. They are few and ordered:
whatever a layer demands more of costs all layers more. So this is a branch and bound over them (A. H. Land, A. G. Doig,
"An automatic method of solving discrete programming problems", Econometrica 28(3), 1960):

- A *region* has one slot, and for every other shared quantity a range. Its *relaxation* takes the lower end of each
  range, and forbids what demands more than the upper end: no design of the region is cheaper than the relaxation says,
  so the solver's bound holds for all of them.
- The region with the least bound comes first. Its best design is evaluated in full, which may give a better incumbent.
  Where the design demands more than the lower ends, the region is split there. Where it does not, the relaxation was
  exact.
- Regions whose bound is not below the incumbent are done. The least bound of what is left is the proof.

A pipelined chip shares more: its tiles share the global buffer's bandwidth, and the buffer holds the maps of all
layers. Both are sums over layers, with ranges like the others; their upper ends are budgets of the relaxation.

Every design has its slot among those that are tried, see `floorplan.choose_slot`: some option's tile, doubled a few
times, and less than twice the largest tile of the design. So in a region some layer's tile is larger than half of a
slot.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xpert.design import Chip, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware.chip import Context, average_units, trees_at_once
from xpert.hardware.floorplan import grid, share_of_slot
from xpert.hardware.tables import CostTables, cost_tables, global_banks, shared_costs
from xpert.networks.spaces import Space
from xpert.search.objectives import OBJECTIVES, PER_SI, Goal
from xpert.search.period import PipelinedProblem
from xpert.solver.exact import bound_below
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution

CLOSED = 1e-9
"""Relative difference between bound and incumbent that counts as none: sums are rounded."""

REGIONS = 200
"""Regions that are solved at most; the bound then is the least of those left."""

_SLACK = 1e-9
"""Relative slack in comparing areas."""

LARGE = "tiles above half a slot"
"""Name of the number of layers with such tiles among a problem's quantities."""

SLOTS = "slots"
"""Name of the number of slots among the shared quantities."""

TILES, BUFFER = "tiles", "buffer_bits"
"""Names of the number of tiles, and of the bits in the global buffer, among the shared quantities."""

Allowed = Sequence[NDArray[np.bool_]]
"""Which entries [in_widths, out_widths, options] of each layer may be chosen."""

Consider = Callable[[NDArray[np.int64] | None], "Incumbent | None"]
"""Evaluates in full the design that a solution [layers, 2] stands for, if one is given, keeps it if it is better, and
returns the best design so far, if there is one."""


@dataclass(frozen=True)
class Incumbent:
    """The best design so far, by its full evaluation."""

    value: float
    """Its objective."""

    totals: Mapping[str, float]
    """Its area, latency and energy, in `UNITS`."""


@dataclass(frozen=True, order=True)
class Region:
    """Designs with one slot whose shared quantities are in ranges."""

    bound: float
    """No design of the region has a smaller objective."""
    number: int
    """Breaks ties."""
    slot: float = field(compare=False)
    """Area of a slot. [m2]"""
    low: Mapping[str, float] = field(compare=False)
    """Least value of each shared quantity."""
    high: Mapping[str, float] = field(compare=False)
    """Largest value."""


@dataclass(frozen=True)
class Certificate:
    """What is proven."""

    lower_bound: float
    """No design of the space that keeps the budgets has a smaller objective; in the objective's unit."""

    regions: int
    """Regions that were solved."""

    steps: tuple[tuple[int, float, float], ...] = ()
    """How bound and best design closed in: regions solved so far, the best objective, and what none is below."""


class Demanded:
    """What every entry of the tables demands of the chip.

    Args:
        chip: What is common to all layers.
        space: Networks to choose from.
        tables: In any context: demands do not depend on it.
    """

    def __init__(self, chip: Chip, space: Space, tables: CostTables) -> None:
        self._inputs, self._leaders = space.inputs, space.leaders
        self._demands = [layer.demands for layer in tables.layers]
        self._possible = [np.isfinite(layer.area) for layer in tables.layers]
        names = ["tree_inputs", "tree_bits", "word_bits", "pool_window", "residual"]
        names += ["averaged", "average_window"]
        # For every quantity of which the chip needs the sum over its layers one array per layer.
        self.sums: dict[str, list[NDArray[np.float64]]] = {}
        bank = global_banks(chip, np.array([1.0]), tables.context.bus_bits)
        self._line_bits = float(np.squeeze(bank.cores * bank.line_bits))
        if chip.execution == "pipelined":
            self.sums = {
                TILES: [own.tiles for own in self._demands],
                BUFFER: [own.buffer_bits / 2 for own in self._demands],
            }
        else:
            names.append(BUFFER)
        if chip.clock == "chip":
            names.append("sensing_period")
        # For every shared quantity but the slots one array [in_widths, out_widths, options] per layer.
        self.values = {name: [getattr(own, name) for own in self._demands] for name in names}

    def slots(self) -> list[float]:
        """Areas among which the slot of every design is, the least first. [m2]"""
        areas: list[float] = []
        for area in np.unique(np.concatenate([own.tile_area[own.tile_area > 0] for own in self._demands])):
            if not areas or area > areas[-1] * (1 + _SLACK):
                areas.append(float(area))
        # A slot is less than twice the largest tile of its design.
        doubled = {area * 2.0**times for area in areas for times in range(64) if area * 2.0**times < 2 * areas[-1]}
        return sorted(doubled)

    def areas(self) -> list[NDArray[np.float64]]:
        """Area of the tiles of every entry, [in_widths, out_widths, options] per layer. [m2]"""
        return [own.tile_area * own.tiles for own in self._demands]

    def large(self, slot: float) -> list[NDArray[np.float64]]:
        """1 for entries whose tiles are larger than half of a slot, [in_widths, out_widths, options] per layer."""
        return [(own.tile_area > slot / 2 * (1 + _SLACK)).astype(np.float64) for own in self._demands]

    def taken(self, slot: float) -> list[NDArray[np.float64]]:
        """Slots that the tiles of every entry take, [in_widths, out_widths, options] per layer."""
        return [
            np.where(
                own.tiles > 0, share_of_slot(np.array(slot), np.maximum(own.tile_area, slot * 1e-12)) * own.tiles, 0.0
            )
            for own in self._demands
        ]

    def region(self, slot: float, number: int) -> Region | None:
        """All designs whose tiles fit into a slot; None if there are none."""
        kept = [
            possible & (own.tile_area <= slot * (1 + _SLACK))
            for possible, own in zip(self._possible, self._demands, strict=True)
        ]
        if not all(own.any() for own in kept):
            return None
        low, high = {}, {}
        for name, values in self.values.items():
            # Every layer demands its least at least, and the chip the largest of these.
            low[name] = max(float(entries[own].min()) for entries, own in zip(values, kept, strict=True))
            high[name] = max(float(entries[own].max()) for entries, own in zip(values, kept, strict=True))
        for name, values in self.sums.items():
            low[name] = sum(float(entries[own].min()) for entries, own in zip(values, kept, strict=True))
            high[name] = sum(float(entries[own].max()) for entries, own in zip(values, kept, strict=True))
        taken = [entries[own] for entries, own in zip(self.taken(slot), kept, strict=True)]
        low[SLOTS] = max(1.0, float(np.ceil(sum(float(entries.min()) for entries in taken))))
        high[SLOTS] = max(1.0, float(np.ceil(sum(float(entries.max()) for entries in taken))))
        return Region(-math.inf, number, slot, low, high)

    def allowed(self, region: Region) -> Allowed:
        """Entries that demand no more than a region's upper ends."""
        allowed = []
        for index, own in enumerate(self._demands):
            kept = own.tile_area <= region.slot * (1 + _SLACK)
            for name, values in self.values.items():
                kept = kept & (values[index] <= region.high[name] * (1 + _SLACK))
            allowed.append(kept)
        return allowed

    def split(self, region: Region, design: NDArray[np.int64]) -> tuple[str, float] | None:
        """What of a design [layers, 2] is above the lower end of its range, and how much it is; None if nothing is."""
        places = [
            (design[self._leaders[source], 0] if source >= 0 else 0, design[leader, 0], option)
            for source, leader, option in zip(self._inputs, self._leaders, design[:, 1], strict=True)
        ]
        slots = max(
            1.0, math.ceil(sum(taken[place] for taken, place in zip(self.taken(region.slot), places, strict=True)))
        )
        if grid(slots) != grid(region.low[SLOTS]):
            return SLOTS, _least_of_grid(slots)
        for name, values in self.values.items():
            most = max(float(entries[place]) for entries, place in zip(values, places, strict=True))
            if most > region.low[name] * (1 + _SLACK):
                return name, most
        for name, values in self.sums.items():
            total = sum(float(entries[place]) for entries, place in zip(values, places, strict=True))
            low = region.low[name]
            if total > low * (1 + _SLACK):
                # In the middle: a range of sums is long, and its upper end alone bounds nothing.
                return name, low + math.ceil((total - low) / 2)
        return None

    def with_sums(self, problem: Problem, region: Region) -> Problem:
        """A problem with the upper ends of a region's sums as budgets."""
        if not self.sums:
            return problem
        return replace(
            problem,
            costs=dict(problem.costs) | {name: tuple(values) for name, values in self.sums.items()},
            at_most=dict(problem.at_most) | {name: region.high[name] * (1 + _SLACK) for name in self.sums},
        )

    def below(self, name: str, most: float) -> float:
        """The largest value of a shared quantity below a given one."""
        if name == SLOTS:
            return most - 1
        if name in self.sums:
            return most - (1.0 if name == TILES else 0.5)  # whole tiles, half of whole bits
        known = np.concatenate([entries.ravel() for entries in self.values[name]])
        return float(known[known < most * (1 - _SLACK)].max())

    def between(self, name: str, region: Region) -> NDArray[np.float64]:
        """All values of a shared quantity within a region's range; of a sum those at which banks of a buffer change."""
        if name in self.sums:
            # Banks together hold whole lines of the bus, see `circuits.banks`: within a line nothing changes.
            low, high = region.low[name], region.high[name]
            return np.unique(np.concatenate([[low, high], np.arange(low, high, self._line_bits)]))
        known = np.unique(np.concatenate([entries.ravel() for entries in self.values[name]]))
        low, high = region.low[name] * (1 - _SLACK), region.high[name] * (1 + _SLACK)
        return known[(low <= known) & (known <= high)]


def _least_of_grid(slots: float) -> float:
    """The least number of slots with the same grid."""
    least = slots
    while least > 1 and grid(least - 1) == grid(slots):
        least -= 1
    return least


def certify(
    chip: Chip,
    space: Space,
    options: Sequence[Periphery],
    pose: Callable[[CostTables, Allowed, Goal], Problem],
    solve: Callable[[Problem, float | None], Solution],
    consider: Consider,
    goal: Goal,
    *,
    regions: int = REGIONS,
    seconds: float | None = None,
) -> Certificate:
    """Prove how good the best design of a space is, and find better ones on the way.

    Args:
        chip: What is common to all layers; PEs and tiles have given sizes.
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
        pose: The problem on tables, with the entries of each layer that may be chosen, and a goal.
        solve: Solves a problem within some CPU time [s], if one is given; raises `InfeasibleError` where nothing meets
            its bounds.
        consider: Evaluates designs in full and keeps the best. The search may begin with one.
        goal: What is minimised, and the budgets.
        regions: How many regions are solved at most.
        seconds: CPU time after which no region is begun, and the one under way ends with the bound that it has; None
            for no limit. [s]
    """
    end = math.inf if seconds is None else time.process_time() + seconds
    known = cost_tables(chip, space, options)  # in the context of some design: organisation and bus are those of all
    demanded, context = Demanded(chip, space, known), known.context
    numbers = itertools.count()
    roots = (demanded.region(slot, next(numbers)) for slot in demanded.slots())
    waiting = [root for root in roots if root is not None]
    best, left, solved = consider(None), math.inf, 0
    steps: list[tuple[int, float, float]] = []

    def note(bound: float) -> None:
        value = math.inf if best is None else best.value
        step = (solved, value, min(left, bound, value))
        if not steps or steps[-1][1:] != step[1:]:
            steps.append(step)

    def closed(bound: float) -> bool:
        return best is not None and bound >= best.value * (1 - CLOSED)

    while waiting:
        region = heapq.heappop(waiting)
        note(region.bound)
        rest = end - time.process_time()
        if closed(region.bound) or solved >= regions or rest <= 0:
            left = min(left, region.bound)
            break
        solved += 1
        tables = region_tables(chip, space, options, context, demanded, region)
        try:
            posed = pose(tables, demanded.allowed(region), region_goal(goal, region, tables))
            posed = demanded.with_sums(with_a_large_tile(posed, demanded.large(region.slot)), region)
            if (
                best is not None
                and not isinstance(posed, PipelinedProblem)
                and goal.objective in OBJECTIVES
                and closed(bound_below(posed, best.value, best.totals))
            ):
                continue
            solution = solve(posed, rest if seconds is not None else None)
        except InfeasibleError:
            continue
        bound = max(region.bound, -math.inf if solution.lower_bound is None else solution.lower_bound)
        best = consider(solution.design)
        at = demanded.split(region, solution.design)
        if closed(bound) or at is None:
            left = min(left, bound)
            continue
        name, value = at
        for low, high in (
            (region.low, {**region.high, name: demanded.below(name, value)}),
            ({**region.low, name: value}, region.high),
        ):
            heapq.heappush(waiting, Region(bound, next(numbers), region.slot, low, high))
    note(left)
    return Certificate(left if best is None else min(left, best.value), solved, tuple(steps))


def relaxation(chip: Chip, space: Space, options: Sequence[Periphery]) -> CostTables:
    """Tables in which no design of a space is dearer than it is, whatever its slot.

    Every entry costs the least that it does in any slot that holds its tiles, in the smallest grid and with the least
    of all else that designs share; tiles lie without white space. Weaker than `certify`, and a single problem.

    Args:
        chip: What is common to all layers; PEs and tiles have given sizes.
        space: Networks to choose from.
        options: Peripheries from which every layer chooses.
    """
    known = cost_tables(chip, space, options)  # as in `certify`
    demanded, context = Demanded(chip, space, known), known.context
    regions = [region for slot in demanded.slots() if (region := demanded.region(slot, 0)) is not None]
    tables = [region_tables(chip, space, options, context, demanded, region) for region in regions]
    allowed = [demanded.allowed(region) for region in regions]

    def least(index: int, quantity: str) -> NDArray[np.float64]:
        """Of one layer, over the slots that hold its tiles, [in_widths, out_widths, options]."""
        kept = (
            np.where(entries[index], getattr(table.layers[index], quantity), np.inf)
            for table, entries in zip(tables, allowed, strict=True)
        )
        return np.minimum.reduce(list(kept))

    layers = tuple(
        replace(
            layer,
            area=np.where(np.isfinite(layer.area), area, np.inf),
            latency=least(index, "latency"),
            dynamic_energy=least(index, "dynamic_energy"),
        )
        for index, (layer, area) in enumerate(zip(tables[0].layers, demanded.areas(), strict=True))
    )
    return replace(
        tables[0],
        layers=layers,
        area_constant=min(table.area_constant for table in tables),
        leakage_constant=min(table.leakage_constant for table in tables),
    )


def region_goal(goal: Goal, region: Region, tables: CostTables) -> Goal:
    """A goal with the area that a region's slots take at most; areas of the relaxation are too small for a least."""
    most = (region.high[SLOTS] * region.slot + tables.area_constant) * PER_SI * (1 + _SLACK)
    area = most if goal.budgets.area_mm2 is None else min(most, goal.budgets.area_mm2)
    return replace(goal, budgets=replace(goal.budgets, area_mm2=area, least_area_mm2=None))


def with_a_large_tile(problem: Problem, large: Sequence[NDArray[np.float64]]) -> Problem:
    """A problem in which some layer's choice is large."""
    if all((entries > 0).all() for entries in large):
        return problem
    return replace(
        problem,
        costs=dict(problem.costs) | {LARGE: tuple(large)},
        at_least=dict(problem.at_least) | {LARGE: 1.0},
    )


def region_tables(
    chip: Chip, space: Space, options: Sequence[Periphery], context: Context, demanded: Demanded, region: Region
) -> CostTables:
    """Tables in which no design of a region is dearer than it is."""
    low = {name: np.array([value]) for name, value in region.low.items()}
    # Of two quantities more is not always dearer: shorter words need more trees, which are faster, but larger together,
    # and smaller banks take less energy. So time is that of the shortest words, energy that of the smallest banks, and
    # area that of the smallest chip, over all values in the range.
    bits = demanded.between("tree_bits", region)[:, None, None]  # [words, 1, 1]
    held = demanded.between("buffer_bits", region)[:, None]  # [held, 1]
    fixed = {name: value for name, value in low.items() if name not in ("tree_bits", "buffer_bits", "averaged")}
    lowest = replace(context, **fixed, slot=np.array([region.slot]))

    def shared_by(bits: NDArray[np.float64], held: NDArray[np.float64]) -> Context:
        banks = global_banks(chip, held, context.bus_bits)
        trees = trees_at_once(context.bus_bits, bits)
        return replace(
            lowest,
            tree_bits=bits,
            trees=trees,
            average_units=average_units(low["averaged"], trees),
            buffer_cores=banks.cores,
            buffer_core_bits=banks.bits,
            buffer_line_bits=banks.line_bits,
        )

    area, leakage = shared_costs(chip, shared_by(bits, held))
    smallest = held[np.argmin(global_banks(chip, held, context.bus_bits).bits[:, 0])]
    tables = cost_tables(chip, space, options, shared_by(low["tree_bits"], smallest))
    return replace(tables, area_constant=float(area.min()), leakage_constant=float(leakage.min()))


__all__ = [
    "CLOSED",
    "REGIONS",
    "SLOTS",
    "Allowed",
    "Certificate",
    "Consider",
    "Demanded",
    "Incumbent",
    "Region",
    "certify",
    "region_goal",
    "region_tables",
    "relaxation",
    "with_a_large_tile",
]
