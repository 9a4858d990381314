"""The chip: process, memory device, and how crossbars make up PEs, tiles and the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from xpert.design._base import DataModel, read_text, shown
from xpert.design.adc import Adc
from xpert.design.adc_registry import ADCS, adc_types
from xpert.design.analog import AnalogSettings
from xpert.design.encoding import ENCODINGS, Encoding, WeightCode
from xpert.design.parts import part_of
from xpert.design.periphery import Periphery
from xpert.design.process import ProcessData
from xpert.errors import ConfigError

CellType = Literal["rram", "pcm", "fefet", "sram", "mram"]
HIGHEST_TUNNEL_RATIO = 7.31
"""Largest ratio of the two resistances of a magnetic tunnel junction: the highest that was shown at room temperature, a
tunnel magnetoresistance of 631 %. Source: Scheike et al., Applied Physics Letters 122, 112404, 2023 (from memory)."""

PowerOfTwo = Annotated[int, Field(ge=2, le=4096)]


class Technology(DataModel):
    """CMOS process of the periphery."""

    node_nm: Annotated[int, Field(ge=7, le=130)] = 32
    """Technology node, 7 to 14 (FinFETs) or 22 to 130 (planar). Tabulated are 7, 10, 14, 22, 32, 45, 65, 90 and 130;
    constants of nodes between are interpolated. [nm]"""

    roadmap: Literal["LSTP", "HP"] = "LSTP"
    """Transistor flavour: low standby power or high performance (ITRS)."""

    temperature_k: Annotated[int, Field(ge=300, le=400)] = 300
    """Junction temperature. [K]"""

    process: ProcessData | None = None
    """The user's own transistors and wires; unset: those of `node_nm` and `roadmap`. The powers of SAR and flash ADCs,
    which are fits, stay those of `node_nm`, to which the process should be close."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 14 < self.node_nm < 22:
            raise ValueError(
                f"node_nm must be 7 ... 14 or 22 ... 130, got {self.node_nm}: between them transistors change from "
                f"FinFETs to planar ones, and nothing can be interpolated; the nearest are 14 and 22"
            )
        finfet = self.node_nm <= 14
        if self.process is not None and self.process.finfet != finfet:
            raise ValueError(
                f"process.fin_pitch_m is {'required' if finfet else 'not allowed'}: transistors of node_nm = "
                f"{self.node_nm} are {'FinFETs' if finfet else 'planar'}"
            )
        return self

    @property
    def feature_nm(self) -> float:
        """Feature size. [nm]"""
        return float(self.node_nm) if self.process is None else self.process.feature_nm


class CellState(DataModel):
    """One programmed state as it was measured over many cells."""

    mean_us: Annotated[float, Field(ge=0, le=1e9)]
    """Mean conductance. [uS]"""

    sigma_us: Annotated[float, Field(ge=0, le=1e9)]
    """Standard deviation of the conductance. [uS]"""


_STATES_HEADER = "state,mean_us,sigma_us"


def _states(given: Any, info: ValidationInfo) -> Any:
    """The states in a CSV file, where a path stands for them."""
    if not isinstance(given, str):
        return given
    path = (info.context or {}).get("folder", Path()) / given
    lines = [line.strip() for line in read_text(path, "table of states").splitlines()]
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not rows or rows[0][1].replace(" ", "") != _STATES_HEADER:
        number, line = rows[0] if rows else (1, "")
        raise ConfigError(f"{path}: line {number}: the first line must be {_STATES_HEADER}, got {shown(line)}")
    return tuple(_state(line, index, f"{path}: line {number}") for index, (number, line) in enumerate(rows[1:]))


