"""What holds for any chip, over 2,000 random heterogeneous designs.

Where a rule is broken there is a cause whose condition the test checks; docs/hardware-model.md, section 17, lists them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from xpert.design import (
    Activity,
    AnalogSettings,
    Buffers,
    Chip,
    Converters,
    Design,
    Device,
    Layer,
    Network,
    Periphery,
    Technology,
)
from xpert.errors import ConfigError
from xpert.hardware import PHYSICAL, Evaluation, PeripheryArrays, circuits, evaluate, evaluate_batch
from xpert.hardware.breakdown import COMPONENTS, map_arrays
from xpert.hardware.crossbar import crossbar_of
from xpert.hardware.evaluate import CostedChip, cost_layers, summarise
from xpert.hardware.technology import process_of
from xpert.workload.layers import Workload

CHIPS, NETWORKS = 100, 20
"""Random chips, and networks on each of them."""

ADC_TYPES = ("sar", "flash", "ramp")
"""Kinds of ADC, in the order of their indices."""

ROUNDING = 1e-12
"""Relative change that is none."""


# Random designs


def _device(rng: np.random.Generator, weight_bits: int) -> Device:
    cell = str(rng.choice(["rram", "rram", "pcm", "fefet", "sram", "mram"]))
    if cell == "mram":
        return Device(cell=cell, r_on_ohm=3e3, r_off_ohm=float(rng.choice([6e3, 9e3])))
    if cell == "sram":
        return Device(cell=cell)
    some: dict[str, Any] = {"cell": cell, "cell_bits": int(rng.integers(1, weight_bits + 1))}
    if cell != "fefet" and rng.random() < 0.3:
        some |= {"access": "crosspoint", "cell_height_f": 2, "cell_width_f": 2}
    if rng.random() < 0.2:
        some |= {"write_voltage_v": 0.6}
    return Device(**some)


def _chip(rng: np.random.Generator) -> Chip:
    weight_bits = int(rng.choice([2, 4, 8, 8, 8]))
    rows, columns = (int(rng.choice([32, 64, 128, 256])) for _ in range(2))
    sides = [(4, 16), (4, 16), (1, 16), (4, 4), (16, 4), (None, None), (None, None)]
    subarrays, pes = sides[rng.integers(len(sides))]
    pipelined = rng.random() < 0.25
    return Chip(
        technology=Technology(
            node_nm=int(rng.choice([7, 10, 14, 22, 28, 32, 45, 65, 90, 130])), roadmap=str(rng.choice(["LSTP", "HP"]))
        ),
        device=_device(rng, weight_bits),
        converters=Converters(sample_and_hold=bool(rng.random() < 0.2)),
        rows=rows,
        columns=columns,
        rows_per_read=None if rng.random() < 0.7 else int(rng.choice([rows // 8, rows // 2, rows - 3])),
        input_coding="bit_serial" if rng.random() < 0.8 else "pulse_width",
        weight_bits=weight_bits,
        encoding=str(rng.choice(["offset", "differential"])),
        subarrays_per_pe=subarrays,
        pes_per_tile=pes,
        buffers=Buffers(
            tile_core_bits=int(rng.choice([32, 128, 1024])),
            tile_bus_bits=int(rng.choice([64, 256, 1024])),
            global_core_bits=int(rng.choice([32, 128])),
            global_kind=str(rng.choice(["register_file", "sram"])),
            max_bus_bits=int(rng.choice([512, 2048])),
        ),
        activity=Activity(input_bit_density=float(rng.choice([0.1, 0.3, 0.5]))),
        analog=AnalogSettings(adaptive_batch_norm=bool(rng.random() < 0.3)),
        mapping=str(rng.choice(["conventional", "conventional", "novel"])),
        execution="pipelined" if pipelined else "layer_by_layer",
        pipeline_speed_up=int(rng.choice([1, 2, 4])) if pipelined else None,
        synchronous=bool(rng.random() < 0.75),
        clock=str(rng.choice(["layer", "chip"])),
    )  # fmt: skip


def _network(rng: np.random.Generator, depth: int) -> Network:
    size, channels, layers = int(rng.choice([8, 16, 32])), 3, []
    for index in range(depth):
        last = index == depth - 1
        outputs = 10 if last and rng.random() < 0.5 else int(rng.choice([16, 24, 32, 48, 64, 96, 128, 192, 256, 512]))
        if size == 1 or (last and rng.random() < 0.5):
            inputs = channels * size**2
            layers.append(Layer(name=f"linear{index}", kind="linear", in_channels=inputs, out_channels=outputs))
            channels, size = outputs, 1
            continue
        groups = 1
        if channels % 8 == 0 and rng.random() < 0.15:
            groups, outputs = int(rng.choice([2, 4, channels])), channels
        kernel = int(rng.choice([1, 3, 3, 3, 5]))
        stride = int(rng.choice([1, 1, 1, 2]))
        out = (size + 2 * (kernel // 2) - kernel) // stride + 1
        pool = int(rng.choice([1, 1, 2])) if out > 1 else 1
        residual = stride == pool == 1 and outputs == channels and rng.random() < 0.5
        layers.append(
            Layer(
                name=f"conv{index}",
                in_channels=channels,
                out_channels=outputs,
                in_height=size,
                in_width=size,
                kernel_height=kernel,
                kernel_width=kernel,
                stride=stride,
                padding=kernel // 2,
                groups=groups,
                pool=pool,
                residual=residual,
            )
        )
        channels, size = outputs, max(1, out // pool)
    return Network(backbone="custom", layers=tuple(layers))


def _periphery(rng: np.random.Generator, chip: Chip, depth: int) -> tuple[Periphery, ...]:
    pairs = chip.columns // (2 if chip.encoding == "differential" else 1)
    sharings = [s for s in (1, 2, 4, 8, 16, 32, 64) if s <= pairs // 2] + [3]
    return tuple(
        Periphery(
            adc_type=str(rng.choice(ADC_TYPES)),
            columns_per_adc=int(rng.choice(sharings)),
            adc_bits=int(rng.integers(3, 8)),
            input_bits=int(rng.integers(1, 8)),
        )
        for _ in range(depth)
    )


@dataclass(frozen=True)
class Designs:
    """Random networks on a random chip, as they are and with one layer of each changed; arrays [networks, layers]."""

    chip: Chip
    networks: list[Network]
    peripheries: list[tuple[Periphery, ...]]
    workload: Workload
    periphery: PeripheryArrays
    changed: np.ndarray
    """Whether this is the layer that is changed."""
    base: Costed
    """As they are."""
    after: dict[str, Costed]
    """By change."""


class Costed(NamedTuple):
    """A batch of designs: all that is known, and what it adds up to."""

    chip: CostedChip
    total: Evaluation


def _costed(chip: Chip, workload: Workload, periphery: PeripheryArrays) -> Costed:
    p = process_of(chip.technology, switches=PHYSICAL, logic_clock=chip.logic_clock_hz, converters=chip.converters)
    costed = cost_layers(p, chip, crossbar_of(chip), workload, periphery)
    return Costed(costed, summarise(p, chip, workload, periphery, costed))


def _changes(
    workload: Workload, periphery: PeripheryArrays, changed: np.ndarray
) -> dict[str, tuple[Workload, PeripheryArrays]]:
    def wider(step: int) -> Workload:
        # The next layer has more inputs: a linear one the whole map of each channel.
        fed = np.roll(changed, 1, axis=-1)
        fed[..., 0] = False
        before = np.roll(workload.out_channels, 1, axis=-1)
        return workload.with_channels(
            workload.in_channels + fed * step * (workload.in_channels // before), workload.out_channels + changed * step
        )

    return {
        "sharing x2": (workload, replace(periphery, columns_per_adc=periphery.columns_per_adc * (1 + changed))),
        "ADC bits +1": (workload, replace(periphery, adc_bits=periphery.adc_bits + changed)),
        "input bits +1": (workload, replace(periphery, input_bits=periphery.input_bits + changed)),
        "channels +1": (wider(1), periphery),
        "channels +8": (wider(8), periphery),
    }


def _designs(seed: int) -> Designs:
    rng = np.random.default_rng(seed)
    while True:
        chip, depth = _chip_or_none(rng), int(rng.integers(3, 7))
        if chip is None:
            continue
        networks = [_network(rng, depth) for _ in range(NETWORKS)]
        peripheries = [_periphery(rng, chip, depth) for _ in range(NETWORKS)]
        workload = Workload.stack([Workload.from_network(network) for network in networks])
        arrays = PeripheryArrays.of([p for row in peripheries for p in row], chip.adcs)
        arrays = map_arrays(lambda array: array.reshape(NETWORKS, -1), arrays)
        # A layer between ungrouped ones, so that a channel more is a network.
        free = (workload.groups == 1) & (np.concatenate([workload.groups[:, 1:], np.ones((NETWORKS, 1))], axis=-1) == 1)
        free &= workload.residual == 0
        free[:, :-1] &= workload.residual[:, 1:] == 0
        if not free.any(-1).all():
            continue
        layer = np.argmax(free * rng.random(free.shape), axis=-1)
        changed = np.arange(depth) == layer[:, None]
        changes = _changes(workload, arrays, changed)
        try:
            base = _costed(chip, workload, arrays)
        except ConfigError:  # a cell that does not hold its access transistor
            continue
        after = {name: _costed(chip, *change) for name, change in changes.items()}
        return Designs(chip, networks, peripheries, workload, arrays, changed, base, after)


def _chip_or_none(rng: np.random.Generator) -> Chip | None:
    """A random chip, or none where what was drawn does not go together."""
    try:
        return _chip(rng)
    except ConfigError:
        return None


@pytest.fixture(scope="module")
def designs() -> list[Designs]:
    return [_designs(seed) for seed in range(CHIPS)]


# What holds without exception


def test_parts_make_the_whole_and_are_physical(designs):
    for each in designs:
        for costed in (each.base, *each.after.values()):
            total, layers = costed.total, costed.chip.layers
            summed = np.max if each.chip.execution == "pipelined" else np.sum
            shape = costed.chip.mapping.tiles.shape
            for quantity in ("area", "latency", "energy"):
                value, parts = getattr(total, quantity), list(total.breakdown[quantity].values())
                assert all(np.all(np.isfinite(part)) and np.all(part >= 0) for part in parts)
                assert np.all(value > 0)
                assert sum(parts) == pytest.approx(value, rel=1e-12)
                own = np.broadcast_to(getattr(layers, quantity).total, shape)
                assert np.all(np.isfinite(own) & (own >= 0))
                if quantity == "area":
                    shared = np.squeeze(costed.chip.shared.area.total, -1)
                    assert own.sum(-1) + shared == pytest.approx(value, rel=1e-12)
                elif quantity == "latency":
                    assert summed(own, axis=-1) == pytest.approx(value, rel=1e-12)
                else:
                    waiting = np.squeeze(costed.chip.shared.leakage, -1) * total.latency
                    waiting = waiting if each.chip.execution == "pipelined" else 0.0
                    assert own.sum(-1) + waiting == pytest.approx(value, rel=1e-12)


def test_slots_hold_the_tiles(designs):
    for each in designs:
        for costed in (each.base, *each.after.values()):
            layers, context, tiles = costed.chip.layers, costed.chip.context, costed.chip.mapping.tiles
            tile = np.broadcast_to(costed.chip.tile.area.total, tiles.shape)
            room = layers.share * context.slot
            assert np.all((tile <= room * (1 + 1e-8)) & (tile > 0.5 * room * (1 - 1e-8)))
            assert np.all(context.slots >= (layers.share * tiles).sum(-1, keepdims=True))
            assert np.all((np.log2(layers.share) % 1 == 0) & (layers.share <= 1))
            shape = tiles.shape
            charged = np.broadcast_to(layers.area.total, shape).sum(-1, keepdims=True)
            assert np.all(charged <= context.slots * context.slot * (1 + 1e-8))


def test_a_batch_is_its_designs_whatever_their_layers_are_called(designs):
    for each in designs:
        batch = evaluate_batch(each.chip, each.workload, each.periphery)
        assert all(
            np.array_equal(getattr(batch, q), getattr(each.base.total, q)) for q in ("area", "latency", "energy")
        )
        for index, (network, peripheries) in enumerate(zip(each.networks[:3], each.peripheries[:3])):
            renamed = [layer.replace(name=f"another {place}") for place, layer in enumerate(network.layers)]
            single = evaluate(
                Design(chip=each.chip, network=network.replace(layers=tuple(renamed)), periphery=peripheries)
            )
            for quantity in ("area", "latency", "energy"):
                assert getattr(single, quantity) == getattr(batch, quantity)[index]
            for name in COMPONENTS:
                one, many = single.breakdown["energy"][name], batch.breakdown["energy"][name]
                assert one == np.broadcast_to(many, batch.energy.shape)[index]


# What physics says of a change, and where it says otherwise


class Pair(NamedTuple):
    """Designs before and after a change."""

    chip: Chip
    before: Costed
    after: Costed

    def differs(self, *paths: str) -> np.ndarray:
        """Whether any of these arrays is another one in any layer, [networks]."""
        return np.any([np.any(_at(self.before, path) != _at(self.after, path), axis=-1) for path in paths], axis=0)

    def falls(self, *paths: str) -> np.ndarray:
        """Whether any of these arrays is lower in any layer, [networks]."""
        return np.any([np.any(_at(self.before, path) > _at(self.after, path), axis=-1) for path in paths], axis=0)


def _at(costed: Costed, path: str) -> np.ndarray:
    found: Any = costed.chip
    for name in path.split("."):
        found = getattr(found, name)
    return np.asarray(found)


class Cause(NamedTuple):
    """Why a rule may be broken: a condition on the two designs, and the components that are then not looked at."""

    holds: Callable[[Pair], np.ndarray]
    components: dict[str, tuple[str, ...]]
    """By figure."""


SHARED = tuple(f"shared {name}" for name in COMPONENTS)
"""Components of the blocks that layers share."""


def _crowd(costed: Costed) -> np.ndarray:
    return np.ceil(costed.chip.context.tiles / costed.chip.mapping.tiles)


CAUSES = {
    "other tiles": Cause(
        lambda pair: pair.differs("mapping.pe_side", "mapping.tile_side", "mapping.novel"),
        {"area": (*COMPONENTS, *SHARED), "latency": COMPONENTS, "energy": COMPONENTS},
    ),
    "less time to leak": Cause(
        lambda pair: pair.after.total.latency < pair.before.total.latency, {"energy": ("leakage",)}
    ),
    "fewer units": Cause(
        lambda pair: pair.falls("context.trees"),
        {"area": ("shared digital", "shared accumulation")},
    ),
    "share of the buffer": Cause(
        lambda pair: np.any(_crowd(pair.after) < _crowd(pair.before), axis=-1) & (pair.chip.execution == "pipelined"),
        {"latency": ("buffers",)},
    ),
    "fuller crossbar": Cause(
        lambda pair: (
            pair.differs("mapping.rows") & pair.falls("tile.pe.partial.sensing_period", "tile.pe.partial.adc_latency")
        ),
        {"latency": ("adc", "other", "accumulation", "buffers")},
    ),
    "fewer ADCs to select": Cause(
        lambda pair: ~pair.differs("mapping.rows") & pair.falls("tile.pe.full.sensing_period"),
        {"latency": ("adc", "other")},
    ),
    "unclocked buffers": Cause(
        lambda pair: np.full(len(pair.before.total.area), not pair.chip.synchronous), {"latency": ("buffers",)}
    ),
    "shorter wires": Cause(
        lambda pair: pair.falls("tile.area.total") & ~pair.differs("context.slots", "layers.share"),
        {"latency": ("interconnect",)},
    ),
    "wider wires": Cause(
        lambda pair: (
            np.any(_at(pair.after, "context.slot") > _at(pair.before, "context.slot"), axis=-1)
            & ~pair.differs("context.slots", "layers.share")
        ),
        {"latency": ("interconnect",)},
    ),
    "another floorplan": Cause(
        lambda pair: pair.differs("context.slots", "layers.share"),
        {
            "area": ("shared interconnect", "white_space"),
            "latency": ("interconnect",),
            "energy": ("interconnect", "leakage"),
        },
    ),
    "larger decoder": Cause(
        lambda pair: np.any(_at(pair.after, "tile.pe.area.other") > _at(pair.before, "tile.pe.area.other"), axis=-1),
        {"area": ("other", "white_space", "shared interconnect")},
    ),
}
"""Why rules may be broken; docs/hardware-model.md, section 17, explains each."""


RULES = {
    ("sharing x2", "area"): -1, ("sharing x2", "latency"): 1,
    ("ADC bits +1", "area"): 1, ("ADC bits +1", "latency"): 1, ("ADC bits +1", "energy"): 1,
    ("input bits +1", "area"): 1, ("input bits +1", "latency"): 1, ("input bits +1", "energy"): 1,
    ("channels +1", "area"): 1, ("channels +1", "latency"): 1, ("channels +1", "energy"): 1,
    ("channels +8", "area"): 1, ("channels +8", "latency"): 1, ("channels +8", "energy"): 1,
}  # fmt: skip
"""Change and figure -> 1 where it must not fall, -1 where it must not rise."""


def _kept(pair: Pair, costed: Costed, figure: str, without: frozenset[str]) -> np.ndarray:
    """A figure without some of its components, [networks]."""
    parts, shape = getattr(costed.chip.layers, figure), costed.chip.mapping.tiles.shape
    own = [np.broadcast_to(getattr(parts, name), shape) for name in COMPONENTS if name not in without]
    kept = sum(own, np.zeros(shape))
    if figure == "latency" and pair.chip.execution == "pipelined":
        return kept.max(-1)
    kept, shared = kept.sum(-1), costed.chip.shared
    if figure == "area":
        there = [getattr(shared.area, name) for name, label in zip(COMPONENTS, SHARED) if label not in without]
        kept = kept + sum(np.broadcast_to(part, (*shape[:-1], 1))[..., 0] for part in there)
    elif figure == "energy" and pair.chip.execution == "pipelined" and "leakage" not in without:
        kept = kept + np.broadcast_to(shared.leakage, (*shape[:-1], 1))[..., 0] * costed.total.latency
    return kept


def _exceptions(designs: list[Designs], change: str, figure: str, sign: int) -> list[tuple[float, str]]:
    """Every broken rule: by how much of the figure, and the causes that it takes to explain it; '' for none."""
    found, known = [], [name for name in CAUSES if figure in CAUSES[name].components]
    for each in designs:
        pair = Pair(each.chip, each.base, each.after[change])
        before, after = (getattr(costed.total, figure) for costed in (pair.before, pair.after))
        size = sign * (after / before - 1)
        broken = size < -ROUNDING
        causes = np.full(len(size), "", dtype=object)
        for names in itertools.chain.from_iterable(itertools.combinations(known, count) for count in (1, 2)):
            unexplained = broken & (causes == "")
            if not unexplained.any():
                break
            without = frozenset(part for name in names for part in CAUSES[name].components[figure])
            rest = sign * (_kept(pair, pair.after, figure, without) - _kept(pair, pair.before, figure, without))
            holds = np.all([CAUSES[name].holds(pair) for name in names], axis=0)
            causes[unexplained & holds & (rest >= -ROUNDING * before)] = " and ".join(names)
        found += [(float(-size[index]), causes[index]) for index in np.flatnonzero(broken)]
    return found


LARGEST = {
    ("other tiles", "area"): 0.180, ("other tiles", "latency"): 0.473, ("other tiles", "energy"): 0.289,
    ("another floorplan", "area"): 0.087, ("another floorplan", "latency"): 0.150,
    ("another floorplan", "energy"): 0.018,
    ("fuller crossbar", "latency"): 0.285,
    ("share of the buffer", "latency"): 0.168,
    ("less time to leak", "energy"): 0.152,
    ("shorter wires", "latency"): 0.042,
    ("wider wires", "latency"): 0.001,
    ("unclocked buffers", "latency"): 0.025,
    ("fewer ADCs to select", "latency"): 0.021,
    ("larger decoder", "area"): 0.010,
    ("fewer units", "area"): 0.001,
}  # fmt: skip
"""Cause and figure -> by how much of it a rule is broken at most."""

FREQUENT = {
    ("sharing x2", "area"): 18, ("sharing x2", "latency"): 147,
    ("ADC bits +1", "area"): 268, ("ADC bits +1", "latency"): 28, ("ADC bits +1", "energy"): 10,
    ("input bits +1", "area"): 57, ("input bits +1", "latency"): 5, ("input bits +1", "energy"): 2,
    ("channels +1", "area"): 0, ("channels +1", "latency"): 63, ("channels +1", "energy"): 16,
    ("channels +8", "area"): 1, ("channels +8", "latency"): 64, ("channels +8", "energy"): 16,
}  # fmt: skip
"""Rule -> how often it is broken."""


@pytest.mark.parametrize("rule", RULES, ids=" ".join)
def test_more_is_not_cheaper_but_for_a_cause(designs, rule):
    change, figure = rule
    found = _exceptions(designs, change, figure, RULES[rule])
    for size, causes in found:
        assert causes, f"{change}: {figure} breaks its rule by {size:.2%}, and no cause explains it"
        assert size <= max(LARGEST[cause, figure] for cause in causes.split(" and ")), (causes, size)
    assert len(found) <= FREQUENT[rule]


def test_every_cause_is_in_the_documentation():
    page = Path(__file__).parents[2] / "docs" / "hardware-model.md"
    limits = page.read_text(encoding="utf-8").split("\n## 17. Limits")[1].split("\n## ")[0]
    for cause in CAUSES:
        assert f"| {cause} |" in limits


# Smallest cases of faults that were found in the model


def _conv(name: str, inputs: int, outputs: int, size: int) -> Layer:
    return Layer(
        name=name, in_channels=inputs, out_channels=outputs, in_height=size, in_width=size, kernel_height=3,
        kernel_width=3, padding=1,
    )  # fmt: skip


def _cost(chip: Chip, periphery: Periphery, *layers: Layer) -> Evaluation:
    return evaluate(Design.homogeneous(Network(backbone="custom", layers=layers), chip, periphery))


@pytest.mark.parametrize("core_bits", [32, 1024])
@pytest.mark.parametrize("adc_type", range(len(ADC_TYPES)), ids=ADC_TYPES)
def test_the_whole_grid_of_peripheries_of_one_layer(adc_type, core_bits):
    # Cases of the audit: a multiplexer stretched to its decoder made 64 columns per ADC larger than 32 and 32 larger
    # than 16, buffers of more cores were faster with a bit more, and an ADC bit saved whole rows of flip-flops.
    sharing, adc_bits, input_bits = np.meshgrid(2 ** np.arange(7), np.arange(3, 9), np.arange(1, 9), indexing="ij")
    arrays = {"adc_type": np.full(sharing.shape, adc_type), "columns_per_adc": sharing}
    arrays |= {"adc_bits": adc_bits, "input_bits": input_bits}
    periphery = PeripheryArrays.given(**{name: values[..., None] for name, values in arrays.items()})
    workload = Workload.from_layers([_conv("a", 64, 64, 32)])
    found = evaluate_batch(Chip(buffers=Buffers(tile_core_bits=core_bits)), workload, periphery)

    def steps(figure: str, axis: int, without: str | None = None) -> np.ndarray:
        values = getattr(found, figure)
        kept = values - (0 if without is None else found.breakdown[figure][without])
        return np.diff(kept, axis=axis) / np.delete(values, -1, axis=axis)

    assert np.all(steps("area", 0, "other") < ROUNDING)
    assert np.max(steps("area", 0)) < 0.003  # from 32 to 64 columns per ramp ADC: a larger decoder
    assert np.all(steps("latency", 0, "interconnect") > -ROUNDING)
    assert np.min(steps("latency", 0)) > -0.13  # from 1 to 2 columns per flash ADC: half of the tile, shorter wires
    for axis in (1, 2):
        for figure in ("latency", "energy"):
            assert np.all(steps(figure, axis) > -ROUNDING)
    assert np.all(steps("area", 2) > -ROUNDING)
    assert np.all(steps("area", 1, "buffers") > -0.0002)  # fewer adder trees and ReLU units
    assert np.min(steps("area", 1)) > -0.005  # a row of flip-flops fewer where a wider ADC makes the row longer


def test_a_channel_more_costs_a_channel_more():
    auto = Chip(subarrays_per_pe=None, pes_per_tile=None)
    for chip in (Chip(), auto):
        fewer, more = (
            _cost(chip, Periphery(), _conv("a", 64, width, 16), _conv("b", width, 64, 16)) for width in (128, 129)
        )
        assert fewer.area <= more.area < 1.25 * fewer.area
        assert fewer.latency <= more.latency
        assert fewer.energy < more.energy


def test_white_space_beside_one_large_tile_is_charged():
    layers = tuple(_conv(f"layer {index}", 64, 64, 16) for index in range(12))
    large = Periphery(adc_type="flash", adc_bits=8, columns_per_adc=1)
    periphery = (large, *([Periphery(adc_bits=4)] * 11))
    found = evaluate(Design(network=Network(backbone="custom", layers=layers), periphery=periphery))
    slots, slot = found.context.slots[0], found.context.slot[0]
    assert found.layers.area.total.sum() > (slots - 1) * slot
    assert found.layers.area.white_space.sum() > 0


def test_a_few_columns_per_adc_are_selected_as_fast_as_more():
    # The gates before a decoder's drivers do not see what these drive, however few outputs there are.
    def period(columns: int) -> float:
        periphery = Periphery(adc_type="flash", columns_per_adc=columns, adc_bits=4)
        return float(_cost(Chip(synchronous=False), periphery, _conv("a", 64, 64, 8)).clock_period)

    assert period(2) < 1.1 * period(8)
    assert period(4) < 1.02 * period(8)


def test_the_wires_of_17_tiles_are_not_those_of_64():
    # 16 tiles in a grid of 4 x 4, 17 in one of 5 x 4.
    p = process_of(Technology())
    few, more = (
        circuits.h_tree(p, rows, 4.0, unit_height=1e-3, unit_width=1e-3, bus_bits=2048.0, folding=4.0, bits=2048.0)
        for rows in (4.0, 5.0)
    )
    assert few.energy < more.energy < 1.3 * few.energy
    assert few.latency < more.latency < 1.4 * few.latency
