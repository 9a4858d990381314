"""The main job: phase 1, training, phase 2, evaluation, report. Every stage is kept, so that a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from xpert.design import KIND_FIELDS, Design, Network, options_of
from xpert.errors import ConfigError
from xpert.experiment.cache import StageCache
from xpert.experiment.cluster import HERE, Engine
from xpert.experiment.config import SearchConfig, homogeneous_kinds, search_space
from xpert.experiment.points import report_run
from xpert.experiment.run import open_run, read_config, versions
from xpert.experiment.stages.architecture import search_network
from xpert.experiment.stages.evaluation import Trained, accuracy_against_precision, compare_designs
from xpert.experiment.stages.joint import JointSettings, joint_rounds
from xpert.experiment.stages.precision import FINAL, Floors, single_design, single_weights
from xpert.experiment.trainings import announce
from xpert.experiment.workspace import Workspace, timed
from xpert.files import write_atomically
from xpert.hardware.variants import variants_of
from xpert.machine import cores, cpu_name
from xpert.progress import Progress, Report
from xpert.results import STAGES as KINDS
from xpert.results import (
    ArchitectureStage,
    DesignComparison,
    EvaluationStage,
    Machine,
    PrecisionStage,
    Results,
    Stage,
    Training,
)
from xpert.search.objectives import Budgets, Goal
from xpert.search.quality.additive import is_sum
from xpert.search.variants import Regret, converter_regrets, network_regrets
from xpert.training import computing_on, device_of, save_weights

DESIGN = "design.json"
"""The newest design of a run: phase 1's, at the typical precisions, until phase 2 is done."""


def run_search(
    config: SearchConfig | None,
    out: Path,
    *,
    resume: bool = False,
    stop_after: str | None = None,
    device: str = "cpu",
    command: Sequence[str] = (),
    progress: Report | None = None,
    cache: StageCache | None = None,
    engine: Engine = HERE,
) -> Path:
    """Run a search, or go on with one, in a run folder.

    Args:
        config: What to search; None takes the config of the folder, which needs `resume`.
        out: The run folder.
        resume: Whether to go on with what the folder holds.
        stop_after: Stop when this stage is done, one of `STAGES`; a later call with `resume` goes on.
        device: Where networks are trained and simulated: `cpu`, `cuda` or `cuda:N`.
        command: The command line, for the record.
        progress: Called as work goes on.
        cache: Results that other runs share; None shares none.
        engine: Where designs are measured.

    Returns:
        The report; of what there is, where it stopped earlier.

    Raises:
        ConfigError: If `stop_after` or the device is unknown, the config is broken, or the processes of torchrun cannot
            share a batch.
        DataError: If the data set is missing or broken.
        InfeasibleError: If no design meets the budget.
        RunError: If the folder cannot be used, or workers stop again and again.
    """
    if stop_after is not None and stop_after not in STAGES:
        raise ConfigError(f"--stop-after: must be one of {', '.join(STAGES)}, got {stop_after!r}")
    place = device_of(device)
    search_space(config or read_config(out))  # a network that is not searched is refused before there is a folder
    with open_run(out, config, resume=resume) as run, computing_on(run.config.threads):
        announce(run.config)
        work = Workspace(run, place, progress, cache, engine)
        run.event("run", "resumed" if run.resumed else "started", versions=versions())
        for stage in STAGES:
            result = run_stage(work, stage)
            if isinstance(result, ArchitectureStage | PrecisionStage):
                result.design.write(out / DESIGN)
            if stage == stop_after:
                run.event("run", "stopped", after=stage)
                return report_run(out)
        _finish(work, command)
        work.tasks.forget()
        run.event("run", "finished")
    return report_run(out)


def run_stage(work: Workspace, stage: str) -> Stage:
    """Run a stage, or read its result back.

    Args:
        work: The run, in which the stages before it are finished.
        stage: One of `STAGES`.
    """
    if work.run.done(stage):
        return work.run.result(stage, KINDS[stage])
    work.run.event(stage, "started")
    result = work.run.stage(stage, KINDS[stage], lambda: timed(lambda: STAGES[stage](work)))
    work.run.event(stage, "finished", seconds=result.seconds)
    return result


def _architecture(work: Workspace) -> ArchitectureStage:
    config = work.config
    nominal = config.baselines.typical
    options = options_of(nominal, **config.periphery.options)
    found = search_network(
        work.space,
        config.chip,
        nominal,
        options,
        config.architecture,
        name=config.name,
        quality=work.quality(),
        seed=config.seed,
        progress=work.report("architecture"),
    )
    for entry in found.rounds:
        work.run.event("architecture", "round", **entry.to_dict())
    return found


def _training(work: Workspace) -> Training:
    found = work.run.result("architecture", ArchitectureStage).design
    return work.train(found.network, work.config.training, "searched", "training")


def _precision(work: Workspace) -> PrecisionStage:
    config = work.config
    found = work.run.result("architecture", ArchitectureStage).design
    first = work.choose_precisions(found, "searched", FINAL)
    if not config.precision.joint_rounds:
        return first
    settings = JointSettings(
        config.precision, config.architecture, config.periphery, config.baselines.typical, config.seed
    )
    return joint_rounds(first, found.network, work.space, settings, _JointWork(work))


