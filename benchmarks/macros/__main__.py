"""The model beside published chips: `python -m benchmarks.macros [--json]`.

One YAML file per chip in this folder: the citation on top, the published figures, what the model was told of the chip,
what had to be assumed, and a comment on the gaps. Compared is one crossbar with its periphery for one input vector:
what the papers describe, without the buffers and wires of a larger chip.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from xpert.design import Chip, Periphery
from xpert.hardware import PeripheryArrays
from xpert.hardware.crossbar import active_conductance, crossbar_of
from xpert.hardware.subarray import adc_count, subarray
from xpert.hardware.technology import process_of

FOLDER = Path(__file__).parent
UNITS = {
    "area_mm2": "mm2",
    "latency_ns": "ns",
    "gops": "GOPS",
    "energy_pj": "pJ",
    "tops_per_watt": "TOPS/W",
    "adc_area_um2": "um2",
    "adc_energy_pj": "pJ",
}


def load() -> dict[str, dict[str, Any]]:
    """All chips by the name of their file."""
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}


def model(macro: dict[str, Any]) -> dict[str, float]:
    """What the model says of one chip, in the units of `UNITS`.

    Latency and energy are those of one input vector, input bits one after the other; leakage is included.
    """
    chip, periphery = Chip.parse(macro["chip"]), Periphery.parse(macro["periphery"])
    p = process_of(chip.technology, logic_clock=chip.logic_clock_hz)
    # None of these chips subtracts a reference column before its ADCs, or has ranges that follow a network.
    crossbar = replace(
        crossbar_of(chip),
        slices=macro["slices"],
        flash_sensing=macro.get("flash_sensing", "current"),
        reference_columns=0,
        programmable_range=False,
    )
    active = round(crossbar.rows * chip.activity.input_bit_density)
    conductance = active_conductance(p, crossbar, chip.activity.cell_conductance_s)
    kind = PeripheryArrays.of([periphery], chip.adcs)
    built = subarray(
        p,
        crossbar,
        kind,
        row_activity=np.array([active / crossbar.rows]),
        column_resistance=np.array([[1 / (active * conductance)]]),
        multiplicity=np.array([[float(crossbar.columns)]]),
    )
    bits, layout = periphery.input_bits, p.calibration.post_layout_energy
    latency = bits * (built.adc_cycles * built.sensing_period + built.accumulation_cycles / p.logic_clock)
    dynamic = built.array_energy + built.adc_energy + built.accumulation_energy + built.other_energy
    energy = bits * layout * dynamic + built.leakage * latency
    operations = 2 * macro["macs"]
    adc = built.blocks[f"{periphery.adc_type}_adc"].cost
    figures = {
        "area_mm2": built.used_area * 1e6,
        "latency_ns": latency * 1e9,
        "gops": operations / latency * 1e-9,
        "energy_pj": energy * 1e12,
        "tops_per_watt": operations / energy * 1e-12,
        "adc_area_um2": adc.area / adc_count(p, crossbar, kind.columns_per_adc) * 1e12,
        "adc_energy_pj": adc.energy / crossbar.columns * layout * 1e12,
    }
    return {name: np.asarray(value, dtype=np.float64).item() for name, value in figures.items()}


def compare() -> dict[str, dict[str, Any]]:
    """Model, published figure and their ratio, for every chip and every figure that was published."""
    rows = {}
    for key, macro in load().items():
        ours = model(macro)
        figures = {
            name: {"model": ours[name], "published": float(value), "ratio": ours[name] / value}
            for name, value in macro["published"].items()
        }
        rows[key] = {
            "name": macro["name"],
            "assumed": macro["assumed"],
            "comment": macro["comment"],
            "figures": figures,
            "model": ours,
        }
    return rows


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    rows = compare()
    if parser.parse_args().json:
        print(json.dumps(rows))
        return
    print("| chip | figure | unit | model | published | model / published |")
    print("|---|---|---|---:|---:|---:|")
    for row in rows.values():
        for name, figure in row["figures"].items():
            title, unit = name.rsplit("_", 1)[0] if name != "tops_per_watt" else "efficiency", UNITS[name]
            title = "throughput" if name == "gops" else title.replace("_", " ")
            numbers = f"{figure['model']:.4g} | {figure['published']:.4g} | {figure['ratio']:.2f}"
            print(f"| {row['name']} | {title} | {unit} | {numbers} |")


if __name__ == "__main__":
    main()
