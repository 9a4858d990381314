"""A published experiment from nothing to its table: the baseline, the searches, the homogeneous designs, the rows.

::

    OUT/baseline/       a run folder: the backbone, trained once, and its accuracy at every homogeneous precision
    OUT/paper/          a run folder: the published search
    OUT/NAME/           a run folder for each of our searches
    OUT/cache/          what they share: the trained backbone and the typical design's accuracy, see `cache.py`
    OUT/results.json    every figure of the comparison
    OUT/table.md        its rows
    OUT/designs/        the design of every row
    OUT/front.svg       EDAP against NI-accuracy

Each part resumes by itself, so that the whole does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Periphery, by_field
from xpert.errors import RunError
from xpert.experiment.cache import StageCache
from xpert.experiment.cluster import HERE, Engine
from xpert.experiment.config import SearchConfig, homogeneous_kinds
from xpert.experiment.pipeline import machine, run_search, run_stage
from xpert.experiment.published import Experiment, tiled
from xpert.experiment.run import open_run, use_folder, versions
from xpert.experiment.stages.evaluation import cost_of, organisation_of
from xpert.experiment.trainings import announce
from xpert.experiment.workspace import Workspace
from xpert.files import write_atomically
from xpert.progress import Progress, Report, of_part
from xpert.report.front_svg import Point, front_svg
from xpert.report.tables import difference_text, factor_title
from xpert.results import (
    FIGURES,
    Accuracy,
    Comparison,
    ComparisonRow,
    FactorShare,
    HomogeneousDesign,
    ParetoPoint,
    Precisions,
    Results,
    ratios,
)
from xpert.search.factors import factors
from xpert.search.objectives import Budgets
from xpert.search.precision.single import SINGLE_NAME
from xpert.statistics import accuracy_interval
from xpert.training import computing_on, device_of

_PAPER = "paper"
_TYPICAL, _BEST, _SINGLE = "typical", "best homogeneous", SINGLE_NAME
"""Names of rows. The last is the chosen search's network with the best periphery that all its layers can share."""

_PERIPHERY = tuple(Periphery.decisions())


def reproduce(
    experiment: Experiment,
    out: Path,
    *,
    data_dir: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    command: Sequence[str] = (),
    progress: Report | None = None,
    engine: Engine = HERE,
) -> Path:
    """Run an experiment, or go on with one.

    Args:
        experiment: What to run.
        out: Folder of the parts and the results; new or empty, unless with `resume`.
        data_dir: Folder of data sets, in the place of the experiment's own.
        resume: Whether to go on with what the folder holds.
        device: Where networks are trained and simulated: `cpu`, `cuda` or `cuda:N`.
        command: The command line, for the record.
        progress: Called as work goes on, with the `part` among the figures.
        engine: Where designs are measured.

    Returns:
        The table.

    Raises:
        ConfigError: If the device is unknown, or the processes of torchrun cannot share a batch.
        RunError: If the folder cannot be used, or workers stop again and again.
        DataError: If the data set is missing or broken.
        InfeasibleError: If no design meets a search's budget.
    """
    place = device_of(device)
    use_folder(out, resume=resume)
    cache = StageCache(out / "cache")

    baseline = _with_data(experiment.baseline(), data_dir)
    grid = _baseline(baseline, experiment, out / "baseline", place, cache, of_part("baseline", progress), engine)
    searched = []
    for config in experiment.searches():
        folder, report = out / config.name, of_part(config.name, progress)
        if not (folder / "results.json").exists():
            config = _with_data(config, data_dir)
            run_search(
                config,
                folder,
                resume=True,
                device=device,
                progress=report,
                cache=cache,
                engine=engine,
            )
        searched.append(_Search(folder))
    with open_run(out / "baseline", None, resume=True) as run, computing_on(run.config.threads):
        work = Workspace(run, place, of_part("baseline", progress), cache, engine)
        results, designs = _compare(experiment, work, grid, searched, command)
    return _write(out, results, designs)


