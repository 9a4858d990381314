"""What a search returns, and the record that every strategy keeps while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpert.progress import Progress, Report
from xpert.solver.problem import Problem

Status = Literal["finished", "seconds", "evaluations", "stopped", "interrupted"]
"""Why a search ended: by itself, at a budget, at the callback's wish, or at Ctrl-C."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The best design that a strategy found.

    Attributes:
        strategy: Its name.
        seed: The seed that it was given.
        design: Width and option indices [layers, 2]; if none was feasible, the one nearest to it.
        value: The objective of the design.
        lower_bound: No feasible design is below this: proven, up to the rounding of sums. None without a
            feasible design.
        gap: `(value - lower_bound) / |value|`; zero is optimal. None without a lower bound or a feasible design.
        feasible: Whether the design meets all budgets.
        totals: All quantities of the design.
        seconds: CPU time of the process.
        evaluations: Designs priced; for `exact` partial designs, for `gradient` designs and distributions.
        status: Why the search ended.
        trace: One row per step: `step`, `seconds`, `evaluations`, `value` (best feasible so far or None), `violation`
            (of the best so far) and what the strategy adds.
    """

    strategy: str
    seed: int
    design: NDArray[np.int64]
    value: float
    lower_bound: float | None
    gap: float | None
    feasible: bool
    totals: Mapping[str, float]
    seconds: float
    evaluations: int
    status: Status
    trace: tuple[dict[str, Any], ...]

    def to_dict(self, problem: Problem) -> dict[str, Any]:
        """The JSON form, with widths and options by the problem's own names."""
        return {
            "problem": problem.name,
            "strategy": self.strategy,
            "seed": self.seed,
            "value": _number(self.value),
            "lower_bound": _number(self.lower_bound),
            "gap": _number(self.gap),
            "feasible": self.feasible,
            "design": problem.describe(self.design),
            "totals": {name: _number(value) for name, value in self.totals.items()},
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "status": self.status,
        }


def _number(value: float | None) -> float | None:
    """JSON has no infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


class StopSearch(Exception):
    """Raised inside a strategy when its time is up; `solve` catches it."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class Record:
    """Keeps the incumbent (the best design so far), counts evaluations, watches the limits, and reports progress.

    A strategy hands every design that it wants priced to `price`, and calls `step` once per round. Both raise
    `StopSearch` when a limit is exhausted; what was found until then is kept.
    """

    def __init__(
        self,
        problem: Problem,
        seconds: float | None = None,
        evaluations: int | None = None,
        progress: Report | None = None,
        target: float = -math.inf,
    ) -> None:
        self.problem = problem
        self.design: NDArray[np.int64] | None = None
        self.value = math.inf
        self.violation = math.inf
        self.evaluations = 0
        self.lower_bound = -math.inf
        self.trace: list[dict[str, Any]] = []
        self._seconds = seconds
        self._budget = evaluations
        self._progress = progress
        self._target = target
        self._began = time.process_time()

    @property
    def elapsed(self) -> float:
        """CPU seconds of the process since the start, which other work on the machine does not change."""
        return time.process_time() - self._began

    @property
    def best(self) -> NDArray[np.int64]:
        """The best design so far; there must be one."""
        if self.design is None:
            raise RuntimeError("no design has been priced")
        return self.design

    @property
    def upper_bound(self) -> float:
        """The best feasible value so far, infinite if there is none."""
        return self.value if self.violation == 0.0 else math.inf

    def check(self) -> None:
        """Raise `StopSearch` if a budget is spent or the target is reached."""
        if self.upper_bound <= self._target:
            raise StopSearch("finished")
        if self._seconds is not None and self.elapsed >= self._seconds:
            raise StopSearch("seconds")
        if self._budget is not None and self.evaluations >= self._budget:
            raise StopSearch("evaluations")

    def count(self, evaluations: int) -> None:
        """Count work that is not a complete design, such as a partial one."""
        self.evaluations += evaluations
        self.check()

    def price(self, designs: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Price designs [n, layers, 2] and keep the best.

        Returns:
            Sums of the active quantities [n, active] and violations [n].

        Raises:
            StopSearch: If a budget was spent before or is now; the designs that fit in were looked at.
        """
        self.check()
        if self._budget is not None:
            designs = designs[: self._budget - self.evaluations]
        totals = self.problem.active_totals(designs)
        violation = self.problem.violation(totals)
        values = self.problem.objective(totals)
        self.evaluations += len(designs)
        if len(designs):
            best = int(np.lexsort((values, violation))[0])
            if self.design is None or (violation[best], values[best]) < (self.violation, self.value):
                self.design = self.problem.tied(designs[best])
                self.value, self.violation = float(values[best]), float(violation[best])
        self.check()
        return totals, violation

    def copy_incumbent(self, other: Record) -> None:
        """Take over another record's design."""
        self.design, self.value, self.violation = other.design, other.value, other.violation

    def merge(self, child: Record) -> None:
        """Take over what a child for the same problem found, and what it spent."""
        self.evaluations += child.evaluations
        if (child.violation, child.value) < (self.violation, self.value):
            self.copy_incumbent(child)

    def raise_lower_bound(self, bound: float) -> None:
        """Note that no feasible design is below a bound."""
        self.lower_bound = max(self.lower_bound, min(bound, self.upper_bound))

    def child(self, problem: Problem, target: float) -> Record:
        """A record for an auxiliary problem, with what is left of the budgets; it ends at a target value."""
        seconds = None if self._seconds is None else self._seconds - self.elapsed
        evaluations = None if self._budget is None else self._budget - self.evaluations
        return Record(problem, seconds, evaluations, lambda _: self._report(self._row()), target)

    def step(self, **figures: Any) -> None:
        """Close a round: one row for the trace and the callback."""
        row = self._row() | figures
        self.trace.append(row)
        self._report(row)
        self.check()

    def _row(self) -> dict[str, Any]:
        return {
            "step": len(self.trace),
            "seconds": self.elapsed,
            "evaluations": self.evaluations,
            "value": self.value if self.violation == 0.0 else None,
            "violation": self.violation,
            "lower_bound": self.lower_bound,
        }

    def _report(self, row: dict[str, Any]) -> None:
        if self._progress is not None and self._progress(Progress(figures=row)):
            raise StopSearch("stopped")


__all__ = ["Record", "Solution", "Status", "StopSearch"]
