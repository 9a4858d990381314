"""The subarray: a crossbar with its drivers, column multiplexer, ADCs and shift-adds.

One input bit after the other is read, `rows_per_read` rows at once, and `columns_per_adc` columns take turns at an ADC.
Source: DNN+NeuroSim V1.3, parallel read-out. Groups of rows that are read one after the other are ours: each is a read
of its own, and the shift-adds over input bits add the groups up. So are inputs as pulse widths: one read for all bits,
in which rows are driven for up to 2**input_bits - 1 unit pulses and columns add up charge; what integrates it is taken
to be part of the ADC. Source: R. Khaddam-Aljameh et al., VLSI Circuits 2021 (HERMES), for the scheme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xpert.design import ADCS, OPTIONAL_FIELDS, Adc, Chip, Periphery, shown
from xpert.design.adc_registry import adc_types
from xpert.errors import ConfigError
from xpert.hardware import circuits
from xpert.hardware.adcs import AdcKind, Conversion, adc_kind
from xpert.hardware.adcs.column_power import sum_columns
from xpert.hardware.adcs.matching import UNIT_CAPACITOR, range_generator, subtraction
from xpert.hardware.block import Block, Group, Place
from xpert.hardware.breakdown import distinct
from xpert.hardware.circuits import Cost
from xpert.hardware.crossbar import Crossbar, Parasitics, parasitics
from xpert.hardware.gates import Array, ceil_log2, exp2, standard_inverter
from xpert.hardware.technology import WIRE_CAPACITANCE, Process

_WRITE_VOLTAGE_WITHOUT_SHIFTER = 1.5
"""Write voltage above which the reference builds level shifters. [V] Source: DNN+NeuroSim V1.3."""


_Arrays: Any = make_dataclass(
    "_Arrays",
    [*((name, np.ndarray) for name in Periphery.decisions()), ("adcs", tuple[Adc, ...], field(default=()))],
    frozen=True,
)
"""The fields of `PeripheryArrays`."""


@dataclass(frozen=True)
class PeripheryArrays(_Arrays):
    """Periphery of many subarrays: an array for each field of `Periphery`, in their order, and the chip's own ADCs.

    Attributes:
        adc_type: Kind of ADC, as an index into `types`.
        columns_per_adc: Columns that share an ADC.
        adc_bits: ADC precision. [bit]
        input_bits: Input precision. [bit]
        copies: Copies of the layer's weights; 0: as the mapping has them. So with all optional numbers: 0 is unset.
        weight_bits: Weight precision. [bit]
        cell_bits: Bits that a cell stores. [bit]
        adcs: The chip's ADCs of the user's own.
    """

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The arrays by field."""
        return {name: getattr(self, name) for name in Periphery.decisions()}

    @classmethod
    def of(cls, peripheries: Sequence[Periphery], adcs: tuple[Adc, ...] = ()) -> PeripheryArrays:
        """Periphery of the layers of one design, on a chip with these ADCs of the user's own. [layers]

        Raises:
            ConfigError: If there is no such kind of ADC.
        """
        types = _types(adcs)
        if any(entry.adc_type not in types for entry in peripheries):
            ADCS.names()  # of installed packages too
            types = _types(adcs)
        places = {name: index for index, name in enumerate(types)}
        for index, entry in enumerate(peripheries):
            if entry.adc_type not in places:
                raise ConfigError(
                    f"periphery.{index}.adc_type must be one of {', '.join(places)}, got {shown(entry.adc_type)}"
                )
        columns = {name: [getattr(entry, name) for entry in peripheries] for name in Periphery.decisions()}
        arrays = {name: _array(column) for name, column in columns.items()}
        return cls(**arrays | {"adc_type": np.array([places[name] for name in columns["adc_type"]])}, adcs=adcs)

    @classmethod
    def given(cls, adcs: tuple[Adc, ...] = (), **arrays: ArrayLike) -> PeripheryArrays:
        """Arrays of some fields, broadcast to one shape; the other fields as in `Periphery()`.

        Args:
            adcs: The chip's ADCs of the user's own.
            arrays: By field; kinds of ADC as indices into `types`. [*batch]

        Raises:
            ConfigError: If a field is unknown.
        """
        unknown = [name for name in arrays if name not in Periphery.decisions()]
        if unknown:
            raise ConfigError(f"periphery.{unknown[0]}: unknown key; known are {', '.join(Periphery.decisions())}")
        plain = {name: column[0] for name, column in cls.of([Periphery()], adcs).values.items()}
        found = [np.asarray(array) for array in (plain | arrays).values()]
        return cls(*np.broadcast_arrays(*found), adcs=adcs)

    def __getitem__(self, index) -> PeripheryArrays:
        """Part of a batch, or some layers: the index of each array."""
        return PeripheryArrays(*(array[index] for array in self.values.values()), adcs=self.adcs)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the arrays have together."""
        return np.broadcast_shapes(*(array.shape for array in self.values.values()))

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the kinds of ADC, in the order of their indices: XPert's, then `adcs`, then those of others."""
        return _types(self.adcs)

    def entry(self, index: int) -> dict[str, Any]:
        """What one element chose, by field, as `Periphery` has it; optional fields where they are set."""
        found = {name: array[index].item() for name, array in self.values.items()}
        found["adc_type"] = self.types[found["adc_type"]]
        return {
            name: int(value) if name in OPTIONAL_FIELDS else type(Periphery.model_fields[name].default)(value)
            for name, value in found.items()
            if value or name not in OPTIONAL_FIELDS
        }

    def kinds(self) -> Iterator[tuple[AdcKind, np.ndarray]]:
        """The kinds of ADC that occur, each with where it does.

        Raises:
            ConfigError: If an index stands for no kind, or a name for no circuit.
        """
        low, high = np.min(self.adc_type), np.max(self.adc_type)
        if not 0 <= low <= high < len(self.types) or (self.adc_type.dtype.kind == "f" and np.any(self.adc_type % 1)):
            known = ", ".join(f"{index} ({name})" for index, name in enumerate(self.types))
            raise ConfigError(f"periphery.adc_type must be one of {known}, got {low} to {high}")
        for index in range(int(low), int(high) + 1):
            there = self.adc_type == index
            if there.any():
                yield adc_kind(self.types[index], self.adcs), there


