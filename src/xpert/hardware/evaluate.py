"""What a design costs: area, latency, energy and the figures of merit made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from xpert.design import Chip, Design
from xpert.hardware.breakdown import COMPONENTS, Breakdown, map_arrays
from xpert.hardware.chip import (
    Context,
    Layers,
    Shared,
    build_shared,
    build_tiles,
    context_of,
    demands_of,
    run_layers,
    sensing_periods,
    timing_of,
)
from xpert.hardware.crossbar import Crossbar, active_conductance, crossbar_of
from xpert.hardware.digital import DigitalUnit, build_unit, run_unit
from xpert.hardware.gates import Array
from xpert.hardware.mapping import Mapping, map_layers, utilization
from xpert.hardware.pe import Read
from xpert.hardware.subarray import PeripheryArrays, slices_of
from xpert.hardware.switches import PHYSICAL, Switches
from xpert.hardware.technology import Process, process_on
from xpert.hardware.tile import Tile
from xpert.machine import keep_freed_memory
from xpert.workload.layers import Workload, digital_layers, work_of_digital

_BLOCK = 1024
"""Chips that are evaluated at once: as many as keep the working set in the processor's caches."""

_QUANTITIES = {"area_mm2": ("area", 1e6), "latency_us": ("latency", 1e6), "energy_uj": ("energy", 1e6)}
"""Name at file boundaries -> attribute, and units in an SI unit."""


@dataclass(frozen=True)
class CostedChip:
    """Everything that is known about a design, or a batch of them; per-layer arrays [*batch, layers]."""

    mapping: Mapping
    """What the layers occupy."""
    tile: Tile
    """Tiles of the layers."""
    sensing_period: np.ndarray
    """Sensing cycle of the layers. [s]"""
    context: Context
    """What of the whole chip reaches into its layers."""
    shared: Shared
    """Blocks that all layers share."""
    unit: DigitalUnit | None
    """The digital unit, which is one of them."""
    layers: Layers
    """Cost of the layers."""
    density: np.ndarray
    """Share of ones among the layers' input bits."""
    conductance: np.ndarray
    """Mean conductance of an active cell with its access transistor. [S]"""


