"""A published experiment from nothing to its table: the baseline, the searches, the homogeneous designs, the rows.

::

    OUT/baseline/       a run folder: the backbone, trained once, and its accuracy at every homogeneous precision
    OUT/paper/          a run folder: the published search
    OUT/NAME/           a run folder for each of our searches
    OUT/results.json    every figure of the comparison
    OUT/table.md        its rows
    OUT/designs/        the design of every row
    OUT/front.svg       EDAP against NI-accuracy

Each part resumes by itself, so that the whole does.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.design import ADC_TYPES, Design, read_mapping
from xpert.errors import RunError
from xpert.experiment.config import SearchConfig
from xpert.experiment.measure import measure_accuracy
from xpert.experiment.pipeline import Pipeline, machine, run_search
from xpert.experiment.precision import Kept
from xpert.experiment.published import Experiment, tiled
from xpert.experiment.run import Run, open_run, versions
from xpert.experiment.workers import refuse_odd_numbers, workers
from xpert.files import jsonable, write_atomically
from xpert.hardware import evaluate
from xpert.report.front_svg import Point, front_svg
from xpert.search.precision.bench import ChipBench
from xpert.search.statistics import accuracy_interval
from xpert.training import device_of

_SHARED = ("typical.safetensors", "typical_accuracy.json", "baseline.json")
"""What searches take over from the baseline's run folder; the last one says that it is there."""

_FIGURES = ("area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2")

_PERIPHERY = ("adc_type", "columns_per_adc", "adc_bits", "input_bits")
_HOMOGENEOUS = (*_PERIPHERY, "pes_per_tile")

Progress = Callable[[dict[str, Any]], None]


