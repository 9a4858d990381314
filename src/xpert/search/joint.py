"""Both phases in one problem: channels, ADC type, column sharing, ADC bits and input bits of every layer at once.

Two phases in turn cannot trade a wider layer at a lower precision against a narrower one at a higher. Here precisions
are options like the others, and accuracy enters through the additive error model of phase 2: each layer's predicted
loss is its measured output error at a precision times what output error in that layer costs the network, both measured
on a network that was trained (see `precision/sensitivity.py`). Their sum has an upper bound, the quality of the widths
a lower one, and everything is a table, so that the exact solver applies. The model is that of the measured network, and
other widths bend it: what is found must be trained, measured and, where it falls short, measured anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design
from xpert.hardware import Evaluation, evaluate
from xpert.networks.spaces import Space
from xpert.progress import Report
from xpert.search.context import Candidates, Effort, settle, solve_tables
from xpert.search.objectives import UNITS, Goal
from xpert.search.period import LEAKAGE, PipelinedProblem
from xpert.search.precision.converters import Kind, Precision, peripheries
from xpert.search.tabulate import Term, design_of, space_problem
from xpert.solver.graph import useful_options
from xpert.solver.problem import Problem
from xpert.solver.solution import Solution

ROUNDS = 3
"""Rounds of tables and search in which a design and its context come to agree, at most."""


@dataclass(frozen=True)
class JointResult:
    """The outcome of one joint search."""

    design: Design
    """The best design."""

    evaluation: Evaluation
    """Its full evaluation."""

    predicted_loss: float
    """By the additive error model. [nat]"""

    quality: float
    """Of its widths."""

    lower_bound: float | None
    """Proven lower bound of the objective in the context in which it was found, where the strategy gives one."""


def search_joint(
    space: Space,
    design: Design,
    *,
    kinds: Sequence[Kind],
    precisions: Sequence[Precision],
    losses: NDArray[np.float64],
    most_loss: float,
    quality: Term,
    goal: Goal,
    effort: Effort,
    progress: Report | None = None,
) -> JointResult:
    """Search widths and whole peripheries together.

    Args:
        space: Networks to choose from; every layer has one kernel, or is left out in all of them, as its block may be.
        design: Where to start: its chip, and the context of the first tables.
        kinds: Pairs (ADC type, columns per ADC) to choose from.
        precisions: Values of `PRECISION_FIELDS` to choose from.
        losses: Predicted loss of every layer that is there at every precision, [layers, precisions]. [nat]
        most_loss: Upper bound on their sum. [nat]
        quality: What every layer adds to the quality of the widths, [in_widths, out_widths, 1] each, and its bound.
        goal: What is minimised, and what the chip may cost.
        effort: How each problem is searched.
        progress: Called as work goes on.

    Raises:
        InfeasibleError: If no design meets the bounds.
    """
    options = peripheries(kinds, design.periphery[0], precisions)
    # A layer that is left out, in all networks or none, loses nothing at any precision.
    present = space.present([min(widths) for widths in space.choices], [min(row) for row in space.kernels])
    of_layers = iter(np.tile(losses, len(kinds)))  # [precisions] -> [options]: precisions are the innermost axis
    rows = [next(of_layers) if there else np.zeros(1) for there in present]
    terms = {"loss": Term([row[None, None] for row in rows], at_most=most_loss), "quality": quality}

    def propose(context: Design) -> tuple[Design, Solution]:
        problem = space_problem(space, design.chip, options, evaluate(context).context, terms, goal, name="joint")
        solution = solve_tables(_pruned(problem), goal, effort, progress)
        return design_of(space, design.chip, options, solution.design).replace(name=design.name), solution

    found: Candidates = {}
    settle(design, propose, ROUNDS, found)
    best = min(found.values(), key=lambda candidate: goal.rank(candidate.evaluation))
    assert best.solution is not None  # noqa: S101 (all were proposed)
    totals = best.solution.totals
    return JointResult(best.design, best.evaluation, totals["loss"], totals["quality"], best.solution.lower_bound)


def _pruned(problem: Problem) -> Problem:
    """The problem without options that another one beats or equals in every bounded quantity and in all costs.

    The solver drops what is beaten in the quantities that it needs. The costs beside them decide between options that
    are equal in those.
    """
    leakage = [LEAKAGE] if isinstance(problem, PipelinedProblem) else []  # which the others do not contain
    names = dict.fromkeys([*UNITS, *leakage, *problem.minimize, *problem.at_most])
    signed = [(name, 1.0) for name in names] + [(name, -1.0) for name in problem.at_least]
    tables = []
    for layer, table in enumerate(problem.costs["loss"]):
        # The quantities become the last axis: [in_widths, out_widths, options, quantities].
        costs = np.stack([sign * problem.costs[name][layer] for name, sign in signed], axis=-1)
        tables.append(np.where(useful_options(costs), table, np.inf))
    return replace(problem, costs=dict(problem.costs) | {"loss": tuple(tables)})


__all__ = ["ROUNDS", "JointResult", "search_joint"]