@dataclass(frozen=True)
class Evaluation:
    """Cost of one design, or of a batch: numbers [*batch], per-layer arrays [*batch, layers], SI units."""

    workload: Workload
    """Shapes of the layers."""
    periphery: PeripheryArrays
    """Periphery of the layers."""
    tiles: np.ndarray
    """Tiles of the layers."""
    speed_up: np.ndarray
    """Copies of the layers' matrices."""
    sensing_period: np.ndarray
    """Sensing cycle of the layers. [s]"""
    utilization: np.ndarray
    """Share of the cells of the layers' tiles that hold weights."""
    density: np.ndarray
    """Share of ones among the layers' input bits that was assumed or measured."""
    conductance: np.ndarray
    """Mean conductance of an active cell with its access transistor, assumed or measured. [S]"""
    context: Context
    """What of the whole chip reaches into its layers."""
    layers: Layers
    """Cost of the layers."""
    shared_leakage: np.ndarray
    """Leakage power of the blocks that layers share. [W]"""
    area_by_component: Breakdown
    """Area of the chip by component. [m2]"""
    latency_by_component: Breakdown
    """Latency of an image by component; pipelined: of the slowest layer. [s]"""
    energy_by_component: Breakdown
    """Energy of an image by component. [J]"""
    operations: np.ndarray
    """Operations per image."""
    operations_per_joule: np.ndarray
    """Operations per energy. [1/J]"""
    name: str = "design"
    """What tables call it."""
    layer_names: tuple[str, ...] = ()
    """Names of the layers."""
    digital_layers: tuple[DigitalLayer, ...] = ()
    """Layers that are kept off the crossbars, and their parts in the costs of the layers before them."""

    @property
    def area(self) -> np.ndarray:
        """Area of the chip. [m2]"""
        return np.asarray(self.area_by_component.total)

    @property
    def latency(self) -> np.ndarray:
        """Time per image. [s]"""
        return np.asarray(self.latency_by_component.total)

    @property
    def energy(self) -> np.ndarray:
        """Energy per image, leakage included. [J]"""
        return np.asarray(self.energy_by_component.total)

    @property
    def leakage_energy(self) -> np.ndarray:
        """Leakage energy per image. [J]"""
        return np.asarray(self.energy_by_component.leakage)

    @property
    def dynamic_energy(self) -> np.ndarray:
        """Energy per image without leakage. [J]"""
        return self.energy - self.leakage_energy

    @property
    def leakage_power(self) -> np.ndarray:
        """Leakage power of the chip. [W]"""
        return _total(self.layers.leakage) + self.shared_leakage

    @property
    def clock_period(self) -> np.ndarray:
        """Sensing cycle of the slowest layer. [s]"""
        return self.context.sensing_period[..., 0]

    @property
    def edap(self) -> np.ndarray:
        """Energy-delay-area product. [J s m2]"""
        return self.energy * self.latency * self.area

    @property
    def throughput(self) -> np.ndarray:
        """Operations per time. [1/s]"""
        return self.operations / self.latency

    @property
    def tops_per_watt(self) -> np.ndarray:
        """Tera-operations per second and watt."""
        return self.operations_per_joule * 1e-12

    @property
    def tops_per_mm2(self) -> np.ndarray:
        """Tera-operations per second and square millimetre."""
        return self.throughput * 1e-12 / (self.area * 1e6)

    @property
    def breakdown(self) -> dict[str, dict[str, np.ndarray]]:
        """Area, latency and energy of the chip by component, SI."""
        return {
            quantity: {name: np.asarray(getattr(by_component, name)) for name in COMPONENTS}
            for quantity, by_component in (
                ("area", self.area_by_component),
                ("latency", self.latency_by_component),
                ("energy", self.energy_by_component),
            )
        }

    def to_dict(self) -> dict[str, Any]:
        """One design's figures as plain data, units in the names.

        Raises:
            ValueError: If this is a batch.
        """
        if self.operations.ndim:
            raise ValueError(f"a batch of shape {self.operations.shape} has no single set of figures")
        planned = bool(np.all(self.layers.share > 0))
        return {
            "name": self.name,
            "area_mm2": float(self.area * 1e6),
            "latency_us": float(self.latency * 1e6),
            "energy_uj": float(self.energy * 1e6),
            "leakage_energy_uj": float(self.leakage_energy * 1e6),
            "edap": float(self.edap * 1e18),
            "tops_per_watt": float(self.tops_per_watt),
            "tops_per_mm2": float(self.tops_per_mm2),
            "throughput_tops": float(self.throughput * 1e-12),
            "frames_per_second": float(1 / self.latency),
            "leakage_mw": float(self.leakage_power * 1e3),
            "operations": int(self.operations),
            "sensing_period_ns": float(self.clock_period * 1e9),
            "tiles": int(self.context.tiles[..., 0]),
            "slots": int(self.context.slots[..., 0]) if planned else None,
            "slot_mm2": float(self.context.slot[..., 0] * 1e6) if planned else None,
            "layers": self._rows(),
            "breakdown": {
                unit: _plain(getattr(self, f"{quantity}_by_component"), scale, ...)
                for unit, (quantity, scale) in _QUANTITIES.items()
            },
        }

    def _rows(self) -> list[dict[str, Any]]:
        """The layers in the order of the network."""
        rows = [self._layer(index) for index in range(self.workload.depth)]
        for layer in self.digital_layers:
            rows.insert(layer.place, layer.to_dict())
        return rows

    def _layer(self, index: int) -> dict[str, Any]:
        parts = {
            unit: _plain(getattr(self.layers, quantity), scale, index)
            for unit, (quantity, scale) in _QUANTITIES.items()
        }
        for layer in self.digital_layers:
            if layer.owner == index:
                for unit, (quantity, scale) in _QUANTITIES.items():
                    own = _plain(getattr(layer, quantity), scale, ...)
                    parts[unit] = {name: value - own[name] for name, value in parts[unit].items()}
        return {
            "name": self.layer_names[index] if self.layer_names else str(index),
            **{unit: sum(components.values()) for unit, components in parts.items()},
            "leakage_energy_uj": parts["energy_uj"]["leakage"],
            "tiles": int(self.tiles[index]),
            "slot_share": float(self.layers.share[index]) or None,
            "speed_up": int(self.speed_up[index]),
            "utilization": float(self.utilization[index]),
            "sensing_period_ns": float(self.sensing_period[index] * 1e9),
            **self.periphery.entry(index),
            "input_bit_density": float(self.density[index]),
            "cell_conductance_us": float(self.conductance[index] * 1e6),
            "in_channels": int(self.workload.in_channels[index]),
            "out_channels": int(self.workload.out_channels[index]),
            **self._work(index),
            "breakdown": parts,
        }

    def _work(self, index: int) -> dict[str, int]:
        """Digital work after a layer; nothing where the network has none."""
        work = self.workload.digital
        if work is None:
            return {}
        macs, functions = int(work.macs[index]), int(work.functions[index])
        own = [layer for layer in self.digital_layers if layer.owner == index]
        return {
            "digital_macs": macs - sum(layer.macs for layer in own),
            "digital_functions": functions - sum(layer.functions for layer in own),
        }


