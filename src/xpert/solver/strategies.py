"""One door to all strategies."""

from __future__ import annotations

import contextlib
import math

import numpy as np
from numpy.typing import NDArray

from xpert.errors import ConfigError
from xpert.progress import Report
from xpert.solver.exact import check_budgets, find_feasible, lower_bound
from xpert.solver.graph import build_stages
from xpert.solver.problem import Problem
from xpert.solver.registry import STRATEGIES
from xpert.solver.solution import Record, Solution, Status, StopSearch

CHECK_SECONDS = 10.0
"""Time to find out whether a problem is infeasible when a heuristic found no feasible design."""


def solve(
    problem: Problem,
    strategy: str = "exact",
    *,
    seed: int = 0,
    seconds: float | None = None,
    evaluations: int | None = None,
    start: NDArray[np.int64] | None = None,
    progress: Report | None = None,
) -> Solution:
    """Find the best design of a problem.

    A search that is stopped, by a budget, by the callback or by Ctrl-C, returns the best design found until then. It
    goes on when that design is handed to a new one as `start`: `exact` drops all that cannot beat it, `gradient`
    improves it, `evolution` breeds from it, and none returns anything worse.

    Args:
        problem: What to solve.
        strategy: One of `STRATEGIES`. `exact` proves its answer; `gradient`, `evolution` and `random` are heuristics.
        seed: Of everything random; the same seed gives the same answer unless time runs out.
        seconds: CPU time of the process that is allowed. What a heuristic leaves of it goes to a better bound.
        evaluations: Designs that may be priced.
        start: A design to begin with [layers, 2], of an earlier search or a user's own; it need not be feasible. A
            heuristic that goes on should be given another seed, with which it looks elsewhere.
        progress: Called after every step; its figures are the latest row of the trace. A true answer stops the search.

    Returns:
        The best design, a proven lower bound of all designs, and how the search went.

    Raises:
        InfeasibleError: If no design meets the budgets; says what the tightest possible budget is.
        ConfigError: If an argument is not allowed, or the strategy needs a package that is not installed.
    """
    run = STRATEGIES.find(strategy)
    _check(seed, seconds, evaluations)
    record = Record(problem, seconds, evaluations, progress)
    record.raise_lower_bound(check_budgets(problem, build_stages(problem)))
    status: Status = "finished"
    try:
        if start is not None:
            record.price(np.asarray(start)[None])
        run(problem, record, seed)
    except StopSearch as stop:
        status = stop.status
    except KeyboardInterrupt:
        status = "interrupted"
    if record.design is None:  # stopped before the first design
        spare = Record(problem)
        spare.price(problem.random_designs(1, np.random.default_rng(seed)))
        record.copy_incumbent(spare)
    feasible = record.upper_bound < math.inf
    try:
        if status == "finished" and not feasible:
            with contextlib.suppress(StopSearch):
                find_feasible(problem, Record(problem, CHECK_SECONDS))
        if feasible and strategy != "exact" and status != "interrupted":
            proof = Record(problem, None if seconds is None else seconds - record.elapsed)
            with contextlib.suppress(StopSearch):
                lower_bound(problem, record.best, proof)
            record.raise_lower_bound(proof.lower_bound)
    except KeyboardInterrupt:
        status = "interrupted"
    bound = record.lower_bound if feasible and math.isfinite(record.lower_bound) else None
    return Solution(
        strategy=strategy,
        seed=seed,
        design=record.best,
        value=record.value,
        lower_bound=bound,
        gap=None if bound is None else max(0.0, (record.value - bound) / (abs(record.value) or 1.0)),
        feasible=feasible,
        totals={name: float(total) for name, total in problem.totals(record.best).items()},
        seconds=record.elapsed,
        evaluations=record.evaluations,
        status=status,
        trace=tuple(record.trace),
    )


def _check(seed: int, seconds: float | None, evaluations: int | None) -> None:
    if seed < 0:
        raise ConfigError(f"seed: must be 0 or above (got {seed})")
    if seconds is not None and not seconds >= 0:
        raise ConfigError(f"seconds: must be 0 or above (got {seconds})")
    if evaluations is not None and evaluations < 1:
        raise ConfigError(f"evaluations: must be at least 1 (got {evaluations})")


__all__ = ["solve"]