class _JointWork(NamedTuple):
    """What joint rounds have done in a run, see `JointWork`."""

    work: Workspace

    def train(self, network: Network, name: str) -> None:
        self.work.train(network, self.work.config.training, name, "precision")

    def choose(self, design: Design, weights: str, name: str, floors: Floors) -> PrecisionStage:
        return self.work.choose_precisions(design, weights, name, floors)

    def make_final(self, name: str) -> None:
        self.work.keep_weights(name, FINAL)
        if self.work.run.working_file(f"{single_weights(name)}.safetensors").exists():
            self.work.keep_weights(single_weights(name), single_weights(FINAL))

    def report(self, progress: Progress) -> None:
        self.work.report("precision")(progress)

    def record(self, figures: dict[str, Any]) -> None:
        self.work.run.event("precision", "joint", **figures)


def _evaluation(work: Workspace) -> EvaluationStage:
    config = work.config
    found = work.run.result("precision", PrecisionStage)
    design = found.design
    report = work.report("evaluation")
    report(Progress(figures={"what": "NI-accuracy of the searched design"}))
    model = work.trained(design.network, FINAL)
    searched = _tested(work, design, model)
    single = None
    if found.single is not None:
        report(Progress(figures={"what": "NI-accuracy of the best single periphery"}))
        alone = single_design(design, found.single)
        single = replace(searched, design=alone)
        if alone.periphery != design.periphery:
            single = _tested(work, alone, work.trained(design.network, single_weights(FINAL)))
    report(Progress(figures={"what": "NI-accuracy of the baseline"}))
    typical = Trained(work.typical, work.trained(work.typical.network, "typical"), work.typical_accuracy())
    budgets = Budgets(**config.architecture.budgets)
    report(Progress(figures={"what": "regret under variants of the model"}))
    network, converters = _regrets(work, design, report)
    compared = compare_designs(
        searched,
        typical,
        single,
        homogeneous_kinds(config),
        budgets,
        work.calibration,
        network=network,
        converters=converters,
    )
    report(Progress(figures={"what": "accuracy against precision"}))
    curve = accuracy_against_precision(work.bench(model, design, n_chips=1), design, config.precision)
    return compared.replace(accuracy_vs_precision=curve)


def _regrets(work: Workspace, design: Design, report: Report) -> tuple[dict[str, Regret], dict[str, Regret]]:
    """What phase 1's design and the finished one give away under variants of the model; see `search.variants`.

    Searches are repeated only where the quality is a sum over layers: another one runs every network that is found.
    """
    config = work.config
    settings, budgets = config.architecture, Budgets(**config.architecture.budgets)
    found = work.run.result("architecture", ArchitectureStage).design
    network: dict[str, Regret] = {}
    if is_sum(settings.quality):
        network = network_regrets(
            found,
            work.space,
            options_of(config.baselines.typical, **config.periphery.options),
            Goal(settings.objective, budgets),
            work.quality(),
            settings.minimum_quality,
            variants_of([found]),
            progress=report,
        )
    # Other kinds have other errors of their converters, which the accuracy asked for allows in any: costs are compared.
    kinds = config.periphery.combinations(KIND_FIELDS)
    converters = converter_regrets(design, kinds, Goal(config.precision.objective, budgets), variants_of([design]))
    return network, converters


def _tested(work: Workspace, design: Design, model: nn.Module) -> Trained:
    answers = work.answers(model, design)
    return Trained(design, model, answers.accuracy, answers.correct)


STAGES: dict[str, Callable[[Workspace], Stage]] = {
    "architecture": _architecture,
    "training": _training,
    "baseline": Workspace.train_typical,
    "precision": _precision,
    "evaluation": _evaluation,
}
"""The stages in order; `stop_after` names one of them."""


def _finish(work: Workspace, command: Sequence[str]) -> None:
    """Write the run's products from the stages' results."""
    run, path = work.run, work.run.path
    architecture = run.result("architecture", ArchitectureStage)
    training, baseline = run.result("training", Training), run.result("baseline", Training)
    precision, evaluation = run.result("precision", PrecisionStage), run.result("evaluation", EvaluationStage)
    if precision.single is not None:
        single_design(precision.design, precision.single).write(path / "single.json")
    save_weights(work.trained(precision.design.network, FINAL), path / "weights.safetensors")
    stages = (architecture, training, baseline, precision, evaluation)
    results = Results(
        schema_version=1,
        name=work.config.name,
        seed=work.config.seed,
        machine=machine(),
        date=date.today().isoformat(),
        command=" ".join(command),
        wall_seconds=sum(stage.seconds or 0.0 for stage in stages),
        peak_memory_mib=max(filter(None, (stage.peak_memory_mib for stage in stages)), default=None),
        architecture=architecture.figures(),
        training={"searched": training.curve, "typical": baseline.curve},
        precision=precision.figures(),
        **{name: getattr(evaluation, name) for name in DesignComparison.model_fields},
    )
    write_atomically(path / "results.json", results.to_json(indent=1))


def machine() -> Machine:
    """What a run ran on, for the record."""
    found = versions()
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": found.get("torch"),
        "python": found["python"],
        "xpert": found.get("xpert"),
    }


__all__ = ["STAGES", "machine", "run_search", "run_stage"]
