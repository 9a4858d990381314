"""Runs subarrays and chips on rows of reference data: from a row's inputs to its outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from xpert.design import ADCS, Activity, Buffers, CellType, Chip, Device, Technology
from xpert.hardware.crossbar import CellKind, Crossbar, active_conductance, column_resistances, parasitics
from xpert.hardware.evaluate import CostedChip, Evaluation, cost_layers, summarise
from xpert.hardware.mapping import map_layers
from xpert.hardware.measured import cell_conductances, measure_reads
from xpert.hardware.pe import Read
from xpert.hardware.reference.rows import reference_process
from xpert.hardware.subarray import PeripheryArrays, subarray
from xpert.hardware.technology import Process
from xpert.hardware.tile import mode_of
from xpert.workload.layers import Workload

Row = Mapping[str, Any]

_KINDS: dict[str, CellKind] = {
    "RRAM_1T1R": "1t1r",
    "RRAM_crosspoint": "crosspoint",
    "FeFET": "fefet",
    "SRAM": "sram",
}
"""Name of a device in the rows -> kind of cell."""

_CELLS: dict[str, CellType] = {"RRAM_1T1R": "rram", "RRAM_crosspoint": "rram", "FeFET": "fefet", "SRAM": "sram"}
"""Name of a device in the rows -> cell of a `Device`."""


_DRAWN = (
    "layer_dynamic_energy_J",
    "layer_adc_energy_J",
    "layer_other_energy_J",
    "layer_mean_subarray_row_activity",
    "layer_mean_column_conductance_S",
)
"""Outputs of a layer that follow the input bits which were drawn for it."""

_VECTORS = 64
"""Input vectors that are drawn for rows with random inputs."""


def _periphery(i: Row, shape: tuple[int, ...]) -> PeripheryArrays:
    """The same periphery in all layers; a row counts an ADC's levels, which may be no power of two."""
    return PeripheryArrays.given(
        adc_type=np.full(shape, ADCS.names().index(i["adc_type"])),
        columns_per_adc=float(i["columns_per_adc"]),
        adc_bits=math.log2(i["adc_levels"]),
        input_bits=float(i["input_bits"]),
    )


def subarray_outputs(i: Row) -> dict[str, float]:
    """Everything that a `subarray` row reports."""
    p = reference_process(i)
    crossbar = _crossbar(i)
    periphery = _periphery(i, ())
    given = i["column_resistance_ohm"]
    many = isinstance(given, list)
    resistances = [math.inf if value is None else value for value in (given if many else [given])]
    sub = subarray(
        p,
        crossbar,
        periphery,
        row_activity=i["row_activity"],
        column_resistance=np.array(resistances, dtype=float),
        multiplicity=1.0 if many else float(crossbar.columns),
        flash_reference=(i["flash_reference_on_resistance_ohm"], i["flash_reference_off_resistance_ohm"]),
    )
    wires = parasitics(p, crossbar)
    cycles = sub.adc_cycles + sub.accumulation_cycles
    outputs: dict[str, Any] = {
        "subarray_area_m2": sub.height * sub.width,
        "subarray_used_area_m2": sub.used_area,
        "subarray_width_m": sub.width,
        "subarray_height_m": sub.height,
        "array_area_m2": sub.array_area,
        "array_width_m": wires.row_length,
        "array_height_m": wires.column_length,
        "adc_area_m2": sub.adc_area,
        "accumulation_area_m2": sub.accumulation_area,
        "other_area_m2": sub.other_area,
        "row_length_m": wires.row_length,
        "column_length_m": wires.column_length,
        "row_wire_capacitance_F": wires.row_wire_capacitance,
        "row_wordline_capacitance_F": wires.wordline_capacitance,
        "column_capacitance_F": wires.column_capacitance,
        "row_wire_resistance_ohm": wires.row_resistance,
        "column_wire_resistance_ohm": wires.column_wire_resistance,
        "cell_access_resistance_ohm": wires.access_resistance,
        "cell_access_width_in_F": wires.access_width_f,
        "cell_access_drain_capacitance_F": wires.access_capacitance,
        "clock_period_s": sub.sensing_period,
        "column_delay_s": sub.column_delay,
        "read_cycles_total": cycles,
        "read_cycles_adc": sub.adc_cycles,
        "read_cycles_accumulation": sub.accumulation_cycles,
        "read_cycles_other": 0.0,
        "read_latency_async_s": sub.adc_latency + sub.accumulation_latency + sub.other_latency,
        "read_latency_adc_async_s": sub.adc_latency,
        "read_latency_accumulation_async_s": sub.accumulation_latency,
        "read_latency_other_async_s": sub.other_latency,
        "read_energy_J": sub.array_energy + sub.adc_energy + sub.accumulation_energy + sub.other_energy,
        "read_energy_adc_J": sub.array_energy + sub.adc_energy,
        "read_energy_accumulation_J": sub.accumulation_energy,
        "read_energy_other_J": sub.other_energy,
        "read_energy_array_J": sub.array_energy,
        "leakage_W": sub.leakage,
    }
    for name, block in sub.blocks.items():
        cost, uses = block.cost, 0.0 if block.uses is None else block.uses
        if name in {"column_mux", "mux_decoder"}:
            uses = uses * i["input_bits"]  # listed before the division by the input precision
        outputs |= {
            f"{name}_area_m2": cost.area,
            f"{name}_width_m": cost.width,
            f"{name}_height_m": cost.height,
            f"{name}_latency_s": 0.0 if block.uses is None else cost.latency,
            f"{name}_energy_J": cost.energy * uses,
            f"{name}_leakage_W": cost.leakage,
        }
    outputs |= {f"{name}_latency_s": latency for name, latency in sub.shift_add_latencies.items()}
    return {name: float(value) for name, value in outputs.items()}


