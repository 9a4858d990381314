"""Mapping: on paper, and what must hold for any network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Chip, Layer
from xpert.hardware.mapping import map_layers, utilization
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.workload.layers import Workload

AUTO = {"subarrays_per_pe": None, "pes_per_tile": None}


def test_fixed_tiles_by_hand(conv):
    # 8-bit weights in 4-bit cells: two columns each. A PE is 2 x 2, a tile 8 x 8 crossbars of 64 x 64.
    chip = Chip()
    work = Workload.from_layers(
        [
            conv("first", (3, 64), 32),  # 27 x 128: 1 x 2 crossbars
            conv("second", (64, 128), 32),  # 576 x 256: 9 x 4
            conv("third", (256, 512), 8),  # 2304 x 1024: 36 x 16
        ]
    )
    mapping = map_layers(chip, work, PHYSICAL)
    assert mapping.pe_side.tolist() == [2, 2, 2]
    assert mapping.tile_side.tolist() == [8, 8, 8]
    assert mapping.tiles_down.tolist() == [1, 2, 5]
    assert mapping.tiles_across.tolist() == [1, 1, 2]
    assert mapping.tiles.tolist() == [1, 2, 10]
    # The first fits 4 x 4 times as PEs, and twice below itself in each; the second twice side by side.
    assert mapping.duplication_rows.tolist() == [8, 1, 1]
    assert mapping.duplication_columns.tolist() == [4, 2, 1]
    used = [27 * 128 * 32 / 512**2, 576 * 256 * 2 / (2 * 512**2), 2304 * 1024 / (10 * 512**2)]
    assert utilization(chip, work, mapping).tolist() == pytest.approx(used)


def test_groups_have_crossbars_of_their_own(conv):
    depthwise = Workload.from_layers([conv("depthwise", (128, 128), 8, groups=128)])
    mapping = map_layers(Chip(), depthwise, PHYSICAL)
    assert mapping.rows.tolist() == [9]
    assert mapping.columns.tolist() == [128 * 64]  # one crossbar for each group's two columns
    assert mapping.used_columns.tolist() == [256]
    assert mapping.group_columns.tolist() == [64]
    assert mapping.tiles.tolist() == [16]


def test_reference_choice_by_hand(conv):
    # 512 x 2 columns: tiles of 1024, 512 are tried; PEs of 256, then 128 cells.
    work = Workload.from_layers([conv("only", (512, 512), 4)])
    organisation = map_layers(Chip(**AUTO), work, REFERENCE).organisation
    # 4608 x 1024 fills 9 tiles of 512 in each direction exactly, but 1024 only to 90 %.
    assert organisation.tile_side.tolist() == [8]
    assert organisation.pe_side.tolist() == [4]


def test_least_cells_by_hand(conv):
    def organisation(*layers):
        chosen = map_layers(Chip(**AUTO), Workload.from_layers(layers), PHYSICAL).organisation
        return chosen.tile_side.tolist(), chosen.pe_side.tolist()

    # 72 x 16 crossbars fill tiles of 8 x 8 as well as those of 4 x 4, but not those of 16 x 16.
    whole = conv("whole", (512, 512), 4)
    assert organisation(whole) == ([8], [4])
    # 9 x 4 crossbars: 3 tiles of 4 x 4, or 2 of 8 x 8. Beside a large layer that is less than a tenth of all cells.
    assert organisation(conv("small", (64, 128), 4)) == ([4], [2])
    assert organisation(whole, conv("small", (64, 128), 4)) == ([8], [4])
    assert organisation(whole, *(conv(f"small{index}", (64, 128), 4) for index in range(2))) == ([4], [2])
    assert organisation(conv("one more", (512, 513), 4)) == ([4], [2])
    # A layer that is narrower than a tile has no say in its size: the widest one bounds it.
    assert organisation(conv("narrow", (3, 16), 32)) == ([4], [2])


@given(widths=st.lists(st.integers(1, 700), min_size=2, max_size=4), place=st.integers(0, 3), novel=st.booleans())
def test_a_channel_more_hardly_takes_fewer_cells(conv, widths, place, novel):
    chip = Chip(mapping="novel" if novel else "conventional", **AUTO)
    place %= len(widths)

    def cells(widths):
        pairs = zip((64, *widths), widths)
        work = Workload.from_layers([conv(str(index), pair, 8) for index, pair in enumerate(pairs)])
        mapping = map_layers(chip, work, PHYSICAL)
        pes = np.where(mapping.novel, mapping.organisation.novel_pes, 1)
        return np.sum(mapping.tiles * mapping.tile_side**2 * pes)

    wider = [*widths[:place], widths[place] + 1, *widths[place + 1 :]]
    assert 1.1 * cells(wider) >= cells(widths)  # within the spare cells of larger tiles


def test_novel_mapping_spreads_the_most_frequent_kernel(conv):
    work = Workload.from_layers(
        [
            conv("thin", (3, 64), 16),  # too few rows
            conv("a", (64, 64), 16),
            conv("b", (64, 128), 16),
            conv("large", (128, 128), 16, kernel_height=5, kernel_width=5, padding=2),
            Layer(name="linear", kind="linear", in_channels=128, out_channels=10),
        ]
    )
    mapping = map_layers(Chip(mapping="novel", **AUTO), work, PHYSICAL)
    assert mapping.novel.tolist() == [False, True, True, False, False]
    assert mapping.organisation.novel_pes.tolist() == [9]
    assert mapping.rows.tolist() == [27, 64, 64, 3200, 128]


def test_pipelining_copies_large_maps(conv):
    chip = Chip(execution="pipelined", pipeline_speed_up=8)
    work = Workload.from_layers([conv("large", (512, 512), 32), conv("small", (512, 512), 4)])
    mapping = map_layers(chip, work, PHYSICAL)
    # 34 / 6 rows of pixels allow degree 5; a bound of 7 rows asks for (34 / 7)^2 = 23.6 copies of the large layer.
    assert mapping.copies.tolist() == [24, 1]
    assert mapping.tiles.tolist() == [24 * 18, 18]


def test_strides_that_do_not_divide_the_map(conv):
    work = Workload.from_layers([conv("strided", (64, 64), 32, stride=3)])
    assert map_layers(Chip(), work, PHYSICAL).vectors.tolist() == [11 * 11]
    assert map_layers(Chip(), work, REFERENCE).vectors.tolist() == [32 * 32 // 9]


widths = st.integers(1, 700)


@given(in_channels=widths, out_channels=widths, kernel=st.sampled_from([1, 3, 5]), auto=st.booleans())
def test_a_matrix_fits_its_tiles(in_channels, out_channels, kernel, auto):
    chip = Chip(**(AUTO if auto else {}))
    layer = Layer(
        name="any",
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=8,
        in_width=8,
        kernel_height=kernel,
        kernel_width=kernel,
        padding=kernel // 2,
    )
    work = Workload.from_layers([layer])
    mapping = map_layers(chip, work, PHYSICAL)
    side = mapping.tile_side * 64
    assert np.all(mapping.tiles_down * side >= mapping.rows)
    assert np.all((mapping.tiles_down - 1) * side < mapping.rows)
    assert np.all(mapping.tiles_across * side >= mapping.columns)
    assert 0 < utilization(chip, work, mapping)[0] <= 1
    assert mapping.tile_side[0] % mapping.pe_side[0] == 0


@given(batch=st.lists(st.tuples(widths, widths), min_size=1, max_size=4), novel=st.booleans())
def test_a_batch_maps_as_its_members(batch, novel):
    chip = Chip(mapping="novel" if novel else "conventional", **AUTO)
    members = [
        Workload.from_layers(
            [
                Layer(
                    name=str(position),
                    in_channels=pair[position],
                    out_channels=pair[1 - position],
                    in_height=6,
                    in_width=6,
                    kernel_height=3,
                    kernel_width=3,
                )
                for position in range(2)
            ]
        )
        for pair in batch
    ]
    together = map_layers(chip, Workload.stack(members), PHYSICAL)
    for index, member in enumerate(members):
        alone = map_layers(chip, member, PHYSICAL)
        assert together.tiles[index].tolist() == alone.tiles.tolist()
        assert together.speed_up[index].tolist() == alone.speed_up.tolist()
        assert together.novel[index].tolist() == alone.novel.tolist()
        assert together.organisation.pe_side[index].tolist() == alone.organisation.pe_side.tolist()


def test_every_floorplan_of_the_reference(reference_rows):
    from xpert.hardware.reference.chips import chip_of_row, workload_of_row

    rows = reference_rows("chip") + reference_rows("chip_random")
    assert len(rows) > 200
    for row in rows:
        inputs, outputs = row["inputs"], row["outputs"]
        chip, work = chip_of_row(inputs), workload_of_row(inputs)
        mapping = map_layers(chip, work, REFERENCE)
        assert mapping.tiles.tolist() == outputs["layer_num_tiles"], row["id"]
        assert mapping.speed_up.tolist() == outputs["layer_speedup"], row["id"]
        assert mapping.organisation.tile_side[0] * chip.rows == outputs["conventional_tile_size_cells"], row["id"]
        assert mapping.organisation.pe_side[0] * chip.rows == outputs["conventional_pe_size_cells"], row["id"]
        assert mapping.organisation.novel_side[0] * chip.rows == outputs["novel_pe_size_cells"], row["id"]


def test_chosen_copies_by_hand(conv):
    work = Workload.from_layers(
        [
            conv("first", (3, 64), 32),  # fits 8 x 4 times into a tile
            conv("second", (64, 128), 32),  # two tiles hold it twice
            conv("third", (256, 512), 8),  # ten tiles, once
            conv("small", (64, 128), 2),
            Layer(name="linear", kind="linear", in_channels=128, out_channels=10),
            Layer(name="steps", kind="linear", in_channels=128, out_channels=10, uses=7),
        ]
    )
    copies = np.array([40, 3, 2, 64, 8, 8])
    mapping = map_layers(Chip(), work, PHYSICAL, copies=copies)
    # No more than output positions: 4 of the small map, and of linear layers one, however often they are used.
    assert mapping.speed_up.tolist() == [40, 3, 2, 4, 1, 1]
    assert mapping.tiles.tolist() == [2, 4, 20, 4, 1, 1]
    assert mapping.turns is not None
    assert mapping.turns.tolist() == [26, 342, 32, 1, 1, 7]
    used = [27 * 128 * 40 / (2 * 512**2), 576 * 256 * 3 / (4 * 512**2), 2304 * 1024 / (10 * 512**2)]
    assert utilization(Chip(), work, mapping)[:3].tolist() == pytest.approx(used)
    # 20 copies of the first in the busier of its two tiles, 2 of the second.
    assert mapping.tile_share()[:3].tolist() == pytest.approx([20 * 26 / 1024, 2 * 342 / 1024, 32 / 64])


def test_what_is_not_chosen_follows_the_rules(conv):
    chip = Chip(execution="pipelined", pipeline_speed_up=8)
    work = Workload.from_layers([conv("large", (512, 512), 32), conv("small", (512, 512), 4)])
    ruled, mixed = (map_layers(chip, work, PHYSICAL, copies=copies) for copies in (None, np.array([0, 3])))
    assert mixed.speed_up.tolist() == [ruled.speed_up[0], 3]
    assert mixed.tiles.tolist() == [ruled.tiles[0], 3 * 18]
    assert mixed.tile_share().tolist() == [1, pytest.approx(6 / 16)]
