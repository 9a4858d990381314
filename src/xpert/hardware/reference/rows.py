"""Runs the circuits on rows of reference data: which function answers which kind of row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpert.design import Technology
from xpert.hardware import circuits, gates
from xpert.hardware.adcs.flash import flash_adc, flash_encoder
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.circuits import Cost
from xpert.hardware.circuits.switch_matrix import IR_DROP_TOLERANCE
from xpert.hardware.switches import REFERENCE
from xpert.hardware.technology import BUILT_IN_POTENTIAL, CALIBRATED, UNCALIBRATED, Process, process_of

Row = Mapping[str, Any]

_TABLE_CELL = {"cell_width_f": 12.0, "cell_height_f": 4.0, "read_voltage": 0.5}
"""Resistive cell of the sigmoids in stand-alone rows."""


def reference_process(inputs: Row, temperature: int | None = None) -> Process:
    """The process that a row's inputs describe, with all faults of the reference.

    Args:
        inputs: The row's inputs.
        temperature: Overrides the row's. [K]
    """
    technology = Technology.parse(
        {
            "node_nm": inputs["technology_node_nm"],
            "roadmap": inputs["device_roadmap"],
            "temperature_k": inputs.get("temperature_K", 300) if temperature is None else temperature,
        }
    )
    calibration = CALIBRATED if inputs.get("calibrated", True) else UNCALIBRATED
    return process_of(technology, calibration, REFERENCE, float(inputs.get("module_clock_Hz", 1e9)))


def _outputs(cost: Cost, inputs: Row) -> dict[str, float]:
    """The figures of a row; those that it does not have are not looked at."""
    reads = inputs["num_reads"]
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


_USUAL = {
    "width": "given_width_m",
    "height": "given_height_m",
    "instances": "instances",
    "bits": "bits",
    "load": "load_capacitance_F",
    "load_resistance": "load_resistance_ohm",
    "read_voltage": "read_voltage_V",
    "row_activity": "row_activity",
}
"""Argument of circuits -> field of rows, where most agree."""


def _circuit(function: Callable[..., Cost], usual: str, **own: str) -> Callable[[Row], dict[str, float]]:
    """A circuit as a function of rows.

    Args:
        function: The circuit.
        usual: Its arguments that come from the usual fields, in words.
        **own: Other arguments -> fields.
    """
    named = {name: _USUAL[name] for name in usual.split()} | own

    def run(i: Row) -> dict[str, float]:
        arguments = {name: i.get(field) if name in {"width", "height"} else i[field] for name, field in named.items()}
        return _outputs(function(reference_process(i), **arguments), i)

    return run


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


def _sar_adc(i: Row) -> dict[str, float]:
    cost = sar_adc(
        reference_process(i),
        math.log2(i["adc_levels"]),
        i["instances"],
        width=i["given_width_m"],
        read_voltage=i["read_voltage_V"],
        **_columns(i),
    )
    return _outputs(cost, i)


def _flash_adc(i: Row) -> dict[str, float]:
    cost = flash_adc(
        reference_process(i),
        math.log2(i["adc_levels"]),
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
    bits = math.log2(i["adc_levels"])
    return _outputs(flash_encoder(reference_process(i), bits, i["instances"], width=i["given_width_m"]), i)


def _row_decoder(i: Row) -> dict[str, float]:
    cost = circuits.row_decoder(
        reference_process(i),
        i["address_bits"],
        drives_mux=bool(i["drives_mux"]),
        column_mode=bool(i.get("column_or_vertical_mode")),
        compact=False,
        load=i["load_capacitance_F"],
        load_2=i["load_capacitance_2_F"],
        **_sides(i),
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


def _comparator(i: Row) -> dict[str, float]:
    cost = circuits.comparator(reference_process(i), i["bits"], load=i["load_capacitance_F"])
    figures = _outputs(cost, i)
    for name in ("read_energy_J", "leakage_W"):
        figures[name] *= i["instances"]
    return figures | {"unit_area_m2": float(cost.area)}


def _buffer(i: Row) -> dict[str, float]:
    p = reference_process(i)
    if i["sram_based"]:
        # The rows use one cell at every node.
        cost = circuits.sram_buffer(
            p,
            i["capacity_bits"],
            i["line_width_bits"],
            cell_width_f=28.0,
            cell_height_f=10.0,
            width=i["given_width_m"],
            height=i["given_height_m"],
            synchronous=False,
        )
    else:
        cost = circuits.register_file(p, i["capacity_bits"], i["line_width_bits"], **_sides(i))
    return _outputs(cost, i)


def _sigmoid(i: Row) -> dict[str, float]:
    access = IR_DROP_TOLERANCE * i["on_resistance_ohm"]
    cost = circuits.sigmoid(
        reference_process(i),
        i["output_bits"],
        i["table_entries"],
        i["parallel_functions"],
        width=i["given_width_m"],
        r_on=i["on_resistance_ohm"] + access,
        r_off=i["off_resistance_ohm"] + access,
        **_TABLE_CELL,
    )
    return _outputs(cost, i)


def _technology(i: Row) -> dict[str, Any]:
    """Constants of a process, its transistors at several widths, and small gates."""
    at = {kelvin: reference_process(i, kelvin) for kelvin in range(300, 401, 10)}
    p = at[300]
    figures: dict[str, Any] = {
        "feature_size_m": p.feature,
        "vdd_V": p.vdd,
        "vth_V": p.vth,
        "physical_gate_length_m": p.gate_length,
        "ideal_gate_capacitance_F_per_m": p.ideal_gate_capacitance,
        "fringe_capacitance_F_per_m": p.fringe_capacitance,
        "overlap_capacitance_F_per_m": p.overlap_capacitance,
        "junction_capacitance_F_per_m2": p.junction_capacitance,
        "sidewall_capacitance_F_per_m": p.sidewall_capacitance,
        "drain_to_channel_capacitance_F_per_m": p.drain_to_channel_capacitance,
        "built_in_potential_V": BUILT_IN_POTENTIAL,
        "pn_size_ratio": p.pn_ratio,
        "effective_resistance_multiplier": p.resistance_multiplier,
        "gm_current_nmos": p.gm_current_n,
        "gm_current_pmos": p.gm_current_p,
        "wire_width_nm": p.wire_width * 1e9,
        "wire_aspect_ratio": p.wire_aspect_ratio,
        "wire_resistivity_ohm_m": p.wire_resistivity,
        "wire_resistance_ohm_per_m": p.wire_resistance,
        "fin_height_m": p.fin_height,
        "fin_width_m": p.fin_width,
        "fin_pitch_m": p.fin_pitch,
    }
    series = "A_per_m_300K_to_400K_step_10K"
    for state, attribute in (("on", "ion"), ("off", "ioff")):
        for kind in "np":
            currents = [getattr(at[kelvin], f"{attribute}_{kind}") for kelvin in sorted(at)]
            figures[f"{state}_current_{kind}mos_{series}"] = currents
    for kind in "np":
        resistance = getattr(gates, f"on_resistance_{kind}")
        transconductance = getattr(gates, f"transconductance_{kind}")
        for size in (1, 2, 4, 8, 20, 60):
            width, name = size * p.feature, f"{kind}mos_width_{size}F"
            pair = (width, 0.0) if kind == "n" else (0.0, width)
            figures[f"{name}_on_resistance_300K_ohm"] = float(resistance(p, width))
            figures[f"{name}_on_resistance_350K_ohm"] = float(resistance(at[350], width))
            figures[f"{name}_drain_capacitance_F"] = float(gates.drain_capacitance(p, *pair))
            figures[f"{name}_gate_capacitance_F"] = float(gates.gate_capacitance(p, width))
            figures[f"{name}_transconductance_S"] = float(transconductance(p, width))
    n, q = gates.MIN_NMOS * p.feature, gates.minimum_pmos(p)
    built_gates: tuple[tuple[str, gates.GateKind, float, float, float], ...] = (
        ("inv_min", "inv", 1.0, n, q),
        ("nand2_min", "nand", 2.0, 2 * n, q),
        ("nand3_min", "nand", 3.0, 3 * n, q),
        ("nand8_min", "nand", 8.0, 2 * n, q),
        ("nor2_min", "nor", 2.0, n, 2 * q),
        ("nor3_min", "nor", 3.0, n, 3 * q),
        ("inv_8x", "inv", 1.0, 8 * n, 8 * q),
        ("inv_20x", "inv", 1.0, 20 * n, 20 * q),
        ("nmos_only_min", "inv", 1.0, n, 0.0),
        ("pmos_only_min", "inv", 1.0, 0.0, q),
    )
    for name, kind, inputs, width_n, width_p in built_gates:
        built = gates.gate(p, kind, inputs, width_n, width_p)
        grown = gates.enlarge(p, width_n, width_p)
        figures[f"{name}_height_m"] = float(built.height)
        figures[f"{name}_width_m"] = float(built.width)
        figures[f"{name}_input_capacitance_F"] = float(built.input_capacitance)
        figures[f"{name}_output_capacitance_F"] = float(built.output_capacitance)
        figures[f"{name}_leakage_current_300K_A"] = float(built.leakage_current)
        figures[f"{name}_enlarged_nmos_width_m"] = float(grown[0])
        figures[f"{name}_enlarged_pmos_width_m"] = float(grown[1])
    return figures


REFERENCE_MODELS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "module/adder": _circuit(circuits.adder, "bits instances width height load"),
    "module/adder_tree": _adder_tree,
    "module/buffer": _buffer,
    "module/bus": _circuit(
        circuits.bus,
        "",
        rows="grid_rows",
        columns="grid_columns",
        unit_height="unit_height_m",
        unit_width="unit_width_m",
        vertical="column_or_vertical_mode",
        tolerance="delay_tolerance",
        bits="bits_per_access",
    ),
    "module/column_mux": _circuit(
        circuits.column_mux,
        "instances width height load read_voltage",
        inputs="inputs_per_output",
        target_resistance="target_pass_gate_resistance_ohm",
    ),
    "module/comparator": _comparator,
    "module/flash_adc": _flash_adc,
    "module/flash_encoder": _flash_encoder,
    "module/flip_flop_bank": _flip_flop_bank,
    "module/h_tree": _circuit(
        circuits.h_tree,
        "",
        rows="grid_rows",
        columns="grid_columns",
        unit_height="unit_height_m",
        unit_width="unit_width_m",
        bus_bits="bus_width_bits",
        tolerance="delay_tolerance",
        folding="folding_ratio",
        bits="bits_per_access",
    ),
    "module/level_shifter": _circuit(circuits.level_shifter, "instances width height load row_activity"),
    "module/max_pooling": _circuit(
        circuits.max_pooling, "bits width", window="pool_window", instances="parallel_units"
    ),
    "module/precharger": _circuit(circuits.precharger, "instances width load load_resistance"),
    "module/read_write_mux": _circuit(circuits.read_write_mux, "instances width row_activity read_voltage"),
    "module/relu": _circuit(circuits.relu, "instances bits width"),
    "module/row_decoder": _row_decoder,
    "module/sar_adc": _sar_adc,
    "module/sense_amplifier": _circuit(circuits.sense_amplifier, "instances width", pitch="pitch_m"),
    "module/shift_add": _shift_add,
    "module/sigmoid": _sigmoid,
    "module/sram_write_driver": _circuit(circuits.sram_write_driver, "instances width load load_resistance"),
    "module/switch_matrix": _switch_matrix,
    "module/wordline_switch_matrix_1t1r": _circuit(
        circuits.wordline_switch_matrix,
        "instances height row_activity load load_resistance read_voltage",
        access_gate_voltage="access_gate_voltage_V",
    ),
    "technology": _technology,
}
"""Kind of row -> function from the row's inputs to its outputs."""
