"""Published macros as designs, and what the model says of them.

Compared is one crossbar with its periphery for one input vector: what the papers describe, without the buffers and
wires of a larger chip. The table's macros become designs by rules, the same for all; what a table cannot say (cells,
and what is known of single papers) is in `data/silicon/rows.yaml`. Macros that the table lacks have a file each in
`data/silicon/chips`, with the citation on top.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Literal

import numpy as np
import yaml

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.hardware.crossbar import access_transistor_f, active_conductance, crossbar_of
from xpert.hardware.silicon.table import CHECKS, Row, read_table
from xpert.hardware.subarray import PeripheryArrays, adc_count, input_cycles, subarray
from xpert.hardware.technology import process_of

DENSITY = 0.5
"""Share of ones among the input bits, where a paper does not give it. Source: assumed."""

FIGURES = ("energy", "density")
"""What is compared: energy per operation, and operations per time and area."""

Half = Literal["fitting", "held out"]


@dataclass(frozen=True)
class Macro:
    """A published macro as a design. Figures in SI; an operation is half a multiply-accumulate."""

    key: str
    """What tells it from the others."""
    paper: str
    """Paper, by which the halves are split."""
    name: str
    """What tables call it."""
    source: str
    """Authors, title, venue, year."""
    design: Design
    """One crossbar, filled by one linear layer."""
    macs: float
    """Multiply-accumulates that the crossbar does for an input vector."""
    published: Mapping[str, float]
    """By figure, those of `FIGURES` that are published. [J], [1/(s m2)]"""
    assumed: str
    """What the paper, as far as it is known here, does not say."""
    comment: str = ""
    """Why the model differs."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Figure -> why it does not count in medians."""
    flash_sensing: Literal["current", "voltage"] = "current"
    """What comparators of a flash ADC sense."""

    @property
    def half(self) -> Half:
        """The half of the macros that it belongs to, by the first bit of the paper's SHA-256.

        Rows of one paper are never in both.
        """
        return "held out" if hashlib.sha256(self.paper.encode()).digest()[0] >> 7 else "fitting"


@dataclass(frozen=True)
class MacroFigures:
    """What the model says of a macro, SI; latency and energy are those of one input vector, leakage included."""

    area: float
    """Area of cells and circuits. [m2]"""
    latency: float
    """Time of a vector: sensing cycles, then the logic cycles of the shift-adds. [s]"""
    energy: float
    """Energy of a vector. [J]"""
    operations: float
    """Operations of a vector."""
    adc_area: float
    """Area of one ADC. [m2]"""
    adc_energy: float
    """Energy of one conversion. [J]"""

    @property
    def energy_per_operation(self) -> float:
        """Energy of an operation. [J]"""
        return self.energy / self.operations

    @property
    def throughput(self) -> float:
        """Operations per time. [1/s]"""
        return self.operations / self.latency

    @property
    def density(self) -> float:
        """Operations per time and area. [1/(s m2)]"""
        return self.throughput / self.area

    def figure(self, name: str) -> float:
        """One of `FIGURES`."""
        return self.energy_per_operation if name == "energy" else self.density


def macro_figures(macro: Macro) -> MacroFigures:
    """The model's figures of a macro.

    Raises:
        ConfigError: If the model does not build it.
    """
    chip, periphery = macro.design.chip, macro.design.periphery[0]
    p = process_of(chip.technology, logic_clock=chip.logic_clock_hz)
    # Papers give the cost of one read: sums over groups of rows are added up outside of the macro.
    # As far as is known none subtracts a reference column before its ADCs, or has ranges that follow a network.
    crossbar = replace(
        crossbar_of(chip),
        flash_sensing=macro.flash_sensing,
        adds_reads=False,
        reference_columns=0,
        programmable_range=False,
    )
    kind = PeripheryArrays.of([periphery], chip.adcs)
    density, reads = chip.activity.input_bit_density, float(crossbar.reads)
    active = round(crossbar.rows * density)
    conductance = active_conductance(p, crossbar, chip.activity.cell_conductance_s)
    duty = np.array([active / crossbar.rows])
    built = subarray(
        p,
        crossbar,
        kind,
        row_activity=1 - (1 - duty) ** kind.input_bits if crossbar.pulse_width else duty,
        row_duty=duty,
        column_resistance=np.array([[reads / (active * conductance)]]),
        multiplicity=np.array([[float(crossbar.columns)]]),
        reads=reads,
    )
    cycles, layout = input_cycles(crossbar, kind), p.calibration.post_layout_energy
    latency = cycles * (built.adc_cycles * built.sensing_period + built.accumulation_cycles / p.logic_clock)
    dynamic = built.array_energy + built.adc_energy + built.accumulation_energy + built.other_energy
    energy = cycles * layout * dynamic + built.leakage * latency
    adc = built.blocks[f"{periphery.adc_type}_adc"].cost
    adcs = adc_count(p, crossbar, kind.columns_per_adc)
    figures = built.used_area, latency, energy, 2 * macro.macs, adc.area / adcs, adc.energy / crossbar.columns * layout
    return MacroFigures(*(np.asarray(value, dtype=np.float64).item() for value in figures))


def published_macros() -> tuple[Macro, ...]:
    """All macros: the rows of the table that are complete, then those with a file of their own.

    Raises:
        ConfigError: If a row cannot be written as a design.
    """
    rows = tuple(row_macro(row) for row in read_table() if not row.missing)
    return (*rows, *(chip_macro(name, data) for name, data in chip_files().items()))