def slices_of(chip: Chip, periphery: PeripheryArrays) -> np.ndarray | int:
    """Slices of every layer's weights, shaped as the periphery; one number where the chip's own hold in all layers."""
    if not (np.any(periphery.weight_bits) or np.any(periphery.cell_bits)):
        return chip.weight_code.slices
    (weights, cells), index = distinct(periphery.weight_bits, periphery.cell_bits)
    codes = (chip.code_of(int(of_weight) or None, int(of_cell) or None) for of_weight, of_cell in zip(weights, cells))
    return np.array([code.slices for code in codes])[index]


def _array(column: list[Any]) -> np.ndarray:
    """The values of one field; numbers as floats, which costs are computed in."""
    array = np.array([0 if value is None else value for value in column])
    return array.astype(float) if array.dtype.kind in "iub" else array


def _types(adcs: tuple[Adc, ...]) -> tuple[str, ...]:
    return adc_types(adc.name for adc in adcs if adc.replaces is None)


@dataclass(frozen=True)
class Subarray:
    """Size, timing and energy of a subarray; energies, cycles and latencies are of one input bit, all columns read.

    Where inputs are pulse widths, they are of a whole input in the place of a bit.

    Every sum is over the blocks in their order: additions of floats in another order end in other bits.
    """

    drivers: tuple[Block, ...]
    """What drives rows and columns and selects columns."""

    readout: tuple[Block, ...]
    """ADCs, then shift-adds."""

    wires: Parasitics
    """The crossbar."""

    cycles: Array
    """Sensing cycles per input bit: columns, or pairs, that an ADC converts one after the other, for every group of
    rows that is read."""

    accumulation_cycles: Array
    """Logic cycles of the shift-adds per input bit, synchronous."""

    column_delay: Array
    """Settling time of a column. [s]"""

    select_latency: Array
    """Time in which a row is driven and a column selected. [s]"""

    precharge_latency: Array
    """Time in which the columns of SRAM cells are precharged. [s]"""

    pulse_latency: Array
    """Time of the unit pulses beyond the first, 0 where inputs are read bit by bit. [s]"""

    latency_factor: float
    """Factor that fits latencies of the sensing path to silicon."""

    array_energy: Array
    """Energy of charging rows and columns. [J]"""

    @property
    def table(self) -> tuple[Block, ...]:
        """All blocks: from the ADCs to the drivers."""
        return (*self.readout, *self.drivers)

    @property
    def blocks(self) -> dict[str, Block]:
        """The blocks by name."""
        return {block.name: block for block in self.table}

    def _placed(self, place: Place) -> list[Block]:
        return [block for block in self.table if block.place == place]

    def _grouped(self, group: Group) -> list[Block]:
        return [block for block in self.table if block.group == group]

    @cached_property
    def height(self) -> Array:
        """Height of the bounding box. [m]"""
        return _sum(block.cost.height for block in self._placed("stack")) + self.wires.column_length

    @cached_property
    def width(self) -> Array:
        """Width of the bounding box. [m]"""
        beside, corner = (_sum(block.cost.width for block in self._placed(place)) for place in ("beside", "corner"))
        return np.maximum(beside, corner) + self.wires.row_length

    @property
    def array_area(self) -> Array:
        """Area of the cells. [m2]"""
        return self.wires.area

    @cached_property
    def adc_area(self) -> Array:
        """Area of ADCs, encoders (and SRAM prechargers). [m2]"""
        return _sum(block.cost.area for block in self._grouped("adc"))

    @cached_property
    def accumulation_area(self) -> Array:
        """Area of the shift-adds. [m2]"""
        return _sum(block.cost.area for block in self._grouped("accumulation"))

    @cached_property
    def other_area(self) -> Array:
        """Area of drivers, switches, multiplexers and level shifters. [m2]"""
        return _sum(block.cost.area for block in self._grouped("other"))

    @property
    def used_area(self) -> Array:
        """Area of cells and circuits, without the gaps of the bounding box. [m2]"""
        return self.array_area + self.adc_area + self.accumulation_area + self.other_area

    @cached_property
    def _conversion(self) -> Array:
        """Duration of a conversion. [s]"""
        return _sum(block.cost.latency for block in self.readout if block.group == "adc")

    @property
    def sensing_period(self) -> Array:
        """One sensing cycle: select, precharge, settle, convert. [s]"""
        return self.pulse_latency + self.latency_factor * (
            self.select_latency + self.precharge_latency + self.column_delay + self._conversion
        )

    @property
    def adc_cycles(self) -> Array:
        """Sensing cycles per input bit, synchronous."""
        return self.cycles

    @property
    def adc_latency(self) -> Array:
        """Time of conversions, asynchronous. [s]"""
        conversion = self.latency_factor * (self.precharge_latency + self.column_delay + self._conversion)
        return self.cycles * (self.pulse_latency + conversion)

    @cached_property
    def shift_add_latencies(self) -> dict[str, Array]:
        """Asynchronous time of the shift-adds, by name. [s]"""
        return {
            block.name: np.where(
                block.cost.latency > 0, circuits.shift_add_latency(block.cost.latency, block.uses), 0.0
            )
            for block in self._grouped("accumulation")
            if block.uses is not None
        }

    @property
    def accumulation_latency(self) -> Array:
        """Time of the shift-adds, asynchronous. [s]"""
        return _sum(self.shift_add_latencies.values())

    @property
    def other_latency(self) -> Array:
        """Time of drivers and multiplexers, asynchronous. [s]"""
        return self.cycles * self.latency_factor * self.select_latency

    @property
    def adc_energy(self) -> Array:
        """Energy of conversions and encoders (and SRAM prechargers); without the array. [J]"""
        return _energy(self._grouped("adc"))

    @property
    def column_energy(self) -> Array:
        """The part of `adc_energy` that counts the columns (or pairs) that were given. [J]"""
        return _energy(block for block in self.table if block.of_columns)

    @property
    def accumulation_energy(self) -> Array:
        """Energy of the shift-adds. [J]"""
        return _energy(self._grouped("accumulation"))

    @property
    def other_energy(self) -> Array:
        """Energy of drivers and multiplexers. [J]"""
        return _energy(self._grouped("other"))

    @property
    def leakage(self) -> Array:
        """Leakage power. [W]"""
        # Drivers first, of these the decoder in the corner last.
        drivers = sorted(self.drivers, key=lambda block: block.place == "corner")
        leaky = (block.cost.leakage for block in (*drivers, *self.readout) if block.leaks)
        return _sum(leaky) + self.wires.cell_leakage


