"""ADC parts from Murmann's survey: `python -m benchmarks.adc_survey [--survey ADCsurvey_rev20250609.xlsx]`.

With the survey's spreadsheet, writes `murmann-sar.csv` and `murmann-flash.csv` beside the shipped parts: the facts of
the converters that resemble a column's. Without it, prints what the shipped files give: the coefficients of the parts
with their errors, and both kinds of model beside one another at 4, 5, 6 and 8 bits, which docs/hardware-model.md shows.

Source: B. Murmann, "ADC Performance Survey 1997-2025", revision of 2025-06-09, https://github.com/bmurmann/ADC-survey.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

import xpert.design.parts
from xpert.design import Adc, Chip, Technology, load_part
from xpert.hardware.adcs.flash import flash_adc, flash_encoder
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.crossbar import active_conductance, crossbar_of, parasitics
from xpert.hardware.technology import process_of

FOLDER = Path(xpert.design.parts.__file__).parent / "adcs"

COLUMNS = ("year", "venue", "paper", "doi", "node_nm", "enob", "rate_ms_per_s", "energy_pj", "area_mm2")

MOST_BITS, LEAST_BITS, LEAST_RATE = 9.5, 3.0, 10e6
"""Effective bits and conversions per second of a converter that resembles a column's."""


class Selection(NamedTuple):
    """Which converters of the survey a part stands for."""

    architectures: Callable[[str], bool]
    largest_node_nm: float
    words: str


SELECTIONS = {
    "sar": Selection(
        lambda name: "SAR" in name and not re.search(r"TI|Pipe|Noise|NS|SD|VCO|CT", name),
        65,
        "architecture SAR, alone or with flash or two-step, neither interleaved nor pipelined",
    ),
    "flash": Selection(
        lambda name: name in ("Flash", "Folding Flash"), 90, "architecture flash or folding flash, not interleaved"
    ),
}