def _compare(
    experiment: Experiment,
    work: Workspace,
    grid: Sequence[Precisions],
    searched: Sequence[_Search],
    command: Sequence[str],
) -> tuple[Comparison, dict[str, Design]]:
    """Everything that results.json holds, and the design of every row."""
    chosen = _chosen([search for search in searched if search.name != _PAPER], experiment.target)
    homogeneous = _homogeneous(work, grid, experiment.homogeneous.pes_per_tile)
    best = _best(homogeneous, chosen.validation.mean - experiment.within)
    rows, designs = {_TYPICAL: _typical_row(work, grid)}, {_TYPICAL: work.typical}
    if best is not None:
        rows[_BEST], designs[_BEST] = _measured_row(work, best), _homogeneous_design(work.typical, best)
    if chosen.single is not None:
        rows[_SINGLE], designs[_SINGLE] = chosen.single
    for search in searched:
        rows[search.name], designs[search.name] = search.row, search.design
    budgets = {search.name: search.budgets for search in searched} | {_SINGLE: chosen.budgets}
    organised = {name: organisation_of(design, budgets.get(name, Budgets())) for name, design in designs.items()}
    results = Comparison(
        schema_version=1,
        experiment=experiment.model_dump(mode="json"),
        machine=machine(),
        versions=versions(),
        date=date.today().isoformat(),
        command=" ".join(command),
        chosen=chosen.name,
        target_met=chosen.validation.mean >= experiment.target,
        rows=rows,
        ratios={
            base: {name: ratios(row.evaluation, rows[base].evaluation) for name, row in rows.items()}
            for base in (_TYPICAL, _BEST, _SINGLE)
            if base in rows
        },
        single_difference=chosen.single_difference,
        organisations=organised,
        factors=tuple(FactorShare.parse(one.to_dict()) for one in factors(work.typical, chosen.design)),
        homogeneous=tuple(homogeneous),
        fronts={search.name: search.front for search in searched},
    )
    return results, designs


def _write(out: Path, results: Comparison, designs: Mapping[str, Design]) -> Path:
    """Write everything that is not a run folder; the table's path."""
    (out / "designs").mkdir(exist_ok=True)
    for name, design in designs.items():
        design.write(out / "designs" / f"{name.replace(' ', '-')}.json")
    write_atomically(out / "results.json", results.to_json(indent=1))
    write_atomically(out / "front.svg", _figure(results))
    write_atomically(out / "table.md", table(results))
    return out / "table.md"


def _with_data(config: SearchConfig, data_dir: Path | None) -> SearchConfig:
    if data_dir is None:
        return config
    return config.replace(dataset=config.dataset.replace(data_dir=str(data_dir)))


class _Search:
    """A finished search, as the comparison reads it from its products.

    Args:
        folder: Its run folder.
    """

    def __init__(self, folder: Path) -> None:
        results = Results.read(folder / "results.json", "results file")
        found, precision = results.searched, results.precision
        if found is None or found.accuracy is None or precision is None or precision.ni_accuracy is None:
            raise RunError(f"{folder / 'results.json'}: not the results of a finished search; delete {folder}")
        self.name = folder.name
        self.design = Design.read(folder / "design.json")
        self.validation = precision.ni_accuracy
        self.edap = found.evaluation.edap
        self.row = ComparisonRow(
            evaluation=found.evaluation,
            accuracy=found.accuracy,
            validation=self.validation,
            wall_seconds=results.wall_seconds,
        )
        self.single = _single_row(folder, results)
        """Row and design of the same network with the best single periphery; None where there is none."""
        self.single_difference = results.single_difference
        limits = results.architecture.budgets if results.architecture else {}
        self.budgets = Budgets(**limits)
        self.front = tuple(
            ParetoPoint(edap=one.edap, ni_accuracy=one.ni_accuracy)
            for one in precision.front
            if one.edap is not None and one.ni_accuracy is not None
        )


def _single_row(folder: Path, results: Results) -> tuple[ComparisonRow, Design] | None:
    row, found = results.baselines.get("single"), results.precision and results.precision.single
    if row is None or row.accuracy is None or not found:
        return None
    design = Design.read(folder / "single.json")
    periphery = design.periphery[0].model_dump()
    measured = {"evaluation": row.evaluation, "accuracy": row.accuracy, "validation": found.ni_accuracy}
    return ComparisonRow(**periphery, pes_per_tile=design.chip.pes_per_tile, **measured), design


def _chosen(ours: Sequence[_Search], target: float) -> _Search:
    """Our search for the table: the cheapest that reaches the target on validation images, else the most accurate."""
    reached = [search for search in ours if search.validation.mean >= target]
    if not reached:
        return max(ours, key=lambda search: search.validation.mean)
    return min(reached, key=lambda search: search.edap)


