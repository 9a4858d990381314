"""Mapping: which crossbars, PEs and tiles a layer occupies, and how often it is duplicated.

Everything is counted in whole crossbars: a PE is a square of `pe_side` x `pe_side` subarrays, a tile holds `tile_side`
x `tile_side` of them (conventional mapping: the kernel is unrolled into rows) or `novel_pes` PEs of `novel_side` x
`novel_side` (novel mapping: each kernel position has its own PE). Source: DNN+NeuroSim V1.3, floorplanning; the fixed
organisation is XPert's (DAC 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xpert.design import Chip
from xpert.hardware.switches import Switches
from xpert.workload.layers import Workload

_SPARE_CELLS = 1.1
"""Cells that automatic tiles may take, relative to the least. Source: our choice."""


def ceil_div(a, b):
    """Integer division rounded up."""
    return -(-a // b)


@dataclass(frozen=True)
class Organisation:
    """Sizes of PEs and tiles, in crossbars per side; arrays [*batch, 1] so that they broadcast over layers."""

    pe_side: np.ndarray
    """Crossbars per side of a PE, conventional mapping."""
    tile_side: np.ndarray
    """Crossbars per side of a tile, conventional mapping."""
    novel_side: np.ndarray
    """Crossbars per side of a PE, novel mapping; 0 where no layer uses it."""
    novel_pes: np.ndarray
    """PEs of a tile, novel mapping: pixels of the kernel; 0 where no layer uses it."""


@dataclass(frozen=True)
class Mapping:
    """What each layer occupies; arrays [*batch, layers]."""

    organisation: Organisation
    """Sizes of PEs and tiles."""
    novel: np.ndarray
    """Whether the layer uses the novel mapping."""
    rows: np.ndarray
    """Rows of the matrix that is spread over a tile's rows: input channels x kernel area, novel: input channels."""
    columns: np.ndarray
    """Columns of the matrix: outputs x columns per weight; groups side by side, each in crossbars of its own."""
    used_columns: np.ndarray
    """Columns that hold weights."""
    groups: np.ndarray
    """Groups with crossbars of their own; packed ones count as one."""
    group_columns: np.ndarray
    """Columns that share their inputs: those of one group."""
    pe_side: np.ndarray
    """Crossbars per side of the layer's PEs."""
    tile_side: np.ndarray
    """Crossbars per side of the layer's tiles (novel: of each of its PEs)."""
    duplication_rows: np.ndarray
    """Copies of the matrix that lie one below the other in a tile, crossbars within PEs included."""
    duplication_columns: np.ndarray
    """Copies side by side."""
    tiles_down: np.ndarray
    """Tiles one below the other for one copy."""
    tiles_across: np.ndarray
    """Tiles side by side."""
    copies: np.ndarray
    """Copies of these tiles, for pipelined chips that speed up early layers; else 1."""
    useful_copies: np.ndarray
    """Copies of the matrix in all that the pipeline asked for, or more where they fit into the same tiles."""
    vectors: np.ndarray
    """Input vectors per image: output positions."""
    columns_per_weight: np.ndarray | int
    """Columns that hold one of the layer's weights."""
    chosen: np.ndarray | None = None
    """Copies of the matrix in all where a design chooses them, 0 where the rules above decide; None: they do in all
    layers."""
    turns: np.ndarray | None = None
    """Input vectors that each of the chosen copies takes; None where none are chosen."""

    @property
    def tiles(self) -> np.ndarray:
        """Tiles of a layer."""
        return self.tiles_down * self.copies * self.tiles_across

    @property
    def speed_up(self) -> np.ndarray:
        """Copies of the matrix in all."""
        ruled = self.duplication_rows * self.duplication_columns * self.copies
        return ruled if self.chosen is None else np.where(self.chosen > 0, self.chosen, ruled)

    def tile_share(self) -> np.ndarray | float:
        """Share of the input vectors that the busiest of the copies of a layer's tiles takes.

        1 where copies are not chosen: all vectors then pass the buffers of one of them, as the reference has it.
        """
        if self.chosen is None or self.turns is None:
            return 1.0
        busiest = ceil_div(self.chosen, self.copies) * self.turns
        return np.where(self.chosen > 0, np.minimum(busiest / self.vectors, 1.0), 1.0)


