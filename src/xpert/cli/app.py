"""The commands of `xpert` as one program. Each imports what it needs when it runs, so that help starts fast."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from xpert import __version__
from xpert.cli import output
from xpert.cli.accuracy import accuracy
from xpert.cli.compare import compare
from xpert.cli.diagnose import diagnose
from xpert.cli.evaluate import evaluate
from xpert.cli.export import export
from xpert.cli.interrupts import Interrupted
from xpert.cli.pick import pick
from xpert.cli.report import report
from xpert.cli.reproduce import reproduce
from xpert.cli.runs import runs
from xpert.cli.search import search
from xpert.cli.shipped import init, parts, presets
from xpert.cli.solve import solve
from xpert.cli.sweep import sweep
from xpert.cli.trace import trace
from xpert.cli.validate import validate
from xpert.errors import XpertError

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def run(arguments: Sequence[str]) -> int:
    """Run a command; see `xpert.cli.main`.

    Raises:
        KeyboardInterrupt: On Ctrl-C; its argument, if any, says how to go on.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows a substitute for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="xpert", standalone_mode=False)
    except XpertError as error:
        output.fail(str(error), error.problems)
        return 2
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        see = f" (see {context.command_path} --help)" if context else ""
        output.fail(error.format_message().replace("Value error, ", "").rstrip(".") + see)
        return 2
    except OSError as error:
        output.discard_stdout()
        output.fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return 2
    except Interrupted as interruption:
        raise KeyboardInterrupt(*interruption.args) from None
    except SystemExit:  # typer's answer to a reader of the help that has gone
        return 0
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code or 0


_INTERRUPTED = 130
"""What typer makes of Ctrl-C; no command returns it."""


def _version(wanted: bool) -> None:
    if wanted:
        output.write(f"xpert {__version__}\n")
        raise typer.Exit


@app.callback()
def xpert(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Co-search of neural networks and the periphery of the in-memory-computing chips that run them.

    Start with **xpert init**, or with **xpert search --preset quickstart --out runs/quickstart**.
    """


# In the order in which the help lists them.
for _command in (
    search, sweep, reproduce, evaluate, accuracy, diagnose, trace, export, pick, runs, compare, report, validate,
    solve, init, presets, parts,
):  # fmt: skip
    app.command()(_command)
