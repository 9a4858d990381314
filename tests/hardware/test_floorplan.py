"""The floorplan: it exists, charges what it takes, and no other slot takes less."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.hardware import PHYSICAL, evaluate
from xpert.hardware.floorplan import choose_slot, place

LAYERS = st.lists(st.tuples(st.floats(0.01, 5), st.integers(1, 12)), min_size=1, max_size=6)


def plan(layers: list[tuple[float, int]]):
    area, tiles = (np.array([list(values)], dtype=float) for values in zip(*layers, strict=True))
    return area, tiles, choose_slot(area, tiles)


@given(LAYERS)
def test_tiles_fit_their_parts_of_a_slot(layers):
    area, tiles, found = plan(layers)
    assert np.all(found.share <= 1)
    assert np.all(np.log2(found.share) == np.round(np.log2(found.share)))
    assert np.all(found.share * found.slot >= area * (1 - 1e-8))
    assert np.all(found.share * found.slot < 2 * area * (1 + 1e-8))
    assert found.slots[0, 0] == np.ceil(np.sum(found.share * tiles))


@given(LAYERS, st.floats(1, 4))
def test_no_slot_takes_less(layers, factor):
    area, tiles, found = plan(layers)
    other = area.max() * factor
    share = 2.0 ** np.ceil(np.log2(area / other) - 1e-9)
    assert np.sum(found.share * tiles) * found.slot[0, 0] <= np.sum(share * tiles) * other * (1 + 1e-6)


@given(LAYERS, st.integers(1, 7))
def test_the_placement_exists(layers, columns):
    _, tiles, found = plan(layers)
    places = place(found.share[0].tolist(), [count for _, count in layers], columns)
    assert len(places) == tiles.sum()
    slots = int(found.slots[0, 0])
    for one in places:
        assert one.width * one.height == found.share[0, one.layer]
        assert one.width / 2 <= one.height <= one.width * 2
        assert one.x + one.width <= columns
        # Within one slot, and within the slots that are counted.
        assert int(one.x) + 1 >= one.x + one.width
        assert int(one.y) + 1 >= one.y + one.height
        assert int(one.y) * columns + int(one.x) < slots
    for one, two in combinations(places, 2):
        assert (
            one.x + one.width <= two.x
            or two.x + two.width <= one.x
            or one.y + one.height <= two.y
            or two.y + two.height <= one.y
        )


def test_a_batch_is_as_single_designs():
    draw = np.random.default_rng(0)
    area, tiles = draw.uniform(0.1, 3, (50, 5)), draw.integers(1, 9, (50, 5)).astype(float)
    area[::2] = area[::2, :1] * 2.0 ** -draw.integers(0, 3, (25, 5))
    together = choose_slot(area, tiles)
    for index in range(len(area)):
        alone = choose_slot(area[index : index + 1], tiles[index : index + 1])
        assert alone.slot[0, 0] == together.slot[index, 0]
        assert np.array_equal(alone.share[0], together.share[index])


def mixed(one: Periphery, *others: Periphery):
    layers = tuple(
        Layer(
            name=f"l{index}", in_channels=64, out_channels=256, in_height=4, in_width=4, kernel_height=1, kernel_width=1
        )
        for index in range(len(others) + 1)
    )
    return evaluate(
        Design(network=Network(backbone="custom", layers=layers), chip=Chip(), periphery=(one, *others)), PHYSICAL
    )


def test_white_space_between_unequal_tiles_is_charged():
    small, large = Periphery(columns_per_adc=16), Periphery(adc_type="flash", columns_per_adc=2, adc_bits=8)
    alike, unequal = mixed(small, small, small), mixed(small, small, large)
    assert float(alike.area_by_component.white_space) == 0
    plan = unequal.context
    assert float(unequal.area_by_component.white_space) > 0
    # What tiles take of slots, and what is shared, is the chip.
    taken = float(np.sum(unequal.layers.share * unequal.tiles) * plan.slot[0])
    shared = float(unequal.area) - float(np.sum(unequal.layers.area.total))
    assert float(unequal.area) == pytest.approx(taken + shared, rel=1e-12)
    assert float(plan.slot[0]) >= np.max((unequal.layers.area.total - unequal.layers.area.white_space) / unequal.tiles)


def test_sensing_cycles_are_whole_cycles_of_the_clock():
    found = mixed(Periphery(), Periphery(adc_type="flash", adc_bits=4))
    cycles = found.sensing_period * Chip().logic_clock_hz
    assert np.allclose(cycles, np.round(cycles), rtol=0, atol=1e-9)
