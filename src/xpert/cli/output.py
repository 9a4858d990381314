"""What commands say: text and JSON on stdout, progress on stderr, errors as one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import RunError
from xpert.files import jsonable, write_atomically
from xpert.progress import Progress, Report
from xpert.text import plain_number, plain_percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Column, Table


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

    # Of a file or a pipe nobody says how wide it is.
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(file=sys.stdout, width=None if known else 200, highlight=False)
    with console.capture() as capture:
        for part in _parts(renderable):
            for fitting in _fitting(part, console):
                console.print(fitting)
    write("\n".join(line.rstrip() for line in capture.get().split("\n")))


def _parts(renderable: RenderableType) -> Sequence[RenderableType]:
    from rich.console import Group

    return renderable.renderables if isinstance(renderable, Group) else [renderable]


def _fitting(renderable: RenderableType, console: Console) -> list[RenderableType]:
    """A table in as many tables as the width needs so that nothing is cut; each begins with its first column."""
    from rich.table import Table

    if not isinstance(renderable, Table) or _fits(renderable, console):
        return [renderable]
    first, *others = renderable.columns
    made: list[RenderableType] = []
    taken = [first]
    for column in others:
        if len(taken) > 1 and not _fits(_of_columns(renderable, [*taken, column]), console):
            made.append(_of_columns(renderable, taken))
            taken = [first]
        taken.append(column)
    return [*made, _of_columns(renderable, taken)]


def _fits(table: Table, console: Console) -> bool:
    from rich.measure import Measurement

    endless = console.options.update(width=10_000)
    return Measurement.get(console, endless, table).minimum <= console.width


def _of_columns(table: Table, columns: Sequence[Column]) -> Table:
    """A table with some columns of another."""
    from rich.table import Table

    made = Table(box=table.box, pad_edge=table.pad_edge, collapse_padding=table.collapse_padding)
    for column in columns:
        made.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            no_wrap=column.no_wrap,
            overflow=column.overflow,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*cells)
    return made


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

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, name in enumerate(header):
        # Where there is no room, words break into lines; numbers stay whole.
        words = index < left
        made.add_column(Text(name), justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))  # as Text, brackets in names are not markup
    return Group(Text(title, style="bold"), made)


def fail(message: str) -> None:
    """Write an error to stderr as one line."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"xpert: error: {' '.join(message.split())}\n")


def note(message: str) -> None:
    """Write to stderr, as one line, what a user should know who did not ask."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"xpert: note: {' '.join(message.split())}\n")


@contextlib.contextmanager
def progress() -> Iterator[Report | None]:
    """A callback that shows progress on stderr while the block runs; None where stderr is no terminal.

    The stage names the bar; a count with its total fills it (without one it only turns); figures are shown beside it.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Display

    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:12}", markup=False),
        BarColumn(bar_width=16),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    console = Console(stderr=True)
    room = max(console.width - 43, 0)  # what the other columns leave
    with Display(*columns, console=console, transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def show(now: Progress) -> None:
            if now.stage not in tasks:
                for finished in tasks.values():
                    display.update(finished, completed=1, total=1)
                tasks[now.stage] = display.add_task(now.stage, total=None, figures="")
            display.update(tasks[now.stage], completed=now.done, total=now.total, figures=figures_beside(now)[:room])

        yield show


def figures_beside(progress: Progress) -> str:
    """Figures for people: accuracies as percentages, texts without their names; lists and times are left out."""
    shown = []
    if progress.unit:
        shown.append(f"{progress.unit} {progress.done}" + ("" if progress.total is None else f"/{progress.total}"))
    for name, value in progress.figures.items():
        words = name.replace("_", " ").replace("ni accuracy", "NI-accuracy")
        if name in {"event", "seconds"}:
            continue
        if name.endswith("accuracy") and isinstance(value, float):
            shown.append(f"{words} {plain_percent(value)}")
        elif isinstance(value, bool):
            shown.append(words if value else f"not {words}")
        elif isinstance(value, float):
            shown.append(f"{words} {plain_number(value)}")
        elif isinstance(value, int):
            shown.append(f"{words} {value}")
        elif isinstance(value, str):
            shown.append(value)
    return "  ".join(shown)