_NAMESPACE = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def sheets(path: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Venue and rows, by the letter of their column, of the survey's two tables."""
    with zipfile.ZipFile(path) as book:

        def tree(name: str) -> ElementTree.Element:
            return ElementTree.fromstring(book.read(name))  # noqa: S314 - the user's own file

        strings = [
            "".join(part.text or "" for part in entry.iter(f"{{{_NAMESPACE['m']}}}t"))
            for entry in tree("xl/sharedStrings.xml").findall("m:si", _NAMESPACE)
        ]
        for number, venue in ((2, "ISSCC"), (3, "VLSI")):
            rows = []
            for row in tree(f"xl/worksheets/sheet{number}.xml").iterfind("m:sheetData/m:row", _NAMESPACE):
                cells = {}
                for cell in row:
                    value = cell.find("m:v", _NAMESPACE)
                    if value is not None and value.text is not None:
                        text = strings[int(value.text)] if cell.get("t") == "s" else value.text
                        cells[re.sub(r"\d", "", cell.get("r", ""))] = text.strip()
                rows.append(cells)
            yield venue, rows[1:]


def select(path: Path, selection: Selection) -> list[dict[str, str]]:
    """The facts of the converters that a selection keeps, oldest first."""
    found = []
    for venue, rows in sheets(path):
        for row in rows:
            try:
                node_nm = 1e3 * float(row["E"])
                enob, rate = (float(row["X"]) - 1.76) / 6.02, float(row["AB"])
                energy, area = float(row["AD"]), float(row["P"])
            except (KeyError, ValueError):  # not CMOS, or not reported
                continue
            alike = row.get("C") == "NQ" and selection.architectures(row.get("D", ""))
            in_range = node_nm <= selection.largest_node_nm + 0.5 and LEAST_BITS <= enob <= MOST_BITS
            if not (alike and in_range and rate >= LEAST_RATE):
                continue
            paper = f"{float(row['B']):.1f}" if re.fullmatch(r"[\d.]+", row["B"]) else row["B"]
            doi = row.get("I", "").strip("?")
            figures = (f"{node_nm:g}", f"{enob:.3f}", f"{rate / 1e6:g}", f"{energy:.5g}", f"{area:g}")
            found.append(dict(zip(COLUMNS, (row["A"], venue, paper, doi, *figures))))
    return sorted(found, key=lambda entry: (entry["year"], entry["venue"], entry["paper"]))


def write(path: Path, kind: str) -> None:
    """The CSV of a kind beside the shipped parts."""
    selection = SELECTIONS[kind]
    rows = select(path, selection)
    head = (
        '# Source: B. Murmann, "ADC Performance Survey 1997-2025", revision of 2025-06-09, '
        "https://github.com/bmurmann/ADC-survey\n"
        "# (file ADCsurvey_rev20250609.xlsx; Copyright (c) 2022, Boris Murmann; BSD 3-Clause License).\n"
        f"# Selection: CMOS of {selection.largest_node_nm:g} nm or below; type NQ; {selection.words};\n"
        "# SNDR of 3 to 9.5 effective bits; at least 10 MS/s; area reported.\n"
        "# Columns: enob = (SNDR_plot [dB] - 1.76) / 6.02; rate_ms_per_s = fsnyq; energy_pj = P / fsnyq; "
        "area_mm2 as reported.\n"
    )
    with (FOLDER / f"murmann-{kind}.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(head)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} converters in {FOLDER / f'murmann-{kind}.csv'}")


def read(kind: str) -> list[dict[str, float]]:
    """The figures of the shipped converters of a kind."""
    lines = (FOLDER / f"murmann-{kind}.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [{name: float(row[name]) for name in COLUMNS[4:]} for row in rows]


def coefficients(kind: str) -> dict[str, list[float]]:
    """What each converter says of the parts' coefficients, by figure."""
    rows = read(kind)
    steps = 1.0 if kind == "flash" else None  # a flash converts all bits at once
    return {
        "energy [pJ] / 2^bits": [row["energy_pj"] / 2 ** row["enob"] for row in rows],
        "area [um2] / (2^bits node)": [1e6 * row["area_mm2"] / 2 ** row["enob"] / row["node_nm"] for row in rows],
        f"latency [ns] / ({'' if steps else '2^bits '}node)": [
            1e3 / row["rate_ms_per_s"] / (steps or 2 ** row["enob"]) / row["node_nm"] for row in rows
        ],
    }


def spread(values: list[float]) -> tuple[float, float, float, float]:
    """Median, mean of the three smallest, and the factor of the median within which half and all are."""
    median = statistics.median(values)
    factors = [max(value / median, median / value) for value in values]
    return median, statistics.fmean(sorted(values)[:3]), statistics.median(factors), max(factors)


def derived(kind: str, bits: int) -> tuple[float, float, float]:
    """The ADC made of its circuit on the default chip: energy [pJ], area [um2], latency [ns] of a conversion.

    A column with 0.3 of its rows driven; with the factors that fit schematics to silicon.
    """
    chip = Chip(technology=Technology(node_nm=32))
    p, crossbar = process_of(chip.technology), crossbar_of(chip)
    active = round(chip.rows * chip.activity.input_bit_density)
    column = np.array([1 / (active * active_conductance(p, crossbar, None))])
    read = {
        "width": parasitics(p, crossbar).row_length,
        "column_resistance": column,
        "read_voltage": crossbar.read_voltage,
    }
    if kind == "sar":
        costs = [sar_adc(p, float(bits), 1.0, **read)]
    else:
        levels = {"rows": crossbar.rows, "r_on": crossbar.r_on, "r_off": crossbar.r_off}
        adc = flash_adc(p, float(bits), 1.0, sensing=crossbar.flash_sensing, **read, **levels)
        costs = [adc, flash_encoder(p, float(bits), 1.0, width=1e-6)]
    energy, area, latency = (sum(getattr(cost, name) for cost in costs) for name in ("energy", "area", "latency"))
    silicon = p.calibration
    return (
        float(energy) * 1e12 * silicon.post_layout_energy,
        float(area) * 1e12,
        float(latency) * 1e9 * silicon.sensing_latency,
    )


def report() -> None:
    """The parts' coefficients, and both kinds of model beside one another."""
    print("| part | figure | converters | median | mean of the 3 smallest | half within a factor of | all within |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for kind in SELECTIONS:
        for figure, values in coefficients(kind).items():
            median, best, half, worst = spread(values)
            print(f"| {kind} | {figure} | {len(values)} | {median:.4g} | {best:.4g} | {half:.2g} | {worst:.2g} |")
    print("\n| bits | kind | derived: pJ, um2, ns | survey median | survey best |\n|---:|---|---|---|---|")
    for kind in SELECTIONS:
        parts = [load_part(Adc, f"murmann-{kind}-{envelope}") for envelope in ("median", "best")]
        for bits in (4, 5, 6, 8):
            cells = [", ".join(f"{value:.3g}" for value in derived(kind, bits))]
            for part in parts:
                figures = part.figures(32)
                there = bits in part.allowed_bits
                names = ("energy_pj", "area_um2", "latency_ns")
                cells.append(", ".join(f"{figures[name][bits]:.3g}" for name in names) if there else "out of range")
            print(f"| {bits} | {kind} | {' | '.join(cells)} |")


def main() -> None:
    """Write the files from the survey, or print what they give."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--survey", type=Path, help="the survey's spreadsheet, to make the CSV files anew")
    arguments = parser.parse_args()
    if arguments.survey is None:
        report()
        return
    for kind in SELECTIONS:
        write(arguments.survey, kind)


if __name__ == "__main__":
    main()
