"""The chip: process, memory device, and how crossbars make up PEs, tiles and the whole."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xpert.design._base import Model

CellType = Literal["rram", "pcm", "fefet", "sram"]
PowerOfTwo = Annotated[int, Field(ge=2, le=4096)]


class Technology(Model):
    """CMOS process of the periphery."""

    node_nm: Literal[130, 90, 65, 45, 32, 22, 14, 10, 7] = 32
    """Technology node. [nm]"""

    roadmap: Literal["LSTP", "HP"] = "LSTP"
    """Transistor flavour: low standby power or high performance (ITRS)."""

    temperature_k: Annotated[int, Field(ge=300, le=400)] = 300
    """Junction temperature. [K]"""


class Device(Model):
    """One memory cell: its electrical values, its size and how far it strays from them."""

    cell: CellType = "rram"
    """What stores the weight."""

    access: Literal["1t1r", "crosspoint"] = "1t1r"
    """One access transistor per cell, or a bare crosspoint (resistive cells only)."""

    cell_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Bits stored per cell. [bit]"""

    r_on_ohm: Annotated[float, Field(gt=0, le=1e12)] = 20e3
    """Resistance of the most conductive state. [ohm]"""

    r_off_ohm: Annotated[float, Field(gt=0, le=1e12)] = 200e3
    """Resistance of the least conductive state. [ohm]"""

    read_voltage_v: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Voltage across a cell while it is read. [V]"""

    write_voltage_v: Annotated[float, Field(gt=0, le=20)] = 2.0
    """Programming voltage; level shifters are built above 1.5 V. [V]"""

    access_gate_voltage_v: Annotated[float, Field(gt=0, le=5)] = 1.1
    """Gate voltage of the access transistor during a read. [V]"""

    cell_height_f: Annotated[float, Field(gt=0, le=1000)] = 4.0
    """Cell height in units of the feature size F."""

    cell_width_f: Annotated[float, Field(gt=0, le=1000)] = 12.0
    """Cell width in units of the feature size F."""

    programming_sigma: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Programming variation: standard deviation of a conductance, relative to that conductance."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.r_off_ohm <= self.r_on_ohm:
            raise ValueError(f"r_off_ohm must exceed r_on_ohm ({self.r_on_ohm:g}), got {self.r_off_ohm:g}")
        if self.cell == "sram" and self.cell_bits != 1:
            raise ValueError(f"an sram cell stores 1 bit: cell_bits must be 1, got {self.cell_bits}")
        if self.access == "crosspoint" and self.cell not in {"rram", "pcm"}:
            raise ValueError(f"access 'crosspoint' is for rram and pcm cells, not {self.cell}")
        return self

    @property
    def on_off_ratio(self) -> float:
        """Ratio of the largest to the smallest conductance."""
        return self.r_off_ohm / self.r_on_ohm


class Buffers(Model):
    """On-chip buffers. Core sizes matter: a small core hides the periphery behind buffer accesses."""

    tile_core_bits: PowerOfTwo = 1024
    """Side of a tile buffer's core: cores of n x n bits with n-bit lines (XPert 1024, NeuroSim's default 32). [bit]"""

    global_core_bits: PowerOfTwo = 128
    """Side of a global buffer core. [bit]"""

    global_kind: Literal["register_file", "sram"] = "register_file"
    """What the global buffer is made of."""

    max_bus_bits: PowerOfTwo = 2048
    """Widest global bus. [bit]"""


class Activity(Model):
    """Data statistics on which dynamic energy and the flash ADC's delay depend."""

    input_bit_density: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of ones among the input bits."""

    cell_conductance_s: Annotated[float, Field(gt=0, le=1)] | None = None
    """Mean conductance of an active cell with its access transistor. [S]

    Unset: the middle between on and off conductance, in series with the access transistor.
    """


class Chip(Model):
    """All that is the same for every layer of a design."""

    technology: Technology = Technology()
    """CMOS process."""

    device: Device = Device()
    """Memory cell."""

    rows: Annotated[int, Field(ge=8, le=1024)] = 64
    """Rows of a crossbar, all read at once."""

    columns: Annotated[int, Field(ge=8, le=1024)] = 64
    """Columns of a crossbar."""

    weight_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Weight precision. [bit]"""

    subarrays_per_pe: Annotated[int, Field(ge=1, le=4096)] | None = 4
    """Subarrays in a PE, a square number; null lets the floorplan choose PE and tile sizes."""

    pes_per_tile: Annotated[int, Field(ge=1, le=4096)] | None = 16
    """PEs in a tile, a square number; null together with `subarrays_per_pe`."""

    buffers: Buffers = Buffers()
    """Buffer organisation."""

    activity: Activity = Activity()
    """Data statistics."""

    mapping: Literal["conventional", "novel"] = "conventional"
    """`conventional` unrolls the kernel into rows; `novel` gives each kernel position its own PE."""

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
        if self.weight_slices > self.columns:
            raise ValueError(f"a weight takes {self.weight_slices} columns, but the crossbar has {self.columns}")
        return self

    @property
    def weight_slices(self) -> int:
        """Columns that hold one weight."""
        return -(-self.weight_bits // self.device.cell_bits)
