"""Cost tables: what every layer of a search space costs, for every width and periphery, in an assumed context.

A layer's cost depends on its own widths and periphery, and through the `Context` (tiles in all, H-tree pitch, bus
width, shared blocks, leakage power) on all other layers. With the context held fixed costs add up: the sum of a
design's entries and `area_constant` is what `evaluate` gives for a design whose context that is. A search therefore
takes the context of its best design so far, solves, and repeats with the winner's context until the winner stays;
whoever compares candidates from different contexts evaluates them in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware.chip import Context, build_shared, build_tiles, run_layers, sensing_periods
from xpert.hardware.crossbar import active_conductance, crossbar_of
from xpert.hardware.evaluate import evaluate
from xpert.hardware.gates import Array
from xpert.hardware.mapping import map_layers
from xpert.hardware.parts import map_arrays
from xpert.hardware.subarray import PeripheryArrays
from xpert.hardware.switches import PHYSICAL, Switches
from xpert.hardware.technology import process
from xpert.workload.layers import Workload

_BLOCK = 16_384
"""Designs that are looked up at once: as many as keep their indices in the processor's caches."""


class SearchSpace(Protocol):
    """A backbone, a graph of layers whose output channels are to be decided; see `xpert.networks.spaces`."""

    @property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """Options of each channel decision."""
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
    def default_channels(self) -> tuple[int, ...]:
        """Channels of the original network."""
        ...

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes: the output width of the last layer, which is not searched."""
        ...

    def layer(self, index: int, in_channels: int, out_channels: int) -> Layer:
        """The layer at a position."""
        ...

    def network(self, channels: Sequence[int]) -> Network:
        """The network with these channels."""
        ...


@dataclass(frozen=True)
class LayerTable:
    """Costs of one layer, [in_widths, out_widths, options], SI."""

    name: str
    """Name of the layer."""
    in_widths: tuple[int, ...]
    """Input channels."""
    out_widths: tuple[int, ...]
    """Output channels."""
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


@dataclass(frozen=True)
class CostTables:
    """Costs of all layers of a space in one context."""

    layers: tuple[LayerTable, ...]
    """One table per mapped layer, the classifier included."""
    inputs: tuple[int, ...]
    """For every layer the earlier one that feeds it; -1 is the image."""
    decisions: tuple[int, ...]
    """For every layer the channel decision that is its output width; -1 for the classifier."""
    options: tuple[Periphery, ...]
    """Meaning of the last axis."""
    context: Context
    """The context that was assumed."""
    area_constant: float
    """Area of the blocks that all layers share; to be added to the sum of the layers' areas. [m2]"""
    leakage_constant: float
    """Leakage power of these blocks; `energy` contains it already. [W]"""

    def totals(self, widths: np.ndarray, options: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Area [m2], latency [s] and energy [J] of designs, by looking them up.

        Args:
            widths: Index of each channel decision's option, [*batch, decisions].
            options: Index of each layer's periphery, [*batch, layers].
        """
        batch = np.broadcast_shapes(np.shape(widths)[:-1], np.shape(options)[:-1])
        widths = np.broadcast_to(widths, (*batch, np.shape(widths)[-1])).reshape(-1, np.shape(widths)[-1])
        options = np.broadcast_to(options, (*batch, len(self.layers))).reshape(-1, len(self.layers))
        sums = np.zeros((3, len(options)))
        for start in range(0, len(options), _BLOCK):
            part = slice(start, start + _BLOCK)
            # Narrow integers would not hold the place of an entry.
            taken = [widths[part, decision].astype(np.intp) if decision >= 0 else 0 for decision in self.decisions]
            for index, (table, source) in enumerate(zip(self.layers, self.inputs)):
                _, n_out, n_options = table.area.shape
                incoming = taken[source] if source >= 0 else 0
                entry = (incoming * n_out + taken[index]) * n_options + options[part, index]
                for total, values in zip(sums, (table.area, table.latency, table.energy)):
                    total[part] += values.reshape(-1)[entry]
        area, latency, energy = (total.reshape(batch) for total in sums)
        return area + self.area_constant, latency, energy


def cost_tables(
    chip: Chip,
    space: SearchSpace,
    peripheries: Sequence[Periphery],
    context: Context | None = None,
    switches: Switches = PHYSICAL,
    progress: Callable[[int, int], None] | None = None,
) -> CostTables:
    """Costs of every layer of a space, for every pair of widths and every periphery.

    Args:
        chip: What all designs have in common.
        space: The backbone and its options.
        peripheries: Options of every layer.
        context: Of the chip that the layers are assumed to be part of, as `evaluate(design).context`; by default that
            of the original network with the first periphery in all layers.
        switches: Where to follow physics and where the reference simulator.
        progress: Called with layers done and layers in all.

    Raises:
        ConfigError: If there are no peripheries, if the chip is pipelined (a layer then waits for the slowest, so costs
            do not add up), or if the switches let a layer inherit another's leakage.
    """
    if not peripheries:
        raise ConfigError("peripheries: cost tables need at least one option")
    for index, entry in enumerate(peripheries):
        chip.check_adc(entry.adc_type, entry.adc_bits, f"peripheries.{index}.adc_type", f"peripheries.{index}.adc_bits")
    if chip.execution == "pipelined":
        raise ConfigError("chip.execution: cost tables exist for 'layer_by_layer' only, got 'pipelined'")
    if not switches.fresh_tree_leakage:
        raise ConfigError("switches: cost tables need fresh_tree_leakage, with which layers do not affect one another")
    if context is None:
        original = Design.homogeneous(space.network(space.default_channels), chip, peripheries[0])
        context = evaluate(original, switches).context
    p = process(chip.technology, switches=switches, logic_clock=chip.logic_clock_hz)
    crossbar = crossbar_of(chip)
    shared = build_shared(p, chip, context)
    options = PeripheryArrays.of(peripheries, chip.adcs)
    widths = [space.choices[decision] if decision >= 0 else (space.num_classes,) for decision in space.decisions]
    tables = []
    for index, (source, out_widths) in enumerate(zip(space.inputs, widths)):
        in_widths = widths[source] if source >= 0 else (space.input_shape[0],)
        pairs = [space.layer(index, i, o) for i in in_widths for o in out_widths]
        shape = (len(in_widths), len(out_widths), len(peripheries), 1)
        # A trailing axis of one layer; every combination is a chip of its own in the same context.
        workload = map_arrays(
            lambda array, shape=shape: np.broadcast_to(array.reshape(*shape[:2], 1, 1), shape),
            Workload.from_layers(pairs),
        )
        periphery = map_arrays(lambda array, shape=shape: np.broadcast_to(array[:, None], shape), options)
        mapping = map_layers(chip, workload, switches, context.organisation)
        conductance = active_conductance(p, crossbar, chip.activity.cell_conductance_s)
        tile = build_tiles(p, chip, crossbar, periphery, mapping, chip.activity.input_bit_density, conductance)
        period = sensing_periods(crossbar, tile, mapping)
        costs = run_layers(p, chip, crossbar, tile, period, mapping, workload, context, shared)

        def table(values: Array, shape: tuple[int, ...] = shape) -> np.ndarray:
            return np.broadcast_to(values, shape)[..., 0].copy()

        tables.append(
            LayerTable(
                name=pairs[0].name,
                in_widths=tuple(in_widths),
                out_widths=tuple(out_widths),
                area=table(costs.area.total),
                latency=table(costs.latency.total),
                energy=table(costs.energy.total),
                dynamic_energy=table(costs.energy.total - costs.energy.leakage),
                leakage=table(costs.leakage),
            )
        )
        if progress is not None:
            progress(index + 1, len(widths))
    return CostTables(
        layers=tuple(tables),
        inputs=tuple(space.inputs),
        decisions=tuple(space.decisions),
        options=tuple(peripheries),
        context=context,
        area_constant=float(np.squeeze(shared.area.total)),
        leakage_constant=float(np.squeeze(shared.leakage)),
    )


__all__ = ["CostTables", "LayerTable", "SearchSpace", "cost_tables"]