def _sum(values: Iterable[Array]) -> Array:
    return sum(values, 0.0)


def _energy(blocks: Iterable[Block]) -> Array:
    """Energy per input bit. [J]"""
    return _sum(block.cost.energy * block.uses for block in blocks if block.uses is not None)


def adc_count(p: Process, crossbar: Crossbar, columns_per_adc: Array) -> Array:
    """ADCs of a subarray."""
    groups = crossbar.converted / np.minimum(columns_per_adc, crossbar.converted)
    return np.ceil(groups) if p.switches.whole_adc_groups else np.floor(groups)


def columns_in_turn(p: Process, crossbar: Crossbar, columns_per_adc: Array) -> Array:
    """Columns, or pairs, that an ADC converts one after the other."""
    if p.switches.whole_adc_groups:
        return np.ceil(crossbar.converted / adc_count(p, crossbar, columns_per_adc))
    return np.minimum(columns_per_adc, crossbar.converted)


def weights_per_adc(p: Process, crossbar: Crossbar, columns_per_adc: Array) -> Array:
    """Weights whose slices share an ADC: how often a shift-add or a tree behind it is used per input bit or vector."""
    share = columns_in_turn(p, crossbar, columns_per_adc) / crossbar.slices
    return share if p.switches.exact_access_counts else np.floor(share)