def reproduce(
    experiment: Experiment,
    out: Path,
    *,
    data_dir: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    processes: int = 1,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Run an experiment, or go on with one.

    Args:
        experiment: What to run.
        out: Folder of the parts and the results; new or empty, unless with `resume`.
        data_dir: Folder of data sets, in the place of the experiment's own.
        resume: Whether to go on with what the folder holds.
        device: Where networks are trained and simulated: `cpu`, `cuda` or `cuda:N`.
        processes: How many train together, as in `run_search`.
        command: The command line, for the record.
        progress: Called with {"part", "stage", ...figures} as work goes on.

    Returns:
        The table.

    Raises:
        ConfigError: If the device is unknown, or so many processes cannot share a batch.
        RunError: If the folder cannot be used, or a worker process stops.
        DataError: If the data set is missing or broken.
        InfeasibleError: If no design meets a search's budget.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not resume:
        raise RunError(f"{out}: is not empty; add --resume to go on with what it holds, or give another folder")
    place = device_of(device)
    for config in (experiment.baseline(), *experiment.searches()):
        refuse_odd_numbers(processes, config, place)
    out.mkdir(parents=True, exist_ok=True)

    def told(part: str) -> Progress:
        return lambda figures: progress({"part": part} | figures) if progress else None

    baseline = _with_data(experiment.baseline(), data_dir)
    grid = _baseline(baseline, experiment, out / "baseline", place, processes, told("baseline"))
    searched = {}
    for config in experiment.searches():
        folder = out / config.name
        if not (folder / "results.json").exists():
            _search(_with_data(config, data_dir), folder, out / "baseline", device, processes, told(config.name))
        searched[config.name] = read_mapping(folder / "results.json", "results file")

    chosen = _chosen({name: found for name, found in searched.items() if name != "paper"}, experiment.target)
    least = searched[chosen]["precision"]["ni_accuracy"]["mean"] - experiment.within
    with open_run(out / "baseline", None, resume=True) as run:
        pipeline = Pipeline(run, told("baseline"), place)
        homogeneous = _homogeneous(pipeline, grid, experiment.homogeneous.pes_per_tile)
        best = min(
            (row for row in homogeneous if row["validation"]["mean"] >= least),
            key=lambda row: row["evaluation"]["edap"],
            default=None,
        )
        rows = {"typical": _typical_row(pipeline, grid)}
        designs = {"typical": pipeline.typical()}
        if best is not None:
            rows["best homogeneous"] = _measured_row(run, pipeline, best)
            designs["best homogeneous"] = _homogeneous_design(pipeline.typical(), best)
    for name, found in searched.items():
        designs[name] = Design.read(out / name / "design.json")
        rows[name] = {
            "evaluation": found["searched"]["evaluation"],
            "accuracy": found["searched"]["accuracy"],
            "validation": found["precision"]["ni_accuracy"],
            "wall_seconds": found["wall_seconds"],
        }
    results = {
        "schema_version": 1,
        "experiment": experiment.model_dump(mode="json"),
        "machine": machine(),
        "versions": versions(),
        "date": date.today().isoformat(),
        "command": " ".join(command),
        "chosen": chosen,
        "target_met": rows[chosen]["validation"]["mean"] >= experiment.target,
        "rows": rows,
        "ratios": {
            base: {name: _ratios(row["evaluation"], rows[base]["evaluation"]) for name, row in rows.items()}
            for base in ("typical", "best homogeneous")
            if base in rows
        },
        "homogeneous": [
            {key: row[key] for key in (*_HOMOGENEOUS, "validation")} | {"edap": row["evaluation"]["edap"]}
            for row in homogeneous
        ],
        "fronts": {
            name: [{"edap": one["edap"], "ni_accuracy": one["ni_accuracy"]} for one in found["precision"]["front"]]
            for name, found in searched.items()
        },
    }
    (out / "designs").mkdir(exist_ok=True)
    for name, design in designs.items():
        design.write(out / "designs" / f"{name.replace(' ', '-')}.json")
    write_atomically(out / "results.json", json.dumps(jsonable(results), indent=1) + "\n")
    write_atomically(out / "front.svg", _figure(results))
    write_atomically(out / "table.md", table(results))
    return out / "table.md"


def _with_data(config: SearchConfig, data_dir: Path | None) -> SearchConfig:
    if data_dir is None:
        return config
    return config.replace(dataset=config.dataset.replace(data_dir=str(data_dir)))


def _baseline(
    config: SearchConfig,
    experiment: Experiment,
    folder: Path,
    device: torch.device,
    processes: int,
    tell: Progress,
) -> list[dict[str, Any]]:
    """Train the backbone; its NI-accuracy on validation images at every homogeneous precision."""
    with open_run(folder, config, resume=True) as run:
        pipeline = Pipeline(run, tell, device)
        with workers(processes, folder, device):
            pipeline.run_stage("baseline")
        typical = pipeline.typical()
        model = pipeline.trained(typical.network, "typical")
        pipeline.typical_accuracy()
        images, labels = pipeline.validation()
        kept = Kept(
            run.working_file("measured.json"),
            ChipBench(
                model, typical, images, labels, pipeline.calibration(),
                seed=config.seed, chips=config.precision.chips, batch_size=config.evaluation.batch_size,
            ),
        )  # fmt: skip
        present = typical.periphery[0].adc_bits, typical.periphery[0].input_bits
        pairs = itertools.product(experiment.homogeneous.adc_bits, experiment.homogeneous.input_bits)
        precisions = list(dict.fromkeys((present, *pairs)))
        rows = []
        for adc_bits, input_bits in precisions:
            row = {"adc_bits": adc_bits, "input_bits": input_bits}
            correct = kept(_homogeneous_design(typical, row))
            rows.append(row | {"validation": accuracy_interval(correct)._asdict()})
            figures = {"design": len(rows), "designs": len(precisions), "ni_accuracy": float(correct.mean())}
            tell({"stage": "homogeneous"} | row | figures)
        return rows


def _search(config: SearchConfig, folder: Path, baseline: Path, device: str, processes: int, tell: Progress) -> None:
    """Run a search that takes its baseline from another run folder."""
    state = folder / "state"
    if not (state / "baseline.json").exists():
        run_search(
            config, folder, resume=True, stop_after="training", device=device, processes=processes, progress=tell
        )
        for name in sorted(
            _SHARED, key=lambda name: name == "baseline.json"
        ):  # the one that says it is done comes last
            shutil.copyfile(baseline / "state" / name, state / name)
    run_search(config, folder, resume=True, device=device, processes=processes, progress=tell)


def _chosen(ours: dict[str, Any], target: float) -> str:
    """Our search for the table: the cheapest that reaches the target on validation images, else the most accurate."""

    def accuracy(name: str) -> float:
        return ours[name]["precision"]["ni_accuracy"]["mean"]

    reached = [name for name in ours if accuracy(name) >= target]
    if not reached:
        return max(ours, key=accuracy)
    return min(reached, key=lambda name: ours[name]["searched"]["evaluation"]["edap"])


def _homogeneous(
    pipeline: Pipeline, grid: Sequence[dict[str, Any]], pes_per_tile: Sequence[int]
) -> list[dict[str, Any]]:
    """All homogeneous designs: ADC type, sharing and tile size change costs only, precisions accuracy too."""
    typical, options = pipeline.typical(), pipeline.config.periphery
    rows = []
    for pes in dict.fromkeys((typical.chip.pes_per_tile, *pes_per_tile)):
        for adc_type in dict.fromkeys((*ADC_TYPES, *options.adc_types)):
            for columns in sorted({*options.columns_per_adc, typical.periphery[0].columns_per_adc}):
                for cell in grid:
                    row = {"adc_type": adc_type, "columns_per_adc": columns, "pes_per_tile": pes}
                    row |= {key: cell[key] for key in ("adc_bits", "input_bits")}
                    evaluation = evaluate(_homogeneous_design(typical, row)).to_dict()
                    rows.append(row | {"validation": cell["validation"], "evaluation": evaluation})
    return rows


def _homogeneous_design(typical: Design, changes: dict[str, Any]) -> Design:
    """The typical design with another periphery, in tiles of another size."""
    pes = changes.get("pes_per_tile", typical.chip.pes_per_tile)
    entry = typical.periphery[0].replace(**{key: changes[key] for key in _PERIPHERY if key in changes})
    return Design.homogeneous(typical.network, tiled(typical.chip, pes), entry, name="homogeneous")


def _typical_row(pipeline: Pipeline, grid: Sequence[dict[str, Any]]) -> dict[str, Any]:
    typical = pipeline.typical()
    return typical.periphery[0].model_dump() | {
        "evaluation": evaluate(typical).to_dict(),
        "accuracy": pipeline.typical_accuracy(),
        "validation": grid[0]["validation"],
    }


def _measured_row(run: Run, pipeline: Pipeline, row: dict[str, Any]) -> dict[str, Any]:
    """The row of a homogeneous design, with its accuracy on test images."""
    chosen = {key: row[key] for key in _HOMOGENEOUS}
    design = _homogeneous_design(pipeline.typical(), chosen)

    def measure() -> dict[str, Any]:
        model = pipeline.trained(design.network, "typical")
        data, settings = pipeline.dataset, pipeline.config.evaluation
        return measure_accuracy(
            model, design, data.normalised(data.test_images), data.test_labels, pipeline.calibration(),
            seed=pipeline.config.seed, chips=settings.chips, batch_size=settings.batch_size,
            progress=lambda figures: pipeline.tell("evaluation", **figures),
        )  # fmt: skip

    accuracy = run.stage(f"homogeneous_accuracy_{row['adc_bits']}_{row['input_bits']}", measure)
    return chosen | {"evaluation": row["evaluation"], "accuracy": accuracy, "validation": row["validation"]}


def _ratios(found: dict[str, Any], base: dict[str, Any]) -> dict[str, float]:
    """How many times better; above 1 is better."""
    better_high = ("tops_per_watt", "tops_per_mm2")
    return {key: found[key] / base[key] if key in better_high else base[key] / found[key] for key in _FIGURES}


def table(results: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    head = ["design", "software", "NI-accuracy (95 %)", "area mm²", "latency µs", "energy µJ", "EDAP", "TOPS/W"]
    head.append("TOPS/mm²")
    ratios = results["ratios"]
    head += [f"EDAP lower than {base}" for base in ratios]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in results["rows"].items():
        accuracy = row["accuracy"]
        ni = f"{100 * accuracy['ni_mean']:.2f} %"
        if accuracy["ni_low"] is not None:  # one chip has no interval
            ni += f" ({100 * accuracy['ni_low']:.2f} to {100 * accuracy['ni_high']:.2f})"
        cells = [name, f"{100 * accuracy['quantised']:.2f} %", ni]
        cells += [f"{row['evaluation'][key]:.4g}" for key in _FIGURES]
        cells += [f"{ratios[base][name]['edap']:.4g}" for base in ratios]
        lines.append("| " + " | ".join(cells) + " |")
    chosen, experiment = results["chosen"], results["experiment"]
    chips = len(results["rows"]["typical"]["accuracy"]["chips"])
    notes = [
        f"Accuracies on test images over {chips} chips. Choices were made on validation images: the target NI-accuracy "
        f"of {100 * experiment['target']:.2f} % is {'' if results['target_met'] else 'NOT '}reached by {chosen}; the "
        f"best homogeneous design is the one of least EDAP within {100 * experiment['within']:g} points of that search."
    ]
    best = results["rows"].get("best homogeneous")
    if best is None:
        notes.append("No homogeneous design is as accurate as that.")
    else:
        notes.append(
            f"It has {best['adc_type']} ADCs of {best['adc_bits']} bits, {best['columns_per_adc']} columns each, and "
            f"inputs of {best['input_bits']} bits, in tiles of {best['pes_per_tile']} PEs."
        )
    typical = results["rows"]["typical"]
    tiles = min(
        (row for row in results["homogeneous"] if all(row[key] == typical[key] for key in _PERIPHERY)),
        key=lambda row: row["edap"],
    )
    gain = typical["evaluation"]["edap"] / tiles["edap"]
    if gain > 1:
        notes.append(f"In tiles of {tiles['pes_per_tile']} PEs the typical design's EDAP is {gain:.3g} times lower.")
    for base, rows in ratios.items():
        found = rows[chosen]
        notes.append(
            f"{chosen} against {base}: EDAP {found['edap']:.4g} times lower, TOPS/W {found['tops_per_watt']:.3g} and "
            f"TOPS/mm² {found['tops_per_mm2']:.3g} times higher."
        )
    command = results["command"] or "xpert.experiment.comparison"
    notes.append(f"Seed {experiment['common'].get('seed', 0)}; {results['date']}; `{command}`.")
    return "\n".join([*lines, "", *notes]) + "\n"


def _figure(results: dict[str, Any]) -> str:
    cells: dict[str, list[Point]] = {"homogeneous": _front(
        [(row["edap"], row["validation"]["mean"]) for row in results["homogeneous"]]
    )}  # fmt: skip
    for name, front in results["fronts"].items():
        cells[name] = [Point(one["edap"], one["ni_accuracy"]) for one in front]
    return front_svg(cells, target=results["experiment"]["target"])


def _front(points: list[tuple[float, float]]) -> list[Point]:
    """Points that no other one beats in both, cheap ones first."""
    kept, most = [], -np.inf
    for edap, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if accuracy > most:
            kept.append(Point(edap, accuracy))
            most = accuracy
    return kept


__all__ = ["reproduce", "table"]
