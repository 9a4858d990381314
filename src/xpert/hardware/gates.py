"""Transistors and logic gates: layout, capacitance, resistance, delay and leakage.

Widths are drawn widths in metres; FinFET widths are converted to fins inside. All functions broadcast. Source of every
formula and constant: DNN+NeuroSim V1.3, which follows NVSim (Dong et al., TCAD 2012) and CACTI.

Where a gate fills its cell, a rounding error decides whether it counts as folded (a factor of two), so expressions are
kept in the reference's order of evaluation; `Switches.fold_tolerance` removes that sensitivity.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpert.hardware.technology import Process

Array = float | NDArray[np.float64]
"""A scalar or an array that broadcasts with the other arguments."""

GateKind = Literal["inv", "nand", "nor"]
"""Inverter, NAND or NOR."""

STEP = 1e20
"""Ramp of a step input. [1/s]"""

MIN_NMOS = 2.0
"""Width of the smallest NMOS in feature sizes."""

GAP_BETWEEN_TYPES = 3.5
"""Gap between P and N diffusion in feature sizes."""

POLY_OVERHEAD = 3.6
"""Poly extension and field-poly gaps above and below, in feature sizes."""

M2_PITCH = 3.2
"""Pitch of metal 2 in feature sizes."""

M3_PITCH = 2.8
"""Pitch of metal 3 in feature sizes."""

POLY_PITCH_PLANAR = 1.0 + 2.8
"""Poly width plus gap to the next gate, in feature sizes."""

POLY_PITCH_FINFET = 1.4 + 3.9
"""Poly width plus gap to the next gate of a FinFET, in feature sizes."""

_CELL_HEIGHT_PLANAR = 28.0
"""Height of the cell that a planar gate is grown to fill, in feature sizes."""

_LARGEST_FINS = {14: 3.0, 10: 3.0, 7: 2.0}
"""Node [nm] -> fins of the larger transistor of a pair that fills its cell; between nodes as many as at the smaller."""

LINEAR_REGION = 0.2
"""On-resistance in the linear region over that in saturation."""

_SQUARED_LOG = float(np.log(0.5) * np.log(0.5))
"""Squared natural logarithm of the switching threshold, half the supply."""

_TOLERANCE = 1e-9
"""Relative rounding error that `Switches.fold_tolerance` forgives."""


class Gate(NamedTuple):
    """A logic gate in a row of cells."""

    width_n: Array
    """Width of each NMOS. [m]"""

    width_p: Array
    """Width of each PMOS. [m]"""

    width: Array
    """Layout width. [m]"""

    height: Array
    """Layout height. [m]"""

    input_capacitance: Array
    """Capacitance of one input. [F]"""

    output_capacitance: Array
    """Drain capacitance of the output. [F]"""

    leakage_current: Array
    """Mean leakage current. [A]"""

    @property
    def area(self) -> Array:
        """Layout area. [m2]"""
        return self.width * self.height


class _Strip(NamedTuple):
    """The transistors of one type in a cell."""

    folds: Array
    height: Array
    width: Array


def ceil_log2(x: Array) -> Array:
    """Smallest integer whose power of two is at least `x`; exact where `log2` may err in the last bit."""
    mantissa, exponent = np.frexp(x)
    return np.where(mantissa == 0.5, exponent - 1, exponent).astype(np.float64)


def exp2(x: Array) -> Array:
    """Power of two of an integer, exact whatever the vector instructions."""
    return np.ldexp(1.0, np.asarray(x).astype(np.int64))


def ceil(p: Process, x: Array) -> Array:
    """Smallest integer that is not below `x`, rounding errors forgiven (`Switches.fold_tolerance`)."""
    return np.ceil(x * (1 - _TOLERANCE)) if p.switches.fold_tolerance else np.ceil(x)


def floor(p: Process, x: Array) -> Array:
    """Largest integer that is not above `x`, rounding errors forgiven (`Switches.fold_tolerance`)."""
    return np.floor(x * (1 + _TOLERANCE)) if p.switches.fold_tolerance else np.floor(x)


def effective_width(p: Process, width: Array) -> Array:
    """Width that carries current: as drawn, or around the fins. [m]"""
    if not p.finfet:
        return width
    return _fins(p, width) * (2 * p.fin_height + p.fin_width)


def gate_capacitance(p: Process, width: Array) -> Array:
    """Capacitance of a transistor's gate. [F]"""
    return (p.ideal_gate_capacitance + p.overlap_capacitance + p.fringe_capacitance) * effective_width(p, width)


