"""NeuroSim's tables of layers, `NetWork*.csv`, as layers. No torch here.

They have no header, and those who took them over changed what columns mean. A row is height and width of the map that
enters, input channels, height and width of the kernel, output channels, whether a pooling follows; then

- 7 columns, DNN+NeuroSim V1.0: strides are 1
- 8, DNN+NeuroSim V1.2 and newer: stride
- 8, HISIM: share of zeros among the weights, 0 ... 1
- 9 and 10, HISIM: share of zeros, stride, padding
- 12, XPert of Yale: stride, columns per ADC, ADC type, two precisions

Maps are with or without their padding, or as they leave. Which it is, is what most maps agree with that follow one
another; what was taken for what is said in one line (`LayerTable.remark`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from xpert.design import Chip, Design, Layer, Network, Periphery, read_text
from xpert.errors import DataError

_LONGEST_STRIDE = 8


class _Row(NamedTuple):
    """A row of a table, before it is known what its sizes are."""

    height: int
    width: int
    in_channels: int
    kernel_height: int
    kernel_width: int
    out_channels: int
    pooled: bool
    stride: int
    padding: int | None

    @property
    def is_map(self) -> bool:
        return (self.height, self.width) != (1, 1)


class _Sizes(NamedTuple):
    """What the sizes of a table's maps are."""

    words: str
    padded: bool
    """Whether they hold the padding."""
    leaving: bool
    """Whether they are those of the map that leaves."""
    same: bool
    """Whether there is padding that keeps a map's size."""


_READINGS = (
    _Sizes("maps as they enter, without padding", padded=False, leaving=False, same=True),
    _Sizes("maps as they enter, with padding", padded=True, leaving=False, same=True),
    _Sizes("maps as they leave", padded=False, leaving=True, same=True),
    _Sizes("maps as they enter, nothing is padded", padded=False, leaving=False, same=False),
)


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network, without its weights."""

    name: str
    """A short name."""

    layers: tuple[Layer, ...]
    """In the order of the table."""

    remark: str
    """What was taken for what, in one line."""

    untrained: str = "a table of layers holds no weights"
    """Why nothing can be computed with it."""

    digital: tuple[str, ...] = ()
    """Patterns of the names of layers that are kept off the crossbars, see `Network.with_digital`."""

    def network(self) -> Network:
        """Its layers, as designs hold them."""
        first, last = self.layers[0], self.layers[-1]
        shape = (first.in_channels, first.in_height, first.in_width)
        classes = max(last.out_channels, 2)
        found = Network(backbone="custom", input_shape=shape, num_classes=classes, layers=self.layers)
        return found.with_digital(*self.digital)

    def design(self, chip: Chip, periphery: Periphery) -> Design:
        """The network on a chip, the same periphery in every layer."""
        return Design.homogeneous(self.network(), chip, periphery, name=self.name)


def read_layer_table(path: Path) -> LayerTable:
    """Read a table.

    Raises:
        ConfigError: If it is missing or no text.
        DataError: If it is no such table, or a row is no layer; the row's number is said.
    """
    lines = [
        (number, [cell.strip() for cell in cells])
        for number, cells in enumerate(csv.reader(read_text(path, "table of layers").splitlines()), start=1)
        if any(cell.strip() for cell in cells)
    ]
    if not lines:
        raise DataError(f"{path}: empty; a table of layers has a row for each")
    rows = [(number, _numbers(path, number, _without_comma(cells))) for number, cells in lines]
    widths = sorted({len(values) for _, values in rows})
    if len(widths) != 1 or not 7 <= widths[0] <= 12 or widths[0] == 11:
        raise DataError(
            f"{path}: rows have {_listed(widths)} columns; NeuroSim's tables have 7 or 8, others 9, 10 or 12"
        )
    columns, words = _columns(path, rows)
    read = [_row(path, number, values, columns) for number, values in rows]
    kept, doubled = _without_doubles(read)
    # Where several agree as well: the usual one first, of XPert's tables that with padding.
    usual = sorted(_READINGS, key=lambda sizes: sizes.padded != (widths[0] == 12))
    reading = max(usual, key=lambda sizes: _agreement(kept, sizes))
    remarks = [f"{widths[0]} columns", words, reading.words]
    if doubled:
        remarks.append("every second row, which belongs to another network, left out")
    layers = tuple(_layer(path, index, kept, reading) for index in range(len(kept)))
    return LayerTable(path.stem.removeprefix("NetWork_") or path.stem, layers, "; ".join(remarks))


def _without_comma(cells: list[str]) -> list[str]:
    return cells[:-1] if cells and not cells[-1] else cells


def _numbers(path: Path, number: int, cells: Sequence[str]) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        wrong = next(cell for cell in cells if not cell.replace(".", "").isdigit())
        raise DataError(f"{path}: line {number}: must be numbers, got {wrong!r}; there is no header") from None
    if any(value != value or abs(value) > 1 << 20 or value < 0 for value in values):
        raise DataError(f"{path}: line {number}: numbers must be 0 ... {1 << 20}")
    return values


def _listed(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))


def _columns(path: Path, rows: Sequence[tuple[int, Sequence[float]]]) -> tuple[Mapping[str, int], str]:
    """Places of stride and padding, and what the columns after the seventh are in words."""
    width = len(rows[0][1])
    if width == 7:
        return {}, "strides are 1"

    def strides(column: int) -> bool:
        return all(
            value.is_integer() and 1 <= value <= _LONGEST_STRIDE
            for _, values in rows
            for value in values[column : column + 1]
        )

    if width == 12:
        if not strides(7):
            raise DataError(f"{path}: of 12 columns the eighth must be the stride, 1 ... {_LONGEST_STRIDE}")
        return {"stride": 7}, "8th is the stride, the last four (periphery) are left out"
    if width == 8 and strides(7):
        return {"stride": 7}, "8th is the stride"
    if not all(values[7] <= 1 for _, values in rows):
        raise DataError(
            f"{path}: the 8th column is neither strides (1 ... {_LONGEST_STRIDE}) nor shares of zeros (0 ... 1)"
        )
    if width == 8:
        return {}, "8th is the share of zeros, strides are 1"
    found: dict[str, int] = {"stride": 8} if strides(8) else {}
    words = ["8th is the share of zeros", "9th the stride" if found else "9th is no stride: strides are 1"]
    if width == 10:
        found["padding"] = 9
        words.append("10th the padding")
    return found, ", ".join(words)


def _row(path: Path, number: int, values: Sequence[float], columns: Mapping[str, int]) -> _Row:
    whole = [int(value) for value in values[:7]]
    if list(values[:7]) != whole or min(whole[:6]) < 1 or whole[6] not in (0, 1):
        raise DataError(
            f"{path}: line {number}: height, width, channels and kernel must be whole and above 0, the 7th 0 or 1"
        )
    stride = int(values[columns["stride"]]) if "stride" in columns else 1
    padding = int(values[columns["padding"]]) if "padding" in columns else None
    height, width, in_channels, kernel_height, kernel_width, out_channels, pooled = whole
    return _Row(height, width, in_channels, kernel_height, kernel_width, out_channels, bool(pooled), stride, padding)


def _without_doubles(rows: Sequence[_Row]) -> tuple[Sequence[_Row], bool]:
    """Yale's tables hold a row of another network behind each of theirs; those of them alone, and whether it is so."""
    own, others = rows[::2], rows[1::2]
    if len(rows) < 4 or len({(row.in_channels, row.out_channels, row.kernel_height) for row in others[:-1]}) != 1:
        return rows, False
    chained = sum(a.out_channels == b.in_channels for a, b in pairwise(own))
    as_it_is = sum(a.out_channels == b.in_channels for a, b in pairwise(rows))
    return (own, True) if chained > len(own) // 2 and 2 * as_it_is < len(rows) else (rows, False)


