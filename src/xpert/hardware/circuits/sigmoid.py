"""Sigmoids as look-up tables in resistive cells. Only where layers end in a sigmoid rather than a ReLU."""

from __future__ import annotations

import numpy as np

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.circuits.row_decoder import row_decoder
from xpert.hardware.circuits.sense_amplifier import voltage_sense_amplifier
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def sigmoid(
    p: Process,
    output_bits: Array,
    entries: Array,
    instances: Array,
    *,
    width: Array | None = None,
    cell_width_f: Array,
    cell_height_f: Array,
    read_voltage: Array,
    r_on: Array,
    r_off: Array,
) -> Cost:
    """Cost of look-up tables; one read looks one value up in each.

    Args:
        p: Process.
        output_bits: Width of an entry. [bit]
        entries: Entries of a table.
        instances: Tables.
        width: Imposed width. [m]
        cell_width_f: Width of a cell in feature sizes.
        cell_height_f: Height of a cell in feature sizes.
        read_voltage: Across a cell. [V]
        r_on: Small resistance of a cell, with its access transistor. [ohm]
        r_off: Large resistance of a cell, with its access transistor. [ohm]

    Source: DNN+NeuroSim V1.3. The leakage is that of one table, as there.
    """
    decoder = row_decoder(p, gates.ceil_log2(entries))
    sensing = voltage_sense_amplifier(p, output_bits, read_voltage=read_voltage, r_on=r_on, r_off=r_off)
    cells = cell_height_f * p.feature * (cell_width_f * p.feature * output_bits) * entries
    area = (cells + decoder.area + sensing.area) * instances
    width, height = spread(area, p.cell_height, width, None)
    latency = decoder.latency + sensing.latency
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=latency,
        cycles=np.ceil(latency * p.logic_clock),
        energy=(decoder.energy + sensing.energy) * instances,
        leakage=decoder.leakage + sensing.leakage,
    )