def on_resistance_n(p: Process, width: Array) -> Array:
    """Effective resistance of a switching NMOS. [ohm]"""
    return p.resistance_multiplier * p.vdd / (p.ion_n * effective_width(p, width))


def on_resistance_p(p: Process, width: Array) -> Array:
    """Effective resistance of a switching PMOS. [ohm]"""
    return p.resistance_multiplier * p.vdd / (p.ion_p * effective_width(p, width))


def transconductance_n(p: Process, width: Array) -> Array:
    """Transconductance of an NMOS biased at 0.7 of the supply. [S]"""
    return 2 * p.gm_current_n * effective_width(p, width) / (0.7 * p.vdd - p.vth)


def transconductance_p(p: Process, width: Array) -> Array:
    """Transconductance of a PMOS biased at 0.7 of the supply. [S]"""
    return 2 * p.gm_current_p * effective_width(p, width) / (0.7 * p.vdd - p.vth)


def horowitz(tau: Array, ramp: Array = STEP) -> tuple[Array, Array]:
    """Delay of a stage and the slope that it hands on.

    Args:
        tau: Time constant of the stage. [s]
        ramp: Slope of the input, in supplies per second.

    Returns:
        Delay [s] and slope of the output [1/s].

    Source: Horowitz, "Timing models for MOS circuits", Stanford 1983, as in CACTI; the gain term is fixed at 0.5 as in
    DNN+NeuroSim V1.3.
    """
    # tau * sqrt(ln^2 + 0.5 / (ramp * tau)) without the division by tau, which may be zero.
    delay = np.sqrt(tau * (tau * _SQUARED_LOG + 0.5 / ramp))
    return delay, 0.5 / np.maximum(delay, 0.5 / STEP)


def gate(
    p: Process, kind: GateKind, inputs: Array, width_n: Array, width_p: Array, height: Array | None = None
) -> Gate:
    """A logic gate laid out in a cell of given height.

    Args:
        p: Process.
        kind: `inv`, `nand` or `nor`.
        inputs: Number of inputs; 1 for `inv`.
        width_n: Width of each NMOS, 0 if there is none. [m]
        width_p: Width of each PMOS, 0 if there is none. [m]
        height: Height of the cell; a standard cell by default. [m]
    """
    cell = p.cell_height if height is None else height
    n, p_strip = _strips(p, width_n, width_p, cell)
    return Gate(
        width_n=width_n,
        width_p=width_p,
        width=_gate_width(p, kind, inputs, n, p_strip),
        height=cell,
        input_capacitance=gate_capacitance(p, width_n) + gate_capacitance(p, width_p),
        output_capacitance=_output_capacitance(p, kind, inputs, width_n, width_p, n, p_strip),
        leakage_current=_leakage_current(p, kind, inputs, width_n, width_p),
    )


def transistor_area(p: Process, width: Array) -> Array:
    """Layout area of one transistor in standard cells of its own. [m2]"""
    strip, _ = _strips(p, width, 0.0, p.cell_height)
    return strip.width * p.cell_height


def drain_capacitance(p: Process, width_n: Array, width_p: Array, height: Array | None = None) -> Array:
    """Drain capacitance of an inverter-like pair (or of one transistor where the other width is 0). [F]"""
    cell = p.cell_height if height is None else height
    return _output_capacitance(p, "inv", 1.0, width_n, width_p, *_strips(p, width_n, width_p, cell))


def enlarge(p: Process, width_n: Array, width_p: Array) -> tuple[Array, Array]:
    """Widths of a small pair after it has been grown to fill a standard cell. [m]

    Either width may be 0. Pairs that are larger already are left as they are.
    """
    if p.finfet:
        return _enlarge_fins(p, width_n, width_p)
    height = _CELL_HEIGHT_PLANAR * p.feature
    both = np.logical_and(np.greater(width_n, 0), np.greater(width_p, 0))
    limit_n, limit_p = _pair_limits(p, _share(width_n, width_p), height)
    pair_grows = np.logical_and(np.less_equal(width_n, limit_n), np.less_equal(width_p, limit_p))
    alone = height - POLY_OVERHEAD * p.feature
    grown = []
    for width, limit in ((width_n, limit_n), (width_p, limit_p)):
        single = np.where(np.greater(width, 0), np.maximum(width, alone), 0.0)
        grown.append(np.where(both, np.where(pair_grows, limit, width), single)[()])
    return grown[0], grown[1]