def _state(line: str, index: int, where: str) -> CellState:
    """A row of a table of states, which are to be numbered 0, 1, 2, ..."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 3:
        raise ConfigError(f"{where}: needs {_STATES_HEADER}, got {shown(line)}")
    if fields[0] != str(index):
        raise ConfigError(f"{where}: state: states are numbered 0, 1, 2, ... in this order, got {shown(fields[0])}")
    return CellState.parse(dict(zip(("mean_us", "sigma_us"), fields[1:])), where)


class CellDefaults(NamedTuple):
    """What a cell has where its device says nothing: the fields of `Device` of these names."""

    cell_bits: int
    r_on_ohm: float
    r_off_ohm: float
    read_voltage_v: float
    write_voltage_v: float
    access_gate_voltage_v: float
    cell_height_f: float
    cell_width_f: float
    programming_sigma: float


_INSULATING_OHM = 1e12
"""Resistance of a cell that does not conduct, and the largest that is allowed. [ohm]"""

CELL_DEFAULTS: dict[CellType, CellDefaults] = {
    "rram": CellDefaults(4, 20e3, 200e3, 0.5, 2.0, 1.1, 4.0, 12.0, 0.05),
    "pcm": CellDefaults(4, 40e3, 4e6, 0.5, 2.0, 1.1, 4.0, 12.0, 0.042),
    "fefet": CellDefaults(4, 559.28e3, 25.1676e6, 0.05, 3.65, 1.2, 4.0, 12.0, 0.005),
    "sram": CellDefaults(1, 124.4e3, _INSULATING_OHM, 0.5, 1.0, 1.1, 10.0, 28.0, 0.0),
    "mram": CellDefaults(1, math.nan, math.nan, 0.5, 2.0, 1.1, 4.0, 12.0, 0.05),
}
"""Kind of cell -> what it has by default.

