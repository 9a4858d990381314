"""What the ways of phase 2 reach: `python -m benchmarks.precision --out DIR [--preset NAME] [--seeds N] [--json]`.

Phase 1 and the trainings of a preset run once per seed; then every variant chooses precisions for the same trained
network, against the same floor of NI-accuracy, and its design is evaluated on test images and new chips. EDAP is
relative to that of the first variant, which measures every design on all images, and so is CPU time: that of the
stage, with its fine-tuning. A killed run goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.design import read_mapping
from xpert.experiment import SearchConfig, load_preset, open_run
from xpert.experiment.pipeline import run_search, run_stage
from xpert.experiment.workspace import Workspace
from xpert.training import computing_on

VARIANTS: dict[str, dict[str, Any]] = {
    "sensitivity, all designs in full": {"measure_in_full": True},
    "sensitivity": {},
    "sensitivity, phase 1's ADCs": {"choose_adcs_again": False},
    "gradient": {"strategy": "gradient"},
    "evolution": {"strategy": "evolution"},
    "joint, 2 rounds": {"joint_rounds": 2},
}


def run_variant(config: SearchConfig, folder: Path, trained: Path | None) -> dict[str, Any]:
    """The row of a run folder, run where it has not been; with the networks of another one, if given."""
    if trained is not None and not folder.exists():
        with open_run(folder, config, resume=True):
            pass
        stages = ("architecture", "training", "baseline", "typical_accuracy")
        for name in [f"{stage}.json" for stage in stages] + ["searched.safetensors", "typical.safetensors"]:
            if (trained / "state" / name).exists():
                shutil.copyfile(trained / "state" / name, folder / "state" / name)
    cpu = folder / "cpu_seconds"
    if not cpu.exists():
        run_search(config, folder, resume=True, stop_after="baseline")
        with open_run(folder, None, resume=True) as run, computing_on(run.config.threads):
            work, before = Workspace(run, torch.device("cpu")), time.process_time()
            run_stage(work, "precision")
            cpu.write_text(str(time.process_time() - before))
    if not (folder / "results.json").exists():
        run_search(config, folder, resume=True)
    return row(read_mapping(folder / "results.json", "results file"), float(cpu.read_text()))


def row(results: dict[str, Any], cpu_seconds: float) -> dict[str, Any]:
    """What the table shows of a run."""
    found, stage = results["searched"], results["precision"]
    seen = [one["images"] for one in stage["tried"]]
    return {
        "edap": found["evaluation"]["edap"],
        "met": stage["met"],
        "validation": stage["ni_accuracy"]["mean"],
        "floor": stage["confirmation_floor"],
        "ni_accuracy": found["accuracy"]["ni_mean"],
        "measured": len(stage["tried"]),
        "images": float(np.mean(seen) / max(seen)),
        "cpu_seconds": cpu_seconds,
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
            rows[name].append(run_variant(config, folder, trained))
            trained = trained or folder
    if arguments.json:
        print(json.dumps(rows))
        return
    print(
        "| variant | EDAP, relative | CPU time, relative | floor met | NI validation less floor | NI test | designs "
        "measured | on images | CPU time |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    first = next(iter(rows.values()))
    for name, found in rows.items():
        ratio, effort = (
            np.exp(np.mean([np.log(one[key] / base[key]) for one, base in zip(found, first)]))
            for key in ("edap", "cpu_seconds")
        )
        mean = {
            key: np.mean([one[key] for one in found]) for key in ("ni_accuracy", "measured", "images", "cpu_seconds")
        }
        spare = 100 * np.mean([one["validation"] - one["floor"] for one in found])
        met = sum(one["met"] for one in found)
        print(
            f"| {name} | {ratio:.3f} | {effort:.3f} | {met} of {len(found)} | {spare:+.1f} | "
            f"{100 * mean['ni_accuracy']:.1f} % | {mean['measured']:.0f} | {100 * mean['images']:.0f} % | "
            f"{mean['cpu_seconds']:.0f} s |"
        )


if __name__ == "__main__":
    main()
