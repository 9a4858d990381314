"""The run folder: everything that one run decides, written so that a kill loses nothing that was finished.

::

    RUN/config.yaml     the config with every default spelled out, and the versions it ran with
    RUN/events.jsonl    what happened, one JSON object a line
    RUN/state/NAME.json results of finished stages, from which a resumed run goes on
    RUN/state/...       working files of the stage under way

The pipeline adds `design.json`, `weights.safetensors`, `results.json` and `report.html`. No torch here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import yaml

from xpert.design import shown
from xpert.errors import ConfigError, DataError, RunError
from xpert.experiment.config import SearchConfig
from xpert.files import jsonable, write_atomically
from xpert.machine import usual_threads
from xpert.results import Record

R = TypeVar("R", bound=Record)

CONFIG = "config.yaml"
EVENTS = "events.jsonl"

_LOCK = ".lock"
_STATE = "state"
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""How `write_atomically` names a file that is not finished; a kill leaves it behind."""

_FREE_TO_DIFFER = frozenset({"versions", "dataset.data_dir", "dataset.streaming", "dataset.workers"})
"""What a resumed run may change: where data lie, how they are read, and the versions, which change no decision."""


class Run:
    """An open run folder, locked against other processes. Made by `open_run`.

    Attributes:
        path: The folder.
        config: The config it runs.
        resumed: Whether an earlier process worked here.
    """

    def __init__(self, path: Path, config: SearchConfig, *, resumed: bool, events: BinaryIO) -> None:
        self.path = path
        self.config = config
        self.resumed = resumed
        self._events = events

    def event(self, stage: str, event: str, **values: Any) -> None:
        """Append one line to `events.jsonl`; it is on disk when this returns.

        Args:
            stage: Which stage it belongs to.
            event: What happened.
            **values: Figures and names; NaN and infinities become null.

        Raises:
            RunError: If the disk refuses.
        """
        line = {"time": datetime.now().astimezone().isoformat(timespec="milliseconds"), "stage": stage, "event": event}
        line |= jsonable(values)
        content = json.dumps(line, allow_nan=False).encode() + b"\n"
        handle = self._events.fileno()
        size = os.fstat(handle).st_size
        try:
            if self._events.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)  # no torn line for others to trip over
            raise RunError(f"{self.path / EVENTS}: cannot write: {error.strerror}") from None

    def stage(self, name: str, kind: type[R], compute: Callable[[], R]) -> R:
        """The result of a stage: computed and kept now, or read back where an earlier process finished it.

        Either way it has been through JSON, so that a resumed run sees exactly what an unbroken one sees.

        Args:
            name: File name of the result, without folder and ending.
            kind: What it is.
            compute: Does the work.

        Raises:
            RunError: If the kept result cannot be read, or the disk refuses the new one.
        """
        if not self.done(name):
            write_atomically(self.working_file(f"{name}.json"), compute().to_json())
        return self.result(name, kind)

    def result(self, name: str, kind: type[R]) -> R:
        """The result of a stage that is finished.

        Raises:
            RunError: If it cannot be read.
        """
        path = self.working_file(f"{name}.json")
        try:
            return kind.read(path, "stage result")
        except DataError as error:
            raise RunError(f"{error}: not the result of a stage; delete it to have that stage run again") from None

    def done(self, name: str) -> bool:
        """Whether the result of this stage is kept."""
        return self.working_file(f"{name}.json").exists()

    def working_file(self, name: str) -> Path:
        """Where a stage keeps a file, such as a training checkpoint, until the run is finished."""
        return self.path / _STATE / name


@contextlib.contextmanager
def open_run(path: Path, config: SearchConfig | None, *, resume: bool) -> Iterator[Run]:
    """Open a run folder, and hold it until the block ends.

    With `resume`, a run that was started here goes on; where none was started yet, one is. Without, the folder must be
    new or empty.

    Args:
        path: The folder; it is made, with its parents, where it does not exist.
        config: What to run. None takes what the folder holds, which needs `resume`.
        resume: Whether to go on with what is there.

    Raises:
        RunError: If the folder is in use, cannot be written, or holds something else than `resume` asks for.
        ConfigError: If the folder's own config is broken.
    """
    if config is None:
        config = read_config(path)
    _make_folder(path)
    if not resume:
        _refuse_leftovers(path)
    with _locked(path):
        if not resume:
            _refuse_leftovers(path)  # another process may have begun between the first look and the lock
        resumed = (path / CONFIG).exists()
        config = _with_threads(config, path if resumed else None)
        if resumed:
            _refuse_other_config(path, config)
        elif resume:
            _refuse_foreign(path)
        try:
            (path / _STATE).mkdir(exist_ok=True)
            _clear_unfinished(path)
            _cut_torn_line(path / EVENTS)
            events = (path / EVENTS).open("ab", buffering=0)
        except OSError as error:
            raise RunError(f"{error.filename or path}: cannot use this run folder: {error.strerror}") from None
        with events:
            write_atomically(path / CONFIG, resolved(config))
            yield Run(path, config, resumed=resumed, events=events)


def _with_threads(config: SearchConfig, folder: Path | None) -> SearchConfig:
    """The config with a number of threads: its own, else that of the run to be resumed, else the usual one."""
    if config.threads is not None:
        return config
    before = _old_config(folder).threads if folder is not None else None
    return config.replace(threads=before or usual_threads())


