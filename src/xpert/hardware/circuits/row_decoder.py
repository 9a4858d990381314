"""Row decoders: they select a row of an array, a line of a buffer, or the inputs of a column multiplexer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import lanes
from xpert.hardware.gates import Array, Gate, horowitz
from xpert.hardware.technology import Process

_MAX_ADDRESS_BITS = 40
"""Longest address that is tabulated. [bit]"""


def row_decoder(
    p: Process,
    address_bits: Array,
    *,
    drives_mux: bool = False,
    column_mode: bool = False,
    width: Array | None = None,
    height: Array | None = None,
    compact: bool = False,
    load: Array = 0.0,
    load_2: Array = 0.0,
) -> Cost:
    """Cost of a decoder; one read changes the address once. Writes cost the same without the activity factor.

    Inverters, 2-input NANDs over pairs of address bits, NORs that gather them, and drivers.

    Args:
        p: Process.
        address_bits: Length of the address, at least 1. [bit]
        drives_mux: Outputs enable pass gates: a NAND and two inverters each, both polarities.
        column_mode: Laid out along a given width rather than a given height.
        width: Imposed width (column mode only). [m]
        height: Imposed height (not in column mode). [m]
        compact: In as many columns of gates as make it about square, where no height is imposed; else in one. The
            drivers of a multiplexer then are as strong as makes the delay least.
        load: On an output (of the inverted polarity where it drives a multiplexer). [F]
        load_2: On the true output of a multiplexer's decoder. [F]

    Source: DNN+NeuroSim V1.3.
    """
    address_bits = np.asarray(address_bits, dtype=np.float64)
    inverter, nand, driver, nor = _gates(p, address_bits)
    if drives_mux and compact:
        driver = _strong(p, driver, nand, load + load_2)
    n_nand, n_nor, n_wires = _counts(address_bits)
    has_nand, has_nor, odd = n_nand > 0, n_nor > 0, np.mod(address_bits, 2)
    if column_mode:
        width, height = _column_layout(p, address_bits, n_nand, n_nor, n_wires, nor.width, drives_mux, width)
    else:
        width, height = _row_layout(
            p, address_bits, driver, n_nand, n_nor, n_wires, nor.width, drives_mux, height, compact
        )

    inv_in, inv_out = inverter.input_capacitance, inverter.output_capacitance
    nand_in = np.where(has_nand, nand.input_capacitance, 0.0)
    nand_out = np.where(has_nand, nand.output_capacitance, 0.0)
    nor_in = np.where(has_nor, nor.input_capacitance, 0.0)
    nor_out = np.where(has_nor, nor.output_capacitance, 0.0)
    enable = nand_in if drives_mux else inv_in  # what a NOR drives
    last_load = load
    if p.switches.decoder_drivers_alone:
        last_load = enable = nand.input_capacitance if drives_mux else inv_in

    first_load = np.where(has_nand, 2 * nand_in, last_load)
    first, ramp = horowitz(gates.on_resistance_n(p, inverter.width_n) * (inv_out + first_load))
    series_n = 2 * gates.on_resistance_n(p, nand.width_n)
    second, nand_ramp = horowitz(series_n * (nand_out + np.where(has_nor, nor_in * n_nor / 4, last_load)), ramp)
    second, ramp = np.where(has_nand, second, 0.0), np.where(has_nand, nand_ramp, ramp)
    third, nor_ramp = horowitz(2 * gates.on_resistance_p(p, nor.width_p) * (nor_out + enable), ramp)
    third, ramp = np.where(has_nor, third, 0.0), np.where(has_nor, nor_ramp, gates.STEP)
    drive, ramp, per_output, output_leakage = _drive(
        p, driver if compact else inverter, nand, driver, nand_out, ramp, load, load_2, drives_mux
    )
    switched = (
        (inv_in + 2 * nand_in) * 2 * np.floor(address_bits / 2)
        + (inv_in + nor_in * n_nor / 2) * odd
        + (nand_out + nor_in * n_nor / 4) * n_nand / 4
        + (nor_out + enable)
        + per_output
    )
    energy = p.vdd * p.vdd * switched
    return Cost(
        area=height * width,
        width=width,
        height=height,
        latency=first + second + third + drive,
        energy=energy * p.calibration.control_activity,
        write_energy=energy,
        leakage=p.vdd
        * (
            address_bits * inverter.leakage_current
            + n_nand * nand.leakage_current
            + n_nor * (nor.leakage_current + output_leakage)
        ),
        ramp=ramp,
    )


def _counts(address_bits: np.ndarray) -> tuple[Array, Array, Array]:
    """NANDs, NORs, and the wires from one to the other; short addresses need no NORs."""
    n_nand = 4 * np.floor(address_bits / 2)
    n_nor = np.where(address_bits > 2, gates.exp2(address_bits), 0.0)
    return n_nand, n_nor, np.where(n_nor > 0, n_nand + 2 * np.mod(address_bits, 2), 0.0)


def _drive(
    p: Process,
    inverter: gates.Gate,
    nand: gates.Gate,
    driver: gates.Gate,
    nand_out: Array,
    ramp: Array,
    load: Array,
    load_2: Array,
    drives_mux: bool,
) -> tuple[Array, Array, Array, Array]:
    """What drives an output.

    Returns:
        Delay [s], slope of the output [1/s], capacitance that switches [F] and leakage current [A] of one output.
    """
    drv_in, drv_out = driver.input_capacitance, driver.output_capacitance
    driver_n, driver_p = gates.on_resistance_n(p, driver.width_n), gates.on_resistance_p(p, driver.width_p)
    if not drives_mux:
        inverted, ramp = horowitz(driver_n * (drv_out + drv_in), ramp)
        true, _ = horowitz(driver_p * (drv_out + load), ramp)
        return inverted + true, ramp, 2 * (drv_in + drv_out), 2 * driver.leakage_current
    series_n = gates.on_resistance_n(p, nand.width_n)
    enabled, ramp = horowitz(series_n * (nand_out + inverter.input_capacitance), ramp)
    inverted, ramp = horowitz(driver_p * (drv_out + drv_in + load), ramp)
    true, _ = horowitz(driver_n * (drv_out + load_2), ramp)
    leakage = nand.leakage_current + 2 * inverter.leakage_current
    return enabled + inverted + true, ramp, nand_out + 2 * (drv_in + drv_out), leakage


def _strong(p: Process, driver: Gate, nand: Gate, load: Array) -> Gate:
    """The driver widened to the least delay of a NAND into it and of it into a load.

    That of `R_nand k C + R load / k` has `k = sqrt(R load / (R_nand C))`.
    """
    own = gates.on_resistance_p(p, driver.width_p) * load
    before = gates.on_resistance_n(p, nand.width_n) * driver.input_capacitance
    factor = np.maximum(1.0, np.sqrt(own / before))
    return gates.gate(p, "inv", 1.0, driver.width_n * factor, driver.width_p * factor)


def _row_layout(
    p: Process,
    address_bits: NDArray[np.float64],
    driver: Gate,
    n_nand: Array,
    n_nor: Array,
    n_wires: Array,
    nor_width: Array,
    drives_mux: bool,
    height: Array | None,
    compact: bool,
) -> tuple[Array, Array]:
    """Width and height with the gates stacked in columns. [m]"""
    inverter, nand, _, _ = _gates(p, address_bits)
    enable_width = 2 * driver.width
    if drives_mux:
        enable_width = nand.width + (enable_width if compact else 2 * inverter.width)
    wires = gates.M3_PITCH * p.feature * n_wires
    n_outputs = gates.exp2(address_bits) if p.switches.decoder_inverters else n_nor
    if compact:
        in_line = inverter.width * address_bits + nand.width * n_nand + nor_width * n_nor + enable_width * n_outputs
        height = p.cell_height * np.ceil(np.sqrt(in_line / p.cell_height))
    elif height is None:
        width = inverter.width + nand.width + wires + nor_width + enable_width
        return width, p.cell_height * np.maximum(n_outputs, n_nand)
    lines = gates.floor(p, height / p.cell_height)
    width = (
        nand.width * lanes(n_nand, lines)
        + wires
        + nor_width * lanes(n_nor, lines)
        + enable_width * lanes(n_outputs, lines)
    )
    if p.switches.decoder_inverters:
        width = width + inverter.width * lanes(address_bits, lines)
    return width, height


def _column_layout(
    p: Process,
    address_bits: NDArray[np.float64],
    n_nand: Array,
    n_nor: Array,
    n_wires: Array,
    nor_width: Array,
    drives_mux: bool,
    width: Array | None,
) -> tuple[Array, Array]:
    """Width and height with the gates lined up in rows. [m]"""
    inverter, nand, _, _ = _gates(p, address_bits)
    cell = p.cell_height
    enable_height = cell * (3.0 if drives_mux else 2.0)
    wires = gates.M2_PITCH * p.feature * n_wires
    if width is None:
        return np.maximum(nor_width * n_nor, nand.width * n_nand), cell + cell + wires + cell + enable_height
    nor_lanes = lanes(n_nor, gates.floor(p, width / nor_width))
    height = (
        cell * lanes(address_bits, gates.floor(p, width / inverter.width))
        + cell * lanes(n_nand, gates.floor(p, width / nand.width))
        + wires
        + cell * nor_lanes
        + enable_height * nor_lanes
    )
    return width, height


def _gates(p: Process, address_bits: NDArray[np.float64]) -> tuple[Gate, Gate, Gate, Gate]:
    """Inverter, NAND, driver, and the NOR for each address length."""
    table = _nor_table(p)
    index = address_bits.astype(np.intp)
    nor = Gate(*(np.asarray(column)[index] for column in table))
    return gates.standard_inverter(p), gates.standard_nand(p), _driver(p), nor


@lru_cache(maxsize=256)
def _driver(p: Process) -> Gate:
    return gates.gate(p, "inv", 1.0, 2 * gates.MIN_NMOS * p.feature, 2 * gates.minimum_pmos(p))


@lru_cache(maxsize=256)
def _nor_table(p: Process) -> Gate:
    """NORs for addresses of 0, 1, 2, ... bits: half the bits as inputs, PMOS widened to match."""
    inputs = np.maximum(np.ceil(np.arange(_MAX_ADDRESS_BITS + 1) / 2), 1.0)
    width_p = inputs * gates.MIN_NMOS * p.feature * p.pn_ratio
    built = gates.gate(p, "nor", inputs, *gates.enlarge(p, gates.MIN_NMOS * p.feature, width_p))
    return Gate(*(np.broadcast_to(column, inputs.shape) for column in built))
