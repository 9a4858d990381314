"""`xpert search`: the main job."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.interrupts import Interrupted, interrupts_deferred
from xpert.cli.options import Cluster, Device, Json, Workers
from xpert.errors import ConfigError


def search(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG.yaml", help="What to search.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; new or empty, unless with --resume.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="A shipped config instead of a file; `xpert presets` lists them.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in this folder, or start it where there is none.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the config's.", min=0, max=2**32 - 1)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, instead of the config's.")] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(help="Stop after this stage: architecture, training, baseline, precision or evaluation."),
    ] = None,
    device: Device = "cpu",
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> int:
    """Search network and periphery together, train, evaluate, report: the main job.

    Everything goes into the run folder. A run that was killed goes on with --resume to the same design.

    Example: **xpert search --preset quickstart --out runs/quickstart**
    """
    from xpert.experiment import SearchConfig, load_preset, read_config

    if out is None:
        raise ConfigError("--out: required: the run folder, for example --out runs/first")
    if config is not None and preset is not None:
        raise ConfigError(f"give a config file or --preset, not both (got {config} and --preset {preset})")
    if config is not None:
        chosen = SearchConfig.read(config)
    elif preset is not None:
        chosen = load_preset(preset)
    elif resume:
        chosen = read_config(out)
    else:
        raise ConfigError("nothing to search: give a config file, or --preset NAME (`xpert presets` lists them)")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if data_dir is not None:
        changes["dataset"] = chosen.dataset.replace(data_dir=str(data_dir))
    chosen = chosen.replace(**changes)

    try:
        with interrupts_deferred():
            from xpert.experiment.cluster import engine
            from xpert.experiment.pipeline import run_search
            from xpert.experiment.trainings import together

        def run() -> None:
            with output.progress() as progress, engine(workers, cluster) as measuring:
                run_search(
                    chosen,
                    out,
                    resume=resume,
                    stop_after=stop_after,
                    device=device,
                    command=["xpert", *sys.argv[1:]],
                    progress=progress,
                    engine=measuring,
                )

        if not together(run, device):
            return 0
    except KeyboardInterrupt:
        if not (out / "config.yaml").exists():
            raise
        raise Interrupted(f"go on with: xpert search --out {shlex.quote(str(out))} --resume") from None
    _show(out, stop_after, as_json)
    return 0


def _show(out: Path, stop_after: str | None, as_json: bool) -> None:
    """What the run folder holds: the results, or those of the stage where the search stopped."""
    from xpert.design import read_mapping

    file = out / "results.json"
    if stop_after is not None and not file.exists():
        if as_json:
            found = read_mapping(out / "state" / f"{stop_after}.json", "stage result")
            output.write_json({"run": str(out), "stopped_after": stop_after, stop_after: found})
        else:
            _show_architecture(out)
            output.write(f"Stopped after {stop_after}; go on with --resume.\nReport: {out / 'report.html'}\n")
        return
    found = read_mapping(file, "results file")
    if as_json:
        output.write_json(found)
    else:
        from xpert.report import (
            fair_text,
            robust_table,
            single_table,
            summary_table,
            variant_remarks,
            variant_table,
        )
        from xpert.results import Results

        results = Results.parse(found)
        output.show(summary_table(found))
        if (table := single_table(found)) is not None:
            output.show(table)
        output.write(fair_text(found))
        if results.architecture and results.architecture.robust:
            output.show(robust_table(results.architecture.robust))
        if rows := results.variants:
            output.show(variant_table(rows))
            output.write("".join(f"{remark}\n" for remark in variant_remarks(rows)))
        output.write(f"Report: {out / 'report.html'}\n")


def _show_architecture(run: Path) -> None:
    """What phase 1 of an unfinished run found."""
    from xpert.report import architecture_tables, architecture_text, robust_table
    from xpert.report.run_files import read_run

    files = read_run(run)
    if files.results.architecture and files.design:
        for table in architecture_tables(files.results.architecture, files.design):
            output.show(table)
        if files.results.architecture.robust:
            output.show(robust_table(files.results.architecture.robust))
        output.write(f"{architecture_text(files.results.architecture)}\n")