def chip_outputs(i: Row, tolerance: float = 0.0) -> dict[str, Any]:
    """Everything that a `chip` row reports, from activity statistics or from random input vectors.

    Args:
        i: The row's inputs.
        tolerance: Random rows: figures of layers are masked where three standard errors of the mean of the row's own
            few input bits exceed this relative error.
    """
    chip, workload = chip_of_row(i), workload_of_row(i)
    p, crossbar = reference_process(i), _crossbar(i)
    periphery = _periphery(i, workload.shape)
    reads, statistics = None, None
    if i["trace"] == "random":
        reads, statistics = _random_reads(i, p, crossbar, workload, periphery)
    costed = cost_layers(p, chip, crossbar, workload, periphery, reads=reads)
    figures = summarise(p, chip, workload, periphery, costed)
    outputs = {
        **_floorplan(chip, costed, figures),
        **_areas(workload, costed, figures),
        **_runs(i, costed, figures, workload.shape),
        **(statistics or _statistics(i, p, crossbar, costed)),
    }
    if i["trace"] == "random":
        drawn = workload.matrix_rows * i["distinct_input_vectors"]
        density = i["input_bit_density"]
        unsure = 3 * np.sqrt((1 - density) / density / drawn) > tolerance
        outputs |= {name: np.ma.array(outputs[name], mask=unsure) for name in _DRAWN}
    return outputs


def _floorplan(chip: Chip, costed: CostedChip, figures: Evaluation) -> dict[str, Any]:
    mapping, context = costed.mapping, costed.context
    organisation = mapping.organisation
    tiles, novel = mapping.tiles, mapping.novel
    return {
        "conventional_tile_size_cells": organisation.tile_side[0] * chip.rows,
        "conventional_pe_size_cells": organisation.pe_side[0] * chip.rows,
        "conventional_num_tiles": np.sum(tiles[~novel]),
        "novel_pe_size_cells": organisation.novel_side[0] * chip.rows,
        "novel_num_tiles": np.sum(tiles[novel]),
        "novel_pes_per_tile": organisation.novel_pes[0],
        "tile_grid_rows": context.grid_rows[0],
        "tile_grid_columns": context.grid_columns[0],
        "layer_novel_mapping": novel.astype(int),
        "layer_num_tiles": tiles,
        "layer_speedup": mapping.speed_up,
        "layer_utilization": figures.utilization,
        "num_tiles": context.tiles[0],
        "memory_utilization": np.sum(figures.utilization * tiles) / context.tiles[0],
        "global_bus_width_bits": context.bus_bits[0],
        "global_buffer_cores": context.buffer_cores[0],
        "clock_period_s": context.sensing_period[0],
    }