@dataclass(frozen=True)
class DigitalLayer:
    """A layer that is kept off the crossbars: its share in the costs of the layer before it, of which it is a part."""

    name: str
    """Its name."""
    place: int
    """Its place in the network."""
    owner: int
    """Place, among the layers on crossbars, of the one to whose costs its own are counted."""
    entry: dict[str, Any]
    """Its periphery in the design, which it does not use."""
    channels: tuple[int, int]
    """Input and output channels."""
    macs: int
    """Multiply-accumulates of the digital unit."""
    functions: int
    """Values of functions that it looks up."""
    latency: Breakdown
    """Time per image. [s]"""
    energy: Breakdown
    """Energy per image. [J]"""
    area: Breakdown = field(default_factory=Breakdown)
    """None: the unit is shared. [m2]"""

    def to_dict(self) -> dict[str, Any]:
        """Its figures as plain data, those that layers on crossbars have."""
        parts = {unit: _plain(getattr(self, name), scale, ...) for unit, (name, scale) in _QUANTITIES.items()}
        return {
            "name": self.name,
            "digital": True,
            **{unit: sum(components.values()) for unit, components in parts.items()},
            "leakage_energy_uj": parts["energy_uj"]["leakage"],
            "tiles": 0,
            "slot_share": None,
            "speed_up": 1,
            "utilization": 0.0,
            "sensing_period_ns": None,
            **self.entry,
            "input_bit_density": None,
            "cell_conductance_us": None,
            "in_channels": self.channels[0],
            "out_channels": self.channels[1],
            "digital_macs": self.macs,
            "digital_functions": self.functions,
            "breakdown": parts,
        }


def _digital_layers(p: Process, design: Design, costed: CostedChip) -> tuple[DigitalLayer, ...]:
    """What the layers that are kept off the crossbars cost."""
    found = digital_layers(design.network)
    if not found or costed.unit is None:
        return ()
    work = work_of_digital([layer for layer, _ in found])
    owners = np.array([owner for _, owner in found])
    context, shared = costed.context, costed.shared
    timing = timing_of(
        p, design.chip, np.broadcast_to(costed.sensing_period, costed.mapping.tiles.shape)[owners], context
    )
    latency, energy = run_unit(p, costed.unit, timing, work, context, shared, whole=False)
    if p.switches.post_layout_energy:
        energy = energy * p.calibration.post_layout_energy
    if design.chip.execution == "layer_by_layer" and p.switches.own_tiles_leak:
        energy = energy + Breakdown(leakage=(context.tile_leakage + shared.leakage) * latency.total)

    def at(index: int) -> Callable[[Array], Array]:
        return lambda values: np.broadcast_to(values, owners.shape)[index]

    places = {layer.name: place for place, layer in enumerate(design.network.layers)}
    return tuple(
        DigitalLayer(
            layer.name,
            places[layer.name],
            owner,
            design.periphery[places[layer.name]].model_dump(),
            (layer.in_channels, layer.out_channels),
            int(work.macs[index]),
            int(work.functions[index]),
            latency.map(at(index)),
            energy.map(at(index)),
        )
        for index, (layer, owner) in enumerate(found)
    )