def pass_gate_layout(p: Process, width_n: Array, width_p: Array, folds: Array) -> tuple[Array, Array]:
    """Width and height of a pass gate whose transistors are folded `folds` times. [m]"""
    if not p.finfet:
        width = (folds + 1) * POLY_PITCH_PLANAR * p.feature
        height = (width_p / folds + width_n / folds) + GAP_BETWEEN_TYPES * p.feature
        return width, height + POLY_OVERHEAD * p.feature
    strips = 0.0
    for drawn in (width_n, width_p):
        # The reference divides by the fin's circumference here, not by its pitch.
        fins = ceil(p, drawn * (p.fin_pitch / (2 * p.feature)) / (2 * p.fin_height + p.fin_width))
        strips = strips + ((np.ceil(fins / folds) - 1) * p.fin_pitch + p.fin_width)
    width = (folds + 1) * POLY_PITCH_FINFET * p.feature
    return width, strips + GAP_BETWEEN_TYPES * p.feature + POLY_OVERHEAD * p.feature


def minimum_pmos(p: Process) -> float:
    """Width of the PMOS that matches the smallest NMOS. [m]"""
    return (p.pn_ratio * MIN_NMOS) * p.feature


@lru_cache(maxsize=256)
def minimum_inverter(p: Process) -> Gate:
    """The smallest inverter."""
    return gate(p, "inv", 1.0, MIN_NMOS * p.feature, minimum_pmos(p))


@lru_cache(maxsize=256)
def standard_inverter(p: Process) -> Gate:
    """The smallest inverter, grown to fill its cell."""
    return gate(p, "inv", 1.0, *enlarge(p, MIN_NMOS * p.feature, minimum_pmos(p)))


@lru_cache(maxsize=1024)
def standard_nand(p: Process, inputs: float = 2.0) -> Gate:
    """A NAND of transistors that would fill the cell of a 2-input one."""
    return gate(p, "nand", inputs, *enlarge(p, 2 * MIN_NMOS * p.feature, minimum_pmos(p)))


def _fits(p: Process, width: Array, limit: Array) -> NDArray[np.bool_]:
    return np.less_equal(width, limit * (1 + _TOLERANCE) if p.switches.fold_tolerance else limit)


def _fins(p: Process, width: Array) -> Array:
    return ceil(p, width * (p.fin_pitch / (2 * p.feature)) / p.fin_pitch)


def _pair_room(p: Process, height: Array) -> Array:
    """Height left for both transistor types. [m]"""
    return (height - GAP_BETWEEN_TYPES * p.feature) - POLY_OVERHEAD * p.feature


def _share(width_n: Array, width_p: Array) -> Array:
    """PMOS part of the width of a pair; 1/2 where one type is absent, whose room is not shared."""
    both = np.logical_and(np.greater(width_n, 0), np.greater(width_p, 0))
    return np.where(both, width_p, 1.0) / np.where(both, np.add(width_p, width_n), 2.0)


def _pair_limits(p: Process, share: Array, height: Array) -> tuple[Array, Array]:
    """Largest unfolded NMOS and PMOS where both share a cell. [m]"""
    limit_p = share * _pair_room(p, height)
    return limit_p / share * (1 - share), limit_p


def _strips(p: Process, width_n: Array, width_p: Array, height: Array) -> tuple[_Strip, _Strip]:
    """How the N and P transistors are folded in a cell."""
    both = np.logical_and(np.greater(width_n, 0), np.greater(width_p, 0))
    alone = height - POLY_OVERHEAD * p.feature
    share = _share(width_n, width_p)
    pitch = POLY_PITCH_FINFET if p.finfet else POLY_PITCH_PLANAR
    strips = []
    if not p.finfet:
        for width, limit in zip((width_n, width_p), _pair_limits(p, share, height)):
            largest = np.where(both, limit, alone)
            fits = _fits(p, width, largest)
            folds = np.where(fits, 1.0, ceil(p, width / largest))
            strips.append(_Strip(folds, np.where(fits, width, largest), (folds + 1) * pitch * p.feature))
        return strips[0], strips[1]
    for width, part in ((width_n, 1 - share), (width_p, share)):
        fins = _fins(p, width)
        largest = np.where(
            both,
            floor(p, part * _pair_room(p, height) / p.fin_pitch) + 1,
            floor(p, alone / p.fin_pitch) + 1,
        )
        fits = fins <= largest
        folds = np.ceil(fins / largest) if p.switches.finfet_exact_division else np.floor(fins / largest)
        folds = np.where(fits, 1.0, folds)
        tall = (np.where(fits, fins, largest) - 1) * p.fin_pitch + p.fin_width
        strips.append(_Strip(folds, np.where(fins > 0, tall, 0.0), (folds + 1) * pitch * p.feature))
    return strips[0], strips[1]


