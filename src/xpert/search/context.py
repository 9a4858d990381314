"""A design and its context come to agree: tabulate, solve, evaluate in full, and again in the new context.

Cost tables assume what of the whole chip reaches into a layer, the context. The design that is best by the tables of
one context has a context of its own, in which another may be best. So every search of tables is a fixed-point loop:

    context -> tables -> best design by the tables -> full evaluation -> context of that design -> ...

It ends when a design comes up again, or after some rounds. Tables only propose: designs are ranked by their full
evaluations, and the best of all rounds wins, not the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design
from xpert.errors import InfeasibleError
from xpert.hardware import Evaluation, evaluate
from xpert.progress import Report
from xpert.search.objectives import ENERGY_PER_OPERATION, Goal
from xpert.search.period import PipelinedProblem, solve_pipelined
from xpert.solver.problem import Problem
from xpert.solver.ratio import minimize_ratio
from xpert.solver.solution import Solution
from xpert.solver.strategies import solve

Propose = Callable[[Design], tuple[Design, Solution]]
"""The best design by the tables of a design's context, and the solution that it stands for."""


@dataclass(frozen=True)
class Effort:
    """How a problem is searched, and how long."""

    strategy: str = "exact"
    """One of `solver.STRATEGIES`."""

    seed: int = 0
    """Of the strategy."""

    seconds: float | None = None
    """Time limit of one search; None for none. [s]"""

    evaluations: int | None = None
    """Limit on the designs that one search looks at; None for none."""


@dataclass(frozen=True)
class Candidate:
    """A design that was proposed and evaluated in full."""

    design: Design
    evaluation: Evaluation

    solution: Solution | None = None
    """Of the search that found it first; None for a design to begin with."""


Candidates = dict[Design, Candidate]
"""In the order in which they were found."""


def propose_once(context: Design, propose: Propose, found: Candidates) -> tuple[Candidate, bool]:
    """One round: the proposal in a context, evaluated in full and added to what was found; and whether it is new."""
    design, solution = propose(context)
    new = design not in found
    if new:
        found[design] = Candidate(design, evaluate(design), solution)
    return found[design], new


def settle(context: Design, propose: Propose, rounds: int, found: Candidates) -> None:
    """Propose designs, each in the context of the one before, until one comes up again.

    Args:
        context: The design in whose context the first one is proposed.
        propose: Solves the tables of a context.
        rounds: How many designs are proposed at most.
        found: All designs that were found; takes the new ones.

    Raises:
        InfeasibleError: If nothing was found and the tables know no design that meets all bounds. Once something was
            found that ends the loop.
    """
    for _ in range(rounds):
        try:
            candidate, new = propose_once(context, propose, found)
        except InfeasibleError:
            if not found:
                raise
            return
        if not new or candidate.design == context:
            return
        context = candidate.design


def solve_tables(
    problem: Problem,
    goal: Goal,
    effort: Effort,
    progress: Report | None = None,
    start: NDArray[np.int64] | None = None,
) -> Solution:
    """The best design of a tabulated problem by a goal's objective.

    Args:
        problem: Of the goal; for energy per operation it tabulates `operations`, for a pipelined chip it says so.
        goal: What is minimised.
        effort: How it is searched.
        progress: Called with every row of the trace as figures.
        start: A design [layers, 2] to begin with, feasible or not.

    Raises:
        InfeasibleError: If no design meets the bounds.
        KeyboardInterrupt: If that ended the search: a search among many does not go on with half a result.
    """
    options: dict[str, Any] = {
        "strategy": effort.strategy,
        "seed": effort.seed,
        "seconds": effort.seconds,
        "evaluations": effort.evaluations,
        "progress": progress,
        "start": start,
    }
    if isinstance(problem, PipelinedProblem):
        solution = solve_pipelined(problem, goal, solve, **options)
    elif goal.objective == ENERGY_PER_OPERATION:
        solution = minimize_ratio(problem, "energy", "operations", solve, **options)
    else:
        solution = solve(problem, **options)
    if solution.status == "interrupted":
        raise KeyboardInterrupt
    return solution


__all__ = ["Candidate", "Candidates", "Effort", "Propose", "propose_once", "settle", "solve_tables"]
