"""`xpert report`: the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert.cli import output
from xpert.errors import ConfigError


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Serve it on this machine, and show it anew as the run goes on; Ctrl-C ends it."),
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="Where --follow listens, instead of on a free port.", min=1, max=65535)
    ] = None,
) -> int:
    """Write the report of a run: RUN/report.html, one file that needs no network.

    Example: **xpert report runs/quickstart**

    **xpert report runs/quickstart --follow**
    """
    if port is not None and not follow:
        raise ConfigError("--port: says where --follow listens; give that, too")

    from xpert.experiment.points import report_run

    path = report_run(run)
    if not follow:
        output.write(f"{path}\n")
        return 0
    from xpert.report.follow import Follower

    try:
        server = Follower(run, report_run, port or 0)
    except OSError as error:
        raise ConfigError(f"--port: cannot listen on {port or 'any port'}: {error.strerror}") from None
    with server:
        output.write(f"{server.address}\n")
        server.serve_forever(poll_interval=0.1)
    return 0
