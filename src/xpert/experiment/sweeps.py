"""Many runs of one config with other values in some settings, a folder each."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xpert.design import shown
from xpert.errors import ConfigError, RunError, XpertError
from xpert.experiment.cluster import Engine
from xpert.experiment.config import SearchConfig
from xpert.experiment.pipeline import run_search
from xpert.experiment.run import use_folder
from xpert.progress import Progress, Report, of_part

MAX_RUNS = 10_000
"""Most runs of one sweep."""

_LONGEST_NAME = 120
"""Characters of a folder's name."""


class SweptRun(NamedTuple):
    """One run of a sweep."""

    folder: str
    """Its name in the sweep's folder, which says the settings."""

    config: SearchConfig


def swept_runs(config: SearchConfig, settings: Mapping[str, Sequence[Any]]) -> list[SweptRun]:
    """A run for every combination of values.

    Args:
        config: What the values are set in.
        settings: Keys have dots, as `precision.maximum_drop`.

    Raises:
        ConfigError: If there is no such setting, a combination breaks a rule of the config, or there are too many.
    """
    count = 1
    for values in settings.values():
        count *= len(values)
    if count > MAX_RUNS:
        raise ConfigError(f"--set: {count} combinations; at most {MAX_RUNS} runs are made in one sweep")
    found: list[SweptRun] = []
    for values in itertools.product(*settings.values()):
        chosen = dict(zip(settings, values, strict=True))
        texts = [f"{key}={_text(value)}" for key, value in chosen.items()]
        data = config.model_dump(mode="json", exclude_unset=True)
        for key, value in chosen.items():
            _set(data, key, value)
        if "name" not in chosen:
            data["name"] = f"{config.name}: {', '.join(texts)}"[:200]
        found.append(SweptRun(_folder_name(texts, len(found)), SearchConfig.parse(data, f"--set {' '.join(texts)}")))
    return found


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set: no setting {shown(key)}: {part} holds no settings")
    data[last] = value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _folder_name(texts: Sequence[str], number: int) -> str:
    name = re.sub(r"[^A-Za-z0-9_=.,+-]+", "-", ",".join(texts))
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]},{number}"


def run_sweep(
    runs: Sequence[SweptRun],
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    stop_after: str | None = None,
    progress: Report | None = None,
    engine: Engine,
) -> None:
    """Make every run, or go on with those that are not finished.

    A run that fails stops no other.

    Args:
        runs: What to run.
        out: Folder of their folders; new or empty, unless with `resume`. Workers write it.
        resume: Whether to go on with what is there.
        device: Where networks are trained and simulated.
        stop_after: Stop each run when this stage is done.
        progress: Called as work goes on.
        engine: Where runs are made, one a worker.

    Raises:
        RunError: If the folder cannot be used, or, when all others are done, if runs failed.
    """
    use_folder(out, resume=resume)
    arguments = [
        (run.config.model_dump(mode="json"), str((out / run.folder).resolve()), device, stop_after) for run in runs
    ]
    failed: dict[str, str] = {}
    # What a run in this process reports goes on; from others nothing comes but the end.
    reports = [None if engine.apart else of_part(run.folder, progress) for run in runs]
    tasks = [(*one, report) for one, report in zip(arguments, reports, strict=True)]
    for done, (number, problem) in enumerate(engine.results(make_run, tasks), start=1):
        if problem is not None:
            failed[runs[number].folder] = problem
        if progress is not None:
            figures = {"part": runs[number].folder} | ({} if problem is None else {"failed": problem})
            progress(Progress(stage="sweep", unit="run", done=done, total=len(runs), figures=figures))
    if failed:
        first, problem = next(iter(failed.items()))
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise RunError(f"{len(failed)} of {len(runs)} runs failed: {first}: {problem}{others}")


def make_run(
    config: dict[str, Any], folder: str, device: str, stop_after: str | None, progress: Report | None = None
) -> str | None:
    """Make a run, or go on with it where it is not finished; what went wrong, if anything did.

    Args:
        config: What to run, as plain data.
        folder: Its run folder.
        device: Where it computes.
        stop_after: Its last stage; None: all.
        progress: Called as work goes on.
    """
    path = Path(folder)
    if (path / "results.json").exists():
        return None
    try:
        run_search(
            SearchConfig.parse(config), path, resume=True, stop_after=stop_after, device=device, progress=progress
        )
    except XpertError as error:
        return str(error)
    return None


__all__ = ["MAX_RUNS", "SweptRun", "make_run", "run_sweep", "swept_runs"]
