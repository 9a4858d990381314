"""The drawing is the floorplan: what is charged is there, once, and where `place` has it."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import DataError
from xpert.hardware import PHYSICAL, REFERENCE, evaluate
from xpert.hardware.floorplan import Rectangle, choose_slot, place
from xpert.report.chip_drawing import ChipDrawing, draw_chip, h_tree, scale_bar, slot_lines
from xpert.results import EvaluationRecord

LAYERS = st.lists(st.tuples(st.floats(0.01, 5), st.integers(1, 12)), min_size=1, max_size=6)


def record(layers: list[tuple[float, int]], **shared: float) -> dict[str, Any]:
    """A chip of layers (area of a tile, tiles) on their floorplan, and areas that belong to none."""
    headline = {"latency_us": 1, "energy_uj": 1, "edap": 1, "tops_per_watt": 1, "tops_per_mm2": 1}
    areas, tiles = (np.array([list(values)], dtype=float) for values in zip(*layers, strict=True))
    plan = choose_slot(areas, tiles)
    slot, shares = float(plan.slot[0, 0]), plan.share[0].tolist()
    entries: list[dict[str, Any]] = [
        {
            "name": f"layer{index}",
            "area_mm2": max(share * slot, area) * count,
            "latency_us": 1,
            "energy_uj": 1,
            "tiles": count,
            "slot_share": share,
            "utilization": 1,
            "adc_type": "sar",
            "columns_per_adc": 8,
            "adc_bits": 6,
            "input_bits": 8,
            "in_channels": 1,
            "out_channels": 1,
            "breakdown": {"area_mm2": {"array": area * count, "white_space": max(share * slot - area, 0.0) * count}},
        }
        for index, ((area, count), share) in enumerate(zip(layers, shares, strict=True))
    ]
    own = {name: sum(entry["breakdown"]["area_mm2"][name] for entry in entries) for name in ("array", "white_space")}
    areas_of = {**own, **shared}
    total = sum(areas_of.values())
    chip = {**headline, "area_mm2": total, "slot_mm2": slot, "layers": entries, "breakdown": {"area_mm2": areas_of}}
    return chip | {"slots": int(plan.slots[0, 0])}


def drawn(chip: dict[str, Any]) -> ChipDrawing:
    drawing = draw_chip(EvaluationRecord.parse(chip, "test"))
    assert drawing is not None
    return drawing


def area(pieces: tuple[Rectangle, ...]) -> float:
    return sum(piece.width * piece.height for piece in pieces)


def overlap(one: Rectangle, two: Rectangle) -> float:
    wide = min(one.x + one.width, two.x + two.width) - max(one.x, two.x)
    high = min(one.y + one.height, two.y + two.height) - max(one.y, two.y)
    return max(0.0, wide) * max(0.0, high)


def test_four_equal_tiles_make_a_square():
    drawing = drawn(record([(4.0, 4)]))
    assert (drawing.width, drawing.height, drawing.rows, drawing.columns) == (4, 4, 2, 2)
    assert sorted((tile.x, tile.y) for tile in drawing.tiles) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert drawing.white_space == drawing.above_bound == 0
    assert drawing.blocks == drawing.spare == ()


def test_by_hand():
    # Slots of 4 mm2, two side by side: tiles take two and a half of them, the half with 1.5 mm2; 3 mm2 are shared.
    chip = record([(4.0, 2), (1.5, 1)], buffers=1.0, digital=2.0)
    assert chip["slots"] == 3
    drawing = drawn(chip)
    assert (drawing.rows, drawing.columns, drawing.pitch) == (2, 2, 2)
    small = drawing.tiles[-1]
    side = math.sqrt(0.75)
    assert (small.x, small.y, small.width, small.height) == pytest.approx((0, 2, side, 2 * side))
    assert drawing.white_space == pytest.approx(0.5)
    # 8 + 1.5 mm2 of tiles and 3 mm2 of blocks.
    assert drawing.above_bound == pytest.approx(0.5 / 12.5)
    # The empty slot first: a quarter for the buffers, a half for the rest; a quarter of it and half a slot stay.
    assert [(b.component, b.x, b.y, b.width, b.height) for b in drawing.blocks] == [
        ("buffers", 2, 2, 0.5, 2),
        ("digital", 2.5, 2, 1, 2),
    ]
    assert [(s.x, s.y, s.width, s.height) for s in drawing.spare] == [(3.5, 2, 0.5, 2), (1, 2, 1, 2)]
    assert drawing.height == 4


@given(LAYERS, st.floats(0.001, 10), st.floats(0.001, 10))
def test_what_is_drawn_is_what_is_charged(layers: list[tuple[float, int]], buffers: float, wires: float):
    chip = record(layers, buffers=buffers, interconnect=wires)
    drawing = drawn(chip)
    total = chip["area_mm2"]
    for index, (own, tiles) in enumerate(layers):
        mine = [tile for tile in drawing.tiles if tile.layer == index]
        assert len(mine) == tiles
        assert all(math.isclose(tile.width * tile.height, own, rel_tol=1e-6) for tile in mine)
    for name, value in (("buffers", buffers), ("interconnect", wires)):
        mine = tuple(block for block in drawing.blocks if block.component == name)
        assert area(mine) == pytest.approx(value, abs=2e-6 * total)
    assert drawing.white_space == pytest.approx(chip["breakdown"]["area_mm2"]["white_space"], abs=1e-6 * total)
    # All of the outline is charged, but for what is left of the last row.
    assert area(drawing.tiles) + drawing.white_space + area(drawing.blocks) == pytest.approx(total, rel=1e-5)
    assert total + area(drawing.spare) == pytest.approx(drawing.width * drawing.height, rel=1e-5)
    charged = area(drawing.tiles) + area(drawing.blocks)
    assert drawing.above_bound == pytest.approx(total / charged - 1, abs=1e-5)


@given(LAYERS, st.floats(0, 10))
def test_nothing_overlaps_and_all_is_in_its_place(layers: list[tuple[float, int]], buffers: float):
    chip = record(layers, buffers=buffers)
    drawing = drawn(chip)
    pieces = (*drawing.tiles, *drawing.blocks, *drawing.spare)
    slack = 1e-6 * drawing.pitch**2
    for piece in pieces:
        assert min(piece.x, piece.y, piece.width, piece.height) >= 0
        assert piece.x + piece.width <= drawing.width * (1 + 1e-9)
        assert piece.y + piece.height <= drawing.height * (1 + 1e-9)
    assert all(overlap(one, two) <= slack for one, two in combinations(pieces, 2))
    # Tiles are in their parts, blocks in nobody's.
    parts = place([entry["slot_share"] for entry in chip["layers"]], [tiles for _, tiles in layers], drawing.columns)
    for tile, part in zip(drawing.tiles, parts, strict=True):
        mine = Rectangle(*(drawing.pitch * value for value in (part.x, part.y, part.width, part.height)))
        assert tile.layer == part.layer
        assert overlap(tile, mine) == pytest.approx(tile.width * tile.height)
        assert all(overlap(block, mine) <= slack for block in drawing.blocks)


def test_an_evaluation_of_the_hardware_model_adds_up():
    layers = tuple(
        Layer(name=f"l{index}", in_channels=64, out_channels=300, in_height=4, in_width=4) for index in range(3)
    )
    kinds = (Periphery(adc_type="flash", columns_per_adc=2), Periphery(), Periphery(columns_per_adc=32))
    design = Design(network=Network(backbone="custom", layers=layers), chip=Chip(), periphery=kinds)
    found = evaluate(design, PHYSICAL).to_dict()
    drawing = drawn(found)
    assert drawing.white_space == pytest.approx(found["breakdown"]["area_mm2"]["white_space"], rel=1e-9)
    assert drawing.white_space > 0
    charged = area(drawing.tiles) + drawing.white_space + area(drawing.blocks)
    assert charged == pytest.approx(found["area_mm2"], rel=1e-5)
    # The reference mode has no floorplan, so there is nothing to draw.
    assert draw_chip(EvaluationRecord.parse(evaluate(design, REFERENCE).to_dict(), "test")) is None


@given(st.integers(1, 60))
def test_the_tree_reaches_every_slot(tiles: int):
    drawing = drawn(record([(1.0, tiles)]))
    trunk, *wires = h_tree(drawing)
    assert trunk == (drawing.width / 2, drawing.rows, drawing.width / 2, drawing.rows / 2)
    ends = {trunk[2:], *(wire[2:] for wire in wires)}
    assert all(x == u or y == v for x, y, u, v in wires)
    assert ends >= {(x + 0.5, y + 0.5) for x in range(drawing.columns) for y in range(drawing.rows)}
    assert len(list(slot_lines(drawing))) == drawing.columns + drawing.rows - 2


def test_nothing_to_draw():
    def drawing(chip: dict[str, Any]) -> ChipDrawing | None:
        return draw_chip(EvaluationRecord.parse(chip, "test"))

    chip = record([(1.0, 4)])
    assert drawing(chip | {"layers": []}) is None
    assert drawing(record([(1.0, 6000)])) is None
    # Evaluations from before there were floorplans.
    del chip["slot_mm2"]
    assert drawing(chip) is None


@pytest.mark.parametrize(
    "changed", [{"slot_share": 0.5}, {"slot_share": 0.75}, {"slot_share": None}, {"area_mm2": 1e3}]
)
def test_tiles_that_do_not_fit_are_refused(changed: dict[str, Any]):
    chip = record([(1.0, 4)])
    chip["layers"][0] |= changed
    with pytest.raises(DataError, match=r"layers: layer0: slot_share: must be 1, 1/2, .* got"):
        drawn(chip)


@pytest.mark.parametrize(("width", "bar"), [(9.0, 2), (30.0, 10), (0.4, 0.1), (3.0, 1), (1000.0, 200)])
def test_scale_bar_is_round_and_at_most_a_third(width: float, bar: float):
    assert scale_bar(width) == pytest.approx(bar)
