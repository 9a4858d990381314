"""Runs the circuits on rows of reference data: which function answers which kind of row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpert.design import Technology
from xpert.hardware import circuits, gates
from xpert.hardware.circuits import Cost
from xpert.hardware.switches import REFERENCE
from xpert.hardware.technology import CALIBRATED, UNCALIBRATED, Process, process

Row = Mapping[str, Any]


def reference_process(inputs: Row, temperature: int | None = None) -> Process:
    """The process that a row's inputs describe, with all faults of the reference.

    Args:
        inputs: The row's inputs.
        temperature: Overrides the row's. [K]
    """
    technology = Technology(
        node_nm=inputs["technology_node_nm"],
        roadmap=inputs["device_roadmap"],
        temperature_k=inputs.get("temperature_K", 300) if temperature is None else temperature,
    )
    calibration = CALIBRATED if inputs.get("calibrated", True) else UNCALIBRATED
    return process(technology, calibration, REFERENCE, float(inputs.get("module_clock_Hz", 1e9)))


def _outputs(cost: Cost, inputs: Row, *, reads: float | None = None) -> dict[str, float]:
    """The figures of a row; those that it does not have are not looked at."""
    reads = inputs["num_reads"] if reads is None else reads
    writes = inputs.get("num_writes", reads)
    return {
        "area_m2": float(cost.area),
        "width_m": float(cost.width),
        "height_m": float(cost.height),
        "read_latency_s": float(cost.latency * reads),
        "read_latency_cycles": float(cost.cycles * reads),
        "read_energy_J": float(cost.energy * reads),
        "write_latency_s": float(cost.write_latency * writes),
        "write_energy_J": float(cost.write_energy * writes),
        "leakage_W": float(cost.leakage),
    }


def _sides(inputs: Row) -> dict[str, float | None]:
    return {"width": inputs.get("given_width_m"), "height": inputs.get("given_height_m")}


def _columns(inputs: Row) -> dict[str, Any]:
    """Column resistances: one value for all columns, or one each (null: no active row)."""
    value = inputs["column_resistance_ohm"]
    if isinstance(value, list):
        return {"column_resistance": np.array([math.inf if entry is None else entry for entry in value], dtype=float)}
    resistance = math.inf if value is None else value
    return {"column_resistance": np.array([resistance]), "multiplicity": np.array([float(inputs["num_columns_read"])])}


def _flip_flop_bank(i: Row) -> dict[str, float]:
    p = reference_process(i)
    activity = p.calibration.flip_flop_activity
    cost = circuits.flip_flop_bank(p, i["instances"], toggling=i["dffs_toggling"], activity=activity, **_sides(i))
    return _outputs(cost, i)


def _adder(i: Row) -> dict[str, float]:
    p = reference_process(i)
    return _outputs(circuits.adder(p, i["bits"], i["instances"], load=i["load_capacitance_F"], **_sides(i)), i)


def _adder_tree(i: Row) -> dict[str, float]:
    p = reference_process(i)
    used = i["inputs_used"] or None
    cost = circuits.adder_tree(p, i["tree_inputs"], i["adder_bits"], i["instances"], used=used, **_sides(i))
    return _outputs(cost, i)


def _shift_add(i: Row) -> dict[str, float]:
    p = reference_process(i)
    cost = circuits.shift_add(p, i["adder_bits"], i["instances"], i["num_shifts"], width=i["given_width_m"])
    latency = float(circuits.shift_add_latency(cost.latency, i["num_reads"]))
    return _outputs(cost, i) | {"read_latency_s": latency}


def _relu(i: Row) -> dict[str, float]:
    return _outputs(circuits.relu(reference_process(i), i["instances"], i["bits"], width=i["given_width_m"]), i)


def _sar_adc(i: Row) -> dict[str, float]:
    cost = circuits.sar_adc(
        reference_process(i),
        i["adc_levels"],
        i["instances"],
        width=i["given_width_m"],
        read_voltage=i["read_voltage_V"],
        **_columns(i),
    )
    return _outputs(cost, i)


def _flash_adc(i: Row) -> dict[str, float]:
    cost = circuits.flash_adc(
        reference_process(i),
        i["adc_levels"],
        i["instances"],
        width=i["given_width_m"],
        read_voltage=i["read_voltage_V"],
        rows=i["subarray_rows"],
        r_on=i["on_resistance_ohm"],
        r_off=i["off_resistance_ohm"],
        sensing="current" if i["current_mode"] else "voltage",
        **_columns(i),
    )
    return _outputs(cost, i)


def _flash_encoder(i: Row) -> dict[str, float]:
    p = reference_process(i)
    return _outputs(circuits.flash_encoder(p, i["adc_levels"], i["instances"], width=i["given_width_m"]), i)


def _row_decoder(i: Row) -> dict[str, float]:
    cost = circuits.row_decoder(
        reference_process(i),
        i["address_bits"],
        drives_mux=bool(i["drives_mux"]),
        column_mode=bool(i.get("column_or_vertical_mode")),
        load=i["load_capacitance_F"],
        load_2=i["load_capacitance_2_F"],
        **_sides(i),
    )
    return _outputs(cost, i)


def _wordline_switch_matrix(i: Row) -> dict[str, float]:
    cost = circuits.wordline_switch_matrix(
        reference_process(i),
        i["instances"],
        height=i["given_height_m"],
        row_activity=i["row_activity"],
        load=i["load_capacitance_F"],
        load_resistance=i["load_resistance_ohm"],
        read_voltage=i["read_voltage_V"],
        access_gate_voltage=i["access_gate_voltage_V"],
    )
    return _outputs(cost, i)


def _switch_matrix(i: Row) -> dict[str, float]:
    side = "width" if i["column_or_vertical_mode"] else "height"
    cost = circuits.switch_matrix(
        reference_process(i),
        i["instances"],
        target_resistance=i["target_pass_gate_resistance_ohm"],
        row_activity=i["row_activity"],
        load=i["load_capacitance_F"],
        load_resistance=i["load_resistance_ohm"],
        read_voltage=i["read_voltage_V"],
        **{side: i[f"given_{side}_m"]},
    )
    return _outputs(cost, i)


def _column_mux(i: Row) -> dict[str, float]:
    cost = circuits.column_mux(
        reference_process(i),
        i["instances"],
        i["inputs_per_output"],
        target_resistance=i["target_pass_gate_resistance_ohm"],
        load=i["load_capacitance_F"],
        read_voltage=i["read_voltage_V"],
        width=i["given_width_m"],
        height=i["given_height_m"],
    )
    return _outputs(cost, i)


def _read_write_mux(i: Row) -> dict[str, float]:
    cost = circuits.read_write_mux(
        reference_process(i),
        i["instances"],
        width=i["given_width_m"],
        row_activity=i["row_activity"],
        read_voltage=i["read_voltage_V"],
    )
    return _outputs(cost, i)


def _level_shifter(i: Row) -> dict[str, float]:
    cost = circuits.level_shifter(
        reference_process(i),
        i["instances"],
        load=i["load_capacitance_F"],
        row_activity=i["row_activity"],
        **_sides(i),
    )
    return _outputs(cost, i)


def _precharger(i: Row) -> dict[str, float]:
    cost = circuits.precharger(
        reference_process(i),
        i["instances"],
        width=i["given_width_m"],
        load=i["load_capacitance_F"],
        load_resistance=i["load_resistance_ohm"],
    )
    return _outputs(cost, i)


def _sram_write_driver(i: Row) -> dict[str, float]:
    cost = circuits.sram_write_driver(
        reference_process(i),
        i["instances"],
        width=i["given_width_m"],
        load=i["load_capacitance_F"],
        load_resistance=i["load_resistance_ohm"],
    )
    return _outputs(cost, i)


REFERENCE_MODELS: dict[str, Callable[[Row], dict[str, float]]] = {
    "module/adder": _adder,
    "module/adder_tree": _adder_tree,
    "module/column_mux": _column_mux,
    "module/flash_adc": _flash_adc,
    "module/flash_encoder": _flash_encoder,
    "module/flip_flop_bank": _flip_flop_bank,
    "module/level_shifter": _level_shifter,
    "module/precharger": _precharger,
    "module/read_write_mux": _read_write_mux,
    "module/relu": _relu,
    "module/row_decoder": _row_decoder,
    "module/sar_adc": _sar_adc,
    "module/shift_add": _shift_add,
    "module/sram_write_driver": _sram_write_driver,
    "module/switch_matrix": _switch_matrix,
    "module/wordline_switch_matrix_1t1r": _wordline_switch_matrix,
}
"""Kind of row -> function from the row's inputs to its outputs."""