def _areas(workload: Workload, costed: CostedChip, figures: Evaluation) -> dict[str, Any]:
    tile, shared, novel = costed.tile, costed.shared, costed.mapping.novel
    parts = figures.area_by_component

    def of(values: Any, layers: np.ndarray) -> float:
        """A tile's figure, of the first of some layers."""
        return np.broadcast_to(values, workload.shape)[np.argmax(layers)]

    return {
        "chip_area_m2": figures.area,
        "chip_area_interconnect_m2": parts.interconnect,
        "chip_area_adc_m2": parts.adc,
        "chip_area_accumulation_m2": parts.accumulation,
        "chip_area_other_m2": parts.other + parts.buffers + parts.digital,
        "chip_area_array_m2": parts.array,
        "conventional_tile_area_m2": of(tile.area.total, ~novel),
        "novel_tile_area_m2": of(tile.area.total, novel),
        "subarray_used_area_m2": of(tile.pe.subarray_area, ~novel),
        "subarray_width_m": of(tile.pe.subarray_width, ~novel),
        "subarray_height_m": of(tile.pe.subarray_height, ~novel),
        "global_buffer_area_m2": np.squeeze(shared.buffer.area * costed.context.buffer_cores),
        "global_h_tree_area_m2": np.squeeze(shared.h_tree.area),
        "global_accumulation_area_m2": np.squeeze(shared.tree.area),
        "global_max_pooling_area_m2": np.squeeze(shared.pool.area),
        "global_relu_area_m2": np.squeeze(shared.relu.area),
        "tile_input_buffer_cores": of(tile.input_buffer.cores, ~novel),
        "tile_output_buffer_cores": of(tile.output_buffer.cores, ~novel),
        "conventional_tile_h_tree_area_m2": of(tile.h_tree.area, ~novel),
        "conventional_tile_input_buffer_area_m2": of(tile.input_buffer.core.area * tile.input_buffer.cores, ~novel),
        "conventional_tile_output_buffer_area_m2": of(tile.output_buffer.core.area * tile.output_buffer.cores, ~novel),
        "conventional_tile_accumulation_area_m2": of(tile.tree_area, ~novel),
        "conventional_pe_adder_tree_area_m2": of(tile.pe.tree_area, ~novel),
    }


def _runs(i: Row, costed: CostedChip, figures: Evaluation, shape: tuple[int, ...]) -> dict[str, Any]:
    latency, peaks, energy = costed.layers.latency, costed.layers.peaks, costed.layers.energy
    layers = {
        "latency_s": latency.total,
        "dynamic_energy_J": energy.total - energy.leakage,
        "leakage_power_W": costed.layers.leakage,
        "leakage_energy_J": energy.leakage,
        "buffer_latency_s": peaks.buffers,
        "buffer_energy_J": energy.buffers,
        "interconnect_latency_s": peaks.interconnect,
        "interconnect_energy_J": energy.interconnect,
        "adc_latency_s": peaks.adc,
        "accumulation_latency_s": peaks.accumulation,
        "other_latency_s": peaks.other + peaks.buffers + peaks.interconnect + peaks.digital,
        "adc_energy_J": energy.adc + energy.array,
        "accumulation_energy_J": energy.accumulation,
        "other_energy_J": energy.other + energy.buffers + energy.interconnect + energy.digital,
    }
    layers = {name: np.broadcast_to(values, shape) for name, values in layers.items()}
    # A pipelined chip is as fast as its slowest layer, component by component.
    totals = {
        name: np.max(values) if i["pipelined"] and "latency" in name else np.sum(values)
        for name, values in layers.items()
    }
    return {
        **{f"layer_{name}": values for name, values in layers.items()},
        **{f"chip_{name}": value for name, value in totals.items()},
        "num_operations": figures.operations,
        "energy_efficiency_TOPS_per_W": figures.tops_per_watt,
        "throughput_TOPS": figures.throughput * 1e-12,
        "frames_per_second": 1 / figures.latency,
        "compute_density_TOPS_per_mm2": figures.tops_per_mm2,
    }


def _statistics(i: Row, p: Process, crossbar: Crossbar, costed: CostedChip) -> dict[str, Any]:
    """Mean over the crossbars of a layer of driven rows and of column conductance."""
    # Rows that the reference drops from pipelined chips are not part of the mean.
    mode = mode_of(p, crossbar, costed.tile, costed.mapping)
    rows, side = costed.mapping.rows, np.asarray(costed.tile.pe.side).astype(int)
    alone = mode.whole & (mode.copies_down * mode.copies_across == 1)
    full, rest = np.divmod(np.where(alone, np.minimum(rows, side * crossbar.rows), rows), crossbar.rows)
    driven = np.floor(np.array([np.full(rest.shape, crossbar.rows), rest]) * i["input_bit_density"] + 0.5)
    mean = (full * driven[0] + (rest > 0) * driven[1]) / (full + (rest > 0))
    return {
        "layer_mean_subarray_row_activity": mean / crossbar.rows,
        "layer_mean_column_conductance_S": mean * active_conductance(p, crossbar, i["effective_cell_conductance_S"]),
    }


