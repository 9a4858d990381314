"""The CMOS process: transistor and wire constants at one temperature.

Transistors: `data/transistors.json`, which names its source. Wires: `_WIRES` below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from xpert.design import Chip, Converters, ProcessData, Technology
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

_LARGEST_FINFET = 14
"""Node at and below which transistors are FinFETs. [nm] Source: DNN+NeuroSim V1.3."""

_FINS = {14: (37e-9, 8e-9, 48e-9), 10: (42e-9, 6e-9, 36e-9), 7: (52e-9, 6e-9, 30e-9)}
"""Node [nm] -> height, width, pitch of a fin. [m] Source: DNN+NeuroSim V1.3."""

BUILT_IN_POTENTIAL = 0.9
"""Built-in potential of source and drain junctions. [V] Source: DNN+NeuroSim V1.3."""

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

    converters: Converters
    """What holds for all ADCs."""


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


def process_of(
    technology: Technology,
    calibration: Calibration = CALIBRATED,
    switches: Switches = PHYSICAL,
    logic_clock: float = 1e9,
    converters: Converters = Converters(),  # noqa: B008 - frozen
) -> Process:
    """The process of a chip.

    Args:
        technology: Node, roadmap and temperature, or the user's own process.
        calibration: Factors fitted to silicon, or `UNCALIBRATED`.
        switches: Where to follow the reference and where physics.
        logic_clock: Clock for which digital blocks are built. [Hz]
        converters: What holds for all ADCs.
    """
    # Frozen models have a hash, but type checkers cannot see it.
    return _process(technology, calibration, switches, logic_clock, converters)  # pyright: ignore[reportArgumentType]


def process_on(chip: Chip, switches: Switches) -> Process:
    """The calibrated process of a chip, with its logic clock and what holds for its ADCs."""
    return process_of(chip.technology, switches=switches, logic_clock=chip.logic_clock_hz, converters=chip.converters)


@lru_cache(maxsize=256)
def _process(
    technology: Technology, calibration: Calibration, switches: Switches, logic_clock: float, converters: Converters
) -> Process:
    node, temperature = technology.node_nm, technology.temperature_k
    data = technology.process or _built_in(node, technology.roadmap)
    vdd = data.vdd_v
    on_n, on_p, off_n, off_p = (
        currents if isinstance(currents, tuple) else (currents,) * 11
        for currents in (
            data.on_current_n_a_per_m,
            data.on_current_p_a_per_m,
            data.off_current_n_a_per_m,
            data.off_current_p_a_per_m,
        )
    )
    pn_ratio = on_n[0] / on_p[0]
    wire_width = data.wire_width_nm * 1e-9
    feature = data.feature_nm * 1e-9
    cell = _CELL_HEIGHT_FINFET if data.finfet and switches.finfet_exact_division else _CELL_HEIGHT_PLANAR
    # Junctions are reverse biased by the full supply.
    bias = 1 + vdd / BUILT_IN_POTENTIAL
    return Process(
        node_nm=node,
        roadmap=technology.roadmap,
        temperature=float(temperature),
        feature=feature,
        vdd=vdd,
        vth=data.vth_v,
        gate_length=data.gate_length_m,
        ideal_gate_capacitance=data.ideal_gate_capacitance_f_per_m,
        overlap_capacitance=0.0 if data.finfet else 0.2 * data.ideal_gate_capacitance_f_per_m,
        fringe_capacitance=data.fringe_capacitance_f_per_m,
        junction_capacitance=_JUNCTION_CAPACITANCE / bias**0.5,
        sidewall_capacitance=_SIDEWALL_CAPACITANCE / bias**0.33,
        drain_to_channel_capacitance=_DRAIN_TO_CHANNEL_CAPACITANCE / bias**0.33,
        resistance_multiplier=data.resistance_multiplier,
        gm_current_n=data.gm_current_n_a_per_m,
        gm_current_p=data.gm_current_p_a_per_m,
        ion_n=_interpolate(on_n, temperature),
        ion_p=_interpolate(on_p, temperature),
        ioff_n=_interpolate(off_n, temperature),
        ioff_p=_interpolate(off_p, temperature),
        pn_ratio=float(int(pn_ratio)) if data.finfet else pn_ratio,
        finfet=data.finfet,
        fin_height=data.fin_height_m or 0.0,
        fin_width=data.fin_width_m or 0.0,
        fin_pitch=data.fin_pitch_m or 0.0,
        wire_width=wire_width,
        wire_aspect_ratio=data.wire_aspect_ratio,
        wire_resistivity=data.wire_resistivity_ohm_m,
        wire_resistance=wire_resistance(wire_width, data.wire_aspect_ratio, data.wire_resistivity_ohm_m, temperature),
        cell_height=feature * cell,
        calibration=calibration,
        switches=switches,
        logic_clock=logic_clock,
        converters=converters,
    )


@cache
def _built_in(node: int, roadmap: str) -> ProcessData:
    """The process of a node and roadmap that come with the package."""
    text = resources.files("xpert.hardware").joinpath("data/transistors.json").read_text(encoding="utf-8")
    table = json.loads(text)
    entries = {entry["node_nm"]: entry for entry in table["transistors"] if entry["roadmap"] == roadmap}
    # Planar and FinFET transistors are separate families; `Technology` refuses nodes between them.
    finfet = node <= _LARGEST_FINFET
    family = {other: entry for other, entry in entries.items() if (other <= _LARGEST_FINFET) == finfet}
    fields = [field for field in ProcessData.model_fields if field in entries[_LARGEST_FINFET]]
    transistors = {field: at_node({n: entry[field] for n, entry in family.items()}, node) for field in fields}
    wires = at_node({n: _WIRES[n] for n in family}, node)
    wire = dict(zip(("wire_width_nm", "wire_aspect_ratio", "wire_resistivity_ohm_m"), wires))
    fins = dict(zip(("fin_height_m", "fin_width_m", "fin_pitch_m"), at_node(_FINS, node) if finfet else ()))
    return ProcessData.parse(
        {"name": f"{node} nm {roadmap}", "source": table["source"], "feature_nm": node, **transistors, **wire, **fins}
    )


def at_node(table: Mapping[int, Any], node: int, *, linear: bool = False) -> Any:
    """A constant at a node, or a sequence of constants: the tabulated one, else between the two neighbouring nodes.

    Between nodes a constant is a power of the node: a straight line of its logarithm over the logarithm of the node.
    It stays between its neighbours, and what scales as a power of the feature size is met exactly. The rule is ours.

    Args:
        table: Node [nm] -> a positive number (or 0 at all nodes), or (nested) sequences of these.
        node: Node, within those of the table. [nm]
        linear: A straight line of the constant itself, for coefficients of fits, which may have any sign.
    """
    if node in table:
        return table[node]
    below, above = max(n for n in table if n < node), min(n for n in table if n > node)
    share = math.log(node / below) / math.log(above / below)
    return _between(table[below], table[above], share, linear)


def _between(low: Any, high: Any, share: float, linear: bool) -> Any:
    """Between two numbers, or two sequences of numbers."""
    if isinstance(low, list | tuple):
        return tuple(_between(a, b, share, linear) for a, b in zip(low, high, strict=True))
    # What FinFETs do not have is 0 at both.
    return low + (high - low) * share if linear or low == high else low * (high / low) ** share


def _interpolate(currents: tuple[float, ...], temperature: int) -> float:
    """Linear between the tabulated temperatures 300, 310, ... 400 K."""
    index, rest = divmod(temperature - 300, 10)
    low = currents[index]
    return low if rest == 0 else low + (currents[index + 1] - low) * rest / 10
