"""The CMOS process: transistor and wire constants at one temperature.

Transistors: `data/transistors.json`, which names its source. Wires: `_WIRES` below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from xpert.design import Technology
from xpert.hardware.switches import PHYSICAL, Switches

WIRE_CAPACITANCE = 0.2e-15 / 1e-6
"""Capacitance of any wire per length. [F/m] Source: DNN+NeuroSim V1.3."""

_WIRES = {
    130: (175.0, 1.6, 2.20e-8),
    90: (110.0, 1.6, 2.52e-8),
    65: (105.0, 1.7, 2.68e-8),
    45: (80.0, 1.7, 3.31e-8),
    32: (56.0, 1.8, 3.70e-8),
    22: (40.0, 1.9, 4.03e-8),
    14: (25.0, 2.0, 5.08e-8),
    10: (18.0, 2.0, 6.35e-8),
    7: (18.0, 2.0, 6.35e-8),
}
"""Node [nm] -> width [nm], aspect ratio, resistivity [ohm m] of a crossbar wire. Source: DNN+NeuroSim V1.3."""

_WIRE_TEMPERATURE_COEFFICIENT = 0.00451
"""Relative change of wire resistance per kelvin above 300 K. [1/K] Source: DNN+NeuroSim V1.3."""

_FINS = {14: (37e-9, 8e-9, 48e-9), 10: (42e-9, 6e-9, 36e-9), 7: (52e-9, 6e-9, 30e-9)}
"""Node [nm] -> height, width, pitch of a fin. [m] Source: DNN+NeuroSim V1.3."""

BUILT_IN_POTENTIAL = 0.9
"""Built-in potential of source and drain junctions. [V]"""

_JUNCTION_CAPACITANCE = 1e-3
"""Junction capacitance per drain area at zero bias. [F/m2] Source: DNN+NeuroSim V1.3."""

_SIDEWALL_CAPACITANCE = 2.5e-10
"""Junction capacitance per drain perimeter at zero bias. [F/m] Source: DNN+NeuroSim V1.3."""

_DRAIN_TO_CHANNEL_CAPACITANCE = 0.5e-10
"""Drain-to-channel capacitance per gate width at zero bias. [F/m] Source: DNN+NeuroSim V1.3."""

_CELL_HEIGHT_PLANAR = 28.0
"""Height of a standard cell in feature sizes. Source: DNN+NeuroSim V1.3."""

_CELL_HEIGHT_FINFET = 34.0
"""Height of a FinFET standard cell in feature sizes. Source: DNN+NeuroSim V1.3 (intended there; see `Switches`)."""


@dataclass(frozen=True)
class Calibration:
    """Factors that fit the model to post-layout figures of a 40 nm RRAM macro.

    Source: DNN+NeuroSim V1.3; A. Lu, X. Peng, W. Li, H. Jiang, S. Yu, "NeuroSim simulator for compute-in-memory
    hardware accelerator: validation and benchmark", Front. Artif. Intell. 4:659060, 2021.
    """

    wiring_area: float = 1.44
    """Wiring inside level shifters: factor on their area (alpha)."""

    sensing_latency: float = 1.4
    """Factor on the sensing cycle (beta)."""

    flip_flop_activity: float = 0.5
    """Share of flip-flops that toggle in a shift-add (gamma)."""

    adder_activity: float = 0.15
    """Share of adder gates that toggle (delta)."""

    control_activity: float = 0.05
    """Share of control gates (decoders, encoders, comparators) that toggle (epsilon)."""

    post_layout_energy: float = 1.22
    """Factor on the chip's energy in TOPS/W (zeta)."""


CALIBRATED = Calibration()
"""Factors fitted to silicon."""