def evaluate(design: Design, switches: Switches = PHYSICAL) -> Evaluation:
    """The cost of a design.

    Args:
        design: Network, chip, and the periphery of every layer.
        switches: Where to follow physics and where the reference simulator.

    Raises:
        ConfigError: If a memory cell cannot hold its access transistor.
    """
    workload = Workload.from_network(design.network)
    on = [not layer.digital for layer in design.network.layers]
    periphery = PeripheryArrays.of([entry for entry, kept in zip(design.periphery, on) if kept], design.chip.adcs)
    chip = design.chip
    p = process_on(chip, switches)
    crossbar = crossbar_of(chip)
    density = conductance = None
    if design.activity is not None:
        activity = [entry for entry, kept in zip(design.activity, on) if kept]
        density = np.array([entry.input_bit_density for entry in activity])
        given = (entry.cell_conductance_s for entry in activity)
        conductance = np.array([active_conductance(p, crossbar, value) for value in given])
    costed = cost_layers(p, chip, crossbar, workload, periphery, density=density, conductance=conductance)
    names = tuple(layer.name for layer in design.network.on_crossbars)
    found = summarise(p, chip, workload, periphery, costed, name=design.name, layer_names=names)
    return replace(found, digital_layers=_digital_layers(p, design, costed))


def evaluate_batch(
    chip: Chip, workload: Workload, periphery: PeripheryArrays, switches: Switches = PHYSICAL
) -> Evaluation:
    """The cost of many designs on one kind of chip.

    Args:
        chip: What all designs have in common.
        workload: Shapes of the layers, [*batch, layers].
        periphery: Periphery of the layers; arrays that broadcast with the shapes.
        switches: Where to follow physics and where the reference simulator.

    Raises:
        ConfigError: If a memory cell cannot hold its access transistor, or the chip does not have an ADC.
    """
    keep_freed_memory()
    periphery = replace(periphery, adcs=chip.adcs)
    shape = np.broadcast_shapes(workload.shape, periphery.shape)
    p = process_on(chip, switches)
    crossbar = crossbar_of(chip)
    flat = (-1, shape[-1])
    workload = map_arrays(lambda array: np.broadcast_to(array, shape).reshape(flat), workload)
    periphery = map_arrays(lambda array: np.broadcast_to(array, shape).reshape(flat), periphery)
    blocks = []
    for start in range(0, workload.shape[0], _BLOCK):
        part = slice(start, start + _BLOCK)
        some, their = workload[part], periphery[part]
        blocks.append(summarise(p, chip, some, their, cost_layers(p, chip, crossbar, some, their)))
    return _join(blocks, shape[:-1])


def cost_layers(
    p: Process,
    chip: Chip,
    crossbar: Crossbar,
    workload: Workload,
    periphery: PeripheryArrays,
    *,
    density: Array | None = None,
    conductance: Array | None = None,
    reads: tuple[Read, Read] | None = None,
) -> CostedChip:
    """Map layers onto a chip and cost them; `evaluate` and `evaluate_batch` are the doors to it.

    Args:
        p: Process.
        chip: Organisation, buffers, clocking.
        crossbar: Cells and wires.
        workload: Shapes, [*batch, layers].
        periphery: Periphery, [*batch, layers].
        density: Share of ones among the input bits, [*batch, layers]; the chip's by default.
        conductance: Mean conductance of an active cell with its access transistor, [*batch, layers]; the chip's by
            default. [S]
        reads: Reads of full crossbars and of those with a layer's last rows, [*batch, layers], where they were
            measured (`measure_reads`) rather than computed from density and conductance.
    """
    slices = slices_of(chip, periphery)
    mapping = map_layers(chip, workload, p.switches, copies=periphery.copies, slices=slices)
    density = chip.activity.input_bit_density if density is None else density
    if conductance is None:
        conductance = active_conductance(p, crossbar, chip.activity.cell_conductance_s)
    tile = build_tiles(p, chip, crossbar, periphery, mapping, density, conductance)
    if reads is not None:
        tile = replace(tile, pe=replace(tile.pe, full=reads[0], partial=reads[1]))
    period = sensing_periods(p, chip, crossbar, tile, mapping)
    demands = demands_of(p, chip, crossbar, tile, period, mapping, workload, workload.depth)
    context = context_of(p, chip, crossbar, mapping, demands)
    shared, digital, unit = build_shared(p, chip, context), None, None
    if workload.digital is not None:
        unit = build_unit(p, chip, context, workload.digital)
        shared = unit.beside(p, shared)
        digital = run_unit(p, unit, timing_of(p, chip, period, context), workload.digital, context, shared)
    layers = run_layers(p, chip, crossbar, tile, period, mapping, workload, context, shared, digital)
    assumed = (np.broadcast_to(values, workload.shape) for values in (density, conductance))
    return CostedChip(mapping, tile, period, context, shared, unit, layers, *assumed)