def subarray(
    p: Process,
    crossbar: Crossbar,
    periphery: PeripheryArrays,
    *,
    row_activity: Array,
    column_resistance: np.ndarray,
    multiplicity: Array = 1.0,
    reads: Array = 1.0,
    row_duty: Array | None = None,
    flash_reference: tuple[float, float] | None = None,
) -> Subarray:
    """A subarray that reads one input bit.

    Args:
        p: Process.
        crossbar: Cells and wires.
        periphery: ADC type, column sharing and precisions, [*batch].
        row_activity: Rows that are driven in a read over all rows, [*batch].
        column_resistance: Of the columns while a group of rows is read, [*batch, columns]; infinite for a column
            without driven rows. [ohm]
        multiplicity: Columns that each entry of the last axis stands for, [*batch, columns].
        reads: Groups of rows that are read one after the other, [*batch]; at most `crossbar.reads`.
        row_duty: Where inputs are pulse widths, the mean share of all rows that are driven at a time, [*batch]; by
            default `row_activity`, as if all pulses were of full width.
        flash_reference: On and off resistance for which the flash levels are set; the cell's by default. [ohm]

    Raises:
        ConfigError: If a kind of ADC does not exist, or not with the precision that is asked for.
    """
    wires = parasitics(p, crossbar)
    n_adcs = adc_count(p, crossbar, periphery.columns_per_adc)
    turns = columns_in_turn(p, crossbar, periphery.columns_per_adc)
    weight_uses = weights_per_adc(p, crossbar, periphery.columns_per_adc) * reads
    cycles = turns * reads

    drivers = (
        *_row_drivers(p, crossbar, wires, turns, cycles, row_activity),
        *_pulse_counters(p, crossbar, wires, periphery, turns, row_activity if row_duty is None else row_duty),
        *_column_drivers(p, crossbar, wires, periphery, n_adcs, turns, cycles),
    )
    r_on, r_off = flash_reference or (crossbar.r_on, crossbar.r_off)
    asked = Conversion(
        bits=periphery.adc_bits,
        instances=n_adcs,
        turns=turns,
        width=wires.row_length,
        column_resistance=column_resistance,
        multiplicity=multiplicity,
        read_voltage=crossbar.read_voltage,
        rows=crossbar.read_rows,
        r_on=r_on,
        r_off=r_off,
        sensing=crossbar.flash_sensing,
        offset_sigma=crossbar.offset_sigma,
        trim_bits=crossbar.trim_bits,
    )
    row_latency = next(block.cost.latency for block in drivers if block.name == "wl_switch_matrix")
    pulses = _further_pulses(p, crossbar, periphery, row_latency)
    readout = (
        *_adcs(p, crossbar, periphery, asked, reads),
        *_pulses(crossbar, wires, column_resistance, multiplicity, pulses, reads),
        *_shift_adds(p, crossbar, wires, periphery, n_adcs, cycles, weight_uses),
    )

    if crossbar.sram:
        array_energy = 0.0
    else:
        converted = np.ceil(crossbar.columns / turns) + (wires.columns - crossbar.columns)
        # Columns are charged for every group; all groups together drive each row once.
        charged = wires.column_wire_capacitance * crossbar.read_voltage**2 * converted * reads
        array_energy = turns * (charged + wires.wordline_capacitance * p.vdd**2 * crossbar.rows * row_activity)
    costs = {block.name: block.cost for block in drivers}
    rows, mux, decoder = (costs[name] for name in ("wl_switch_matrix", "column_mux", "mux_decoder"))
    select = rows.latency + costs["read_decoder"].latency if crossbar.reads > 1 else rows.latency
    return Subarray(
        drivers=drivers,
        readout=readout,
        wires=wires,
        cycles=cycles,
        accumulation_cycles=cycles * (crossbar.slices > 1) + np.ceil(weight_uses) * _adds_up(crossbar, periphery),
        column_delay=_column_delay(p, crossbar, wires, rows.ramp, asked),
        select_latency=np.maximum(select, mux.latency + decoder.latency),
        precharge_latency=costs["precharger"].latency if crossbar.sram else 0.0,
        pulse_latency=pulses,
        latency_factor=p.calibration.sensing_latency,
        array_energy=array_energy,
    )