def read_config(path: Path) -> SearchConfig:
    """The config of a run folder.

    Raises:
        RunError: If it is no run folder.
        ConfigError: If its config is broken.
    """
    if not (path / CONFIG).is_file():
        raise RunError(f"{path}: no run folder (it has no {CONFIG}); give a config to start one")
    return SearchConfig.read(path / CONFIG)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a run folder, oldest first. A last line that a kill tore is left out.

    Raises:
        RunError: If there are none, or a line is no event.
    """
    file = path / EVENTS
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise RunError(f"{file}: cannot read: {error.strerror}") from None
    events = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise RunError(f"{file}: line {number}: not an event; events are JSON objects, one a line")
        events.append(event)
    return events


def resolved(config: SearchConfig) -> str:
    """A config as YAML with every value spelled out, and the versions of what reads it."""
    data = config.model_dump(mode="json") | {"versions": versions()}
    return "# Written by XPert: the config with every default spelled out.\n" + yaml.safe_dump(data, sort_keys=False)


def versions() -> dict[str, str]:
    """Versions of XPert, Python and the libraries on which numbers depend."""
    names = {"xpert": "xpert-imc", "torch": "torch", "numpy": "numpy", "scipy": "scipy", "scikit-learn": "scikit-learn"}
    found = {}
    for name, distribution in names.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(distribution)
    return {"python": platform.python_version()} | found


def use_folder(path: Path, *, resume: bool) -> None:
    """Make a folder that holds several runs; without `resume`, one that is new or empty.

    Raises:
        RunError: If it holds something, or cannot be made.
    """
    _make_folder(path)
    if not resume and any(path.iterdir()):
        raise RunError(f"{path}: is not empty; add --resume to go on with what it holds, or give another folder")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{path}: cannot make this run folder: a file is in the way") from None
    except OSError as error:
        raise RunError(f"{path}: cannot make this run folder: {error.strerror}") from None


def _leftovers(path: Path) -> list[str]:
    """What lies in the folder, less what a run killed before its first whole file leaves."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise RunError(f"{path}: cannot read this folder: {error.strerror}") from None
    empty_state = (path / _STATE).is_dir() and not any((path / _STATE).iterdir())
    empty_events = (path / EVENTS).is_file() and (path / EVENTS).stat().st_size == 0
    ours = {_LOCK} | ({_STATE} if empty_state else set()) | ({EVENTS} if empty_events else set())
    return [name for name in names if name not in ours and not _TEMPORARY.fullmatch(name)]


def _refuse_leftovers(path: Path) -> None:
    names = _leftovers(path)
    if not names:
        return
    if CONFIG in names:
        raise RunError(f"{path}: holds a run already; add --resume to go on with it, or give another folder")
    raise RunError(f"{path}: is not empty (it holds {names[0]}); give a new or empty folder")


def _refuse_foreign(path: Path) -> None:
    names = _leftovers(path)
    if names:
        raise RunError(f"{path}: no run to resume: it has no {CONFIG}, but holds {names[0]}")


def _old_config(path: Path) -> SearchConfig:
    try:
        return SearchConfig.read(path / CONFIG)
    except ConfigError as error:
        raise RunError(f"cannot resume: {error}") from None


def _refuse_other_config(path: Path, config: SearchConfig) -> None:
    old = _old_config(path)
    if old.threads is None:  # of a run before there was this setting
        old = old.replace(threads=config.threads)
    found = _first_difference(old.model_dump(mode="json"), config.model_dump(mode="json"))
    if found is not None:
        key, before, now = found
        raise RunError(
            f"{path}: cannot resume with another config: {key} was {shown(before)}, now {shown(now)}; "
            "resume with the old value, or give another folder"
        )


def _first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any] | None:
    if path in _FREE_TO_DIFFER or old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys() if old.keys() != new.keys() else old:
            found = _first_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    return path, old, new


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock. The kernel lets go of it when the process ends, however it ends."""
    import filelock  # as slow to import as all the rest of this module, which `xpert evaluate` reads, too

    file = path / _LOCK
    # A lock that is only a file would outlive a killed process: none at all is better.
    lock = filelock.FileLock(file, blocking=False, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"{path}: another xpert{_owner(file)} is working in this run folder") from None
    except OSError as error:
        if error.filename is None:
            raise RunError(f"{file}: cannot lock: {error.strerror}") from None
        raise RunError(f"{path}: cannot write in this run folder: {error.strerror}") from None
    try:
        with contextlib.suppress(OSError):  # the number only serves the message above
            file.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def _owner(lock: Path) -> str:
    """Which process holds a lock, for a message."""
    try:
        owner = lock.read_bytes()[:20].decode(errors="replace").strip()
    except OSError:  # on Windows nobody else may read what is locked
        owner = ""
    return f" (process {owner})" if owner.isdigit() else ""


def _clear_unfinished(path: Path) -> None:
    for folder in (path, path / _STATE):
        for entry in folder.iterdir():
            if entry.is_file() and _TEMPORARY.fullmatch(entry.name):
                entry.unlink(missing_ok=True)


def _cut_torn_line(events: Path) -> None:
    """Drop what follows the last newline: the line that was being written when the process was killed."""
    if not events.exists():
        return
    content = events.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(events, whole)
