from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.report.chip_drawing import draw_chip, scale_bar
from xpert.results import EvaluationRecord


def evaluation(layers: list[tuple[float, int]], rest: float = 0.0) -> EvaluationRecord:
    """A chip of layers (area of a tile, tiles), and an area that belongs to none."""
    headline = {"latency_us": 1, "energy_uj": 1, "edap": 1, "tops_per_watt": 1, "tops_per_mm2": 1}
    entries: list[dict[str, Any]] = [
        {
            "name": f"layer{index}",
            "area_mm2": area * tiles,
            "latency_us": 1,
            "energy_uj": 1,
            "tiles": tiles,
            "utilization": 1,
            "adc_type": "sar",
            "columns_per_adc": 8,
            "adc_bits": 6,
            "input_bits": 8,
            "in_channels": 1,
            "out_channels": 1,
        }
        for index, (area, tiles) in enumerate(layers)
    ]
    total = sum(area * tiles for area, tiles in layers) + rest
    return EvaluationRecord.parse({**headline, "area_mm2": total, "layers": entries}, "test")


def test_four_equal_tiles_make_a_square():
    drawing = draw_chip(evaluation([(4.0, 4)]))
    assert drawing is not None
    assert (drawing.width, drawing.height, drawing.strip) == (4, 4, 0)
    assert sorted((tile.x, tile.y) for tile in drawing.tiles) == [(0, 0), (0, 2), (2, 0), (2, 2)]


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.integers(1, 12)), min_size=1, max_size=6),
    st.floats(0, 10),
)
def test_areas_are_exact_and_tiles_do_not_overlap(layers: list[tuple[float, int]], rest: float):
    chip = evaluation(layers, rest)
    drawing = draw_chip(chip)
    assert drawing is not None
    for index, (area, tiles) in enumerate(layers):
        mine = [tile for tile in drawing.tiles if tile.layer == index]
        assert len(mine) == tiles
        assert all(math.isclose(tile.side**2, area) for tile in mine)
    assert drawing.strip * drawing.width == pytest.approx(rest, rel=1e-6, abs=1e-9)
    bottom = drawing.height - drawing.strip
    for tile in drawing.tiles:
        assert tile.x >= 0
        assert tile.y >= 0
        assert tile.x + tile.side <= drawing.width * (1 + 1e-9)
        assert tile.y + tile.side <= bottom * (1 + 1e-9)
    for one, two in combinations(drawing.tiles, 2):
        apart_x = abs(one.x + one.side / 2 - two.x - two.side / 2) * (1 + 1e-9) + 1e-9
        apart_y = abs(one.y + one.side / 2 - two.y - two.side / 2) * (1 + 1e-9) + 1e-9
        assert max(apart_x, apart_y) >= (one.side + two.side) / 2


def test_nothing_to_draw():
    assert draw_chip(evaluation([], rest=1.0)) is None
    assert draw_chip(evaluation([(1.0, 6000)])) is None


@pytest.mark.parametrize(("width", "bar"), [(9.0, 2), (30.0, 10), (0.4, 0.1), (3.0, 1), (1000.0, 200)])
def test_scale_bar_is_round_and_at_most_a_third(width: float, bar: float):
    assert scale_bar(width) == pytest.approx(bar)