def _row_drivers(
    p: Process, crossbar: Crossbar, wires: Parasitics, turns: Array, cycles: Array, row_activity: Array
) -> list[Block]:
    """Drivers and level shifters of the rows, which take the height of a column; and what selects a group of rows.

    Drivers of a group are clocked while it is read, so that all groups together spend what one read of all rows does.
    """
    rows = crossbar.rows
    read = {
        "height": wires.column_length,
        "row_activity": row_activity,
        "load_resistance": wires.row_resistance,
        "read_voltage": crossbar.read_voltage,
    }
    if crossbar.kind in {"1t1r", "fefet"}:
        load, gate_voltage = wires.wordline_capacitance, crossbar.access_gate_voltage
        cost = circuits.wordline_switch_matrix(p, rows, load=load, access_gate_voltage=gate_voltage, **read)
    else:
        target = wires.row_resistance if crossbar.sram else wires.mean_resistance / wires.columns
        cost = circuits.switch_matrix(p, rows, target_resistance=target, load=wires.row_wire_capacitance, **read)
    blocks = [Block("wl_switch_matrix", cost, turns, "other", "beside")]
    if crossbar.reads > 1:
        enabled = standard_inverter(p).input_capacitance * crossbar.read_rows
        decoder = circuits.row_decoder(p, ceil_log2(crossbar.reads), height=wires.column_length, load=enabled)
        blocks.append(Block("read_decoder", decoder, cycles, "other", "beside"))
    if _lifts_levels(p, crossbar):
        shifter = circuits.level_shifter(p, rows, height=wires.column_length)
        selected = crossbar.kind != "crosspoint" or not p.switches.crosspoint_rows
        names = ("wl_level_shifter", "bl_level_shifter") if selected else ("bl_level_shifter",)
        blocks += [Block(name, shifter, None, "other", "beside", leaks=False) for name in names]
    return blocks