Sources. Where no other is named, voltages and sizes are those of DNN+NeuroSim V1.3 (Param.cpp). `rram`: resistances
and spread are our assumption. `pcm`: resistances of `pcm-joshi-2020`, and the spread of its on state. `fefet`:
resistances, voltages and spread of `fefet-jerry-2017`. `sram`: a 6T cell, 10 x 28 F above 14 nm (its buffers' cells are
30, 40 and 60 F wide at 14, 10 and 7 nm). It holds a bit exactly, is written at the supply of the logic, and draws no
current where it stores 0 (its maintainers: an infinite ratio, or 1e6 and more; DNN_NeuroSim_V1.4, issue 5). Its
on-resistance, which counts for IR drop alone, is that of the access transistor of 1 F and the pull-down of 2 F in
series, in its 32 nm LSTP process. `mram`: no resistances, which must be given; the spread is assumed to be that of
`rram`.
"""


def _of_cell(name: str) -> Any:
    """A field whose default is that of the kind of cell."""

    def default(data: dict[str, Any]) -> Any:
        return getattr(CELL_DEFAULTS[data["cell"]], name)

    return _defaulting(name, default)


def _of_states(name: str, state: int) -> Any:
    """A resistance whose default is that of a measured state where there is a table, else that of the kind of cell."""

    def default(data: dict[str, Any]) -> Any:
        states = data["programming_states"]
        if states is None:
            return getattr(CELL_DEFAULTS[data["cell"]], name)
        return 1e6 / max(states[state].mean_us, 1e6 / _INSULATING_OHM)

    return _defaulting(name, default)


def _defaulting(name: str, default: Callable[[dict[str, Any]], Any]) -> Any:
    by_cell: Any = {cell: getattr(values, name) for cell, values in CELL_DEFAULTS.items()}
    by_cell = {cell: value for cell, value in by_cell.items() if not math.isnan(value)}
    return Field(default_factory=default, json_schema_extra={"default_by_cell": by_cell})


def _check_points(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        found = parse(value)
    except ValueError:
        raise ValueError("must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value]") from None
    if isinstance(found, tuple):
        conductances = [conductance for conductance, _ in found]
        if any(second <= first for first, second in pairwise(conductances)):
            raise ValueError(f"the conductances of points must rise, got {', '.join(f'{x:g}' for x in conductances)}")
    return found


StateDependent = Annotated[
    Annotated[float, Field(ge=0, le=1)]
    | Annotated[
        tuple[tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=0, le=1)]], ...],
        Field(min_length=2, max_length=64),
    ],
    WrapValidator(_check_points),
]
"""A number for all states, or points: the conductance relative to the largest, and the number there."""


class Device(DataModel):
    """One memory cell: its electrical values, its size and how much both vary."""

    name: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    """What tables call it."""

    source: Annotated[str, Field(min_length=10, max_length=2000)] | None = None
    """Where the values come from: author, title, year. Required in a file of its own."""

    cell: CellType = "rram"
    """What stores the weight; decides the defaults of other fields. `mram`: a magnetic tunnel junction, which has two
    states and conducts little less in the off state; its resistances have no default."""

    access: Literal["1t1r", "crosspoint"] = "1t1r"
    """One access transistor per cell, or a bare crosspoint (resistive cells only)."""

    cell_bits: Annotated[int, Field(ge=1, le=8)] = _of_cell("cell_bits")
    """Bits stored per cell. [bit]"""

    programming_states: Annotated[tuple[CellState, ...] | None, Field(max_length=256), BeforeValidator(_states)] = None
    """Mean and standard deviation of each state, the least conductive first; or the path of a CSV file with the columns
    state, mean_us, sigma_us. In the place of the spreads below; its ends are the off and the on state."""

    r_on_ohm: Annotated[float, Field(gt=0, le=1e12)] = _of_states("r_on_ohm", -1)
    """Resistance of the most conductive state; unset: that of `programming_states`, if any. [ohm]"""

    r_off_ohm: Annotated[float, Field(gt=0, le=1e12)] = _of_states("r_off_ohm", 0)
    """Resistance of the least conductive state; unset: that of `programming_states`, if any. [ohm]"""

    read_voltage_v: Annotated[float, Field(gt=0, le=5)] = _of_cell("read_voltage_v")
    """Voltage across a cell while it is read. [V]"""

    write_voltage_v: Annotated[float, Field(gt=0, le=20)] = _of_cell("write_voltage_v")
    """Programming voltage; above the supply of the logic (0.9 V at 32 nm) every line has a level shifter. [V]"""

    write_pulses: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Programming pulses of a cell in the mean, those after each check included; unset: what programming costs is not
    said."""

    write_pulse_s: Annotated[float, Field(gt=0, le=1)] | None = None
    """Duration of a programming pulse; unset: likewise. [s]"""

    write_energy_j: Annotated[float, Field(gt=0, le=1)] | None = None
    """Energy of a programming pulse; unset: of rram, pcm and mram cells what their mean conductance takes at
    `write_voltage_v`; of others it is not said. [J]"""

    access_gate_voltage_v: Annotated[float, Field(gt=0, le=5)] = _of_cell("access_gate_voltage_v")
    """Gate voltage of the access transistor during a read. [V]"""

    cell_height_f: Annotated[float, Field(gt=0, le=1000)] = _of_cell("cell_height_f")
    """Cell height in units of the feature size F."""

    cell_width_f: Annotated[float, Field(gt=0, le=1000)] = _of_cell("cell_width_f")
    """Cell width in units of the feature size F; an SRAM cell is wider at 14 nm and below (30 to 60 F)."""

    programming_sigma: Annotated[float, Field(ge=0, le=1)] = _of_cell("programming_sigma")
    """Programming variation: standard deviation of a conductance, relative to that conductance."""

    programming_sigma_absolute: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The part of the standard deviation that is the same for all states, relative to the largest conductance; adds to
    `programming_sigma` as independent errors do."""

    programming_polynomial: Annotated[tuple[float, ...], Field(min_length=1, max_length=12)] | None = None
    """In the place of the two above: the standard deviation as a polynomial c0 + c1 x + c2 x^2 + ... in the conductance
    x; both relative to the largest conductance."""

    read_noise_sigma: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fluctuation of a conductance from read cycle to read cycle: standard deviation, relative to that conductance."""

    read_noise_1f: StateDependent = 0.0
    """1/f noise, accumulated since programming: Q of its standard deviation g Q sqrt(ln((t + tr) / (2 tr))), with tr =
    `read_time_s`; of points, a power law between two (a line in ln g and ln Q), and constant beyond the last."""

    read_time_s: Annotated[float, Field(gt=0, le=1)] = 250e-9
    """Duration of the reads with which the 1/f noise was measured. [s]"""

    drift_nu: StateDependent = 0.0
    """Mean exponent of the drift: a conductance falls as (t / drift_t0_s)^-nu; of points [g / g_on, nu], a line in
    ln g between two, and constant beyond the last."""

    drift_nu_sigma: StateDependent = 0.0
    """Standard deviation of the exponent over cells; a number or points, too."""

    drift_t0_s: Annotated[float, Field(gt=0, le=1e10)] = 1.0
    """Time after programming at which conductances are as programmed, and from which they drift and relax. [s]"""

    relaxation_per_decade: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Retention: change of the mean conductance with every decade of time beyond `drift_t0_s`, relative to the largest
    conductance; below 0 for a loss."""

    relaxation_sigma_per_decade: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Retention: standard deviation that conductances gain with every decade of time, relative to the largest
    conductance."""

    stuck_on_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the cells that are stuck in the most conductive state."""

    stuck_off_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the cells that are stuck in the least conductive state."""

    access_resistance_ohm: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Resistance in series with the cell that its programmed conductance does not yet contain; counts where IR drop
    does. 0: cells are programmed and verified through their access transistors. [ohm]"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.programming_states is not None:
            self._check_states(self.programming_states)
        if self.cell == "mram":
            self._check_mram()
        if self.r_off_ohm <= self.r_on_ohm:
            raise ValueError(f"r_off_ohm must exceed r_on_ohm ({self.r_on_ohm:g}), got {self.r_off_ohm:g}")
        if self.cell == "sram" and self.cell_bits != 1:
            raise ValueError(f"an sram cell stores 1 bit: cell_bits must be 1, got {self.cell_bits}")
        if self.access == "crosspoint" and self.cell not in {"rram", "pcm"}:
            raise ValueError(f"access 'crosspoint' is for rram and pcm cells, not {self.cell}")
        if self.stuck_on_rate + self.stuck_off_rate > 1:
            raise ValueError(
                f"stuck_on_rate and stuck_off_rate must not add up to more than 1, got {self.stuck_on_rate:g} and "
                f"{self.stuck_off_rate:g}"
            )
        if isinstance(self.read_noise_1f, tuple) and min(q for _, q in self.read_noise_1f) <= 0:
            raise ValueError("read_noise_1f: a power law between points needs values above 0")
        return self

    def _check_mram(self) -> None:
        if self.cell_bits != 1:
            raise ValueError(f"an mram cell stores 1 bit: cell_bits must be 1, got {self.cell_bits}")
        for name in ("r_on_ohm", "r_off_ohm"):
            if name not in self.model_fields_set and self.programming_states is None:
                raise ValueError(f"{name} must be given for an mram cell, which has no default")
        if self.on_off_ratio > HIGHEST_TUNNEL_RATIO:
            raise ValueError(
                f"r_off_ohm of an mram cell must be at most {HIGHEST_TUNNEL_RATIO:g} r_on_ohm "
                f"({HIGHEST_TUNNEL_RATIO * self.r_on_ohm:g}), got {self.r_off_ohm:g}"
            )

    def _check_states(self, states: Sequence[CellState]) -> None:
        if self.programming_polynomial is not None:
            raise ValueError("give programming_polynomial or programming_states, not both")
        if len(states) != 2**self.cell_bits:
            raise ValueError(
                f"programming_states needs {2**self.cell_bits} states for cell_bits = {self.cell_bits}, "
                f"got {len(states)}"
            )
        means = [state.mean_us for state in states]
        for index in range(1, len(means)):
            if means[index] <= means[index - 1]:
                raise ValueError(
                    f"programming_states.{index}.mean_us: states must conduct more and more, got {means[index]:g} "
                    f"after {means[index - 1]:g}"
                )
        self._check_ends(means[0], means[-1])

    def _check_ends(self, off_us: float, on_us: float) -> None:
        """Refuse a table whose ends are not the off and the on state. [uS]"""
        if "r_on_ohm" not in self.model_fields_set:
            least, most = _ON_STATES_US
            if not least <= on_us <= most:
                raise ValueError(
                    f"programming_states reach {on_us:g} uS, but on states conduct {least:g} to {most:g} uS: "
                    f"{_unit(on_us / _TYPICAL_ON_US)}give r_on_ohm and r_off_ohm if this cell is different"
                )
        span = 1e6 / self.r_on_ohm - 1e6 / self.r_off_ohm
        for end, verb, field, resistance in (
            (on_us, "reach", "r_on_ohm", self.r_on_ohm),
            (off_us, "start at", "r_off_ohm", self.r_off_ohm),
        ):
            nominal = 1e6 / resistance
            if abs(end - nominal) > _END_TOLERANCE * span:
                fitting = f"give {field} = {1e6 / end:g}, or leave it out" if end > 0 else f"leave {field} out"
                raise ValueError(
                    f"programming_states {verb} {end:g} uS, {end / nominal:.3g} times the {nominal:g} uS of {field} = "
                    f"{resistance:g}: {_unit(end / nominal)}{fitting}"
                )

    @property
    def on_off_ratio(self) -> float:
        """Ratio of the largest to the smallest conductance."""
        return self.r_off_ohm / self.r_on_ohm

    @property
    def state_conductances_s(self) -> tuple[float, ...]:
        """Mean conductance of each state, the least conductive first: as measured, else in even steps. [S]"""
        if self.programming_states is not None:
            return tuple(state.mean_us * 1e-6 for state in self.programming_states)
        off, last = 1 / self.r_off_ohm, 2**self.cell_bits - 1
        level = (1 / self.r_on_ohm - off) / last
        return tuple(off + level * code for code in range(last + 1))

    @property
    def mean_conductance_s(self) -> float:
        """Mean conductance of a cell whose states are equally likely. [S]"""
        if self.programming_states is None:
            return (1 / self.r_on_ohm + 1 / self.r_off_ohm) / 2
        return math.fsum(self.state_conductances_s) / len(self.programming_states)


