"""Runs: from a config to a run folder, and on after a kill. `run_search` imports torch when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpert.experiment.config import SearchConfig, search_space, typical_design
from xpert.experiment.presets import load_preset, preset_names
from xpert.experiment.run import Run, open_run, read_config, read_events

if TYPE_CHECKING:
    from xpert.experiment.pipeline import run_search


def __getattr__(name: str) -> Any:
    if name == "run_search":
        from xpert.experiment.pipeline import run_search

        return run_search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Run",
    "SearchConfig",
    "load_preset",
    "open_run",
    "preset_names",
    "read_config",
    "read_events",
    "run_search",
    "search_space",
    "typical_design",
]