def map_layers(
    chip: Chip,
    workload: Workload,
    switches: Switches,
    organisation: Organisation | None = None,
    copies: np.ndarray | None = None,
    heights: np.ndarray | None = None,
    slices: np.ndarray | int | None = None,
) -> Mapping:
    """The mapping of every layer.

    Copies that a design chooses work at once on different output positions, so there are no more of them than a layer
    has positions in one use; as many as fit lie in a tile. Where none are chosen, tiles are filled with copies, and
    pipelined chips have more of them for early layers (`Chip.pipeline_speed_up`).

    Args:
        chip: Crossbar size, columns per weight, and the tile organisation where it is fixed.
        workload: Shapes, [*batch, layers].
        switches: For the number of output positions.
        organisation: Of PEs and tiles, where the layers are not the whole network on which it depends.
        copies: Chosen copies of every layer, [*batch, layers]; 0: by the rules. None: by the rules in all layers.
        heights: Of the network's maps, where the layers are not the whole network, [layers of the network]. [pixel]
        slices: Of every layer's weights, [*batch, layers]; None: the chip's in all layers.
    """
    code = chip.weight_code
    columns = (code.slices if slices is None else slices) * code.columns_per_slice
    groups, group_rows, group_columns = workload.groups, workload.matrix_rows, workload.matrix_columns * columns
    if chip.pack_groups:
        packed = packed_groups(chip, groups, group_rows, workload.matrix_columns, columns)
        groups, group_rows, group_columns = groups // packed, group_rows * packed, group_columns * packed
    grouped = groups > 1
    padded_columns = groups * ceil_div(group_columns, chip.columns) * chip.columns
    matrix = _Matrix(
        rows=group_rows,
        columns=np.where(grouped, padded_columns, group_columns),
        used=workload.out_channels * columns * workload.matrix_rows,
        row_blocks=ceil_div(group_rows, chip.rows),
        column_blocks=ceil_div(np.where(grouped, padded_columns, group_columns), chip.columns),
        channel_blocks=ceil_div(workload.in_channels, chip.rows),
    )
    area = np.where(workload.groups > 1, 1, workload.kernel_area)
    novel_pes = _novel_pes(chip, area, matrix) if organisation is None else organisation.novel_pes
    novel = (area == novel_pes) & (novel_pes > 1) & (matrix.rows >= chip.rows)
    if organisation is None:
        fixed = chip.subarrays_per_pe is not None and chip.pes_per_tile is not None
        if fixed:
            organisation = _fixed(chip, novel_pes)
        elif switches.least_cells:
            organisation = _least_cells(matrix, novel, novel_pes)
        else:
            organisation = _best_use(chip, matrix, novel, novel_pes)
    pe_side = np.where(novel, organisation.novel_side, organisation.pe_side)
    tile_side = np.where(novel, organisation.novel_side, organisation.tile_side)
    row_blocks = np.where(novel, matrix.channel_blocks, matrix.row_blocks)
    pe_rows, pe_columns = _pe_duplication(organisation.pe_side, organisation.tile_side, matrix)
    crossbar_rows, crossbar_columns = _fit(pe_side, row_blocks, matrix.column_blocks)
    duplication_rows = np.where(novel, 1, pe_rows) * crossbar_rows
    duplication_columns = np.where(novel, 1, pe_columns) * crossbar_columns
    duplication = duplication_rows * duplication_columns
    target = _pipeline_speed_up(chip, workload.in_height, workload.in_height if heights is None else heights)
    vectors = workload.positions if switches.true_output_positions else workload.reference_positions
    chosen = turns = None
    useful = np.maximum(target, duplication)
    if copies is not None and np.any(copies):
        once = np.maximum(vectors // workload.uses, 1)
        chosen = np.minimum(copies.astype(np.int64), once)
        turns = ceil_div(once, np.maximum(chosen, 1)) * workload.uses
        target, useful = np.where(chosen > 0, chosen, target), np.where(chosen > 0, chosen, useful)
    return Mapping(
        organisation=organisation,
        novel=novel,
        rows=np.where(novel, workload.in_channels, matrix.rows),
        columns=matrix.columns,
        used_columns=workload.out_channels * columns,
        groups=groups,
        group_columns=matrix.columns // groups,
        pe_side=pe_side,
        tile_side=tile_side,
        duplication_rows=duplication_rows,
        duplication_columns=duplication_columns,
        tiles_down=ceil_div(row_blocks, tile_side),
        tiles_across=ceil_div(matrix.column_blocks, tile_side),
        copies=ceil_div(target, duplication),
        useful_copies=useful,
        vectors=vectors,
        columns_per_weight=columns,
        chosen=chosen,
        turns=turns,
    )


def packed_groups(
    chip: Chip, groups: np.ndarray, rows: np.ndarray, outputs: np.ndarray, columns_per_weight: np.ndarray | int
) -> np.ndarray:
    """How many of a layer's groups share a crossbar: the largest divisor of their number of which all fit.

    Args:
        chip: Crossbar size.
        groups: Groups.
        rows: Rows of a group's matrix.
        outputs: Outputs of a group.
        columns_per_weight: Columns that hold one of its weights.
    """
    fit = np.minimum(chip.rows // rows, chip.columns // (outputs * columns_per_weight))
    packed = np.ones_like(groups)
    for count in range(2, int(np.max(fit, initial=1)) + 1):
        packed = np.where((count <= fit) & (groups % count == 0), count, packed)
    return packed


def utilization(chip: Chip, workload: Workload, mapping: Mapping) -> np.ndarray:
    """Share of the cells of a layer's tiles that hold weights, copies included. [*batch, layers]"""
    weights = workload.weights * mapping.columns_per_weight * mapping.useful_copies
    pes = np.where(mapping.novel, mapping.organisation.novel_pes, 1)
    return weights / (mapping.tiles * mapping.tile_side**2 * chip.rows * chip.columns * pes)


@dataclass(frozen=True)
class _Matrix:
    """Weight matrices in cells and in crossbars, [*batch, layers]."""

    rows: np.ndarray
    columns: np.ndarray
    used: np.ndarray
    row_blocks: np.ndarray
    column_blocks: np.ndarray
    channel_blocks: np.ndarray


def _fit(side, row_blocks, column_blocks):
    """How often a matrix fits into a square of `side` crossbars, down and across; once where it does not fit at all."""
    fits = (row_blocks <= side) | (column_blocks <= side)
    rows = np.where(fits, np.maximum(1, side // np.maximum(row_blocks, 1)), 1)
    columns = np.where(fits, np.maximum(1, side // np.maximum(column_blocks, 1)), 1)
    return rows, columns


def _pe_duplication(pe_side, tile_side, matrix: _Matrix):
    """Copies of a matrix in a tile, in whole PEs, down and across."""
    pes = tile_side // pe_side
    fits = (matrix.row_blocks <= tile_side) | (matrix.column_blocks <= tile_side)
    rows = np.where(fits, np.maximum(1, pes // ceil_div(matrix.row_blocks, pe_side)), 1)
    columns = np.where(fits, np.maximum(1, pes // ceil_div(matrix.column_blocks, pe_side)), 1)
    return rows, columns


def _novel_pes(chip: Chip, kernel_area: np.ndarray, matrix: _Matrix) -> np.ndarray:
    """The most frequent kernel area above 1 if layers of it can use the novel mapping; else 0. [*batch, 1]"""
    if chip.mapping == "conventional":
        return np.zeros((*kernel_area.shape[:-1], 1), dtype=np.int64)
    # [*batch, layers, layers] -> [*batch, layers]: how many layers have the same kernel area.
    alike = (kernel_area[..., :, None] == kernel_area[..., None, :]).sum(-1)
    frequency = np.where(kernel_area > 1, alike, 0)
    first = np.argmax(frequency, axis=-1)[..., None]
    pes = np.take_along_axis(kernel_area, first, axis=-1)
    usable = (kernel_area == pes) & (pes > 1) & (matrix.rows >= chip.rows)
    return np.where(usable.any(-1, keepdims=True), pes, 0)


def _fixed(chip: Chip, novel_pes: np.ndarray) -> Organisation:
    pe_side = math.isqrt(chip.subarrays_per_pe or 1)
    tile_side = pe_side * math.isqrt(chip.pes_per_tile or 1)
    return Organisation(
        pe_side=np.full_like(novel_pes, pe_side),
        tile_side=np.full_like(novel_pes, tile_side),
        novel_side=np.where(novel_pes > 0, pe_side, 0),
        novel_pes=novel_pes,
    )


def _largest(columns: np.ndarray, among: np.ndarray, least: int) -> np.ndarray:
    """The power of two that holds the widest of some matrices, in crossbars; `least` at least."""
    widest = np.max(np.where(among, columns, 1), axis=-1, keepdims=True)
    return np.maximum(least, 2 ** np.ceil(np.log2(widest)).astype(np.int64))


def _least_cells(matrix: _Matrix, novel: np.ndarray, novel_pes: np.ndarray) -> Organisation:
    """The largest tiles of 2 x 2 PEs that take about the least cells in all.

    Of sizes obtained by halving, smaller tiles never take more cells, so the smallest size has the least; the largest
    is chosen that takes few more (`_SPARE_CELLS`), since data then cross fewer tiles and copies of small matrices share
    the work. Copies fill cells but need none, so they have no say. A channel more moves the cells by that much at most,
    beside what it needs itself.
    """

    def largest(row_blocks: np.ndarray, among: np.ndarray, least: int) -> np.ndarray:
        def cells(side):
            count = ceil_div(row_blocks, side) * ceil_div(matrix.column_blocks, side) * side**2
            # The size is the chip's, not a layer's: [*batch, layers] -> [*batch, 1].
            return np.sum(np.where(among, count, 0), axis=-1, keepdims=True)

        side, fewest = _largest(matrix.column_blocks, among, least), cells(least)
        while np.any(waste := cells(side) > _SPARE_CELLS * fewest):
            side = np.where(waste, side // 2, side)
        return side

    tile_side = largest(matrix.row_blocks, ~novel, 4)
    return Organisation(
        pe_side=tile_side // 2,
        tile_side=tile_side,
        novel_side=np.where(novel_pes > 0, largest(matrix.channel_blocks, novel, 2), 0),
        novel_pes=novel_pes,
    )


def _best_use(chip: Chip, matrix: _Matrix, novel: np.ndarray, novel_pes: np.ndarray) -> Organisation:
    """The reference's choice: of the sizes obtained by halving, the first with the best use of cells."""
    cells = chip.rows * chip.columns
    conventional = ~novel
    # All sizes are the chip's, not a layer's: `tiles` and `used` sum over layers, [*batch, layers] -> [*batch, 1].

    def tiles(side, row_blocks, among):
        count = ceil_div(row_blocks, side) * ceil_div(matrix.column_blocks, side)
        return np.sum(np.where(among, count, 0), axis=-1, keepdims=True)

    def used(among: np.ndarray, factor: np.ndarray | int = 1) -> np.ndarray:
        return np.sum(np.where(among, matrix.used * factor, 0), axis=-1, keepdims=True)

    def halve(start, above, share, floor):
        """Best of start, start/2, ... while above a bound; `start` where no size beats `floor`."""
        best, best_share = start, floor
        side = start
        while np.any(side > above):
            # Designs of a batch may be done at different sizes; those that are done change no more.
            shares = np.where(side > above, share(side), -1.0)
            better = shares > best_share
            best, best_share = np.where(better, side, best), np.where(better, shares, best_share)
            side = np.maximum(side // 2, 1)
        return best, best_share

    def novel_share(side):
        count = tiles(side, matrix.channel_blocks, novel) * side**2 * cells * np.maximum(novel_pes, 1)
        return used(novel) / np.maximum(count, 1)

    def tile_share(side):
        count = tiles(side, matrix.row_blocks, conventional) * side**2 * cells
        return used(conventional) / np.maximum(count, 1)

    nothing = np.zeros(novel_pes.shape)
    novel_side, _ = halve(_largest(matrix.column_blocks, novel, 2), 2, novel_share, nothing)
    tile_side, best = halve(_largest(matrix.column_blocks, conventional, 4), 4, tile_share, nothing)
    count = tiles(tile_side, matrix.row_blocks, conventional) * tile_side**2 * cells

    def pe_share(side):
        rows, columns = _pe_duplication(side, tile_side, matrix)
        return used(conventional, rows * columns) / np.maximum(count, 1)

    pe_side, _ = halve(tile_side // 2, 2, pe_share, best)
    return Organisation(
        pe_side=pe_side,
        tile_side=tile_side,
        novel_side=np.where(novel_pes > 0, novel_side, 0),
        novel_pes=novel_pes,
    )


def _pipeline_speed_up(chip: Chip, height: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """How often layers of these heights are to be repeated so that maps of a pipelined chip do not hold it up."""
    if chip.pipeline_speed_up is None:
        return np.ones(height.shape, dtype=np.int64)
    tallest = np.max(heights, axis=-1, keepdims=True)
    # Linear layers have maps of one row and would allow any degree.
    shortest = np.min(np.where(heights > 1, heights, tallest), axis=-1, keepdims=True)
    bound = ceil_div(tallest, np.minimum(chip.pipeline_speed_up, tallest // shortest))
    return np.ceil((height / bound) ** 2).astype(np.int64)


__all__ = ["Mapping", "Organisation", "ceil_div", "map_layers", "packed_groups", "utilization"]