_ON_STATES_US = 0.1, 1e4
"""On states that a table may have without resistances beside it: 10 Mohm to 100 ohm, which holds all shipped devices
with a factor of 17 to spare, and refuses siemens and most tables in mS or nS. [uS]"""

_TYPICAL_ON_US = 30.0
"""On state from which a wrong unit is guessed: about the geometric mean of the shipped devices'. [uS]"""

_END_TOLERANCE = 0.1
"""How far a table's end may lie from the resistance beside it, relative to the range of conductances: what
measured ends stray from a data sheet, or lose in a day of retention, but no other range."""

_UNITS = {-6: "S", -3: "mS", 3: "nS", 6: "pS"}
"""Decimal exponent of a mean over the same in uS -> the unit that it is in."""


def _unit(ratio: float) -> str:
    """The question whether means are in another unit, where their ratio to what is expected says so."""
    exponent = 3 * round(math.log10(ratio) / 3) if ratio > 0 else 0
    if exponent not in _UNITS:
        return ""
    return f"if the means are in {_UNITS[exponent]}, multiply them by {10.0**-exponent:g}; else "


class Buffers(DataModel):
    """On-chip buffers, as fast as the buses that they feed."""

    tile_core_bits: PowerOfTwo = 1024
    """Largest side of a tile buffer's core: n lines of n bits at most (XPert 1024, NeuroSim's default 32). A buffer has
    as many cores as fill the tile's bus in every cycle. [bit]"""

    tile_bus_bits: PowerOfTwo = 256
    """Width of a tile's H-tree, and so of what its buffers read or write at once. [bit]"""

    global_core_bits: PowerOfTwo = 128
    """Largest side of a global buffer's core; as many as fill the global bus in every cycle. [bit]"""

    global_kind: Literal["register_file", "sram"] = "register_file"
    """What the global buffer is made of."""

    max_bus_bits: PowerOfTwo = 2048
    """Width of the global bus. [bit]"""