def _column_drivers(
    p: Process,
    crossbar: Crossbar,
    wires: Parasitics,
    periphery: PeripheryArrays,
    n_adcs: Array,
    turns: Array,
    cycles: Array,
) -> list[Block]:
    """What drives and selects columns: everything takes the width of a row, the decoder stands in the corner."""
    width, columns, sram = wires.row_length, wires.columns, crossbar.sram
    mux, decoder = _column_mux(p, crossbar, wires, n_adcs, turns)
    once = turns / input_cycles(crossbar, periphery)  # a column stays selected for all input bits and groups of rows
    leaks = p.switches.sram_mux_decoder_leakage if sram else True
    select = [
        Block("column_mux", mux, once, "other", leaks=False),
        Block("mux_decoder", decoder, once, "other", "corner", leaks),
    ]
    if sram:
        line = {"width": width, "load": wires.column_capacitance, "load_resistance": wires.column_wire_resistance}
        return [
            *select,
            Block("precharger", circuits.precharger(p, columns, **line), cycles),
            Block("sram_write_driver", circuits.sram_write_driver(p, columns, **line), None, "other"),
        ]
    switches = circuits.switch_matrix(
        p,
        columns,
        target_resistance=wires.mean_resistance,
        width=width,
        row_activity=0.0,
        load=0.0,
        load_resistance=0.0,
        read_voltage=crossbar.read_voltage,
    )
    blocks = [Block("sl_switch_matrix", switches, None, "other"), *select]
    if _lifts_levels(p, crossbar):
        shifter = circuits.level_shifter(p, columns, width=width)
        blocks.append(Block("sl_level_shifter", shifter, None, "other", leaks=False))
    return blocks


def _lifts_levels(p: Process, crossbar: Crossbar) -> bool:
    """Whether programming takes level shifters.

    A gate at the write voltage whose input swings to the logic supply only cannot switch its PMOS off. SET and RESET of
    a bipolar cell raise the bit line or the source line, and the word line in both, so each line has its own shifter.

    Source: Weste and Harris, CMOS VLSI Design, 4th ed. 2011, voltage domains; Wong et al., "Metal-oxide RRAM", Proc.
    IEEE 100(6), 2012, bipolar switching; both from memory.
    """
    limit = p.vdd if p.switches.shifters_above_supply else _WRITE_VOLTAGE_WITHOUT_SHIFTER
    return crossbar.write_voltage > limit and not crossbar.sram


def _column_mux(p: Process, crossbar: Crossbar, wires: Parasitics, n_adcs: Array, turns: Array) -> tuple[Cost, Cost]:
    """Column multiplexer and its decoder; nothing where no column shares an ADC.

    The lines that select columns run over the multiplexer and the ADCs below it, in metal of their own, as buses do:
    they take no area, but the decoder drives them.
    """
    lines = n_adcs * crossbar.columns_per_slice  # a pair's two columns are led to the ADC side by side
    rows = crossbar.read_rows
    target = (wires.access_resistance / rows / 2) if crossbar.sram else wires.mean_resistance / rows
    ways = np.maximum(turns, 2.0)
    gate_n, gate_p = circuits.column_mux_gates(p, target)
    compact = p.switches.compact_column_decoder
    wire = WIRE_CAPACITANCE * wires.row_length if compact else 0.0
    load, load_2 = gate_n * lines + wire, gate_p * lines + wire
    decoder = circuits.row_decoder(p, ceil_log2(ways), drives_mux=True, compact=compact, load=load, load_2=load_2)
    place = {"target_resistance": target, "width": wires.row_length, "read_voltage": crossbar.read_voltage}
    mux = circuits.column_mux(p, lines, ways, **place)
    if compact:
        decoder = replace(decoder, energy=decoder.energy + 2 * wire * p.vdd**2)  # a line of either polarity
    else:
        mux = circuits.column_mux(p, lines, ways, height=np.maximum(mux.height, decoder.height), **place)
    return _where(turns > 1, mux), _where(turns > 1, decoder)


