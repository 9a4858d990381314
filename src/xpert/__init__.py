"""XPert: co-search of neural networks and the periphery of the in-memory-computing chips that run them.

What people do in a notebook, by one import: designs (`Design`, `Chip`, `Periphery`), networks (`load_network`,
`trace`), costs (`evaluate`), the analog simulation (`to_analog`, `ni_accuracy`), a design's accuracy and why it is what
it is (`accuracy`, `diagnose`), searches (`SearchConfig`, `load_preset`, `run_search`) and their results (`read_run`,
`figures`). Each is imported when it is first asked for: costs need no torch. A search is `run_search`, since
`xpert.search` is where searches live.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from xpert.analog import ni_accuracy, to_analog
    from xpert.design import Chip, Design, Periphery
    from xpert.experiment import SearchConfig, load_preset, run_search, typical_design
    from xpert.experiment.measure import accuracy_of_design as accuracy
    from xpert.experiment.measure import diagnosis_of_design as diagnose
    from xpert.hardware import evaluate
    from xpert.networks.sources import load_network
    from xpert.report.page import figures
    from xpert.report.run_files import read_run
    from xpert.workload.trace import trace

_HOMES = {
    "Chip": "design",
    "Design": "design",
    "Periphery": "design",
    "SearchConfig": "experiment",
    "accuracy": "experiment.measure:accuracy_of_design",
    "diagnose": "experiment.measure:diagnosis_of_design",
    "evaluate": "hardware",
    "figures": "report.page",
    "load_network": "networks.sources",
    "load_preset": "experiment",
    "ni_accuracy": "analog",
    "read_run": "report.run_files",
    "run_search": "experiment",
    "to_analog": "analog",
    "trace": "workload.trace",
    "typical_design": "experiment",
}
"""Name -> module in which it is, and its name there where that is another one."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'xpert' has no attribute {name!r}")
    module, _, there = _HOMES[name].partition(":")
    return getattr(import_module(f"xpert.{module}"), there or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "Chip",
    "Design",
    "Periphery",
    "SearchConfig",
    "accuracy",
    "diagnose",
    "evaluate",
    "figures",
    "load_network",
    "load_preset",
    "ni_accuracy",
    "read_run",
    "run_search",
    "to_analog",
    "trace",
    "typical_design",
]
