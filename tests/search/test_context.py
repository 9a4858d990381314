"""The loop in which a design and its context come to agree."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.design import Chip, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.context import Candidates, Effort, Propose, settle, solve_tables
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.solver.problem import Choices, Problem
from xpert.solver.solution import Solution
from xpert.solver.strategies import solve

NETWORK = space("vgg11", [[16]] * 8, (1, 16, 16), 10).network([16] * 8)
A, B, C = (Design.homogeneous(NETWORK, Chip(), Periphery(columns_per_adc=columns)) for columns in (2, 4, 8))
PROBLEM = Problem(
    (Choices("one", (8,), ("a", "b")),),
    {"energy": (np.array([[[3.0, 2.0]]]),), "operations": (np.array([[[6.0, 2.0]]]),)},
    ("energy",),
)


def following(proposals: list[tuple[Design, Design | None]], visited: list[Design]) -> Propose:
    """Proposes for the first context of a pair its second; nothing is feasible where that is None."""

    def propose(context: Design) -> tuple[Design, Solution]:
        visited.append(context)
        design = next(design for place, design in proposals if place == context)
        if design is None:
            raise InfeasibleError("nothing fits")
        return design, solve(PROBLEM)

    return propose


def test_it_ends_when_a_design_comes_up_again() -> None:
    found: Candidates = {}
    visited: list[Design] = []
    settle(A, following([(A, B), (B, C), (C, B)], visited), 9, found)
    assert visited == [A, B, C]
    assert list(found) == [B, C]
    assert found[C].evaluation.to_dict() == evaluate(C).to_dict()


def test_it_ends_with_a_design_that_stays() -> None:
    found: Candidates = {}
    visited: list[Design] = []
    settle(A, following([(A, B), (B, B)], visited), 9, found)
    assert visited == [A, B]
    assert list(found) == [B]


def test_it_ends_after_so_many_rounds() -> None:
    found: Candidates = {}
    settle(A, following([(A, B), (B, C), (C, A)], []), 2, found)
    assert list(found) == [B, C]


def test_what_is_infeasible_at_first_is_refused_and_later_ends_it() -> None:
    found: Candidates = {}
    with pytest.raises(InfeasibleError):
        settle(A, following([(A, None)], []), 9, found)
    settle(A, following([(A, B), (B, None)], []), 9, found)
    assert list(found) == [B]


def test_energy_per_operation_is_a_ratio_and_energy_is_not() -> None:
    energy, ratio = (solve_tables(PROBLEM, Goal(name), Effort()) for name in ("energy", "tops_per_watt"))
    assert (energy.value, ratio.value) == (2.0, 0.5)
    begun = solve_tables(PROBLEM, Goal("tops_per_watt"), Effort(), start=np.array([[0, 1]]))
    assert begun.value == 0.5


def test_an_interrupted_search_ends_the_search_around_it() -> None:
    def interrupt(_row: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve_tables(PROBLEM, Goal("energy"), Effort("random"), interrupt)


def test_designs_within_the_budgets_rank_before_cheaper_ones() -> None:
    designs = sorted((A, B, C), key=lambda design: objective_value(evaluate(design), "latency"))
    areas = [objective_value(evaluate(design), "area") for design in designs]
    assert areas[0] == max(areas)  # the fastest is the largest
    goal = Goal("latency", Budgets(area_mm2=0.5 * (areas[0] + max(areas[1:]))))
    assert min(designs, key=lambda design: goal.rank(evaluate(design))) == designs[1]