def chip_files() -> dict[str, dict[str, Any]]:
    """The macros with a file of their own, by its name."""
    folder = resources.files("xpert.hardware").joinpath("data/silicon/chips")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def chip_macro(key: str, data: Mapping[str, Any]) -> Macro:
    """A macro as its file has it: chip, periphery, products of a vector, and what was published."""
    stated, macs = data["published"], float(data["macs"])
    published = {"energy": 1e-12 / stated["tops_per_watt"]}
    if "gops" in stated and "area_mm2" in stated:
        published["density"] = stated["gops"] * 1e9 / (stated["area_mm2"] * 1e-6)
    return Macro(
        key=key,
        paper=data.get("paper", key),
        name=data["name"],
        source=data["source"],
        design=_design(data["chip"], Periphery.parse(data["periphery"])),
        macs=macs,
        published=published,
        assumed=data["assumed"],
        comment=data["comment"],
        left_out=dict.fromkeys(FIGURES, data["left_out"]) if "left_out" in data else {},
        flash_sensing=data.get("flash_sensing", "current"),
    )


def row_macro(row: Row) -> Macro:
    """A row of the table as a macro.

    The crossbar has the rows of an ADC's column, of which `R_C` are read at once, and the columns of a bank. `C_C` of
    these, but no more than it has bits, hold a weight; their cells share its bits. Columns are shared out evenly to
    `N_ADC` ADCs, also where `C` says otherwise. The rest is the default: SAR ADCs, inputs bit by bit, low-standby-power
    transistors, cells of 4 x 12 F or as wide as their access transistor needs.

    Raises:
        ConfigError: If it cannot be written as a design.
    """
    known = _known()
    of_paper = known["papers"].get(row.paper, {})
    kind = next(name for name, words in _CELLS.items() if any(word in row.text["cell"].lower() for word in words))
    of_cell = known["cells"][kind]
    x = row.numbers
    weight_bits = math.ceil(x["weight_bits"])
    columns_per_weight = min(int(x["columns_per_weight"]), weight_bits)
    device = of_cell["device"] | {"cell_bits": math.ceil(weight_bits / columns_per_weight)} | of_paper.get("device", {})
    chip = {
        "technology": {"node_nm": int(x["node_nm"])},
        "device": device,
        "rows": int(x["adc_rows"]),
        "rows_per_read": int(x["read_rows"]),
        "columns": int(x["n_columns"]),
        "weight_bits": weight_bits,
    } | of_paper.get("chip", {})
    periphery = {
        "columns_per_adc": math.ceil(x["n_columns"] / x["n_adcs"]),  # columns, or pairs
        "adc_bits": int(x["adc_bits"]),
        "input_bits": int(x["input_bits"]),
    } | of_paper.get("periphery", {})
    published = {"energy": row.energy_per_operation, "density": row.density}
    if "area_mm2" in of_paper:
        operations = x["bit_operations"] * x["n_cores"] / row.precisions
        published["density"] = operations / (x["invocation_ns"] * 1e-9 * of_paper["area_mm2"] * 1e-6)
    left_out = {
        CHECKS[name].figure: f"the table breaks its own rule: {CHECKS[name].statement}"
        for name in row.broken
        if CHECKS[name].figure and not (CHECKS[name].figure == "density" and "area_mm2" in of_paper)
    }
    name = f"{row.text['authors'].removesuffix('et al.').strip()} {row.text['venue']} {x['year']:.0f}"
    return Macro(
        key=row.key,
        paper=row.paper,
        name=f"{name}, {x['input_bits']:g} x {x['weight_bits']:g} b",
        source=f"{row.text['authors']}, {row.text['title']}, {row.text['venue']} {x['year']:.0f}",
        design=_design(chip, Periphery.parse(periphery)),
        macs=x["adc_rows"] * x["dot_product"] / x["read_rows"] * x["n_columns"] / columns_per_weight,
        published=published,
        assumed="; ".join([of_paper.get("cells", of_cell["assumed"]), *of_paper.get("assumed", [])]),
        comment=of_paper.get("comment", ""),
        left_out=left_out,
        flash_sensing=of_paper.get("flash_sensing", "current"),
    )


_CELLS = {"mram": ("mram",), "pcm": ("pcm",), "rram": ("reram", "rram", "1t1r")}
"""Kind of cell -> what the table calls it; the first that fits."""


def _known() -> dict[str, Any]:
    text = resources.files("xpert.hardware").joinpath("data/silicon/rows.yaml").read_text(encoding="utf-8")
    known = yaml.safe_load(text)
    return known | {"papers": {str(paper): entry for paper, entry in known["papers"].items()}}


def _design(chip_data: Mapping[str, Any], periphery: Periphery) -> Design:
    """A chip of one crossbar, all of whose cells hold weights of one linear layer."""
    data = {"activity": {"input_bit_density": DENSITY}, "subarrays_per_pe": 1, "pes_per_tile": 1} | dict(chip_data)
    chip = Chip.parse(data)
    p, crossbar = process_of(chip.technology, logic_clock=chip.logic_clock_hz), crossbar_of(chip)
    if crossbar.kind == "1t1r" and "cell_width_f" not in data["device"]:
        needed = math.ceil(10 * access_transistor_f(p, crossbar.r_on)) / 10
        chip = Chip.parse(data | {"device": data["device"] | {"cell_width_f": max(crossbar.cell_width_f, needed)}})
    outputs = chip.columns // chip.weight_code.columns_per_weight
    layer = Layer(name="macro", kind="linear", in_channels=chip.rows, out_channels=outputs)
    network = Network(backbone="custom", input_shape=(chip.rows, 1, 1), layers=(layer,))
    return Design.homogeneous(network, chip, periphery, name="macro")


__all__ = [
    "FIGURES",
    "Macro",
    "MacroFigures",
    "chip_files",
    "chip_macro",
    "macro_figures",
    "published_macros",
    "row_macro",
]
