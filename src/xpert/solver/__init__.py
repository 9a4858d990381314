"""The solver: a tabulated problem, and strategies that all solve it. It knows no chip; `xpert solve` is its door.

The names of the strategies need nothing else; the rest is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xpert.solver.registry import STRATEGIES

if TYPE_CHECKING:
    from xpert.solver.problem import Choices, Problem, load_problem, problem_from_dict, problem_to_dict, save_problem
    from xpert.solver.solution import Record, Solution
    from xpert.solver.strategies import solve

_MODULES = {
    "problem": ("Choices", "Problem", "load_problem", "problem_from_dict", "problem_to_dict", "save_problem"),
    "solution": ("Record", "Solution"),
    "strategies": ("solve",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"xpert.solver.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "STRATEGIES",
    "Choices",
    "Problem",
    "Record",
    "Solution",
    "load_problem",
    "problem_from_dict",
    "problem_to_dict",
    "save_problem",
    "solve",
]
