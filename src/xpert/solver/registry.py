"""The strategies by name; a package adds its own by the entry point group `xpert.strategies`, a program by `register`.

A strategy is a function `strategy(problem, record, seed)`. It hands the designs that it wants priced to
`record.price` and calls `record.step` once per round; the record keeps the best, and stops it when a budget is
exhausted. It raises nothing else for want of a feasible design: `solve` finds out whether there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xpert.lazy_registry import LazyRegistry

if TYPE_CHECKING:
    from xpert.solver.problem import Problem
    from xpert.solver.solution import Record

STRATEGIES: LazyRegistry[Callable[[Problem, Record, int], None]] = LazyRegistry(
    "strategy",
    "xpert.strategies",
    {
        "exact": "xpert.solver.exact:exact",
        "gradient": "xpert.solver.gradient:gradient",
        "evolution": "xpert.solver.evolution:evolution",
        "random": "xpert.solver.random:random",
    },
)
"""`exact` proves its answer; the others are heuristics."""

__all__ = ["STRATEGIES"]