def _baseline(
    config: SearchConfig,
    experiment: Experiment,
    folder: Path,
    device: torch.device,
    cache: StageCache,
    progress: Report,
    engine: Engine,
) -> list[Precisions]:
    """Train the backbone; its NI-accuracy on validation images at every homogeneous precision, the typical first."""
    with open_run(folder, config, resume=True) as run, computing_on(run.config.threads):
        work = Workspace(run, device, progress, cache, engine)
        announce(run.config)
        run_stage(work, "baseline")
        work.typical_accuracy()
        typical = work.typical
        model, file = work.trained(typical.network, "typical"), run.working_file("measured.json")
        bench = work.bench(model, typical, config.precision.chips, file)
        usual = typical.periphery[0]
        present = usual.values(PRECISION_FIELDS)
        precisions = list(dict.fromkeys((present, *experiment.homogeneous.combinations(PRECISION_FIELDS))))
        grid: list[Precisions] = []
        for precision in precisions:
            entry = usual.with_values(PRECISION_FIELDS, precision)
            correct = bench(Design.homogeneous(typical.network, typical.chip, entry))
            row = by_field(PRECISION_FIELDS, precision, unset=False)
            grid.append(Precisions.parse(row | {"validation": accuracy_interval(correct)._asdict()}))
            figures = row | {"ni_accuracy": float(correct.mean())}
            counts = {"unit": "design", "done": len(grid), "total": len(precisions)}
            progress(Progress(stage="homogeneous", **counts, figures=figures))
        return grid


def _homogeneous(work: Workspace, grid: Sequence[Precisions], pes_per_tile: Sequence[int]) -> list[HomogeneousDesign]:
    """All homogeneous designs: ADC type, sharing and tile size change costs only, precisions accuracy too."""
    typical = work.typical
    sizes = dict.fromkeys((typical.chip.pes_per_tile, *pes_per_tile))
    rows = []
    for pes, kind, cell in itertools.product(sizes, homogeneous_kinds(work.config), grid):
        precision = [getattr(cell, field) for field in PRECISION_FIELDS]
        entry = typical.periphery[0].with_values((*KIND_FIELDS, *PRECISION_FIELDS), (*kind, *precision))
        edap = cost_of(Design.homogeneous(typical.network, tiled(typical.chip, pes), entry)).edap
        rows.append(HomogeneousDesign(**entry.model_dump(), pes_per_tile=pes, validation=cell.validation, edap=edap))
    return rows


def _best(homogeneous: Sequence[HomogeneousDesign], least: float) -> HomogeneousDesign | None:
    """The cheapest that is accurate enough."""
    accurate = [row for row in homogeneous if row.validation.mean >= least]
    return min(accurate, key=lambda row: row.edap, default=None)


def _homogeneous_design(typical: Design, row: HomogeneousDesign) -> Design:
    entry = Periphery.parse({name: getattr(row, name) for name in _PERIPHERY})
    return Design.homogeneous(typical.network, tiled(typical.chip, row.pes_per_tile), entry)


def _typical_row(work: Workspace, grid: Sequence[Precisions]) -> ComparisonRow:
    return ComparisonRow(
        **work.typical.periphery[0].model_dump(),
        evaluation=cost_of(work.typical),
        accuracy=work.typical_accuracy(),
        validation=grid[0].validation,
    )


def _measured_row(work: Workspace, row: HomogeneousDesign) -> ComparisonRow:
    """The row of a homogeneous design, with its accuracy on test images."""
    design = _homogeneous_design(work.typical, row)
    accuracy = work.run.stage(
        "homogeneous_accuracy_" + row.sums_key().replace("/", "_").replace(" ", "-"),
        Accuracy,
        lambda: work.answers(work.trained(design.network, "typical"), design).accuracy,
    )
    return ComparisonRow(
        **{name: getattr(row, name) for name in (*_PERIPHERY, "pes_per_tile")},
        evaluation=cost_of(design),
        accuracy=accuracy,
        validation=row.validation,
    )


