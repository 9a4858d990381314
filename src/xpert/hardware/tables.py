"""Cost tables: what every layer of a search space costs, for every width and periphery, in an assumed context.

A layer's cost depends on its own widths and periphery, and through the `Context` (tiles in all, H-tree pitch, bus
width, shared blocks, leakage power) on all other layers. With the context held fixed costs add up: the sum of a
design's entries and `area_constant` is what `evaluate` gives for a design whose context that is. A search therefore
takes the context of its best design so far, solves, and repeats with the winner's context until the winner stays;
whoever compares candidates from different contexts evaluates them in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.chip import (
    Context,
    Demands,
    Shared,
    buffer_banks,
    build_shared,
    build_tiles,
    demands_of,
    run_layers,
    sensing_periods,
    timing_of,
)
from xpert.hardware.circuits import Banks
from xpert.hardware.crossbar import Crossbar, active_conductance, crossbar_of
from xpert.hardware.digital import DigitalUnit, build_unit, run_unit
from xpert.hardware.evaluate import evaluate
from xpert.hardware.mapping import map_layers
from xpert.hardware.subarray import PeripheryArrays, slices_of
from xpert.hardware.switches import PHYSICAL, Switches
from xpert.hardware.technology import Process, process_on
from xpert.machine import keep_freed_memory
from xpert.progress import Progress, Report
from xpert.workload.layers import Workload

_BLOCK = 16_384
"""Designs that are looked up, and entries that are computed, at once: as many as the processor's caches hold."""


_FIGURES = ("area", "latency", "energy", "dynamic_energy", "leakage")
"""Fields of a `LayerTable` that add up over the layers of a design."""