UNCALIBRATED = Calibration(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""No correction."""


@dataclass(frozen=True)
class Process:
    """Everything that is the same for all circuits of a chip. Currents and wires are at `temperature`.

    Widths in "per metre" are effective transistor widths (`gates.effective_width`).
    """

    node_nm: int
    """Technology node. [nm]"""

    roadmap: str
    """`LSTP` or `HP`."""

    temperature: float
    """Junction temperature. [K]"""

    feature: float
    """Feature size F. [m]"""

    vdd: float
    """Supply voltage. [V]"""

    vth: float
    """Threshold voltage. [V]"""

    gate_length: float
    """Physical gate length. [m]"""

    ideal_gate_capacitance: float
    """Gate capacitance per width, without overlap and fringe. [F/m]"""

    overlap_capacitance: float
    """Gate overlap capacitance per width. [F/m]"""

    fringe_capacitance: float
    """Gate fringe capacitance per width. [F/m]"""

    junction_capacitance: float
    """Drain junction capacitance per area. [F/m2]"""

    sidewall_capacitance: float
    """Drain junction capacitance per perimeter. [F/m]"""

    drain_to_channel_capacitance: float
    """Drain-to-channel capacitance per width. [F/m]"""

    resistance_multiplier: float
    """Effective on-resistance over `vdd / on current`."""

    gm_current_n: float
    """Current of the NMOS transconductance. [A/m]"""

    gm_current_p: float
    """Current of the PMOS transconductance. [A/m]"""

    ion_n: float
    """NMOS on-current. [A/m]"""

    ion_p: float
    """PMOS on-current. [A/m]"""

    ioff_n: float
    """NMOS off-current. [A/m]"""

    ioff_p: float
    """PMOS off-current. [A/m]"""

    pn_ratio: float
    """Width of a PMOS over that of an equally strong NMOS."""

    finfet: bool
    """FinFET rather than planar transistors."""

    fin_height: float
    """Height of a fin; 0 if planar. [m]"""

    fin_width: float
    """Width of a fin; 0 if planar. [m]"""

    fin_pitch: float
    """Pitch of fins; 0 if planar. [m]"""

    wire_width: float
    """Width of a crossbar wire. [m]"""

    wire_aspect_ratio: float
    """Thickness over width of a crossbar wire."""

    wire_resistivity: float
    """Resistivity of a crossbar wire at 300 K. [ohm m]"""

    wire_resistance: float
    """Resistance of a crossbar wire per length. [ohm/m]"""

    cell_height: float
    """Height of a standard cell. [m]"""

    calibration: Calibration
    """Factors fitted to silicon."""

    switches: Switches
    """Where to follow the reference and where physics."""

    logic_clock: float
    """Clock for which digital blocks are built. [Hz]"""


def wire_resistance(
    width: float, aspect_ratio: float, resistivity: float, temperature: float, factor: float = 1.0
) -> float:
    """Resistance of a wire per length. [ohm/m]

    Args:
        width: Width of the wire. [m]
        aspect_ratio: Thickness over width.
        resistivity: At 300 K. [ohm m]
        temperature: Junction temperature. [K]
        factor: Further factor on the resistance.

    Source: DNN+NeuroSim V1.3.
    """
    heated = resistivity * (1 + _WIRE_TEMPERATURE_COEFFICIENT * abs(temperature - 300))
    return factor * heated / (width * width * aspect_ratio)


def process(
    technology: Technology,
    calibration: Calibration = CALIBRATED,
    switches: Switches = PHYSICAL,
    logic_clock: float = 1e9,
) -> Process:
    """The process of a chip.

    Args:
        technology: Node, roadmap and temperature.
        calibration: Factors fitted to silicon, or `UNCALIBRATED`.
        switches: Where to follow the reference and where physics.
        logic_clock: Clock for which digital blocks are built. [Hz]
    """
    return _process(
        technology.node_nm, technology.roadmap, technology.temperature_k, calibration, switches, logic_clock
    )


@lru_cache(maxsize=256)
def _process(
    node: int, roadmap: str, temperature: int, calibration: Calibration, switches: Switches, logic_clock: float
) -> Process:
    data = _transistors()[node, roadmap]
    vdd = data["vdd_v"]
    finfet = node <= 14
    pn_ratio = data["on_current_n_a_per_m"][0] / data["on_current_p_a_per_m"][0]
    fin_height, fin_width, fin_pitch = _FINS[node] if finfet else (0.0, 0.0, 0.0)
    wire_width_nm, aspect_ratio, resistivity = _WIRES[node]
    feature = node * 1e-9
    cell = _CELL_HEIGHT_FINFET if finfet and switches.finfet_exact_division else _CELL_HEIGHT_PLANAR
    # Junctions are reverse biased by the full supply.
    bias = 1 + vdd / BUILT_IN_POTENTIAL
    return Process(
        node_nm=node,
        roadmap=roadmap,
        temperature=float(temperature),
        feature=feature,
        vdd=vdd,
        vth=data["vth_v"],
        gate_length=data["gate_length_m"],
        ideal_gate_capacitance=data["ideal_gate_capacitance_f_per_m"],
        overlap_capacitance=0.0 if finfet else 0.2 * data["ideal_gate_capacitance_f_per_m"],
        fringe_capacitance=data["fringe_capacitance_f_per_m"],
        junction_capacitance=_JUNCTION_CAPACITANCE / bias**0.5,
        sidewall_capacitance=_SIDEWALL_CAPACITANCE / bias**0.33,
        drain_to_channel_capacitance=_DRAIN_TO_CHANNEL_CAPACITANCE / bias**0.33,
        resistance_multiplier=data["resistance_multiplier"],
        gm_current_n=data["gm_current_n_a_per_m"],
        gm_current_p=data["gm_current_p_a_per_m"],
        ion_n=_interpolate(data["on_current_n_a_per_m"], temperature),
        ion_p=_interpolate(data["on_current_p_a_per_m"], temperature),
        ioff_n=_interpolate(data["off_current_n_a_per_m"], temperature),
        ioff_p=_interpolate(data["off_current_p_a_per_m"], temperature),
        pn_ratio=float(int(pn_ratio)) if finfet else pn_ratio,
        finfet=finfet,
        fin_height=fin_height,
        fin_width=fin_width,
        fin_pitch=fin_pitch,
        wire_width=wire_width_nm * 1e-9,
        wire_aspect_ratio=aspect_ratio,
        wire_resistivity=resistivity,
        wire_resistance=wire_resistance(wire_width_nm * 1e-9, aspect_ratio, resistivity, temperature),
        cell_height=feature * cell,
        calibration=calibration,
        switches=switches,
        logic_clock=logic_clock,
    )


@cache
def _transistors() -> dict[tuple[int, str], dict[str, Any]]:
    text = resources.files("xpert.hardware").joinpath("data/transistors.json").read_text(encoding="utf-8")
    return {(entry["node_nm"], entry["roadmap"]): entry for entry in json.loads(text)["transistors"]}


def _interpolate(currents: list[float], temperature: int) -> float:
    """Linear between the tabulated temperatures 300, 310, ... 400 K."""
    index, rest = divmod(temperature - 300, 10)
    low = currents[index]
    return low if rest == 0 else low + (currents[index + 1] - low) * rest / 10
