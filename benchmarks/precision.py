"""What the ways of phase 2 reach: `python -m benchmarks.precision --out DIR [--preset NAME] [--seeds N] [--json]`.

Phase 1 and the trainings of a preset run once per seed; then every variant chooses precisions for the same trained
network, against the same floor of NI-accuracy, and its design is evaluated on test images and new chips. EDAP is
relative to that of the first variant. A killed run goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from xpert.design import read_mapping
from xpert.experiment import SearchConfig, load_preset, open_run
from xpert.experiment.pipeline import run_search

VARIANTS: dict[str, dict[str, Any]] = {
    "sensitivity": {},
    "sensitivity, phase 1's ADCs": {"choose_adcs_again": False},
    "gradient": {"strategy": "gradient"},
    "evolution": {"strategy": "evolution"},
    "joint, 2 rounds": {"joint_rounds": 2},
}


def run_variant(config: SearchConfig, folder: Path, trained: Path | None) -> dict[str, Any]:
    """The results of a run folder, run where it has not been; with the networks of another one, if given."""
    if trained is not None and not folder.exists():
        with open_run(folder, config, resume=True):
            pass
        stages = ("architecture", "training", "baseline", "typical_accuracy")
        for name in [f"{stage}.json" for stage in stages] + ["searched.safetensors", "typical.safetensors"]:
            if (trained / "state" / name).exists():
                shutil.copyfile(trained / "state" / name, folder / "state" / name)
    if not (folder / "results.json").exists():
        run_search(config, folder, resume=True)
    return read_mapping(folder / "results.json", "results file")


def row(results: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of a run."""
    found, stage = results["searched"], results["precision"]
    return {
        "edap": found["evaluation"]["edap"],
        "met": stage["met"],
        "validation": stage["ni_accuracy"]["mean"],
        "floor": stage["confirmation_floor"],
        "ni_accuracy": found["accuracy"]["ni_mean"],
        "measured": len(stage["tried"]),
        "seconds": stage["seconds"],
    }


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    preset = load_preset(arguments.preset)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for seed in range(1, arguments.seeds + 1):
        trained = None
        for number, (name, changes) in enumerate(VARIANTS.items()):
            precision = type(preset.precision).parse(preset.precision.model_dump() | changes)
            config = preset.replace(seed=seed, precision=precision)
            folder = arguments.out / f"seed{seed}-{number}"
            rows[name].append(row(run_variant(config, folder, trained)))
            trained = trained or folder
    if arguments.json:
        print(json.dumps(rows))
        return
    print("| variant | EDAP, relative | floor met | NI validation less floor | NI test | designs measured | time |")
    print("|---|---|---|---|---|---|---|")
    first = next(iter(rows.values()))
    for name, found in rows.items():
        ratio = np.exp(np.mean([np.log(one["edap"] / base["edap"]) for one, base in zip(found, first)]))
        mean = {key: np.mean([one[key] for one in found]) for key in ("ni_accuracy", "measured", "seconds")}
        spare = 100 * np.mean([one["validation"] - one["floor"] for one in found])
        met = sum(one["met"] for one in found)
        print(
            f"| {name} | {ratio:.3f} | {met} of {len(found)} | {spare:+.1f} | {100 * mean['ni_accuracy']:.1f} % | "
            f"{mean['measured']:.0f} | {mean['seconds']:.0f} s |"
        )


if __name__ == "__main__":
    main()
