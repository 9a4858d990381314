"""A run folder as the report reads it: every part may be missing, none may be broken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from xpert.design import PRECISION_FIELDS, Design, read_mapping, read_text
from xpert.errors import ConfigError, DataError, RunError
from xpert.frames import to_frame, to_html
from xpert.report.tables import rows_of
from xpert.results import (
    FIGURES,
    STAGES,
    AccuracyFile,
    ArchitectureStage,
    DesignComparison,
    OpenRecord,
    PrecisionStage,
    Results,
    Training,
)

FILES = ("results.json", "design.json", "config.yaml", "events.jsonl")
"""What the report reads of a run folder."""

ACCURACY = "accuracy.json"
"""What it reads if it is there: no run writes it by itself."""


class Event(OpenRecord):
    """One line of events.jsonl; its numbers are in `model_extra`."""

    time: datetime
    stage: str
    event: str = ""


@dataclass(frozen=True, repr=False)
class RunFiles:
    """What a run folder holds so far."""

    folder: Path
    results: Results
    design: Design | None
    config: str | None
    events: tuple[Event, ...]
    absent: tuple[str, ...]
    """Names of the files that are not there."""

    accuracy: AccuracyFile | None = None
    """Of accuracy.json."""

    def __repr__(self) -> str:
        name, state = self.results.name or self.folder.name, "finished" if not self.absent else "unfinished"
        return f"<run {name!r} in {self.folder}: {state}>"

    def _repr_html_(self) -> str:
        rows = self.rows()
        header = list(rows[0]) if rows else []
        cells = [[f"{value:.4g}" if isinstance(value, float) else value for value in row.values()] for row in rows]
        return to_html(repr(self), header, cells)

    def rows(self) -> list[dict[str, Any]]:
        """The searched design and its baselines, as far as there are any: costs, and NI-accuracy on test images."""
        return [
            {
                "design": name,
                **{figure: getattr(row.evaluation, figure) for figure in FIGURES},
                "ni_accuracy": row.accuracy.ni_mean if row.accuracy else None,
            }
            for name, row in rows_of(self.results).items()
        ]

    def to_frame(self) -> Any:
        """The same as a data frame of pandas or polars.

        Raises:
            ConfigError: If neither is installed.
        """
        return to_frame(self.rows())


def read_run(folder: Path | str) -> RunFiles:
    """Read a finished or unfinished run.

    Of an unfinished run, the results of finished stages and the log of the stage under way stand in for results.json.

    Raises:
        RunError: If it is not a run folder.
        DataError: If a file is broken.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            raise RunError(f"{folder}: {'not a' if folder.exists() else 'no such'} folder; expected a run folder")
        present = {name: folder / name for name in FILES if (folder / name).exists()}
    except OSError as error:
        raise RunError(f"{folder}: cannot read this run folder: {error.strerror}") from None
    if not present:
        raise RunError(f"{folder}: not a run folder: it has none of {', '.join(FILES)}")
    try:
        events = _read_events(path) if (path := present.get("events.jsonl")) else ()
        if path := present.get("results.json"):
            results, design = Results.read(path, "results file"), None
        else:
            results, design = _unfinished(folder, events)
        if path := present.get("design.json"):
            design = Design.read(path)
        accuracy, config = None, None
        if (path := folder / ACCURACY).exists():
            accuracy = AccuracyFile.read(path, "accuracy file")
        if path := present.get("config.yaml"):
            name = read_mapping(path, "config file").get("name")
            if results.name is None and isinstance(name, str):
                results = results.replace(name=name)
            config = read_text(path, "config file")
    except ConfigError as error:
        raise DataError(str(error)) from None
    absent = tuple(name for name in FILES if name not in present)
    return RunFiles(folder, results, design, config, events, absent, accuracy)


def _read_events(path: Path) -> tuple[Event, ...]:
    # The log grows line by line: a kill may leave the last one unfinished, and only that one.
    lines = read_text(path, "event log").split("\n")[:-1]
    events = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number}: not a JSON object: {error}") from None
        events.append(Event.parse(data, f"{path}: line {number}"))
    return tuple(events)


def _unfinished(folder: Path, events: tuple[Event, ...]) -> tuple[Results, Design | None]:
    """What finished stages left in `state/`, and what the stage under way has logged; the newest design among it."""
    paths = {stage: folder / "state" / f"{stage}.json" for stage in STAGES}
    done = {stage: STAGES[stage].read(path, "stage result") for stage, path in paths.items() if path.exists()}

    def logged(stage: str, key: str) -> list[dict[str, Any]]:
        return [extra for event in events if event.stage == stage and key in (extra := event.model_extra or {})]

    curves = {}
    for name, stage in (("searched", "training"), ("typical", "baseline")):
        epochs = {str(entry["epoch"]): entry for entry in logged(stage, "epoch")}  # a resumed run logs some twice
        training = done.get(stage)
        curves[name] = training.curve if isinstance(training, Training) else list(epochs.values())
    evaluation = done.get("evaluation")
    data = {
        **({name: getattr(evaluation, name) for name in DesignComparison.model_fields} if evaluation else {}),
        "training": curves,
        "architecture": {"trace": logged("architecture", "step"), "rounds": logged("architecture", "round")},
        "precision": {"tried": logged("precision", PRECISION_FIELDS[0])},
    }
    design = None
    for stage in ("architecture", "precision"):
        result = done.get(stage)
        if isinstance(result, ArchitectureStage | PrecisionStage):
            data[stage], design = result.figures(), result.design
    return Results.parse(data, str(folder / "state")), design
