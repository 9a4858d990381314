"""The hardware model against reference rows, as a table: `python -m benchmarks.validation [FOLDER] [--json]`.

FOLDER holds technology, modules, subarray, chip and chip_random as `.jsonl.gz`; by default `../shared/reference`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from xpert.hardware import Validation, validate

FILES = {"technology": 1e-6, "modules": 1e-6, "subarray": 1e-6, "chip": 1e-6, "chip_random": 0.05}
"""Stem of a file -> largest relative error that passes; of random rows only the statistics of the draw are known."""


def rows(stem: str, found: Validation) -> list[str]:
    """A line of the table for each kind of row in a file."""
    lines = []
    for kind, quantities in found.kinds.items():
        worst = max(quantities, key=lambda name: quantities[name].worst)
        count = max(errors.rows for errors in quantities.values())
        medians = float(np.median([errors.median for errors in quantities.values()]))
        name = "chip (random)" if stem == "chip_random" else kind
        lines.append(
            f"| {name} | {count} | {len(quantities)} | {quantities[worst].worst:.1e} | `{worst}` | {medians:.1e} |"
        )
    return lines


def main() -> None:
    """Validate every file and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/reference"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = {stem: validate(arguments.folder / f"{stem}.jsonl.gz", tolerance) for stem, tolerance in FILES.items()}
    if arguments.json:
        print(json.dumps({stem: validation.to_dict() for stem, validation in found.items()}))
        return
    print("| kind | rows | quantities | worst error | at | median of the quantities' medians |")
    print("|---|---:|---:|---:|---|---:|")
    for stem, validation in found.items():
        print("\n".join(rows(stem, validation)))
    print()
    for stem, validation in found.items():
        verdict = "passes" if validation.passed else "FAILS"
        print(f"- {stem}: {validation.rows} rows, worst {validation.worst:.1e}, {verdict} at {validation.tolerance:g}")
        for entry in validation.not_compared:
            what = entry.quantity or "whole rows"
            print(f"  - not compared: {entry.kind}, {what}, wholly or partly in {entry.rows} rows: {entry.reason}")


if __name__ == "__main__":
    main()
