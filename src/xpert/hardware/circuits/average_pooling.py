"""Average pooling."""

from __future__ import annotations

from xpert.hardware import gates
from xpert.hardware.circuits.adder import adder
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.circuits.placement import spread
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process


def average_pooling(p: Process, bits: Array, window: Array, instances: Array, *, width: Array | None = None) -> Cost:
    """Cost of average-pooling units; one read adds one value in each.

    An adder and a register of `bits + ceil(log2(window))` bits, which hold any sum of a window. The sum is divided by
    nothing: the window's size is a factor of the next layer's scale.

    Args:
        p: Process.
        bits: Word length of a value. [bit]
        window: Values in a window.
        instances: Units.
        width: Imposed width. [m]

    Source: ours; adder and register as in a shift-add of DNN+NeuroSim V1.3.
    """
    sum_bits = bits + gates.ceil_log2(window)
    add = adder(p, sum_bits, instances, width=width)
    register = flip_flop_bank(p, sum_bits * instances, width=width, activity=p.calibration.flip_flop_activity)
    area = add.area + register.area
    width, height = spread(area, p.cell_height, width, None)
    return Cost(
        area=area,
        width=width,
        height=height,
        latency=add.latency + 0.5 / p.logic_clock,
        cycles=add.cycles,
        energy=add.energy + register.energy,
        leakage=add.leakage + register.leakage,
    )
