"""The baseline: independent uniform designs."""

from __future__ import annotations

import numpy as np

from xpert.solver.problem import Problem
from xpert.solver.solution import Record

ROUNDS = 64
BATCH = 1 << 14
"""Designs per round; with `ROUNDS` about a million in all."""


def random(problem: Problem, record: Record, seed: int) -> None:
    """Price uniform designs.

    Args:
        problem: What to solve.
        record: Where designs are kept.
        seed: Of the generator.
    """
    generator = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        record.price(problem.random_designs(BATCH, generator))
        record.step()