def _gate_width(p: Process, kind: GateKind, inputs: Array, n: _Strip, p_strip: _Strip) -> Array:
    if kind == "inv":
        return np.maximum(n.width, p_strip.width)
    overlap = (inputs - 1) * (POLY_PITCH_FINFET if p.finfet else POLY_PITCH_PLANAR) * p.feature
    # Neighbours share a diffusion only where nothing is folded.
    unfolded = np.logical_and(n.folds == 1, p_strip.folds == 1)
    return np.where(
        unfolded,
        np.maximum(inputs * n.width - overlap, inputs * p_strip.width - overlap),
        np.maximum(inputs * n.width, inputs * p_strip.width),
    )


def _output_capacitance(
    p: Process, kind: GateKind, inputs: Array, width_n: Array, width_p: Array, n: _Strip, p_strip: _Strip
) -> Array:
    gap = (3.9 if p.finfet else 2.8) * p.feature
    unfolded = np.logical_and(n.folds == 1, p_strip.folds == 1)
    total = 0.0
    for is_p, drawn, strip in ((False, width_n, n), (True, width_p, p_strip)):
        drain = np.where(strip.folds == 1, gap, np.ceil((strip.folds + 1) / 2) * gap)
        source = np.where(strip.folds == 1, gap, np.floor((strip.folds + 1) / 2) * gap)
        odd_edge = np.mod(strip.folds + 1, 2)
        if kind == "inv":
            diffusion = drain
            edges = 1 + np.mod(p_strip.folds + 1, 2)
        elif (kind == "nor") == is_p:  # transistors in series
            diffusion = np.where(unfolded, inputs * drain, inputs * drain + (inputs - 1) * source)
            edges = np.where(unfolded, 1.0, (1 + odd_edge) * inputs + (1 - odd_edge) * (inputs - 1))
        else:  # in parallel
            diffusion = np.where(unfolded, drain * np.floor((inputs + 1) / 2), inputs * drain)
            edges = np.where(unfolded, 1 - np.mod(inputs + 1, 2), (1 + odd_edge) * inputs)
        perimeter = 2 * diffusion + strip.height * edges
        capacitance = (
            diffusion * strip.height * p.junction_capacitance
            + perimeter * p.sidewall_capacitance
            + strip.folds * strip.height * p.drain_to_channel_capacitance
        )
        total = total + np.where(np.greater(drawn, 0), capacitance, 0.0)
    return total


def _leakage_current(p: Process, kind: GateKind, inputs: Array, width_n: Array, width_p: Array) -> Array:
    off_n = effective_width(p, width_n) * p.ioff_n
    off_p = effective_width(p, width_p) * p.ioff_p
    if kind == "inv":
        return (off_n + off_p) / 2
    # Mean over input states of k leaking transistors, stacking included (CACTI); fits for 2 and for 3 or more inputs.
    if kind == "nor":
        return np.where(inputs == 2, 0.95, 0.62) * inputs * off_n
    return np.where(inputs == 2, 0.48, 0.31) * inputs * off_p


def _enlarge_fins(p: Process, width_n: Array, width_p: Array) -> tuple[Array, Array]:
    """Fins that fill a cell, in the ratio of the two widths, as drawn widths. [m]"""
    largest = _LARGEST_FINS[max(node for node in _LARGEST_FINS if node <= p.node_nm)]
    unit = MIN_NMOS * p.feature
    fins_n, fins_p = ceil(p, width_n / unit), ceil(p, width_p / unit)
    both = np.logical_and(np.greater(width_n, 0), np.greater(width_p, 0))
    small = np.logical_and(np.less_equal(fins_n, largest), np.less_equal(fins_p, largest))
    share = _share(width_n, width_p)
    pair_n = np.where(share >= 0.5, ceil(p, largest / share * (1 - share)), largest)
    pair_p = np.where(share >= 0.5, largest, ceil(p, largest / (1 - share) * share))
    grown = []
    for width, fins, pair in ((width_n, fins_n, pair_n), (width_p, fins_p, pair_p)):
        single = np.where(np.logical_and(fins > 0, fins <= largest), largest * unit, width)
        grown.append(np.where(both, np.where(small, pair * unit, width), single)[()])
    return grown[0], grown[1]