def _adcs(
    p: Process, crossbar: Crossbar, periphery: PeripheryArrays, asked: Conversion, reads: Array
) -> Iterator[Block]:
    """ADCs of every kind that occurs; each costs nothing where another is. Then what all kinds need.

    All of it is used for every group of rows.
    """
    load, conversion, conducting = 0.0, 0.0, 0.0

    def of_chip(block: Block, there: np.ndarray | bool = True) -> Block:
        uses = None if block.uses is None else block.uses * reads
        return replace(block, cost=_where(there, _scaled(p, block.cost)), uses=uses)

    for kind, there in periphery.kinds():
        # Elsewhere it is asked for one of its own precisions: it may have no other.
        bits = np.broadcast_to(periphery.adc_bits, there.shape)
        of_kind = replace(asked, bits=np.where(there, bits, bits[there].min()))
        time = 0.0
        for block in kind.blocks(p, of_kind):
            time = time + block.cost.latency
            yield of_chip(block, there)
        each = asked.instances * exp2(of_kind.bits) * UNIT_CAPACITOR
        load = load + np.where(there, kind.reference_load(p, of_kind) if kind.reference_load else each, 0.0)
        conversion = conversion + np.where(there, time, 0.0)
        sampled = kind.column_time(p)
        conducting = conducting + np.where(there, time if sampled is None else sampled, 0.0)
    if crossbar.programmable_range and p.switches.programmable_references:
        yield of_chip(range_generator(p, asked, load, conversion, crossbar.slices))
    if crossbar.reference_columns and p.switches.reference_columns:
        yield of_chip(subtraction(p, asked, conducting, crossbar.reference_columns))


def _scaled(p: Process, cost: Cost) -> Cost:
    """An ADC's cost with the chip's factors on ADCs; it grows in height."""
    area, energy = p.converters.area_factor, p.converters.energy_factor
    if area == energy == 1:
        return cost
    return replace(cost, area=area * cost.area, height=area * cost.height, energy=energy * cost.energy)


def _shift_adds(
    p: Process,
    crossbar: Crossbar,
    wires: Parasitics,
    periphery: PeripheryArrays,
    n_adcs: Array,
    cycles: Array,
    weight_uses: Array,
) -> Iterator[Block]:
    """Shift-adds over the slices of a weight, then over input bits and groups of rows; none is there for a single one.

    For the next group of the same input bit the second one adds without a shift.
    """
    bits, slices, width = periphery.adc_bits, crossbar.slices, wires.row_length
    if slices > 1:
        cost = circuits.shift_add(p, bits, n_adcs, slices, width=width)
        yield Block("shift_add_weight", cost, cycles, "accumulation")
    cost = circuits.shift_add(p, bits + crossbar.sum_bits, n_adcs, input_cycles(crossbar, periphery), width=width)
    yield Block("shift_add_input", _where(_adds_up(crossbar, periphery), cost), weight_uses, "accumulation")


def _adds_up(crossbar: Crossbar, periphery: PeripheryArrays) -> Array:
    """Whether there is more than one reading of a column to be added up."""
    return np.logical_or(input_cycles(crossbar, periphery) > 1, crossbar.adds_reads and crossbar.reads > 1)


