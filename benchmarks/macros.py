"""The model beside the published chips that have a file of their own: `python -m benchmarks.macros [--json]`.

All figures that were published, and comments on the gaps; the files are in `src/xpert/hardware/data/silicon/chips`.
`python -m benchmarks.silicon` has energy and density of these and many more.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from xpert.hardware.silicon.macros import chip_files, chip_macro, macro_figures

UNITS = {
    "area_mm2": "mm2",
    "latency_ns": "ns",
    "gops": "GOPS",
    "energy_pj": "pJ",
    "tops_per_watt": "TOPS/W",
    "adc_area_um2": "um2",
    "adc_energy_pj": "pJ",
}


def model(macro: dict[str, Any]) -> dict[str, float]:
    """What the model says of one chip, in the units of `UNITS`; see `macro_figures`."""
    found = macro_figures(chip_macro("", macro))
    return {
        "area_mm2": found.area * 1e6,
        "latency_ns": found.latency * 1e9,
        "gops": found.throughput * 1e-9,
        "energy_pj": found.energy * 1e12,
        "tops_per_watt": 1e-12 / found.energy_per_operation,
        "adc_area_um2": found.adc_area * 1e12,
        "adc_energy_pj": found.adc_energy * 1e12,
    }


def compare() -> dict[str, dict[str, Any]]:
    """Model, published figure and their ratio, for every chip and every figure that was published."""
    rows = {}
    for key, macro in chip_files().items():
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