class SearchSpace(Protocol):
    """A backbone, a graph of layers whose output channels are to be decided; see `xpert.networks.spaces`."""

    @property
    def widths(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the output channels that it may have; with 0 neither it nor what it feeds is there."""
        ...

    @property
    def entering(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the input channels that it may have."""
        ...

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers."""
        ...

    @property
    def inputs(self) -> tuple[int, ...]:
        """For every layer the earlier one that feeds it; -1 is the image."""
        ...

    @property
    def decisions(self) -> tuple[int, ...]:
        """For every layer the channel decision that is its output width; -1 for the classifier."""
        ...

    @property
    def kernels(self) -> tuple[tuple[int, ...], ...]:
        """Kernel sides that each layer may have; 0 leaves it out, where its widths are equal."""
        ...

    @property
    def default_channels(self) -> tuple[int, ...]:
        """Channels of the original network."""
        ...

    def layer(self, index: int, in_channels: int, out_channels: int, kernel: int | None = None) -> Layer:
        """The layer at a position, with its own kernel or another."""
        ...

    def network(self, channels: Sequence[int]) -> Network:
        """The network with these channels."""
        ...


class Option(NamedTuple):
    """What a layer chooses beside its width."""

    kernel: int
    """Side of its kernel; 0: the layer is left out."""

    periphery: Periphery | None
    """None where it is left out."""


def layer_options(space: SearchSpace, peripheries: Sequence[Periphery]) -> tuple[tuple[Option, ...], ...]:
    """The options of every layer: each of its kernels with each periphery, the latter innermost."""
    return tuple(
        tuple(Option(kernel, periphery) for kernel in kernels for periphery in (peripheries if kernel else (None,)))
        for kernels in space.kernels
    )


@dataclass(frozen=True)
class LayerTable:
    """Costs of one layer, [in_widths, out_widths, options], SI.

    Zero where the layer is not there: without inputs, outputs or kernel; infinite where it cannot be left out.
    """

    name: str
    """Name of the layer."""
    in_widths: tuple[int, ...]
    """Input channels."""
    out_widths: tuple[int, ...]
    """Output channels."""
    options: tuple[Option, ...]
    """Meaning of the last axis."""
    area: np.ndarray
    """Area of its tiles. [m2]"""
    latency: np.ndarray
    """Latency per image. [s]"""
    energy: np.ndarray
    """Energy per image: its dynamic energy and the leakage of the context's chip while it runs. [J]"""
    dynamic_energy: np.ndarray
    """Energy without leakage. [J]"""
    leakage: np.ndarray
    """Leakage power of its tiles. [W]"""
    demands: Demands
    """What it demands of the chip; nothing where it is not there."""


@dataclass(frozen=True)
class CostTables:
    """Costs of all layers of a space in one context."""

    layers: tuple[LayerTable, ...]
    """One table per mapped layer, the classifier included."""
    inputs: tuple[int, ...]
    """For every layer the earlier one that feeds it; -1 is the image."""
    decisions: tuple[int, ...]
    """For every layer the channel decision that is its output width; -1 for the classifier."""
    context: Context
    """The context that was assumed."""
    area_constant: float
    """Area of the blocks that all layers share; to be added to the sum of the layers' areas. [m2]"""
    leakage_constant: float
    """Leakage power of these blocks; `energy` contains it already. [W]"""
    pipelined: bool = False
    """Whether all layers work at once: the latency of a design is that of its slowest layer, for which all leak."""

    def totals(self, widths: np.ndarray, options: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Area [m2], latency [s] and energy [J] of designs, by looking them up.

        Args:
            widths: Index of each channel decision's option, [*batch, decisions].
            options: Index of each layer's option, [*batch, layers].
        """
        batch = np.broadcast_shapes(np.shape(widths)[:-1], np.shape(options)[:-1])
        widths = np.broadcast_to(widths, (*batch, np.shape(widths)[-1])).reshape(-1, np.shape(widths)[-1])
        options = np.broadcast_to(options, (*batch, len(self.layers))).reshape(-1, len(self.layers))
        names = ("area", "latency", "dynamic_energy" if self.pipelined else "energy", "leakage")
        sums = np.zeros((4, len(options)))
        for start in range(0, len(options), _BLOCK):
            part = slice(start, start + _BLOCK)
            # Narrow integers would not hold the place of an entry.
            taken = [widths[part, decision].astype(np.intp) if decision >= 0 else 0 for decision in self.decisions]
            for index, (table, source) in enumerate(zip(self.layers, self.inputs)):
                _, n_out, n_options = table.area.shape
                incoming = taken[source] if source >= 0 else 0
                entry = (incoming * n_out + taken[index]) * n_options + options[part, index]
                for name, total in zip(names, sums):
                    values = getattr(table, name).reshape(-1)[entry]
                    if self.pipelined and name == "latency":
                        total[part] = np.maximum(total[part], values)
                    else:
                        total[part] += values
        area, latency, energy, leakage = (total.reshape(batch) for total in sums)
        if self.pipelined:
            energy = energy + (leakage + self.leakage_constant) * latency
        return area + self.area_constant, latency, energy


def cost_tables(
    chip: Chip,
    space: SearchSpace,
    peripheries: Sequence[Periphery],
    context: Context | None = None,
    switches: Switches = PHYSICAL,
    progress: Report | None = None,
) -> CostTables:
    """Costs of every layer of a space, for every pair of widths, every kernel and every periphery.

    Args:
        chip: What all designs have in common.
        space: The backbone and its options.
        peripheries: Options of every layer.
        context: Of the chip that the layers are assumed to be part of, as `evaluate(design).context`; by default that
            of the original network with the first periphery in all layers.
        switches: Where to follow physics and where the reference simulator.
        progress: Called with the layers done, those of different widths and kernels apart.

    Raises:
        ConfigError: If there are no peripheries, or if the switches let a layer inherit another's leakage.
    """
    _check(chip, peripheries, switches)
    heights = _heights(chip, space, peripheries)
    if context is None:
        original = Design.homogeneous(space.network(space.default_channels), chip, peripheries[0])
        context = evaluate(original, switches).context
    p = process_on(chip, switches)
    keep_freed_memory()
    crossbar = crossbar_of(chip)
    options = PeripheryArrays.of(peripheries, chip.adcs)
    # Layers with all their widths and kernels, one after the other: their costs take few calls on large arrays.
    layers = [
        space.layer(index, i, o, kernel)
        for index, (ins, outs) in enumerate(zip(space.entering, space.widths))
        for kernel in space.kernels[index]
        if kernel
        for i in ins
        for o in outs
        if i and o
    ]
    shared, unit = build_shared(p, chip, context), None
    if any(layer.after for layer in layers):
        unit = build_unit(p, chip, context)
        shared = unit.beside(p, shared)
    at_once = max(1, _BLOCK // len(peripheries))
    blocks = []
    for start in range(0, len(layers), at_once):
        some = layers[start : start + at_once]
        blocks.append(_costs_of(p, chip, crossbar, some, heights, options, context, shared, unit))
        if progress is not None:
            progress(Progress(unit="layer", done=min(start + at_once, len(layers)), total=len(layers)))
    costs, done = np.concatenate(blocks, axis=1), 0  # [quantities, layers, peripheries]
    choices = layer_options(space, peripheries)
    tables = []
    for index, (ins, outs) in enumerate(zip(space.entering, space.widths)):
        figures, done = _figures_of(costs, done, ins, outs, space.kernels[index])
        own, demanded = figures[: len(_FIGURES)], figures[len(_FIGURES) :]
        tables.append(
            LayerTable(
                space.layer_names[index], tuple(ins), tuple(outs), choices[index],
                **dict(zip(_FIGURES, own, strict=True)), demands=Demands(*demanded),
            )
        )  # fmt: skip
    return CostTables(
        layers=tuple(tables),
        inputs=tuple(space.inputs),
        decisions=tuple(space.decisions),
        context=context,
        area_constant=float(np.squeeze(shared.area.total)),
        leakage_constant=float(np.squeeze(shared.leakage)),
        pipelined=chip.execution == "pipelined",
    )


def shared_costs(chip: Chip, context: Context, switches: Switches = PHYSICAL) -> tuple[np.ndarray, np.ndarray]:
    """Area [m2] and leakage power [W] of the blocks that layers share, in contexts [*batch, 1]; [*batch]."""
    p = process_on(chip, switches)
    shared = build_shared(p, chip, context)
    shape = np.broadcast_shapes(*(np.shape(getattr(context, field.name)) for field in fields(Context)[1:]))
    area, leakage = (np.broadcast_to(values, shape)[..., 0] for values in (shared.area.total, shared.leakage))
    return area, leakage


def global_banks(chip: Chip, bits: np.ndarray, bus_bits: np.ndarray, switches: Switches = PHYSICAL) -> Banks:
    """Banks of a global buffer that holds so many bits and feeds a bus; arrays broadcast."""
    p = process_on(chip, switches)
    return buffer_banks(p, chip, bits, bus_bits)


def _check(chip: Chip, peripheries: Sequence[Periphery], switches: Switches) -> None:
    """Refuse what cannot be tabulated; see `cost_tables`."""
    if not peripheries:
        raise ConfigError("peripheries: cost tables need at least one option")
    for index, entry in enumerate(peripheries):
        field = f"peripheries.{index}."
        chip.check_adc(entry.adc_type, entry.adc_bits, field + "adc_type", field + "adc_bits")
        chip.check_bits(entry.weight_bits, entry.cell_bits, field + "weight_bits", field + "cell_bits")
    if not switches.fresh_tree_leakage:
        raise ConfigError("switches: cost tables need fresh_tree_leakage, with which layers do not affect one another")


def _heights(chip: Chip, space: SearchSpace, peripheries: Sequence[Periphery]) -> np.ndarray:
    """Heights of the maps of all layers: on them the copies of a pipelined chip depend that are not chosen. [layers]"""
    if chip.execution != "pipelined":
        return np.ones(len(space.widths), dtype=np.int64)  # not asked for
    if any(len(row) > 1 for row in space.kernels):
        for index, entry in enumerate(peripheries):
            if entry.copies is None:
                raise ConfigError(
                    f"peripheries.{index}.copies: must be chosen on a pipelined chip whose kernels are searched: "
                    "copies by the mapping's rule depend on the kernels of all layers"
                )
    layers = [
        space.layer(index, max(ins), max(outs), max(kernels))
        for index, (ins, outs, kernels) in enumerate(zip(space.entering, space.widths, space.kernels))
        if max(ins) and max(outs) and max(kernels)
    ]
    return Workload.from_layers(layers).in_height


def _costs_of(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    layers: Sequence[Layer],
    heights: np.ndarray,
    options: PeripheryArrays,
    context: Context,
    shared: Shared,
    unit: DigitalUnit | None,
) -> np.ndarray:
    """The `_FIGURES` of layers and their demands, [quantities, layers, peripheries]; `heights`: of all maps."""
    # A trailing axis of one layer; every combination is a chip of its own in the same context.
    shape = (len(layers), *options.shape, 1)
    workload = map_arrays(
        lambda array: np.broadcast_to(array.reshape(-1, 1, 1), shape), Workload.from_layers(list(layers))
    )
    periphery = map_arrays(lambda array: np.broadcast_to(array[:, None], shape), options)
    slices = slices_of(chip, periphery)
    mapping = map_layers(chip, workload, p.switches, context.organisation, periphery.copies, heights, slices)
    conductance = active_conductance(p, crossbar, chip.activity.cell_conductance_s)
    tile = build_tiles(p, chip, crossbar, periphery, mapping, chip.activity.input_bit_density, conductance)
    period = sensing_periods(p, chip, crossbar, tile, mapping)
    demands = demands_of(p, chip, crossbar, tile, period, mapping, workload, len(heights))
    digital = None
    if unit is not None and workload.digital is not None:
        digital = run_unit(p, unit, timing_of(p, chip, period, context), workload.digital, context, shared)
    costs = run_layers(p, chip, crossbar, tile, period, mapping, workload, context, shared, digital)
    figures = (
        costs.area.total, costs.latency.total, costs.energy.total, costs.energy.total - costs.energy.leakage,
        costs.leakage, *(getattr(demands, field.name) for field in fields(Demands)),
    )  # fmt: skip
    return np.stack([np.broadcast_to(values, shape)[..., 0] for values in figures])


def _figures_of(
    costs: np.ndarray, done: int, ins: Sequence[int], outs: Sequence[int], kernels: Sequence[int]
) -> tuple[np.ndarray, int]:
    """The quantities of a layer, [quantities, in_widths, out_widths, options], and how many of `costs` are used."""
    peripheries, parts = costs.shape[2], []
    for kernel in kernels:
        if kernel:
            there = np.logical_and.outer(np.array(ins) > 0, np.array(outs) > 0)
            part = np.zeros((len(costs), *there.shape, peripheries))
            part[:, there] = costs[:, done : done + there.sum()]
            parts.append(part)
            done += int(there.sum())
        else:
            nothing = np.where(np.equal.outer(ins, outs), 0.0, np.inf)[..., None]
            parts.append(np.stack([nothing] * len(_FIGURES) + [np.zeros_like(nothing)] * (len(costs) - len(_FIGURES))))
    return np.concatenate(parts, axis=3), done


__all__ = [
    "CostTables",
    "LayerTable",
    "Option",
    "SearchSpace",
    "cost_tables",
    "global_banks",
    "layer_options",
    "shared_costs",
]
