"""A chip as an accelerator for ZigZag: our costs for its crossbars and its global buffer.

ZigZag prices analogue crossbars by a model of its own, which knows no column sharing and none of our ADCs. So the
crossbars are written as an array of plain units with the energy and area of a weight's share of a read:

- A cycle is a whole product of a crossbar: all input bits, all columns that take turns at an ADC.
- D1 are the outputs of a crossbar, D2 its rows, D3 the chip's crossbars.
- A unit's energy is what the layers' tiles spend per multiply-accumulate of this design, leakage included; its area is
  that of the tiles over their weights. [pJ, mm2]
- The global buffer has the size, area and energies of the chip's, and moves in a cycle what the bus does. Weights lie
  in `cells` and cost nothing to hold.
- `off_chip` is there because ZigZag wants a memory that holds everything. It costs nothing, as we charge none.

Source: KULeuven-MICAS/zigzag 3.9.1, `parser/accelerator_validator.py`, for the form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from xpert.design import Design
from xpert.hardware import evaluate
from xpert.hardware.chip import build_shared
from xpert.hardware.switches import PHYSICAL
from xpert.hardware.technology import process_on


def accelerator(design: Design) -> str:
    """The YAML text of the accelerator.

    Args:
        design: A design; where layers differ in their periphery, costs are means over their work, and weights are as
            wide as the widest.

    Raises:
        ConfigError: If the design cannot be evaluated.
    """
    evaluation = evaluate(design)
    chip = design.chip
    codes = [chip.code_of(entry.weight_bits, entry.cell_bits) for entry in design.periphery]
    weight_bits = max(code.weight_bits for code in codes)
    rows, outputs = chip.rows, chip.columns // max(code.columns_per_weight for code in codes)
    context = evaluation.context
    organisation = context.organisation
    crossbars = int(evaluation.tiles.sum()) * int(np.squeeze(organisation.tile_side)) ** 2
    macs = float(evaluation.workload.macs.sum())
    p = process_on(chip, PHYSICAL)
    shared = build_shared(p, chip, context)
    buffered = float(np.sum(evaluation.layers.energy.buffers))
    tiles_energy = float(np.sum(evaluation.layers.energy.total)) - buffered
    tiles_area = float(np.sum(evaluation.layers.area.total))
    line, cores = (int(np.squeeze(value)) for value in (context.buffer_line_bits, context.buffer_cores))
    words = max(entry.input_bits for entry in design.periphery)
    cycle = words * float(np.mean(evaluation.sensing_period * evaluation.periphery.values["columns_per_adc"]))
    # What the bus moves in a cycle; an access of that many bits costs as many lines.
    moved = int(np.squeeze(context.bus_bits)) * max(1, int(cycle * p.logic_clock))
    of_lines = p.calibration.post_layout_energy * 1e12 * moved / line
    content: dict[str, Any] = {
        "name": design.name,
        "memories": {
            "cells": _memory(weight_bits, 0.0, 0.0, 0.0, ["I2"], weight_bits, weight_bits, []),
            "global_buffer": _memory(
                cores * int(np.squeeze(context.buffer_core_bits)),
                float(np.squeeze(shared.buffer.energy)) * of_lines,
                float(np.squeeze(shared.buffer.write_energy)) * of_lines,
                float(np.squeeze(shared.buffer.area)) * cores * 1e6,
                ["I1", "O"],
                moved,
                line,
                ["D1", "D2", "D3"],
            ),
            "off_chip": _memory(1 << 50, 0.0, 0.0, 0.0, ["I1", "I2", "O"], 1 << 20, 8, ["D1", "D2", "D3"]),
        },
        "operational_array": {
            "is_imc": False,
            "unit_energy": tiles_energy / macs * 1e12,
            "unit_area": tiles_area / (crossbars * rows * outputs) * 1e6,
            "dimensions": ["D1", "D2", "D3"],
            "sizes": [outputs, rows, crossbars],
        },
    }
    head = (
        f"# {design.name}, by XPert. Energies in pJ, areas in mm2. A cycle is a whole product of a crossbar,\n"
        f"# {cycle * 1e9:.4g} ns in the mean: {words} input bits, and the columns that share an ADC.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)


def _memory(
    size: int,
    read: float,
    write: float,
    area: float,
    operands: list[str],
    bandwidth: int,
    least: int,
    served: list[str],
) -> dict[str, Any]:
    ports = [
        {
            "name": "rw_port_1",
            "type": "read_write",
            "bandwidth_min": least,
            "bandwidth_max": bandwidth,
            "allocation": [
                f"{operand}, {way}"
                for operand in operands
                for way in (("fh", "tl") if operand != "O" else ("fh", "tl", "fl", "th"))
            ],
        }
    ]
    return {
        "size": size,
        "r_cost": read,
        "w_cost": write,
        "area": area,
        "latency": 1,
        "operands": operands,
        "ports": ports,
        "served_dimensions": served,
    }


__all__ = ["accelerator"]