class Converters(DataModel):
    """What holds for the ADCs of all layers, whatever their kind."""

    sample_and_hold: bool = False
    """A column is sampled on a capacitor and draws its current in the sampling step only, not during the whole
    conversion. For SAR ADCs; a ramp ADC always does so, a flash ADC compares as fast as it would sample."""

    energy_factor: Annotated[float, Field(gt=0, le=1e3)] = 1.0
    """Factor on the dynamic energy of all ADCs, for what-ifs."""

    area_factor: Annotated[float, Field(gt=0, le=1e3)] = 1.0
    """Factor on the area of all ADCs, for what-ifs; wires grow with it."""


class Activity(DataModel):
    """Data statistics on which dynamic energy and the flash ADC's delay depend."""

    input_bit_density: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of ones among the input bits, zeros of padding included."""

    cell_conductance_s: Annotated[float, Field(gt=0, le=1)] | None = None
    """Mean conductance of an active cell with its access transistor. [S]

    Unset: the mean of the states' conductances, in series with the access transistor. SRAM cells have a
    conductance of their own, which stands whatever is given.
    """


class Chip(DataModel):
    """All that is the same for every layer of a design."""

    technology: Annotated[Technology, part_of(Technology)] = Technology()
    """CMOS process; a mapping, the path of a YAML file, or the name of a shipped one."""

    device: Annotated[Device, part_of(Device)] = Device()
    """Memory cell; a mapping, the path of a YAML file, or the name of a shipped one."""

    adcs: Annotated[tuple[Annotated[Adc, part_of(Adc)], ...], Field(max_length=32)] = ()
    """ADCs of the user's own, besides those made of circuits; each a mapping, the path of a YAML file, or the name of a
    shipped one."""

    converters: Converters = Converters()
    """What holds for all ADCs."""

    rows: Annotated[int, Field(ge=8, le=1024)] = 64
    """Rows of a crossbar."""

    rows_per_read: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rows of a crossbar that are read at once, at most `rows`; null: all. Groups of so many rows take turns, each is
    converted on its own, and the sums are added digitally."""

    columns: Annotated[int, Field(ge=8, le=1024)] = 64
    """Columns of a crossbar."""

    input_coding: Literal["bit_serial", "pulse_width"] = "bit_serial"
    """How inputs drive the rows. `bit_serial`: a read for each bit, added up digitally; `pulse_width`: one read, in
    which a row is driven for as many unit pulses as the input says, up to 2**input_bits - 1; each takes a period of
    `logic_clock_hz`, or as long as a row's driver."""

    weight_bits: Annotated[int, Field(ge=1, le=16)] = 8
    """Weight precision. 1: weights are +1 or -1 times a scale. [bit]"""

    encoding: Encoding = "offset"
    """How cells hold signed weights. `offset`: offset binary, one cell per slice and a reference column;
    `differential`: two cells per slice, the difference of which is converted."""

    subarrays_per_pe: Annotated[int, Field(ge=1, le=4096)] | None = 4
    """Subarrays in a PE, a square number; null lets the mapping choose PE and tile sizes."""

    pes_per_tile: Annotated[int, Field(ge=1, le=4096)] | None = 16
    """PEs in a tile, a square number; null together with `subarrays_per_pe`."""

    buffers: Buffers = Buffers()
    """Buffer organisation."""

    activity: Activity = Activity()
    """Data statistics."""

    digital_lanes: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Values that the digital unit multiplies, or looks up, at once; null: as many bytes as cross the global bus at
    once. Only chips of networks with digital work have one."""

    analog: AnalogSettings = AnalogSettings()
    """What the simulation of the analogue arrays includes."""

    mapping: Literal["conventional", "novel"] = "conventional"
    """`conventional` unrolls the kernel into rows; `novel` gives each kernel position its own PE."""

    pack_groups: bool = False
    """Whether groups of a convolution share a crossbar, their matrices along its diagonal and zeros elsewhere: as many
    as fit and divide the number of groups. Else each group has crossbars of its own."""

    execution: Literal["layer_by_layer", "pipelined"] = "layer_by_layer"
    """One layer at a time, or all layers at once on successive images."""

    pipeline_speed_up: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Degree by which pipelined chips duplicate early layers; required for `pipelined` only."""

    synchronous: bool = True
    """Whether digital blocks are clocked by the sensing cycle."""

    clock: Literal["layer", "chip"] = "layer"
    """One clock period per layer (XPert) or the slowest layer's for the whole chip (NeuroSim)."""

    logic_clock_hz: Annotated[float, Field(gt=0, le=1e12)] = 1e9
    """Clock for which digital blocks are built. [Hz]"""

    @model_validator(mode="after")
    def _zeros_to_pack_with(self) -> Self:
        if self.pack_groups and self.weight_bits == 1:
            raise ValueError("pack_groups needs weights of 0, which weights of 1 bit (+1 and -1) do not have")
        return self

    @model_validator(mode="before")
    @classmethod
    def _encoding_from_version_1(cls, data: Any) -> Any:
        """Move `analog.encoding`, where version 1 of designs and configs had it, to `encoding`."""
        analog = data.get("analog") if isinstance(data, dict) else None
        if not isinstance(analog, dict) or "encoding" not in analog:
            return data
        old = analog["encoding"]
        if data.get("encoding", old) != old:
            raise ValueError(f"encoding is {shown(data['encoding'])}, but analog.encoding is {shown(old)}: give one")
        others = {name: value for name, value in analog.items() if name != "encoding"}
        return data | {"encoding": old, "analog": others}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("subarrays_per_pe", "pes_per_tile"):
            value = getattr(self, name)
            if value is not None and math.isqrt(value) ** 2 != value:
                raise ValueError(f"{name} must be a square number (1, 4, 9, 16, ...), got {value}")
        if (self.subarrays_per_pe is None) != (self.pes_per_tile is None):
            raise ValueError("subarrays_per_pe and pes_per_tile must both be given or both be null")
        if (self.execution == "pipelined") != (self.pipeline_speed_up is not None):
            raise ValueError("pipeline_speed_up is required for execution 'pipelined' and allowed only there")
        if self.device.cell_bits > self.weight_bits:
            raise ValueError(
                f"device.cell_bits ({self.device.cell_bits}) must not exceed weight_bits ({self.weight_bits})"
            )
        if self.input_coding == "pulse_width":
            for field, wanted in (("signed_inputs", "offset"), ("adc_range", None)):
                given = getattr(self.analog, field)
                if given in ("twos_complement", "learned"):
                    allowed = "'offset'" if wanted else "'calibrated', 'full_scale' or 'unbounded'"
                    raise ValueError(f"analog.{field} must be {allowed} for input_coding 'pulse_width', got {given!r}")
        if self.rows_per_read is not None and self.rows_per_read > self.rows:
            raise ValueError(f"rows_per_read must be at most rows ({self.rows}), got {self.rows_per_read}")
        if self.weight_bits == 1 and not self.weight_code.binary:
            raise ValueError(f"weight_bits must be 2 or more for encoding {self.encoding!r}, got 1")
        columns = self.weight_code.columns_per_weight
        if columns > self.columns:
            raise ValueError(f"a weight takes {columns} columns, but the crossbar has {self.columns}")
        if self.weight_code.paired and self.analog.reference != "middle":
            raise ValueError(
                f"analog.reference must be 'middle' for encoding {self.encoding!r}, which has no reference column, "
                f"got {self.analog.reference!r}"
            )
        node_nm = self.technology.feature_nm
        for index, adc in enumerate(self.adcs):
            if adc.name in (other.name for other in self.adcs[:index]):
                raise ValueError(f"adcs.{index}.name: {adc.name!r} is there twice")
            if adc.replaces and adc.replaces in (other.replaces for other in self.adcs[:index]):
                raise ValueError(f"adcs.{index}.replaces: {adc.replaces!r} is replaced twice")
            low, high = adc.nodes_nm
            if not low <= node_nm <= high:
                raise ValueError(
                    f"adcs.{index}.nodes_nm: the ADC {adc.name!r} is for nodes from {low:g} to {high:g} nm, "
                    f"but the technology's is {node_nm:g} nm"
                )
            try:
                adc.figures(node_nm)
            except ConfigError as error:
                raise ValueError(f"adcs.{index}.{error}") from None
        return self

    @property
    def adc_types(self) -> tuple[str, ...]:
        """Kinds of ADC that layers can have, in the order of their indices: XPert's, the user's own, others'."""
        return adc_types(adc.name for adc in self.adcs if adc.replaces is None)

    def check_adc(
        self, adc_type: str, adc_bits: int, type_field: str = "adc_type", bits_field: str = "adc_bits"
    ) -> None:
        """Refuse an ADC that this chip does not have.

        Args:
            adc_type: Kind of ADC.
            adc_bits: Its precision. [bit]
            type_field: Field that the kind came from, for the message.
            bits_field: Field that the precision came from.

        Raises:
            ConfigError: If there is no such kind, or not with this precision.
        """
        if adc_type not in self.adc_types and adc_type not in ADCS:
            raise ConfigError(
                f"{type_field} must be one of {', '.join(self.adc_types)} (chip.adcs adds to these), "
                f"got {shown(adc_type)}"
            )
        for adc in self.adcs:
            if adc_type == (adc.replaces or adc.name) and adc_bits not in adc.allowed_bits:
                allowed = ", ".join(map(str, adc.allowed_bits))
                raise ConfigError(f"{bits_field} must be one of {allowed} for the ADC {adc.name!r}, got {adc_bits}")

    def check_bits(
        self,
        weight_bits: int | None,
        cell_bits: int | None,
        weight_field: str = "weight_bits",
        cell_field: str = "cell_bits",
    ) -> None:
        """Refuse precisions of a layer's weights and cells that this chip cannot hold.

        Args:
            weight_bits: Of its weights; None: the chip's. [bit]
            cell_bits: Of its cells; None: the chip's. [bit]
            weight_field: Field that the first came from, for the message.
            cell_field: Field that the second came from.

        Raises:
            ConfigError: If it cannot.
        """
        device = self.device
        if self.pack_groups and (weight_bits or cell_bits):
            field = weight_field if weight_bits else cell_field
            raise ConfigError(f"{field} must not be given with chip.pack_groups: groups are packed by the chip's own")
        weight_bits, own = weight_bits or self.weight_bits, device.cell_bits
        cell_bits = cell_bits or own
        if cell_bits != own and device.cell in ("sram", "mram"):
            raise ConfigError(f"{cell_field} must be 1 for {device.cell} cells, which store 1 bit, got {cell_bits}")
        if cell_bits != own and device.programming_states is not None:
            raise ConfigError(
                f"{cell_field} must be {own}, for which device.programming_states has the states, got {cell_bits}"
            )
        if weight_bits == 1 and not self.weight_code.binary:
            raise ConfigError(f"{weight_field} must be 2 or more for encoding {self.encoding!r}, got 1")
        if cell_bits > weight_bits:
            raise ConfigError(
                f"{cell_field} must not exceed the layer's weight precision ({weight_bits}, {weight_field}), got "
                f"{cell_bits}"
            )
        columns = self.code_of(weight_bits, cell_bits).columns_per_weight
        if columns > self.columns:
            raise ConfigError(
                f"{cell_field}: a weight of {weight_bits} bits in cells of {cell_bits} takes {columns} columns, but "
                f"the crossbar has {self.columns}"
            )

    @property
    def read_rows(self) -> int:
        """Rows of a crossbar that are read at once."""
        return self.rows_per_read or self.rows

    @property
    def weight_code(self) -> WeightCode:
        """How weights are spread over cells, where layers have no precisions of their own."""
        return self.code_of(None, None)

    def code_of(self, weight_bits: int | None, cell_bits: int | None) -> WeightCode:
        """How a layer's weights are spread over cells; arguments as for `of_layer`."""
        bits = weight_bits or self.weight_bits, cell_bits or self.device.cell_bits
        return ENCODINGS.find(self.encoding)(*bits, self.analog.reference)

    def resolved(self, periphery: Periphery) -> Periphery:
        """A layer's periphery with this chip's precisions of weights and cells where it has none of its own."""
        return periphery.replace(
            weight_bits=periphery.weight_bits or self.weight_bits,
            cell_bits=periphery.cell_bits or self.device.cell_bits,
        )

    def of_layer(self, weight_bits: int | None, cell_bits: int | None) -> Self:
        """The chip as a layer sees it whose weights and cells have precisions of their own.

        Args:
            weight_bits: Of its weights; None: the chip's. [bit]
            cell_bits: Of its cells; None: the chip's. [bit]

        Raises:
            ConfigError: If the chip cannot hold such weights.
        """
        bits = weight_bits or self.weight_bits, cell_bits or self.device.cell_bits
        if bits == (self.weight_bits, self.device.cell_bits):
            return self
        return self.replace(weight_bits=bits[0], device=self.device.replace(cell_bits=bits[1]))