def _random_reads(
    i: Row, p: Process, crossbar: Crossbar, workload: Workload, periphery: PeripheryArrays
) -> tuple[tuple[Read, Read], dict[str, Any]]:
    """Reads of every layer with random weights and inputs, drawn like the row's, and the means of the draw.

    The row's own draw is not known. It has few vectors, so its means vary; ours has enough of them to be near the
    expectation.
    """
    generator = np.random.default_rng(i["trace_seed"])
    mapping = map_layers(chip_of_row(i), workload, p.switches)
    reads, activity, conductance = [], [], []
    for layer in range(workload.depth):
        rows = int(mapping.rows[layer])
        # A few columns of crossbars tell as much as all of them.
        n_weights = min(int(workload.out_channels[layer]), 4 * crossbar.columns // crossbar.slices)
        weights = generator.integers(-10_000, 10_001, (rows, n_weights)) * 1e-4
        bits = generator.random((_VECTORS, rows)) < i["input_bit_density"]
        cells = cell_conductances(crossbar, weights, i["weight_bits"])
        reads.append(measure_reads(p, crossbar, periphery[layer : layer + 1], cells, bits))
        starts = range(0, rows, crossbar.rows)
        parts = [slice(start, start + crossbar.rows) for start in starts]
        activity.append(np.mean([bits[:, part].sum(-1).mean() for part in parts]) / crossbar.rows)
        columns = cells[:, : crossbar.columns]
        conductance.append(
            np.mean([(1 / column_resistances(p, crossbar, columns[part], bits[:, part])).mean() for part in parts])
        )
    measured = tuple(
        Read(*(np.concatenate([getattr(pair[which], f.name) for pair in reads]) for f in fields(Read)))
        for which in range(2)
    )
    statistics = {
        "layer_mean_subarray_row_activity": np.array(activity),
        "layer_mean_column_conductance_S": np.array(conductance),
    }
    return (measured[0], measured[1]), statistics


def chip_of_row(i: Row) -> Chip:
    """The chip of a row, but for what is said by its process and crossbar (calibration, voltage sensing)."""
    device = i["device"]
    resistances = {} if device == "SRAM" else {"r_on_ohm": i["on_resistance_ohm"], "r_off_ohm": i["off_resistance_ohm"]}
    return Chip(
        technology=Technology(
            node_nm=i["technology_node_nm"], roadmap=i["device_roadmap"], temperature_k=i["temperature_K"]
        ),
        device=Device(
            cell=_CELLS[device],
            access="crosspoint" if device == "RRAM_crosspoint" else "1t1r",
            cell_bits=i["cell_bits"],
            read_voltage_v=i["read_voltage_V"],
            write_voltage_v=i["write_voltage_V"],
            cell_height_f=i["cell_height_F"],
            cell_width_f=i["cell_width_F"],
            **resistances,
        ),
        rows=i["rows"],
        columns=i["columns"],
        weight_bits=i["weight_bits"],
        subarrays_per_pe=None,
        pes_per_tile=None,
        buffers=Buffers(
            tile_core_bits=math.isqrt(i["tile_buffer_core_bits"]),
            max_bus_bits=i["max_global_bus_width_bits"],
            global_kind="sram" if i["global_buffer_sram"] else "register_file",
        ),
        activity=Activity(
            input_bit_density=i["input_bit_density"], cell_conductance_s=i["effective_cell_conductance_S"]
        ),
        mapping="novel" if i["novel_mapping"] else "conventional",
        execution="pipelined" if i["pipelined"] else "layer_by_layer",
        pipeline_speed_up=i["speed_up_degree"],
        synchronous=i["synchronous"],
        clock="chip",
    )


def workload_of_row(i: Row) -> Workload:
    """The layers of a row; their sizes are padded already."""
    height, width, channels, kernel_height, kernel_width, outputs, pooled, stride = np.array(i["layers"]).T
    one = np.ones_like(height)
    down, right = height - kernel_height + 1, width - kernel_width + 1
    positions = ((down - 1) // stride + 1) * ((right - 1) // stride + 1)
    return Workload(
        in_channels=channels,
        out_channels=outputs,
        in_height=height,
        in_width=width,
        kernel_height=kernel_height,
        kernel_width=kernel_width,
        positions=positions,
        uses=one,
        reference_positions=(down / stride * right / stride).astype(np.int64),
        multiplies=kernel_height * kernel_width * positions,
        places=one,
        groups=one,
        pool=(1 + pooled) ** 2,
        averages=0 * one,
        relu=one,
        residual=0 * one,
    )


def _crossbar(i: Row) -> Crossbar:
    return Crossbar(
        kind=_KINDS[i["device"]],
        rows=i["rows"],
        columns=i["columns"],
        slices=-(-i["weight_bits"] // i["cell_bits"]),
        r_on=i.get("on_resistance_ohm") or i["flash_reference_on_resistance_ohm"],
        r_off=i.get("off_resistance_ohm") or i["flash_reference_off_resistance_ohm"],
        read_voltage=i["read_voltage_V"],
        write_voltage=i["write_voltage_V"],
        access_gate_voltage=i.get("access_gate_voltage_V", 1.1),
        cell_height_f=i["cell_height_F"],
        cell_width_f=i["cell_width_F"],
        relaxed_pitch=i.get("relax_cell_to_peripheral_pitch", False),
        flash_sensing=i["flash_sensing"] or "current",
    )


__all__ = ["chip_of_row", "chip_outputs", "subarray_outputs", "workload_of_row"]