def _agreement(rows: Sequence[_Row], sizes: _Sizes) -> int:
    """How many maps are as large as the layer before leaves them."""
    found = 0
    for row, after in pairwise(rows):
        if row.is_map and after.is_map and row.out_channels == after.in_channels:
            left = [side // 2 if row.pooled else side for side in _leaves(row, sizes)]
            found += left == list(_enters(after, sizes))
    return found


def _padding(row: _Row, sizes: _Sizes) -> int:
    if row.padding is not None:
        return row.padding
    return min(row.kernel_height, row.kernel_width) // 2 if sizes.same and row.is_map else 0


def _enters(row: _Row, sizes: _Sizes) -> tuple[int, int]:
    """Sides of the map that enters, without padding."""
    padding = _padding(row, sizes)
    if sizes.leaving:
        return row.height * row.stride, row.width * row.stride
    if sizes.padded and row.is_map and min(row.height, row.width) > 2 * padding:
        return row.height - 2 * padding, row.width - 2 * padding
    return row.height, row.width


def _leaves(row: _Row, sizes: _Sizes) -> tuple[int, int]:
    """Sides of the map that leaves, before pooling."""
    height, width = _enters(row, sizes)
    padding = _padding(row, sizes)
    return (
        (height + 2 * padding - row.kernel_height) // row.stride + 1,
        (width + 2 * padding - row.kernel_width) // row.stride + 1,
    )


def _layer(path: Path, index: int, rows: Sequence[_Row], sizes: _Sizes) -> Layer:
    row, after = rows[index], rows[index + 1] if index + 1 < len(rows) else None
    linear = not row.is_map and (row.kernel_height, row.kernel_width) == (1, 1)
    fields: dict[str, Any] = {
        "name": f"layer{index + 1}",
        "kind": "linear" if linear else "conv",
        "in_channels": row.in_channels,
        "out_channels": row.out_channels,
        "relu": after is not None,
    }
    if not linear:
        height, width = _enters(row, sizes)
        fields |= {"in_height": height, "in_width": width, "stride": row.stride, "padding": _padding(row, sizes)}
        fields |= {"kernel_height": row.kernel_height, "kernel_width": row.kernel_width}
    if row.pooled and not linear:
        fields |= _pooling(_leaves(row, sizes), row, after)
    try:
        return Layer.parse(fields)
    except ValueError as error:
        raise DataError(f"{path}: layer {index + 1}: {error}") from None


def _pooling(sides: tuple[int, int], row: _Row, after: _Row | None) -> dict[str, Any]:
    """Pooling by two, or a global average where a linear layer with as many inputs as there are channels follows."""
    last = after is None or (not after.is_map and after.in_channels == row.out_channels)
    if last and max(sides) > 1:
        return {"pool": sides, "pool_kind": "average" if max(sides) > 2 else "max"}
    return {"pool": 2, "pool_kind": "max"}


__all__ = ["LayerTable", "read_layer_table"]