def table(results: Comparison) -> str:
    """The comparison as Markdown."""
    head = ["design", "software", "NI-accuracy (95 %)", "area mm²", "latency µs", "energy µJ", "EDAP", "TOPS/W"]
    head.append("TOPS/mm²")
    head += [f"EDAP lower than {base}" for base in results.ratios]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in results.rows.items():
        cells = [name, f"{100 * (row.accuracy.quantised or 0.0):.2f} %", _interval(row.accuracy)]
        cells += [f"{getattr(row.evaluation, key):.4g}" for key in FIGURES]
        cells += [f"{results.ratios[base][name]['edap']:.4g}" for base in results.ratios]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_notes(results)]) + "\n"


def _interval(accuracy: Accuracy) -> str:
    """NI-accuracy with its interval."""
    mean = f"{100 * (accuracy.ni_mean or 0.0):.2f} %"
    if accuracy.ni_low is None or accuracy.ni_high is None:
        return mean
    return f"{mean} ({100 * accuracy.ni_low:.2f} to {100 * accuracy.ni_high:.2f})"


def _notes(results: Comparison) -> list[str]:
    """What the table rests on."""
    chosen, experiment, typical = results.chosen, results.experiment, results.rows[_TYPICAL]
    notes = [
        f"Accuracies on test images over {typical.accuracy.n_chips} chips. Choices were made on validation images: the "
        f"target NI-accuracy of {100 * experiment['target']:.2f} % is {'' if results.target_met else 'NOT '}reached by "
        f"{chosen}; the best homogeneous design is the one of least EDAP within {100 * experiment['within']:g} points "
        "of that search."
    ]
    best = results.rows.get(_BEST)
    if best is None:
        notes.append("No homogeneous design is as accurate as that.")
    else:
        notes.append(f"Its periphery is {best.in_words()}; its tiles have {best.pes_per_tile} PEs.")
    same = [row for row in results.homogeneous if all(getattr(row, key) == getattr(typical, key) for key in _PERIPHERY)]
    tiles = min(same, key=lambda row: row.edap)
    gain = typical.evaluation.edap / tiles.edap
    if gain > 1:
        notes.append(f"In tiles of {tiles.pes_per_tile} PEs the typical design's EDAP is {gain:.3g} times lower.")
    single = results.rows.get(_SINGLE)
    if single is None:
        notes.append(f"No single periphery for all layers of {chosen}'s network is as accurate as was asked of it.")
    else:
        words = f"The {_SINGLE} is for the network of {chosen}, at the least accuracy asked of it: {single.in_words()}"
        notes.append(f"{words}{difference_text(results.single_difference)}.")
    if results.organisations:
        notes.append(f"Each design in the tiles that suit it best: {_in_best_tiles(results)}.")
    if results.factors:
        parts = ", ".join(f"{factor_title(one.name)} {one.edap:.3g}" for one in results.factors)
        notes.append(f"Factors of typical's EDAP over that of {chosen} (Shapley shares): {parts}.")
    for base, rows in results.ratios.items():
        found = rows[chosen]
        notes.append(
            f"{chosen} against {base}: EDAP {found['edap']:.4g} times lower, TOPS/W {found['tops_per_watt']:.3g} and "
            f"TOPS/mm² {found['tops_per_mm2']:.3g} times higher."
        )
    command = results.command or "xpert.experiment.comparison"
    return [*notes, f"Seed {experiment['common'].get('seed', 0)}; {results.date}; `{command}`."]


def _in_best_tiles(results: Comparison) -> str:
    """EDAP of every row in its best tiles, and over that of the chosen search."""
    least = results.organisations[results.chosen].best_edap
    return "; ".join(
        f"{name} {one.best_edap:.4g} in {one.best}"
        + (f" ({one.best_edap / least:.3g} times)" if name != results.chosen else "")
        for name, one in results.organisations.items()
    )


def _figure(results: Comparison) -> str:
    cells = {"homogeneous": _front([(row.edap, row.validation.mean) for row in results.homogeneous])}
    for name, front in results.fronts.items():
        cells[name] = [Point(one.edap, one.ni_accuracy) for one in front]
    return front_svg(cells, target=results.experiment["target"])


def _front(points: list[tuple[float, float]]) -> list[Point]:
    """Points that no other one beats in both, cheap ones first."""
    kept, most = [], -np.inf
    for edap, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if accuracy > most:
            kept.append(Point(edap, accuracy))
            most = accuracy
    return kept


__all__ = ["reproduce", "table"]
