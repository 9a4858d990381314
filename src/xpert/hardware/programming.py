"""What it takes to write a network's weights into the cells of its chip, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpert.design import Chip, Design
from xpert.errors import ConfigError
from xpert.hardware.evaluate import evaluate

_CONDUCTING = ("rram", "pcm", "mram")
"""Cells that are written by a current through them."""


@dataclass(frozen=True)
class ProgrammingCost:
    """Of one chip, in SI units. Reads that check a pulse, and drivers and lines of the array, are not counted."""

    cells: int
    """Cells that hold weights, in all copies; those of reference columns left out."""

    pulses: float
    """Of all cells."""

    serial: float
    """Time if one cell after the other is written. [s]"""

    parallel: float
    """Time if every crossbar writes its cells one after the other, all crossbars at once. [s]"""

    energy: float | None
    """In the cells; None where the device does not say it. [J]"""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, units in the names."""
        return {
            "cells": self.cells,
            "pulses": self.pulses,
            "serial_s": self.serial,
            "parallel_s": self.parallel,
            "energy_uj": None if self.energy is None else 1e6 * self.energy,
        }


def programming_cost(design: Design) -> ProgrammingCost:
    """What programming a design's chip costs, from the write figures of its device.

    Raises:
        ConfigError: If the device has none.
    """
    chip, device = design.chip, design.chip.device
    if device.write_pulses is None or device.write_pulse_s is None:
        missing = [name for name in ("write_pulses", "write_pulse_s") if getattr(device, name) is None]
        raise ConfigError(f"chip.device: what programming costs is not known without {' and '.join(missing)}")
    weights = np.array([layer.weights for layer in design.network.on_crossbars])
    cells = int((weights * evaluate(design).speed_up).sum()) * chip.weight_code.columns_per_weight
    pulses, busiest = cells * device.write_pulses, min(cells, chip.rows * chip.columns)
    energy = _pulse_energy(chip)
    return ProgrammingCost(
        cells,
        pulses,
        pulses * device.write_pulse_s,
        busiest * device.write_pulses * device.write_pulse_s,
        None if energy is None else pulses * energy,
    )


def _pulse_energy(chip: Chip) -> float | None:
    """Energy of a pulse in a cell: `V^2 t (g_on + g_off) / 2`, which is ohmic, where the device says nothing. [J]."""
    device = chip.device
    if device.write_energy_j is not None or device.cell not in _CONDUCTING or device.write_pulse_s is None:
        return device.write_energy_j
    conductance = (1 / device.r_on_ohm + 1 / device.r_off_ohm) / 2
    return device.write_voltage_v**2 * conductance * device.write_pulse_s


__all__ = ["ProgrammingCost", "programming_cost"]
