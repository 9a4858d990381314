"""`xpert sweep`: many runs of one config."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from xpert.cli import output
from xpert.cli.interrupts import Interrupted, interrupts_deferred
from xpert.cli.options import Cluster, Device, Json, Workers
from xpert.cli.runs import run_row, show_runs
from xpert.errors import ConfigError


def sweep(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to search.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the runs; new or empty, unless with --resume.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,...",
            help="A run with each of these values; repeat for all combinations. Keys are those of the config, with "
            "dots: seed, precision.maximum_drop, chip.rows.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False,
    stop_after: Annotated[
        str | None,
        typer.Option(help="Stop each run after this stage: architecture, training, baseline, precision or evaluation."),
    ] = None,
    device: Device = "cpu",
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> int:
    """Many searches of one config, a run folder each: here one after the other, or one on each worker.

    Ends with a table of all runs, and those that no other beats in EDAP and accuracy.

    Example: **xpert sweep config.yaml --set seed=0,1,2 --set precision.maximum_drop=0.01,0.02 --out runs/sweep**
    """
    from xpert.cli.values import parse_settings
    from xpert.experiment import SearchConfig

    if out is None:
        raise ConfigError("--out: required: the folder of the runs, for example --out runs/sweep")
    if not settings:
        raise ConfigError("--set: required: what differs, for example --set seed=0,1,2")
    chosen = SearchConfig.read(config)
    with interrupts_deferred():
        from xpert.experiment.cluster import engine
        from xpert.experiment.sweeps import run_sweep, swept_runs
    runs = swept_runs(chosen, parse_settings(settings))
    try:
        with output.progress() as progress, engine(workers, cluster) as making:
            run_sweep(runs, out, resume=resume, device=device, stop_after=stop_after, progress=progress, engine=making)
    except KeyboardInterrupt:
        if not out.exists():
            raise
        given = "".join(f" --set {shlex.quote(one)}" for one in settings)
        again = f"xpert sweep {shlex.quote(str(config))}{given} --out {shlex.quote(str(out))} --resume"
        raise Interrupted(f"go on with: {again}") from None
    _show(out, as_json)
    return 0


def _show(out: Path, as_json: bool) -> None:
    from xpert.experiment.runs import best_runs, find_runs, read_runs

    lines = read_runs(find_runs([out]))
    best = best_runs(lines)
    if as_json:
        output.write_json(
            {"runs": [run_row(line) for line in lines], "front": [str(line.files.folder) for line in best]}
        )
        return
    show_runs(lines)
    if best:
        show_runs(best, "Runs that no other beats in EDAP and accuracy")
