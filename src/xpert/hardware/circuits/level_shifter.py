"""Level shifters: they lift logic levels to the programming voltage."""

from __future__ import annotations

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array, Gate, horowitz
from xpert.hardware.technology import CALIBRATED, Process

_POST_LAYOUT_HEIGHT = 70.0
"""Height of a level shifter's cell in feature sizes. Source: 40 nm layout in DNN+NeuroSim V1.3."""

_POST_LAYOUT_WIDENING = 2.5
"""Wiring between the transistors of its latch and output: factor on their width. Source: as above."""

_SIZES = {"low": (30.0, 40.0), "latch": (64.0, 20.0), "high": (128.0, 164.0)}
"""Stage -> N and P width of a calibrated cell in minimum transistors; half in an uncalibrated one. Source: as above."""


def level_shifter(
    p: Process,
    instances: Array,
    *,
    width: Array | None = None,
    height: Array | None = None,
    load: Array = 0.0,
    row_activity: Array = 0.0,
) -> Cost:
    """Cost of level shifters; one read switches `row_activity` of them. Inference only sees their area.

    Args:
        p: Process.
        instances: Level shifters.
        width: Imposed width. [m]
        height: Imposed height (where no width is). [m]
        load: Capacitance of a line. [F]
        row_activity: Share that switches.

    Source: DNN+NeuroSim V1.3.
    """
    if p.calibration == CALIBRATED:
        unit_height = _POST_LAYOUT_HEIGHT * p.feature
        low, latch, high = (_stage(p, name, 1.0, unit_height) for name in _SIZES)
        unit_width = low.width + _POST_LAYOUT_WIDENING * (2 * latch.width + high.width)
    else:
        unit_height = p.cell_height
        low, latch, high = (_stage(p, name, 0.5, unit_height) for name in _SIZES)
        unit_width = low.width + 2 * latch.width + high.width
    area = unit_height * unit_width * instances * p.calibration.wiring_area
    width, height = spread(area, unit_height, width, height)
    # Delay and energy are those of the uncalibrated transistors, as in the reference.
    low, latch, high = (_stage(p, name, 0.5, unit_height) for name in _SIZES)
    lifted = low.output_capacitance + 2 * gates.gate_capacitance(p, latch.width_n)
    first, _ = horowitz(gates.on_resistance_p(p, low.width_p) * lifted)
    second, _ = horowitz(gates.on_resistance_p(p, high.width_p) * (load + high.output_capacitance))
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=first + second,
        energy=lifted * p.vdd * p.vdd * instances * row_activity,
    )


def _stage(p: Process, name: str, scale: float, height: float | None) -> Gate:
    size_n, size_p = _SIZES[name]
    return gates.gate(
        p, "inv", 1.0, scale * size_n * gates.MIN_NMOS * p.feature, scale * size_p * gates.minimum_pmos(p), height
    )
