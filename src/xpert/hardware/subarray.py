"""The subarray: a crossbar with its drivers, column multiplexer, ADCs and shift-adds.

All rows are read at once, one input bit after the other; `columns_per_adc` columns take turns at an ADC. Source:
DNN+NeuroSim V1.3, parallel read-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpert.design import ADC_TYPES, Adc, Periphery
from xpert.hardware import circuits
from xpert.hardware.circuits import Cost
from xpert.hardware.crossbar import Crossbar, parasitics
from xpert.hardware.gates import Array, ceil_log2, log2
from xpert.hardware.technology import Process

WRITE_VOLTAGE_WITHOUT_SHIFTER = 1.5
"""Programming voltage above which level shifters are needed. [V] Source: DNN+NeuroSim V1.3."""


@dataclass(frozen=True)
class PeripheryArrays:
    """Periphery of many subarrays; arrays of any one shape."""

    adc: np.ndarray
    """Kind of ADC, as an index: 0 SAR, 1 flash (`ADC_TYPES`), then `adcs`."""

    columns_per_adc: np.ndarray
    """Columns that share an ADC."""

    adc_bits: np.ndarray
    """ADC precision. [bit]"""

    input_bits: np.ndarray
    """Input precision. [bit]"""

    adcs: tuple[Adc, ...] = ()
    """The chip's ADCs of the user's own."""

    @classmethod
    def of(cls, peripheries: Sequence[Periphery], adcs: tuple[Adc, ...] = ()) -> PeripheryArrays:
        """Periphery of the layers of one design, on a chip with these ADCs of the user's own. [layers]"""
        types = (*ADC_TYPES, *(adc.name for adc in adcs))
        return cls(
            adc=np.array([types.index(entry.adc_type) for entry in peripheries]),
            columns_per_adc=np.array([float(entry.columns_per_adc) for entry in peripheries]),
            adc_bits=np.array([float(entry.adc_bits) for entry in peripheries]),
            input_bits=np.array([float(entry.input_bits) for entry in peripheries]),
            adcs=adcs,
        )

    def __getitem__(self, index) -> PeripheryArrays:
        """Part of a batch, or some layers: the index of each array."""
        return PeripheryArrays(
            self.adc[index], self.columns_per_adc[index], self.adc_bits[index], self.input_bits[index], self.adcs
        )

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the kinds of ADC, in the order of their indices."""
        return (*ADC_TYPES, *(adc.name for adc in self.adcs))

    @property
    def levels(self) -> np.ndarray:
        """Levels of the ADC."""
        return 2.0**self.adc_bits


@dataclass(frozen=True)
class Subarray:
    """Size, timing and energy of a subarray; energies, cycles and latencies are of one input bit, all columns read."""

    blocks: dict[str, Cost]
    """The circuits by name; `Cost` is that of one use."""

    uses: dict[str, Array]
    """How often a circuit is used per input bit."""

    shift_add_latencies: dict[str, Array]
    """Asynchronous time of the shift-adds, by name. [s]"""

    height: Array
    """Height of the bounding box. [m]"""

    width: Array
    """Width of the bounding box. [m]"""

    array_area: Array
    """Area of the cells. [m2]"""

    adc_area: Array
    """Area of ADCs, encoders (and SRAM prechargers). [m2]"""

    accumulation_area: Array
    """Area of the shift-adds. [m2]"""

    other_area: Array
    """Area of drivers, switches, multiplexers and level shifters. [m2]"""

    column_delay: Array
    """Settling time of a column. [s]"""

    sensing_period: Array
    """One sensing cycle: settle, multiplex, convert. [s]"""

    adc_cycles: Array
    """Sensing cycles per input bit, synchronous."""

    accumulation_cycles: Array
    """Logic cycles of the shift-adds per input bit, synchronous."""

    adc_latency: Array
    """Time of conversions, asynchronous. [s]"""

    accumulation_latency: Array
    """Time of the shift-adds, asynchronous. [s]"""

    other_latency: Array
    """Time of drivers and multiplexers, asynchronous. [s]"""

    array_energy: Array
    """Energy of charging rows and columns. [J]"""

    adc_energy: Array
    """Energy of conversions and encoders (and SRAM prechargers); without the array. [J]"""

    accumulation_energy: Array
    """Energy of the shift-adds. [J]"""

    other_energy: Array
    """Energy of drivers and multiplexers. [J]"""

    column_energy: Array
    """The part of `adc_energy` that the ADCs take, which counts the columns (or pairs) that were given. [J]"""

    leakage: Array
    """Leakage power. [W]"""

    @property
    def used_area(self) -> Array:
        """Area of cells and circuits, without the gaps of the bounding box. [m2]"""
        return self.array_area + self.adc_area + self.accumulation_area + self.other_area


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
    flash_reference: tuple[float, float] | None = None,
) -> Subarray:
    """A subarray that reads one input bit.

    Args:
        p: Process.
        crossbar: Cells and wires.
        periphery: ADC type, column sharing and precisions, [*batch].
        row_activity: Driven rows over all rows, [*batch].
        column_resistance: Of the columns, [*batch, columns]; infinite for a column without driven rows. [ohm]
        multiplicity: Columns that each entry of the last axis stands for, [*batch, columns].
        flash_reference: On and off resistance for which the flash levels are set; the cell's by default. [ohm]
    """
    wires = parasitics(p, crossbar)
    calibration, switches, vdd = p.calibration, p.switches, p.vdd
    sar, flash, levels = periphery.adc == 0, periphery.adc == 1, periphery.levels
    slices, input_bits = crossbar.slices, periphery.input_bits
    n_adcs = adc_count(p, crossbar, periphery.columns_per_adc)
    turns = columns_in_turn(p, crossbar, periphery.columns_per_adc)
    shared = turns > 1
    weight_uses = weights_per_adc(p, crossbar, periphery.columns_per_adc)
    if crossbar.sram:
        wordline_target, mux_target = wires.row_resistance, wires.access_resistance / crossbar.rows / 2
    else:
        wordline_target, mux_target = wires.mean_resistance / crossbar.columns, wires.mean_resistance / crossbar.rows

    blocks: dict[str, Cost] = {}
    # Rows: drivers and level shifters take the height of a column.
    if crossbar.kind in {"1t1r", "fefet"}:
        blocks["wl_switch_matrix"] = circuits.wordline_switch_matrix(
            p,
            crossbar.rows,
            height=wires.column_length,
            row_activity=row_activity,
            load=wires.wordline_capacitance,
            load_resistance=wires.row_resistance,
            read_voltage=crossbar.read_voltage,
            access_gate_voltage=crossbar.access_gate_voltage,
        )
    else:
        blocks["wl_switch_matrix"] = circuits.switch_matrix(
            p,
            crossbar.rows,
            target_resistance=wordline_target,
            height=wires.column_length,
            row_activity=row_activity,
            load=wires.row_wire_capacitance,
            load_resistance=wires.row_resistance,
            read_voltage=crossbar.read_voltage,
        )
    if crossbar.write_voltage > WRITE_VOLTAGE_WITHOUT_SHIFTER and not crossbar.sram:
        blocks["wl_level_shifter"] = circuits.level_shifter(p, crossbar.rows, height=wires.column_length)
        blocks["bl_level_shifter"] = circuits.level_shifter(p, crossbar.rows, height=wires.column_length)
        blocks["sl_level_shifter"] = circuits.level_shifter(p, crossbar.columns, width=wires.row_length)

    # Columns: everything takes the width of a row.
    width = wires.row_length
    if crossbar.sram:
        load = {"load": wires.column_capacitance, "load_resistance": wires.column_wire_resistance}
        blocks["precharger"] = circuits.precharger(p, crossbar.columns, width=width, **load)
        blocks["sram_write_driver"] = circuits.sram_write_driver(p, crossbar.columns, width=width, **load)
    else:
        blocks["sl_switch_matrix"] = circuits.switch_matrix(
            p,
            crossbar.columns,
            target_resistance=wires.mean_resistance,
            width=width,
            row_activity=0.0,
            load=0.0,
            load_resistance=0.0,
            read_voltage=crossbar.read_voltage,
        )
    lines = n_adcs * crossbar.columns_per_slice  # a pair's two columns are led to the ADC side by side
    mux, decoder = _column_mux(p, lines, turns, mux_target, width, crossbar.read_voltage)
    blocks["column_mux"], blocks["mux_decoder"] = _where(shared, mux), _where(shared, decoder)
    read = {
        "width": width,
        "column_resistance": column_resistance,
        "multiplicity": multiplicity,
        "read_voltage": crossbar.read_voltage,
    }
    blocks["sar_adc"] = _where(sar, circuits.sar_adc(p, levels, n_adcs, **read))
    r_on, r_off = flash_reference or (crossbar.r_on, crossbar.r_off)
    # Where the ADC is another the flash formulas get few levels: they are discarded, and cost time with many.
    flash_levels = np.where(flash, levels, 4.0)
    blocks["flash_adc"] = _where(
        flash,
        circuits.flash_adc(
            p,
            flash_levels,
            n_adcs,
            rows=crossbar.rows,
            r_on=r_on,
            r_off=r_off,
            sensing=crossbar.flash_sensing,
            **read,
        ),
    )
    blocks["flash_encoder"] = _where(flash, circuits.flash_encoder(p, flash_levels, n_adcs, width=width))
    if periphery.adcs:
        own = periphery.adc >= len(ADC_TYPES)
        kind = np.where(own, periphery.adc - len(ADC_TYPES), 0)
        # A precision that the ADC has, where it is not used.
        own_bits = np.where(own, periphery.adc_bits, periphery.adcs[0].allowed_bits[0])
        own_read = {key: read[key] for key in ("width", "column_resistance", "multiplicity")}
        blocks["own_adc"] = _where(own, circuits.own_adc(p, periphery.adcs, kind, own_bits, n_adcs, **own_read))
    bits = log2(levels)
    if slices > 1:
        blocks["shift_add_weight"] = circuits.shift_add(p, np.floor(bits), n_adcs, slices, width=width)
    blocks["shift_add_input"] = _where(
        input_bits > 1, circuits.shift_add(p, np.floor(bits + slices), n_adcs, input_bits, width=width)
    )

    def total(field: str, names: tuple[str, ...]) -> Array:
        return sum((getattr(blocks[name], field) for name in names if name in blocks), 0.0)

    adcs = ("sar_adc", "flash_adc", "flash_encoder", "own_adc")
    adc_latency = total("latency", adcs)
    precharge = blocks["precharger"].latency if crossbar.sram else 0.0
    select = np.maximum(
        blocks["wl_switch_matrix"].latency, blocks["column_mux"].latency + blocks["mux_decoder"].latency
    )
    if crossbar.sram:
        column_delay = circuits.sram_column_delay(
            p,
            access_resistance=wires.access_resistance,
            access_capacitance=wires.access_capacitance,
            pull_down_resistance=wires.pull_down_resistance,
            column_capacitance=wires.column_capacitance,
            column_resistance=wires.column_wire_resistance,
            ramp=blocks["wl_switch_matrix"].ramp,
        )
    else:
        column_delay = 0.2 * wires.column_capacitance * wires.mean_resistance / (crossbar.rows // 2)
    beta = calibration.sensing_latency
    uses = {
        "wl_switch_matrix": turns,
        "column_mux": turns / input_bits,
        "mux_decoder": turns / input_bits,
        "sar_adc": 1.0,
        "flash_adc": 1.0,
        "flash_encoder": turns,
        "own_adc": 1.0,
        "shift_add_weight": turns,
        "shift_add_input": weight_uses,
        "precharger": turns,
    }

    def energy(names: tuple[str, ...]) -> Array:
        return sum((blocks[name].energy * uses[name] for name in names if name in blocks), 0.0)

    if crossbar.sram:
        array_energy = 0.0
        leaky = ("wl_switch_matrix", "precharger", "sram_write_driver")
        leaky += ("mux_decoder",) if switches.sram_mux_decoder_leakage else ()
    else:
        converted = np.ceil(crossbar.columns / turns)
        columns = wires.column_wire_capacitance * crossbar.read_voltage**2 * converted
        array_energy = turns * (columns + wires.wordline_capacitance * vdd**2 * crossbar.rows * row_activity)
        leaky = ("wl_switch_matrix", "sl_switch_matrix", "mux_decoder")
    shift_adds = ("shift_add_weight", "shift_add_input")
    stack = (
        *adcs,
        *shift_adds,
        "sl_switch_matrix",
        "column_mux",
        "sl_level_shifter",
        "precharger",
        "sram_write_driver",
    )
    beside = ("wl_switch_matrix", "wl_level_shifter", "bl_level_shifter")
    accumulation_cycles = turns * (slices > 1) + np.ceil(weight_uses) * (input_bits > 1)
    shift_add_latencies: dict[str, Array] = {
        name: np.where(blocks[name].latency > 0, circuits.shift_add_latency(blocks[name].latency, uses[name]), 0.0)
        for name in shift_adds
        if name in blocks
    }
    return Subarray(
        blocks=blocks,
        uses=uses,
        shift_add_latencies=shift_add_latencies,
        height=total("height", stack) + wires.column_length,
        width=np.maximum(total("width", beside), blocks["mux_decoder"].width) + wires.row_length,
        array_area=wires.area,
        adc_area=total("area", (*adcs, "precharger")),
        accumulation_area=total("area", shift_adds),
        other_area=total(
            "area", (*beside, "sl_switch_matrix", "column_mux", "mux_decoder", "sl_level_shifter", "sram_write_driver")
        ),
        column_delay=column_delay,
        sensing_period=beta * (select + precharge + column_delay + adc_latency),
        adc_cycles=turns,
        accumulation_cycles=accumulation_cycles,
        adc_latency=turns * beta * (precharge + column_delay + adc_latency),
        accumulation_latency=sum(shift_add_latencies.values(), 0.0),
        other_latency=turns * beta * select,
        array_energy=array_energy,
        adc_energy=energy((*adcs, "precharger")),
        accumulation_energy=energy(shift_adds),
        other_energy=energy(("wl_switch_matrix", "column_mux", "mux_decoder")),
        column_energy=energy(("sar_adc", "flash_adc", "own_adc")),
        leakage=total("leakage", (*leaky, *adcs, *shift_adds)) + wires.cell_leakage,
    )


def _column_mux(p, lines, sharing, target, width, read_voltage) -> tuple[Cost, Cost]:
    """Column multiplexer and its decoder, one as high as the other."""
    ways = np.maximum(sharing, 2.0)
    gate_n, gate_p = circuits.column_mux_gates(p, target)
    decoder = circuits.row_decoder(p, ceil_log2(ways), drives_mux=True, load=gate_n * lines, load_2=gate_p * lines)
    place = {"target_resistance": target, "width": width, "read_voltage": read_voltage}
    free = circuits.column_mux(p, lines, ways, **place)
    return circuits.column_mux(p, lines, ways, height=np.maximum(free.height, decoder.height), **place), decoder


def _where(present: Array | np.ndarray | bool, cost: Cost) -> Cost:
    """The cost where a circuit is present, nothing elsewhere."""
    fields = ("area", "width", "height", "latency", "cycles", "energy", "leakage", "write_latency", "write_energy")
    return Cost(**{name: np.where(present, getattr(cost, name), 0.0) for name in fields})


__all__ = ["PeripheryArrays", "Subarray", "adc_count", "columns_in_turn", "subarray", "weights_per_adc"]
