"""Blocks that layers share, and buffers: what they take follows from what they do, not from how a chip is cut up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xpert.design import AnalogSettings, Buffers, Chip, Design, Device, Layer, Network, Periphery, Technology
from xpert.hardware import PHYSICAL, REFERENCE, PeripheryArrays, circuits, evaluate
from xpert.hardware.crossbar import crossbar_of
from xpert.hardware.evaluate import CostedChip, cost_layers
from xpert.hardware.technology import process_of
from xpert.workload.layers import Workload


def chain(*layers: Layer) -> Network:
    return Network(backbone="custom", layers=layers)


def costed(design: Design) -> CostedChip:
    chip = design.chip
    p = process_of(chip.technology, switches=PHYSICAL, logic_clock=chip.logic_clock_hz)
    periphery = PeripheryArrays.of(design.periphery, chip.adcs)
    return cost_layers(p, chip, crossbar_of(chip), Workload.from_network(design.network), periphery)


def part(design: Design, quantity: str, component: str) -> float:
    return evaluate(design).to_dict()["breakdown"][quantity][component]


# Constants of outputs


def test_each_output_gets_its_constant_from_an_adder(conv):
    """Bias, batch norm and what offsets of ADCs do are one number, so that it costs the same whatever is in it."""
    last = Layer(name="last", kind="linear", in_channels=48, out_channels=10, relu=False)
    network = chain(conv("first", (3, 48), 32), last)
    design = Design.homogeneous(network, Chip(), Periphery())
    found, free = evaluate(design), evaluate(design, replace(PHYSICAL, output_constants=False))
    # 2048 wires hold so many sums of 8-bit words over rows, input bits and slices; one adder for each.
    bits = int(found.context.tree_bits.item()) + int(np.ceil(np.log2(found.context.tree_inputs.item())))
    units, p = int(found.context.trees.item()), process_of(Technology())
    one = circuits.adder(p, float(bits), 1.0)
    assert units == 2048 // int(found.context.tree_bits.item())
    outputs = [32 * 32 * 48, 10]
    turns = sum(-(-count // units) for count in outputs)

    def more(quantity: str, component: str) -> float:
        parts = [float(each.breakdown[quantity][component]) for each in (found, free)]
        return parts[0] - parts[1]

    assert more("area", "digital") == pytest.approx(units * one.area)
    assert more("latency", "digital") == pytest.approx(turns * one.cycles * 1e-9)
    assert more("energy", "digital") == pytest.approx(sum(outputs) * one.energy * 1.22)
    for changes in ({"adc_offset_compensation": False}, {"adc_range": "unbounded"}):
        plain = design.replace(chip=Chip(analog=AnalogSettings(**changes)))
        assert part(plain, "latency_us", "digital") == part(design, "latency_us", "digital")
    # A batch norm that the chip measures ends in that addition.
    adaptive = design.replace(chip=Chip(analog=AnalogSettings(adaptive_batch_norm=True)))
    assert evaluate(adaptive).energy == evaluate(adaptive, replace(PHYSICAL, output_constants=False)).energy


# Pooling


def pooled(conv: Any, pool: int, kind: str | None, channels: int = 16) -> Design:
    last = Layer(name="last", kind="linear", in_channels=channels, out_channels=10, relu=False)
    first = conv("first", (3, channels), 64, pool=pool, pool_kind=kind)
    return Design.homogeneous(chain(first, last), Chip(), Periphery())


@pytest.mark.parametrize("window", [2, 8, 64])
def test_an_average_takes_an_adder_and_a_register_per_channel(conv, window):
    none, average = (part(pooled(conv, side, "average", 200), "area_mm2", "digital") for side in (1, window))
    p = process_of(Technology())
    # Eight-bit values; a unit for each of 200 channels, which are more than the trees.
    unit = circuits.average_pooling(p, 8.0, float(window**2), 1.0)
    assert average - none == pytest.approx(200 * unit.area * 1e6)
    assert average < 0.1


def test_maxima_still_take_trees_of_comparators(conv):
    small, large = (part(pooled(conv, side, "max"), "area_mm2", "digital") for side in (2, 8))
    p = process_of(Technology())
    trees = [circuits.max_pooling(p, 8.0, window, 512.0).area * 1e6 for window in (4.0, 64.0)]
    assert large - small == pytest.approx(trees[1] - trees[0])


def test_pooling_units_are_as_large_as_the_largest_maximum(conv):
    layers = conv("a", (3, 16), 32, pool=2, pool_kind="max"), conv("b", (16, 16), 16, pool=16, pool_kind="average")
    context = evaluate(Design.homogeneous(chain(*layers), Chip(), Periphery())).context
    assert context.pool_window.tolist() == [4]
    assert context.average_window.tolist() == [256]
    assert context.average_units.tolist() == context.trees.tolist() > [16]  # as many as sums come at once
    plain = evaluate(Design.homogeneous(chain(layers[0]), Chip(), Periphery())).context
    assert plain.average_units.tolist() == [0]


def test_an_average_adds_every_value(conv):
    # 4096 positions of 128 channels, which are added at once, in adders of 20 bits.
    none, average = (pooled(conv, side, "average", 128) for side in (1, 64))
    p = process_of(Technology())
    unit = circuits.average_pooling(p, 8.0, 4096.0, 1.0)
    more = part(average, "latency_us", "digital") - part(none, "latency_us", "digital")
    assert more == pytest.approx(4096 * unit.cycles * 1e-3)
    spent = part(average, "energy_uj", "digital") - part(none, "energy_uj", "digital")
    assert spent == pytest.approx(4096 * 128 * unit.energy * 1.22 * 1e6)


def test_what_is_pooled_to_one_pixel_is_an_average_unless_said(conv):
    figures = [evaluate(pooled(conv, *how)).to_dict() for how in ((64, None), (64, "average"), (64, "max"))]
    assert figures[0] == figures[1]
    assert figures[2]["area_mm2"] > 10 * figures[0]["area_mm2"]
    assert evaluate(pooled(conv, 2, None)).to_dict() == evaluate(pooled(conv, 2, "max")).to_dict()
    reference = [evaluate(pooled(conv, 64, kind), REFERENCE).to_dict() for kind in ("average", "max")]
    assert reference[0] == reference[1]


# Buffers: pairs of designs that once were in the wrong order


def one(conv: Any, channels: tuple[int, int], size: int, chip: Chip, **periphery: Any) -> Design:
    return Design.homogeneous(chain(conv("only", channels, size)), chip, Periphery(**periphery))


def test_the_same_words_take_the_same_time_in_tiles_of_any_size(conv):
    """A bus twice as wide saves the same time, so the same words went over it."""
    saved = []
    for pes in (4, 16, 64):
        times = [
            part(one(conv, (3, 64), 32, Chip(pes_per_tile=pes, buffers=buffers)), "latency_us", "buffers")
            for buffers in (Buffers(), Buffers(tile_bus_bits=512))
        ]
        saved.append(times[0] - times[1])
    # 27 x 8 bits in and 64 words of 1 + 18 bits out at each of 1024 positions, written and read
    assert saved == pytest.approx([2 * 1024 * (27 * 8 + 64 * 19) * (1 / 256 - 1 / 512) * 1e-3] * 3)


def test_more_input_bits_cost_more_with_small_buffer_cores(conv):
    chip = Chip(buffers=Buffers(tile_core_bits=32))
    four, five = (
        evaluate(one(conv, (64, 64), 16, chip, adc_type="flash", columns_per_adc=1, adc_bits=2, input_bits=bits))
        for bits in (4, 5)
    )
    assert four.latency < five.latency
    assert four.area < five.area
    assert four.edap < five.edap


def test_more_flash_bits_take_more_time(conv):
    fast, slow = (
        evaluate(one(conv, (64, 64), 16, Chip(), adc_type="flash", columns_per_adc=1, adc_bits=bits, input_bits=1))
        for bits in (1, 2)
    )
    assert fast.latency < slow.latency


@pytest.mark.parametrize("volts", [(1.5, 1.51), (1.2, 3.0)])
def test_level_shifters_are_there_above_the_logic_supply_whatever_the_voltage(conv, volts):
    low, high = (one(conv, (64, 64), 16, Chip(device=Device(write_voltage_v=v))) for v in volts)
    assert evaluate(low).area == evaluate(high).area
    none = one(conv, (64, 64), 16, Chip(device=Device(write_voltage_v=0.9)))  # the supply at 32 nm
    assert evaluate(none).area < evaluate(low).area


def test_one_channel_more_does_not_double_an_automatic_chip(conv):
    def chip_of(middle: int) -> Any:
        layers = conv("a", (3, 64), 16), conv("b", (64, middle), 16), conv("c", (middle, 64), 16)
        automatic = Chip(subarrays_per_pe=None, pes_per_tile=None)
        return evaluate(Design.homogeneous(chain(*layers), automatic, Periphery()))

    below, above = chip_of(128), chip_of(129)
    assert below.area < above.area < 1.25 * below.area  # a column of crossbars more
    assert below.latency <= above.latency


# Buffers: what holds for any chip

ENTRIES = st.builds(
    Periphery,
    adc_type=st.sampled_from(["sar", "flash"]),
    columns_per_adc=st.sampled_from([1, 3, 8, 32]),
    adc_bits=st.integers(1, 7),
    input_bits=st.integers(1, 7),
)
CHIPS = st.builds(
    lambda side, core, **given: Chip(subarrays_per_pe=side[0], pes_per_tile=side[1], buffers=Buffers(**core), **given),
    side=st.sampled_from([(1, 1), (1, 4), (4, 16), (16, 9)]),
    core=st.fixed_dictionaries(
        {
            "tile_core_bits": st.sampled_from([16, 32, 100, 1024]),
            "tile_bus_bits": st.sampled_from([32, 200, 256, 1024]),
            "global_core_bits": st.sampled_from([32, 128]),
            "global_kind": st.sampled_from(["register_file", "sram"]),
            "max_bus_bits": st.sampled_from([256, 2048]),
        }
    ),
    technology=st.sampled_from([Technology(), Technology(node_nm=7), Technology(node_nm=130, roadmap="HP")]),
    rows=st.sampled_from([32, 64, 128]),
    columns=st.sampled_from([32, 64, 128]),
    encoding=st.sampled_from(["offset", "differential"]),
    mapping=st.sampled_from(["conventional", "novel"]),
)
WIDTHS = st.lists(st.integers(1, 200), min_size=2, max_size=4)


def drawn(chip: Chip, widths: list[int], entries: list[Periphery], conv: Any) -> Design:
    pairs = zip((3, *widths), widths)
    layers = [conv(str(place), pair, 8) for place, pair in enumerate(pairs)]
    return Design(chip=chip, network=chain(*layers), periphery=tuple(entries[: len(layers)]))


def buffers_of(design: Design) -> dict[str, np.ndarray]:
    """Time of every layer's buffers; area and leakage power of the tiles' buffers, and of the global one."""
    found = costed(design)
    shape = found.mapping.tiles.shape
    each = found.tile.input_buffer, found.tile.output_buffer
    core, cores = found.shared.buffer, found.context.buffer_cores
    return {
        "latency": np.broadcast_to(found.layers.latency.buffers, shape),
        "tile area": sum(np.broadcast_to(buffer.core.area * buffer.cores, shape) for buffer in each),
        "tile leakage": sum(np.broadcast_to(buffer.core.leakage * buffer.cores, shape) for buffer in each),
        "area": core.area * cores,
        "leakage": core.leakage * cores,
        "mapped": np.stack([found.mapping.tiles, found.mapping.speed_up, found.mapping.novel]),
    }


ANY = {
    "chip": CHIPS,
    "widths": WIDTHS,
    "entries": st.lists(ENTRIES, min_size=4, max_size=4),
    "place": st.integers(0, 3),
}


@settings(max_examples=200, deadline=None)
@given(**ANY, field=st.sampled_from(["input_bits", "adc_bits"]))
def test_more_bits_are_never_faster_or_smaller_through_buffers(conv, chip, widths, entries, place, field):
    place %= len(widths)
    usual = buffers_of(drawn(chip, widths, entries, conv))
    more = entries[place].replace(**{field: getattr(entries[place], field) + 1})
    found = buffers_of(drawn(chip, widths, [*entries[:place], more, *entries[place + 1 :]], conv))
    for name, values in found.items():
        assert np.all(values >= usual[name] * (1 - 1e-12)), name


@settings(max_examples=200, deadline=None)
@given(**ANY)
def test_a_wider_layer_is_never_faster_through_buffers(conv, chip, widths, entries, place):
    """As long as it is mapped alike, in as many tiles with as many copies: another tile brings another bus."""
    place %= len(widths)
    usual = buffers_of(drawn(chip, widths, entries, conv))
    wider = [*widths[:place], widths[place] + 1, *widths[place + 1 :]]
    found = buffers_of(drawn(chip, wider, entries, conv))
    assume(np.array_equal(found["mapped"], usual["mapped"]))
    assert np.all(found["latency"] >= usual["latency"] * (1 - 1e-12))


@settings(max_examples=50, deadline=None)
@given(**ANY, field=st.sampled_from(["tile_core_bits", "global_core_bits"]), side=st.sampled_from([8, 48, 256]))
def test_the_size_of_cores_decides_no_time(conv, chip, widths, entries, place, field, side):
    other = chip.replace(buffers=chip.buffers.replace(**{field: side}))
    usual, found = (buffers_of(drawn(one, widths, entries, conv)) for one in (chip, other))
    assert found["latency"] == pytest.approx(usual["latency"], rel=1e-12)


def test_a_tile_bus_costs_area_and_saves_time(conv):
    narrow, wide = (
        evaluate(one(conv, (64, 64), 16, Chip(buffers=Buffers(tile_bus_bits=bits)))) for bits in (128, 1024)
    )
    assert wide.latency < narrow.latency
    assert wide.area_by_component.interconnect > narrow.area_by_component.interconnect


def test_the_reference_knows_no_tile_bus(conv):
    designs = [one(conv, (64, 64), 16, Chip(buffers=Buffers(tile_bus_bits=bits))) for bits in (32, 1024)]
    assert evaluate(designs[0], REFERENCE).to_dict() == evaluate(designs[1], REFERENCE).to_dict()
    kept = replace(PHYSICAL, tile_bus=False)
    assert evaluate(designs[0], kept).to_dict() == evaluate(designs[1], kept).to_dict()
