"""Digital comparators, one bit after the other."""

from __future__ import annotations

from functools import lru_cache

from xpert.hardware import gates
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.gates import Array, Gate, horowitz
from xpert.hardware.technology import Process


def comparator(p: Process, bits: Array, *, load: Array = 0.0) -> Cost:
    """Cost of one comparator of two words; one read compares once. Width and height are those of its gates in a row.

    Args:
        p: Process.
        bits: Word length. [bit]
        load: Capacitance at its output. [F]

    Source: DNN+NeuroSim V1.3: per bit four inverters, four 2-input and three 3-input NANDs.
    """
    inverter, nand2, nand3 = gates.standard_inverter(p), gates.standard_nand(p), _nand3(p)
    width = (4 * inverter.width + 4 * nand2.width + 3 * nand3.width) * bits
    fall = 2 * gates.on_resistance_n(p, nand2.width_n) * (nand2.output_capacitance + nand3.input_capacitance)
    rise = gates.on_resistance_p(p, nand3.width_p) * (nand3.output_capacitance + nand2.input_capacitance)
    last_rise = gates.on_resistance_p(p, nand3.width_p) * (nand3.output_capacitance + load)
    first_fall, ramp = horowitz(fall)
    first_rise, ramp = horowitz(rise, ramp)
    middle_fall, ramp = horowitz(fall, ramp)
    middle_rise, ramp = horowitz(rise, ramp)
    end_fall, ramp = horowitz(fall, ramp)
    end_rise, ramp = horowitz(last_rise, ramp)
    # A 1-bit comparator takes one pair of gates less than a 2-bit one, as in the reference.
    latency = first_fall + first_rise + (bits - 2) * (middle_fall + middle_rise) + end_fall + end_rise
    switched = (
        4 * (inverter.input_capacitance + inverter.output_capacitance)
        + 4 * (nand2.input_capacitance + nand2.output_capacitance)
        + 3 * (nand3.input_capacitance + nand3.output_capacitance)
    )
    off = 4 * inverter.leakage_current + 4 * nand2.leakage_current + 3 * nand3.leakage_current
    return Cost(
        area=p.cell_height * width,
        width=width,
        height=p.cell_height,
        latency=latency,
        energy=switched * p.vdd * p.vdd * bits * p.calibration.control_activity,
        leakage=off * p.vdd * bits,
        ramp=ramp,
    )


@lru_cache(maxsize=256)
def _nand3(p: Process) -> Gate:
    return gates.gate(p, "nand", 3.0, *gates.enlarge(p, 3 * gates.MIN_NMOS * p.feature, gates.minimum_pmos(p)))
