"""Large neighbourhoods: a few layers at a time are decided anew, by label setting, while all others stay (Shaw 1998).

Where budgets are tight, designs that differ in one layer or in two neighbours do not keep them: what one layer gains
another far away must pay. Descents that end there go on with several layers at once, anywhere in the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from xpert.search.bounds import Proof
from xpert.search.exact import LabelSearch, outcome
from xpert.search.problem import Choices, Problem
from xpert.search.solution import Record, StopSearch
from xpert.search.stages import Ints, build_stages

FREE = (4, 8)
"""Least and largest number of layers that are decided together: few are soon exhausted, many see further."""

LABELS = 2000
"""Partial designs after which a neighbourhood is left, whether it is exhausted or not."""


def best_of(problem: Problem, designs: Sequence[Ints], count: int) -> Ints:
    """The best different designs [count, layers, 2], best first: those that keep the budgets, or nearly so."""
    different = np.unique(problem.tied(np.array(designs)), axis=0)
    totals = problem.active_totals(different)
    order = np.lexsort((problem.objective(totals), problem.violation(totals)))
    return different[order[:count]]


def revise(problem: Problem, record: Record, design: Ints, generator: np.random.Generator, rounds: int) -> None:
    """Improve a design in neighbourhoods drawn at random; one that breaks budgets, until some design near it does not.

    Args:
        problem: The problem.
        record: Is offered what is found.
        design: Where to start, [layers, 2].
        generator: Draws the neighbourhoods.
        rounds: Neighbourhoods in a row without improvement after which to stop.
    """
    design = problem.tied(design)
    count = len(problem.layers)
    stages = build_stages(problem)
    whole = Proof(stages, stages.unlimited)
    direction, _ = whole.tangent(outcome(stages, problem, design), record)  # prices of the budgets, good in any part
    own = Record(problem)
    own.offer(design[None])
    quiet = 0
    while quiet < rounds:
        quiet += 1
        free = generator.choice(count, min(int(generator.integers(FREE[0], FREE[1] + 1)), count), replace=False)
        part, kept = restricted(problem, design, free)
        child = record.child(part, target=-np.inf)
        stages = build_stages(part)
        search = LabelSearch(stages, child)
        proof = Proof(stages, stages.unlimited)
        proof.lead(direction)
        try:
            child.offer(kept.present[None])
            search.run(proof, LABELS)
        except StopSearch:
            record.evaluations += child.evaluations
            record.offer(kept.back(child.best)[None])
            raise
        record.evaluations += child.evaluations
        if (child.violation, child.value) < (own.violation, own.value):
            quiet = 0
            design = kept.back(child.best)
            own.offer(design[None])
            record.offer(design[None])
        if count <= FREE[0]:
            return


@dataclasses.dataclass(frozen=True)
class Kept:
    """Which choices of a problem are left in a part of it.

    Attributes:
        widths: For every layer the indices of the widths left.
        options: For every layer the indices of the options left.
        present: The design that the part was made around, in the part's own indices [layers, 2].
    """

    widths: tuple[Ints, ...]
    options: tuple[Ints, ...]
    present: Ints

    def back(self, design: Ints) -> Ints:
        """A design of the part as one of the whole problem, [layers, 2]."""
        return np.array(
            [
                (widths[width], options[option])
                for (width, option), widths, options in zip(design, self.widths, self.options)
            ]
        )


def restricted(problem: Problem, design: Ints, free: Ints) -> tuple[Problem, Kept]:
    """The problem in which only some layers may differ from a design.

    Args:
        problem: The whole.
        design: What the other layers keep, [layers, 2].
        free: Indices of the layers that may change; a width may change if the layer that decides it may.
    """
    layers = range(len(problem.layers))
    widths = tuple(
        np.arange(len(problem.layers[layer].widths)) if problem.ties[layer] in free else design[problem.ties[layer], :1]
        for layer in layers
    )
    options = tuple(
        np.arange(len(problem.layers[layer].options)) if layer in free else design[layer, 1:] for layer in layers
    )
    entering = [np.zeros(1, dtype=np.int64) if source < 0 else widths[source] for source in problem.inputs]
    part = dataclasses.replace(
        problem,
        layers=tuple(
            Choices(whole.name, tuple(whole.widths[i] for i in kept), tuple(whole.options[i] for i in kept_options))
            for whole, kept, kept_options in zip(problem.layers, widths, options)
        ),
        costs={
            name: tuple(
                problem.costs[name][layer][np.ix_(entering[layer], widths[layer], options[layer])] for layer in layers
            )
            for name in problem.active
        },
        constants={name: value for name, value in problem.constants.items() if name in problem.active},
        units={},
    )
    present = [
        (int(np.flatnonzero(left == width)[0]), int(np.flatnonzero(left_options == option)[0]))
        for (width, option), left, left_options in zip(problem.tied(design), widths, options)
    ]
    return part, Kept(widths, options, np.array(present))


__all__ = ["Kept", "best_of", "restricted", "revise"]
