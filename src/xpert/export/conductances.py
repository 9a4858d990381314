"""Conductances of the cells of one virtual chip, crossbar by crossbar, as a real one would be programmed.

A folder holds for each layer on crossbars `NN-LAYER.npz` and `NN-LAYER.csv`, and `crossbars.json` that lists them, with
the precisions of weights and cells of layers that have their own.

- `target_us` [block, group, crossbar, row, column]: what a cell should conduct, the mean of its state [uS]
- `simulated_us`, the same axes: what it conducts on this chip when it is read [uS]
- `column_output` [crossbar, column]: output of the group that the column belongs to; -1: a reference of all, or none
- `column_slice` [crossbar, column]: weight slice, 0 the least significant; -1: none
- `column_kind` [crossbar, column]: 1: added, 2: subtracted (a reference), 0: not used
- `block_rows` [block, 2]: first and last-plus-one row of the layer's matrix that the block's crossbars hold

Row r of the matrix is input channel `r % channels` at kernel position `r // channels` (row by row through the kernel).
Columns count from the drivers; rows count towards the sense amplifiers, and a block of fewer rows than the crossbar has
lies next to those. Where there is no cell, conductances are NaN, and the CSV has no line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from xpert.analog.cell_states import level_siemens
from xpert.analog.cells import encode
from xpert.analog.convert import check_shapes, swap_in_analog_layers
from xpert.analog.draws import Draws, chip_generator
from xpert.analog.layer import AnalogLayer
from xpert.analog.layout import Layout
from xpert.analog.program import wanted_cells, written_cells
from xpert.design import Design, by_field
from xpert.errors import RunError
from xpert.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELDS = "block,group,crossbar,row,column,output,slice,kind,target_us,simulated_us"
_KINDS = ("", "data", "reference")
_BITS = ("weight_bits", "cell_bits")


@dataclass(frozen=True)
class LayerCrossbars:
    """The crossbars of a layer on one chip; axes as in this module's table."""

    layer: str
    target: NDArray[np.float64]
    """[S]"""
    simulated: NDArray[np.float64]
    """[S]"""
    column_output: NDArray[np.int64]
    column_slice: NDArray[np.int64]
    column_kind: NDArray[np.int64]
    block_rows: NDArray[np.int64]


def crossbars_of(model: nn.Module, design: Design, *, seed: int = 0, chip: int = 0) -> Iterator[LayerCrossbars]:
    """The crossbars of every layer on one virtual chip: the same as `ni_accuracy` with this seed has.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip and layers.
        seed: Of the chips.
        chip: Which of them.

    Raises:
        ConfigError: If model and design do not match.
    """
    analog = swap_in_analog_layers(model, design, None)
    check_shapes(model, design, design.network.input_shape)
    layers, source = dict(analog.named_modules()), chip_generator(seed, chip)
    for described in design.network.on_crossbars:
        layer = layers[described.name]
        if not isinstance(layer, AnalogLayer):
            raise AssertionError(f"{described.name} is on no crossbar")
        draws = Draws(source)
        cells = encode(layer.weights, layer.code)
        level = level_siemens(layer.chip.device)
        parts = (wanted_cells(cells, layer.chip, layer.layout), written_cells(cells, layer.chip, layer.layout, draws))
        output, of_slice, kind = _columns(layer.layout)
        blocks = np.array(layer.crossbar_blocks)
        wanted, written = (_arranged(layer.layout, part, blocks, kind) * level for part in parts)
        yield LayerCrossbars(described.name, wanted, written, output, of_slice, kind, blocks)


