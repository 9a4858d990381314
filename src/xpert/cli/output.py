"""What commands say: text and JSON on stdout, progress on stderr, errors as one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import RunError
from xpert.files import jsonable, write_atomically

if TYPE_CHECKING:
    from rich.console import RenderableType


def write(text: str) -> None:
    """Write to stdout. A reader that has gone (`| head`) is no error: the command still does the rest of its work.

    Raises:
        RunError: If stdout is a file on a full disk, or the like.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        raise RunError(f"standard output: cannot write: {error.strerror}") from None


def discard_stdout() -> None:
    """Send stdout nowhere from now on; else what is buffered is tried again, and fails again, when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def write_json(data: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout."""
    write(json.dumps(jsonable(data), allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as a CSV file; the columns are the keys of all rows in order of appearance.

    Raises:
        RunError: If the file cannot be written.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def show(renderable: RenderableType) -> None:
    """Write a rich table, or what else rich renders, to stdout."""
    from rich.console import Console

    # Cut to the 80 columns that are assumed of a file or a pipe, a table would lose numbers.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    write("\n".join(line.rstrip() for line in capture.get().split("\n")))


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> RenderableType:
    """A table of text and numbers, under a title.

    Args:
        title: Line above it.
        header: Column titles.
        rows: Cells.
        left: How many leading columns hold words and are flush left; the others hold numbers.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        made.add_column(Text(name), justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))  # as Text, brackets in names are not markup
    return Group(Text(title, style="bold"), made)


def number(value: float | None) -> str:
    """A figure with four significant digits; large and small ones with an exponent of ten."""
    if value is None:
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return f"{value:.3e}"


def percent(value: float | None) -> str:
    """A fraction as a percentage."""
    return "-" if value is None else f"{100 * value:.1f} %"


def fail(message: str) -> None:
    """Write an error to stderr as one line."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"xpert: error: {' '.join(message.split())}\n")


Progress = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def progress() -> Iterator[Progress | None]:
    """A callback that shows progress on stderr while the block runs; None where stderr is no terminal.

    The callback takes a mapping: `stage` names the bar; a pair such as `epoch` and `epochs` fills it (without one it
    only turns); all other figures are shown beside it.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        tasks: dict[str, Any] = {}

        def show(event: dict[str, Any]) -> None:
            stage = str(event.get("stage", "working"))
            if stage not in tasks:
                for finished in tasks.values():
                    display.stop_task(finished)
                tasks[stage] = display.add_task(stage, total=None, figures="")
            counter = next((key for key in event if f"{key}s" in event), None)
            done, total = (event[counter], event[f"{counter}s"]) if counter else (0, None)
            display.update(tasks[stage], completed=done, total=total, figures=_figures(event, counter))

        yield show


def _figures(event: Mapping[str, Any], counter: str | None) -> str:
    shown = [] if counter is None else [f"{counter} {event[counter]}/{event[f'{counter}s']}"]
    for name, value in event.items():
        if name in {"stage", counter, f"{counter}s"}:
            continue
        if isinstance(value, float):
            shown.append(f"{name} {number(value)}")
        elif isinstance(value, int | str):
            shown.append(f"{name} {value}")
    return "  ".join(shown)[:80]
