"""Writing a layer's weights to the crossbars of one chip: what its columns then conduct, and its ADCs' errors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from xpert.analog.cell_states import cell_conductance, level_siemens, state_conductance
from xpert.analog.cells import Cells, read_groups
from xpert.analog.draws import Draws
from xpert.analog.grid import Blocks
from xpert.analog.ir_drop import Wires, effective_conductance
from xpert.analog.layout import Layout
from xpert.design import Chip, Periphery
from xpert.hardware.adcs import AdcEffect, adc_kind


class Programmed(NamedTuple):
    """A layer's crossbars on one chip."""

    conductance: Tensor
    """Conductance of each data cell less that of its reference [groups, rows, slices, outputs], float32. [level]"""

    read_variance: Tensor | None
    """Variance of the same from read cycle to read cycle, of the same shape. [level^2]"""

    gain: float
    """Factor by which digital outputs make up for what conductances have lost in sum; 1 where they cannot have."""


def program(cells: Cells, chip: Chip, layout: Layout, blocks: Blocks, draws: Draws | None) -> Programmed:
    """Conductances of a layer on one sampled chip.

    Data cells draw first, then those that are subtracted. There is one reference column per slice in every crossbar,
    so that its error is common to all outputs of the crossbar; unless `reference_variation` is set, it has none.

    Source of the gain: Joshi et al., Nature Communications 11, 2473 (2020), global drift compensation: the current that
    all cells draw, relative to what it should be.

    Args:
        cells: Codes.
        chip: Device, wires and settings.
        layout: Which outputs share a crossbar.
        blocks: Row blocks, each in crossbars of its own.
        draws: Source of all that is random; None: nothing is.
    """
    device, settings = chip.device, chip.analog
    data, reference = written_cells(cells, chip, layout, draws)
    if settings.ir_drop:
        data, reference = _through_wires(data, reference, chip, layout, blocks)
    gain = 1.0
    if settings.gain_compensation and (settings.ir_drop or settings.seconds_since_programming > device.drift_t0_s):
        wanted = sum(part.sum() for part in wanted_cells(cells, chip, layout))
        gain = float(wanted / (data.sum() + reference.sum()).clamp_min(torch.finfo(torch.float64).tiny))
    if not layout.paired:
        reference = layout.spread(reference)
    variance = None
    if draws is not None and settings.read_noise and device.read_noise_sigma > 0:
        variance = (device.read_noise_sigma**2 * (data.square() + reference.square())).float()
    return Programmed((data - reference).float(), variance, gain)


def written_cells(cells: Cells, chip: Chip, layout: Layout, draws: Draws | None) -> tuple[Tensor, Tensor]:
    """What the cells themselves conduct, see `program`.

    Returns:
        Data cells [groups, rows, slices, outputs], and those that are subtracted, of the same shape in pairs, else
        [groups, rows, slices, crossbars]; float64. [level]
    """
    varies = layout.paired or chip.analog.reference_variation
    return (
        cell_conductance(cells.data, chip.device, chip.analog, draws),
        cell_conductance(_references(cells, layout), chip.device, chip.analog, draws if varies else None),
    )


def wanted_cells(cells: Cells, chip: Chip, layout: Layout) -> tuple[Tensor, Tensor]:
    """What cells should conduct: the means of their states, as `written_cells` has them."""
    device, settings = chip.device, chip.analog
    return (
        state_conductance(cells.data, device, settings),
        state_conductance(_references(cells, layout), device, settings),
    )


def _references(cells: Cells, layout: Layout) -> Tensor:
    """Codes of the cells that are subtracted, one for each that there is."""
    if layout.paired:
        return cells.reference
    groups, rows, slices, _ = cells.data.shape
    return cells.reference.expand(groups, rows, slices, layout.crossbars)


def _through_wires(
    data: Tensor, reference: Tensor, chip: Chip, layout: Layout, blocks: Blocks
) -> tuple[Tensor, Tensor]:
    """Effective conductances. A block of fewer rows than the crossbar has lies next to the sense amplifiers.

    Where groups of rows are read one after the other, the cells of the others carry no current.
    """
    level, wires = level_siemens(chip.device), Wires.of(chip)
    parts = []
    for start, stop in blocks:
        columns = layout.arrange(data[:, start:stop], reference[:, start:stop])
        for first, last in read_groups([(0, stop - start)], chip):
            read = columns
            if last - first < stop - start:
                read = torch.zeros_like(columns)
                read[:, :, first:last] = columns[:, :, first:last]
            effective = effective_conductance(read * level, wires)[:, :, first:last]
            parts.append(layout.take_apart(effective / level))
    return torch.cat([part[0] for part in parts], dim=1), torch.cat([part[1] for part in parts], dim=1)


class AdcErrors(NamedTuple):
    """Errors of the ADCs that convert each column of a layer; None where there are none."""

    offset: Tensor | None
    """[reads, groups, slices * outputs], float32; a read is a group of rows of a block. [ADC step]"""

    gain: Tensor | None
    """Relative, of the same shape."""

    levels: Tensor | None = None
    """Offset of each threshold, where each level has a comparator of its own [reads, groups, ADCs, 2**bits - 1],
    float32. [ADC step]"""


def adc_errors(
    chip: Chip, layout: Layout, blocks: Blocks, groups: int, periphery: Periphery, draws: Draws | None
) -> AdcErrors:
    """Offset and gain errors, drawn once per chip and common to the columns and groups of rows that share an ADC.

    The kind of ADC says which converters have errors of their own and which share one (`AdcKind.errors`), and whether
    an offset is one of the whole converter or of each of its levels (`AdcKind.own_levels`).
    """
    settings = chip.analog
    if draws is None or settings.adc_range == "unbounded":
        return AdcErrors(None, None)
    kind, sharing = adc_kind(periphery.adc_type, chip.adcs), periphery.columns_per_adc
    shape = (len(blocks), groups, layout.crossbars, layout.adcs(sharing) // layout.crossbars)
    of_column = layout.adc(sharing).flatten()
    of_read = [block for block, rows in enumerate(blocks) for _ in read_groups([rows], chip)]
    cpu = torch.device("cpu")

    def normal(effect: AdcEffect, shape: tuple[int, ...]) -> Tensor:
        return draws.normal(effect, shape, cpu)

    def errors(effect: AdcEffect, sigma: float) -> Tensor | None:
        if sigma == 0:
            return None
        # [blocks, groups, crossbars, ADCs] to [blocks, groups, ADCs], then one for each column, and for each read.
        of_adc = kind.errors(effect, normal, shape).expand(shape).flatten(2)
        return (sigma * of_adc[of_read][..., of_column]).float()

    gain = errors("adc_gain", settings.adc_gain_sigma)
    if not kind.own_levels:
        return AdcErrors(errors("adc_offset", settings.adc_offset_sigma), gain)
    if settings.adc_offset_sigma == 0:
        return AdcErrors(None, gain)
    each = normal("adc_offset", (*shape, 2**periphery.adc_bits - 1)).flatten(2, 3)[of_read]
    return AdcErrors(None, gain, (settings.adc_offset_sigma * each).float())


__all__ = ["AdcErrors", "Programmed", "adc_errors", "program", "wanted_cells", "written_cells"]