def _columns(layout: Layout) -> tuple[NDArray[np.int64], ...]:
    """Output, slice and kind of every column, [crossbars, columns]."""
    number = torch.arange(layout.slices * layout.outputs).view(1, 1, layout.outputs, layout.slices).mT + 1
    if layout.paired:
        reference = number
    else:
        # Reference columns hold a slice of no output in particular.
        reference = -(torch.arange(layout.slices) + 1).view(1, 1, -1, 1).expand(1, 1, -1, layout.crossbars)
    found = layout.arrange(number, reference)[0, :, 0].numpy()
    kinds = layout.arrange(torch.ones_like(number), torch.full_like(reference, 2))[0, :, 0].numpy()
    used, of_output = kinds > 0, found > 0
    output = np.where(of_output, (found - 1) // layout.slices, -1)
    of_slice = np.where(of_output, (found - 1) % layout.slices, -found - 1)
    return output, np.where(used, of_slice, -1), kinds


def _arranged(
    layout: Layout, cells: tuple[Tensor, Tensor], blocks: NDArray[np.int64], kind: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cells as they lie in the crossbars, [blocks, groups, crossbars, rows, columns]; NaN where there is none."""
    data, reference = cells
    rows = int((blocks[:, 1] - blocks[:, 0]).max())
    found = np.full((len(blocks), len(data), *kind.shape[:1], rows, kind.shape[1]), np.nan)
    for block, (start, stop) in enumerate(blocks):
        columns = layout.arrange(data[:, start:stop], reference[:, start:stop]).cpu().numpy()
        found[block, :, :, : stop - start] = np.where(kind[:, None] > 0, columns, np.nan)
    return found


def write_conductances(folder: Path, model: nn.Module, design: Design, *, seed: int = 0, chip: int = 0) -> Path:
    """Write the files of one virtual chip.

    Args:
        folder: Where; made where it is missing.
        model: As for `crossbars_of`, like the rest.
        design: Chip and layers.
        seed: Of the chips.
        chip: Which of them.

    Returns:
        The list of files, `crossbars.json`.

    Raises:
        ConfigError: If model and design do not match.
        RunError: If the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot make this folder: {error.strerror}") from None
    listed = []
    periphery = {layer.name: entry for layer, entry in zip(design.network.layers, design.periphery, strict=True)}
    for number, layer in enumerate(crossbars_of(model, design, seed=seed, chip=chip), start=1):
        name = f"{number:02}-{re.sub(r'[^A-Za-z0-9._-]', '_', layer.layer)}"
        _write_npz(folder / f"{name}.npz", layer)
        write_atomically(folder / f"{name}.csv", lambda path, layer=layer: _write_csv(path, layer))
        entry = {"layer": layer.layer, "npz": f"{name}.npz", "csv": f"{name}.csv", "shape": layer.target.shape}
        listed.append(entry | by_field(_BITS, periphery[layer.layer].values(_BITS), unset=False))
    device = design.chip.device
    content = {
        "design": design.name,
        "seed": seed,
        "chip": chip,
        "axes": ["block", "group", "crossbar", "row", "column"],
        "cell": device.cell,
        "cell_bits": device.cell_bits,
        "g_on_us": 1e6 / device.r_on_ohm,
        "g_off_us": 1e6 / device.r_off_ohm,
        "read_voltage_v": device.read_voltage_v,
        "layers": listed,
    }
    path = folder / "crossbars.json"
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return path


def _write_npz(path: Path, layer: LayerCrossbars) -> None:
    arrays = {
        "target_us": layer.target * 1e6,
        "simulated_us": layer.simulated * 1e6,
        "column_output": layer.column_output,
        "column_slice": layer.column_slice,
        "column_kind": layer.column_kind,
        "block_rows": layer.block_rows,
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)


def _write_csv(path: Path, layer: LayerCrossbars) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(_FIELDS + "\n")
        for block, group, crossbar in np.ndindex(layer.target.shape[:3]):
            target, simulated = (part[block, group, crossbar] * 1e6 for part in (layer.target, layer.simulated))
            of_column = [
                f"{column},{layer.column_output[crossbar, column]},{layer.column_slice[crossbar, column]},"
                f"{_KINDS[layer.column_kind[crossbar, column]]}"
                for column in range(target.shape[1])
            ]
            for row, column in np.argwhere(~np.isnan(target)).tolist():
                file.write(
                    f"{block},{group},{crossbar},{row},{of_column[column]},"
                    f"{target[row, column]:.9g},{simulated[row, column]:.9g}\n"
                )


__all__ = ["LayerCrossbars", "crossbars_of", "write_conductances"]
