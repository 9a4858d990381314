"""What commands say: text and JSON on stdout, progress on stderr, errors as one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import RunError
from xpert.files import jsonable, write_atomically
from xpert.progress import Progress, Report
from xpert.text import duration, plain_number, plain_percent

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
        for part in parts(renderable):
            for fitting in fitting_tables(part, console):
                console.print(fitting)
    write("\n".join(line.rstrip() for line in capture.get().split("\n")))


def parts(renderable: RenderableType) -> Sequence[RenderableType]:
    """What a group is made of, or the thing itself."""
    from rich.console import Group

    return renderable.renderables if isinstance(renderable, Group) else [renderable]


def fitting_tables(renderable: RenderableType, console: Console) -> list[RenderableType]:
    """A table in as many tables as the width needs so that nothing is cut; each begins with its first column."""
    from rich.table import Table

    if not isinstance(renderable, Table) or not renderable.columns:
        return [renderable]
    first, *others = renderable.columns
    made: list[RenderableType] = []
    taken = [first]
    for column in others:
        if len(taken) > 1 and not _fits(renderable, [*taken, column], console):
            made.append(_of_columns(renderable, taken, console))
            taken = [first]
        taken.append(column)
    return [*made, _of_columns(renderable, taken, console)]


def _fits(table: Table, columns: Sequence[Column], console: Console) -> bool:
    return sum(least for least, _ in _ranges(columns, console)) + _between(table, columns) <= console.width


def _of_columns(table: Table, columns: Sequence[Column], console: Console) -> Table:
    """A table with some columns of another: as wide as they need, and where there is no room, no word is broken."""
    from rich.table import Table

    widths = [most for _, most in _ranges(columns, console)]
    room = console.width - _between(table, columns)
    if sum(widths) > room:
        widths = [least for least, _ in _ranges(columns, console)]
        needs = sorted((most - least, index) for index, (least, most) in enumerate(_ranges(columns, console)))
        for place, (need, index) in enumerate(needs):
            share = max(0, room - sum(widths)) // (len(needs) - place)
            widths[index] += min(need, share)
    made = Table(box=table.box, pad_edge=table.pad_edge, collapse_padding=table.collapse_padding)
    for column, width in zip(columns, widths, strict=True):
        made.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            no_wrap=column.no_wrap,
            overflow="fold",
            width=width,
        )
    for row, *cells in zip(table.rows, *(column.cells for column in columns), strict=True):
        made.add_row(*cells, style=row.style)
    return made


def _ranges(columns: Sequence[Column], console: Console) -> list[tuple[int, int]]:
    """Least and largest width of columns: their longest words, and their longest lines."""
    from rich.measure import Measurement

    options = console.options.update(width=10_000)
    found = []
    for column in columns:
        cells = [column.header, *column.cells]
        measured = [Measurement.get(console, options, cell) for cell in cells]
        most = max(one.maximum for one in measured)
        longest_word = min(LONGEST_WORD, max(one.minimum for one in measured))
        found.append((most if column.no_wrap else longest_word, most))
    return found


LONGEST_WORD = 24
"""Letters of a word, such as a path, that is not broken into lines where there is no room."""


def _between(table: Table, columns: Sequence[Column]) -> int:
    """What padding takes of the width, and a margin on either side."""
    _, right, _, left = table.padding
    gap = right + left if table.collapse_padding else right + left + 1
    return gap * (len(columns) - 1) + 2


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


MOST_PROBLEMS = 20
"""Lines about one file, at most."""


def fail(message: str, problems: Sequence[str] = ()) -> None:
    """Write an error to stderr as one line; where it has several problems, as one line each."""
    more = len(problems) - MOST_PROBLEMS
    lines = [message] if len(problems) < 2 else [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    with contextlib.suppress(OSError):
        sys.stderr.write("".join(f"xpert: error: {' '.join(line.split())}\n" for line in lines))


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
        BarColumn(bar_width=10),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    console = Console(stderr=True)
    room = max(console.width - 37, 0)  # what the other columns leave
    with Display(*columns, console=console, transient=True) as display:
        tasks: dict[str, TaskID] = {}
        pace = Pace()

        def show(now: Progress) -> None:
            if now.stage not in tasks:
                for finished in tasks.values():
                    display.update(finished, completed=1, total=1, figures="")
                tasks[now.stage] = display.add_task(now.stage, total=None, figures="")
            words = [*counted(now), *pace.words(now, time.monotonic()), *figures_beside(now)]
            display.update(tasks[now.stage], completed=now.done, total=now.total, figures=fitting(words, room))

        yield show


def fitting(words: Sequence[str], room: int) -> str:
    """As many of some words, from the first on, as there is room for; none is cut."""
    text = ""
    for word in words:
        longer = f"{text}  {word}" if text else word
        if len(longer) > room:
            break
        text = longer
    return text


class Pace:
    """How fast something is counted, since it began."""

    def __init__(self) -> None:
        self._what: tuple[str, str, int | None] | None = None
        self._since = 0.0
        self._first = 0

    def words(self, now: Progress, clock: float) -> list[str]:
        """The rate, and the time left where the total is known; nothing in the first two seconds.

        Args:
            now: How far it is.
            clock: The time. [s]
        """
        what = (now.stage, now.unit, now.total)
        if what != self._what or now.done < self._first:
            self._what, self._since, self._first = what, clock, now.done
        done, seconds = now.done - self._first, clock - self._since
        if not now.unit or done < 1 or seconds < 2:
            return []
        rate = done / seconds
        shown = [f"{plain_number(rate, 2)}/s" if rate >= 1 else f"{plain_number(1 / rate, 2)} s each"]
        if now.total is not None and now.total > now.done:
            shown.append(f"{duration((now.total - now.done) / rate)} left")
        return shown


def counted(progress: Progress) -> list[str]:
    """How many are done, in words, where they are counted."""
    if not progress.unit:
        return []
    return [f"{progress.unit} {progress.done}" + ("" if progress.total is None else f"/{progress.total}")]


def figures_beside(progress: Progress) -> list[str]:
    """Figures for people: accuracies as percentages, texts without their names; lists and times are left out."""
    shown = []
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
    return shown
