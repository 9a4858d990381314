"""Runs subarrays and chips on rows of reference data: from a row's inputs to its outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpert.hardware.crossbar import Crossbar, parasitics
from xpert.hardware.reference_rows import reference_process
from xpert.hardware.subarray import PeripheryArrays, subarray

Row = Mapping[str, Any]

_KINDS = {"RRAM_1T1R": "1t1r", "RRAM_crosspoint": "crosspoint", "FeFET": "fefet", "SRAM": "sram"}
"""Name of a device in the rows -> kind of cell."""


def subarray_outputs(i: Row) -> dict[str, float]:
    """Everything that a `subarray` row reports."""
    p = reference_process(i)
    crossbar = _crossbar(i)
    periphery = PeripheryArrays(
        flash=np.asarray(i["adc_type"] == "flash"),
        columns_per_adc=np.asarray(float(i["columns_per_adc"])),
        adc_bits=np.asarray(math.log2(i["adc_levels"])),
        input_bits=np.asarray(float(i["input_bits"])),
    )
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
    for name, cost in sub.blocks.items():
        uses = sub.uses.get(name, 0.0)
        if name in {"column_mux", "mux_decoder"}:
            uses = uses * i["input_bits"]  # listed before the division by the input precision
        outputs |= {
            f"{name}_area_m2": cost.area,
            f"{name}_width_m": cost.width,
            f"{name}_height_m": cost.height,
            f"{name}_latency_s": cost.latency if name in sub.uses else 0.0,
            f"{name}_energy_J": cost.energy * uses,
            f"{name}_leakage_W": cost.leakage,
        }
    for name in ("shift_add_weight", "shift_add_input"):
        if name in sub.blocks:
            outputs[f"{name}_latency_s"] = sub.shift_add_latencies[name]
    return {name: float(value) for name, value in outputs.items()}


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
