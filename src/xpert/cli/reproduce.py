"""`xpert reproduce`: a published experiment beside ours."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from xpert.cli import output
from xpert.cli.interrupts import Interrupted, interrupts_deferred
from xpert.cli.options import Cluster, Device, Json, Workers


def reproduce(
    experiment: Annotated[
        str, typer.Argument(metavar="NAME|FILE.yaml", help="digits, cifar10-short, cifar10, or one of your own.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the parts and results; by default runs/NAME.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, instead of the experiment's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False,
    device: Device = "cpu",
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> int:
    """A published experiment beside ours: homogeneous baselines, the published search, our searches, one table.

    Every part is a run folder of its own; what was killed goes on with --resume. `cifar10` takes many hours on a CPU,
    `digits` minutes.

    Example: **xpert reproduce cifar10 --out runs/cifar10 --data-dir data**
    """
    from xpert.design import read_mapping
    from xpert.experiment.published import load_experiment

    loaded = load_experiment(experiment)
    folder = out or Path("runs") / loaded.name
    try:
        with interrupts_deferred():
            from xpert.experiment.cluster import engine
            from xpert.experiment.comparison import reproduce as run_experiment
            from xpert.experiment.trainings import together

        def run() -> None:
            with output.progress() as progress, engine(workers, cluster) as measuring:
                run_experiment(
                    loaded,
                    folder,
                    data_dir=data_dir,
                    resume=resume,
                    device=device,
                    command=["xpert", *sys.argv[1:]],
                    progress=progress,
                    engine=measuring,
                )

        if not together(run, device):
            return 0
    except KeyboardInterrupt:
        again = f"xpert reproduce {shlex.quote(experiment)} --out {shlex.quote(str(folder))} --resume"
        raise Interrupted(f"go on with: {again}") from None
    if as_json:
        output.write_json(read_mapping(folder / "results.json", "results file"))
    else:
        output.write((folder / "table.md").read_text(encoding="utf-8"))
    return 0
