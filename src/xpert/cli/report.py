"""`xpert report`: the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert.cli import output


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
) -> int:
    """Write the report of a run: RUN/report.html, one file that needs no network.

    Example: **xpert report runs/quickstart**
    """
    from xpert.experiment.points import report_run

    output.write(f"{report_run(run)}\n")
    return 0