def input_cycles(crossbar: Crossbar, periphery: PeripheryArrays) -> Array:
    """Reads that an input takes: one for each bit, or one for all of them as the width of a pulse."""
    return np.ones_like(periphery.input_bits) if crossbar.pulse_width else periphery.input_bits


def _further_pulses(p: Process, crossbar: Crossbar, periphery: PeripheryArrays, row_latency: Array) -> Array:
    """Time of the unit pulses of a read beyond the first, which is that of a read of one bit. [s]"""
    if not crossbar.pulse_width:
        return 0.0
    return (exp2(periphery.input_bits) - 2) * np.maximum(1 / p.logic_clock, row_latency)


def _pulses(
    crossbar: Crossbar,
    wires: Parasitics,
    column_resistance: np.ndarray,
    multiplicity: Array,
    duration: Array,
    reads: Array,
) -> Iterator[Block]:
    """What columns draw in the unit pulses beyond the first: the read voltage squared over their resistance."""
    if crossbar.pulse_width:
        power = sum_columns(crossbar.read_voltage**2 / column_resistance, multiplicity)
        cost = Cost(area=0.0, width=wires.row_length, height=0.0, energy=power * duration)
        yield Block("pulses", cost, reads, of_columns=True)


def _pulse_counters(
    p: Process, crossbar: Crossbar, wires: Parasitics, periphery: PeripheryArrays, turns: Array, duty: Array
) -> Iterator[Block]:
    """A ripple counter for each row, loaded with the input, which ends the row's pulse when it has counted down.

    A ripple counter toggles twice a count, see `adcs.ramp.ramp_counter`. A single bit needs none.
    """
    if not crossbar.pulse_width:
        return
    bits, several = periphery.input_bits, periphery.input_bits > 1
    bank = circuits.flip_flop_bank(p, crossbar.rows * bits, height=wires.column_length)
    counts = crossbar.rows * duty * (exp2(bits) - 1)
    energy = bank.energy + 2 * counts * circuits.flip_flop_bank(p, 1.0).energy
    cost = _where(several, replace(bank, energy=energy, latency=0.0))
    yield Block("pulse_counters", cost, turns, "other", "beside")


def _column_delay(p: Process, crossbar: Crossbar, wires: Parasitics, ramp: Array, asked: Conversion) -> Array:
    """Settling time of a column whose row is driven with this slope: to half an ADC step, of the slowest one. [s]

    A column discharges through the cells of its driven rows, but at least one that is on, and half of its wire. What
    senses it conducts too, and would only make it faster: it is left out.
    """
    if not crossbar.sram and p.switches.column_conductance:
        one_cell = crossbar.r_on + wires.access_resistance
        there = np.greater(asked.multiplicity, 0)
        slowest = np.max(np.where(there, np.minimum(asked.column_resistance, one_cell), 0.0), axis=-1)
        constant = wires.column_capacitance * (slowest + wires.column_wire_resistance / 2)
        return constant * (asked.bits + 1) * np.log(2)
    if not crossbar.sram:
        return 0.2 * wires.column_capacitance * wires.mean_resistance / max(crossbar.read_rows // 2, 1)
    return circuits.sram_column_delay(
        p,
        access_resistance=wires.access_resistance,
        access_capacitance=wires.access_capacitance,
        pull_down_resistance=wires.pull_down_resistance,
        column_capacitance=wires.column_capacitance,
        column_resistance=wires.column_wire_resistance,
        ramp=ramp,
    )


def _where(present: Array | np.ndarray | bool, cost: Cost) -> Cost:
    """The cost where a circuit is present, nothing elsewhere."""
    fields = ("area", "width", "height", "latency", "cycles", "energy", "leakage", "write_latency", "write_energy")
    return Cost(**{name: np.where(present, getattr(cost, name), 0.0) for name in fields})


__all__ = [
    "PeripheryArrays",
    "Subarray",
    "adc_count",
    "columns_in_turn",
    "input_cycles",
    "slices_of",
    "subarray",
    "weights_per_adc",
]