def summarise(
    p: Process,
    chip: Chip,
    workload: Workload,
    periphery: PeripheryArrays,
    costed: CostedChip,
    *,
    name: str = "design",
    layer_names: tuple[str, ...] = (),
) -> Evaluation:
    """Add layers up to a chip; arguments as for `cost_layers`."""
    layers, shared, mapping, shape = costed.layers, costed.shared, costed.mapping, workload.shape
    area = _sum_of_layers(layers.area, shape) + shared.area.map(_first)
    latency, energy = _sum_of_layers(layers.latency, shape), _sum_of_layers(layers.energy, shape)
    if chip.execution == "pipelined":
        latency = _slowest(layers.latency, shape)
        energy = energy + Breakdown(leakage=_first(shared.leakage) * latency.total)
    operations = _operations(p.switches, workload)
    factor = 1.0 if p.switches.post_layout_energy else p.calibration.post_layout_energy
    return Evaluation(
        workload=workload,
        periphery=periphery,
        tiles=mapping.tiles,
        speed_up=mapping.speed_up,
        sensing_period=costed.sensing_period,
        utilization=utilization(chip, workload, mapping),
        density=costed.density,
        conductance=costed.conductance,
        context=costed.context,
        layers=layers,
        shared_leakage=np.asarray(_first(shared.leakage)),
        area_by_component=area,
        latency_by_component=latency,
        energy_by_component=energy,
        operations=operations,
        operations_per_joule=operations / energy.total / factor,
        name=name,
        layer_names=layer_names,
    )


def _operations(switches: Switches, workload: Workload) -> np.ndarray:
    if switches.count_output_operations:
        return _total(2.0 * workload.macs)
    return _total(2.0 * workload.weights * workload.in_height * workload.in_width)


def _total(values: Array) -> np.ndarray:
    """Sum over layers, one after the other so that a batch adds up like a single design. [*batch]"""
    return np.add.accumulate(values, axis=-1)[..., -1]


def _sum_of_layers(layers: Breakdown, shape: tuple[int, ...]) -> Breakdown:
    return Breakdown(*(_total(np.broadcast_to(getattr(layers, name), shape)) for name in COMPONENTS))


def _first(value: Array) -> Array:
    """Drop the layer axis of a chip-level figure."""
    return value[..., 0] if isinstance(value, np.ndarray) and value.ndim else value


def _slowest(parts: Breakdown, shape: tuple[int, ...]) -> Breakdown:
    index = np.argmax(np.broadcast_to(parts.total, shape), axis=-1)[..., None]
    return Breakdown(
        *(
            np.take_along_axis(np.broadcast_to(getattr(parts, name), shape), index, axis=-1)[..., 0]
            for name in COMPONENTS
        )
    )


def _plain(parts: Breakdown, scale: float, index: Any) -> dict[str, float]:
    """Components as numbers; of the layer at `index`."""
    values = {}
    for name in COMPONENTS:
        value = np.asarray(getattr(parts, name))
        values[name] = float(value[index] if value.ndim else value) * scale
    return values


def _join(blocks: Sequence[Any], batch: tuple[int, ...]) -> Any:
    """Blocks of a batch as one structure of the batch's shape."""
    first = blocks[0]
    if isinstance(first, np.ndarray) and first.ndim:
        whole = np.concatenate(blocks)
        return whole.reshape(batch + whole.shape[1:])
    if isinstance(first, dict):
        return {name: _join([block[name] for block in blocks], batch) for name in first}
    if is_dataclass(first):
        values = {f.name: _join([getattr(block, f.name) for block in blocks], batch) for f in fields(first)}
        return type(first)(**values)
    return first


__all__ = ["CostedChip", "Evaluation", "cost_layers", "evaluate", "evaluate_batch", "summarise"]
