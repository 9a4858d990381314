"""What holds for any chip, over 2,000 random heterogeneous designs; docs/hardware-model.md, section 17, lists exceptions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from xpert.design import Activity, AnalogSettings, Buffers, Chip, Converters, Design, Device, Layer, Network, Periphery, Technology
from xpert.errors import ConfigError
from xpert.hardware import PHYSICAL, Evaluation, PeripheryArrays, evaluate, evaluate_batch
from xpert.hardware.breakdown import COMPONENTS, map_arrays
from xpert.hardware.crossbar import crossbar_of
from xpert.hardware.evaluate import CostedChip, cost_layers, summarise
from xpert.hardware.technology import process_of
from xpert.workload.layers import Workload

CHIPS, NETWORKS = 100, 20
"""Random chips, and networks on each of them."""

ADC_TYPES = ("sar", "flash", "ramp")


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
                name=f"conv{index}", in_channels=channels, out_channels=outputs, in_height=size, in_width=size,
                kernel_height=kernel, kernel_width=kernel, stride=stride, padding=kernel // 2, groups=groups, pool=pool,
                residual=residual,
            )  # fmt: skip
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


def _changes(workload: Workload, periphery: PeripheryArrays, changed: np.ndarray) -> dict[str, tuple[Workload, PeripheryArrays]]:
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
        arrays = map_arrays(lambda array: array.reshape(NETWORKS, depth), arrays)
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
        return Designs(chip, networks, peripheries, changed, base, after)


def _chip_or_none(rng: np.random.Generator) -> Chip | None:
    """A random chip, or none where what was drawn does not go together."""
    try:
        return _chip(rng)
    except ConfigError:
        return None
