"""One suite for all strategies: what any of them promises."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.errors import ConfigError, InfeasibleError
from xpert.search.problem import Choices, Problem, load_problem
from xpert.search.strategies import STRATEGIES, solve

QUANTITIES = ("energy", "latency", "area", "capacity")


def random_problem(seed: int, layers: int = 4, minimize: tuple[str, ...] = ("energy", "latency")) -> Problem:
    generator = np.random.default_rng(seed)
    shapes = [(1 if layer == 0 else 2, 2, 3) for layer in range(layers)]
    return Problem(
        layers=tuple(Choices(f"layer{layer}", (8, 16), ("a", "b", "c")) for layer in range(layers)),
        costs={name: tuple(generator.lognormal(size=shape) for shape in shapes) for name in QUANTITIES},
        minimize=minimize,
        at_most={"area": 1.2 * layers},
        at_least={"capacity": 0.8 * layers},
    )


def everything(problem: Problem) -> np.ndarray:
    per_layer = [list(itertools.product(range(len(c.widths)), range(len(c.options)))) for c in problem.layers]
    return np.array(list(itertools.product(*per_layer)))


def best_of_all(problem: Problem) -> float:
    designs = everything(problem)
    feasible = problem.feasible(designs)
    return float(problem.value(designs)[feasible].min()) if feasible.any() else np.inf


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([("energy",), ("energy", "latency"), ("energy", "latency", "area")]),
)
def test_exact_is_brute_force(seed: int, minimize: tuple[str, ...]) -> None:
    problem = random_problem(seed, minimize=minimize)
    best = best_of_all(problem)
    if np.isinf(best):
        with pytest.raises(InfeasibleError):
            solve(problem, "exact")
        return
    solution = solve(problem, "exact")
    assert solution.feasible
    assert solution.value == pytest.approx(best, rel=1e-12)
    assert solution.lower_bound is not None
    assert solution.lower_bound <= solution.value <= solution.lower_bound * (1 + 1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestContract:
    budget = 5000

    def test_its_design_is_feasible_and_never_better_than_the_best(self, strategy: str) -> None:
        problem = random_problem(1)
        solution = solve(problem, strategy, evaluations=self.budget)
        assert solution.feasible
        assert bool(problem.feasible(solution.design))
        assert solution.value == float(problem.value(solution.design))
        assert solution.value >= best_of_all(problem) * (1 - 1e-12)
        assert solution.lower_bound is None or solution.lower_bound <= best_of_all(problem) * (1 + 1e-12)

    def test_the_same_seed_gives_the_same_design(self, strategy: str) -> None:
        problem = random_problem(2, layers=6)
        first, second = (solve(problem, strategy, seed=5, evaluations=self.budget) for _ in range(2))
        assert np.array_equal(first.design, second.design)
        assert first.value == second.value

    def test_it_stops_when_its_designs_are_counted(self, strategy: str) -> None:
        solution = solve(random_problem(3, layers=8), strategy, evaluations=50)
        assert solution.evaluations <= 5000
        assert solution.status in {"evaluations", "finished"}

    def test_the_callback_stops_it_and_the_best_design_is_kept(self, strategy: str) -> None:
        problem = random_problem(4, layers=8)
        solution = solve(problem, strategy, progress=lambda row: True)
        assert solution.status in {"stopped", "finished"}
        assert solution.value == float(problem.value(solution.design))

    def test_interruption_keeps_the_best_design(self, strategy: str) -> None:
        def interrupt(row: dict) -> None:
            raise KeyboardInterrupt

        problem = random_problem(4, layers=8)
        solution = solve(problem, strategy, progress=interrupt)
        assert solution.status in {"interrupted", "finished"}
        assert solution.value == float(problem.value(solution.design))

    def test_impossible_budgets(self, strategy: str) -> None:
        problem = random_problem(1)
        tight = Problem(problem.layers, problem.costs, problem.minimize, at_most={"area": 1e-3})
        with pytest.raises(InfeasibleError, match=r"area budget 0\.001: the smallest design needs"):
            solve(tight, strategy, evaluations=self.budget)


def test_unknown_strategy() -> None:
    with pytest.raises(ConfigError, match="strategy: must be one of exact"):
        solve(random_problem(0), "luck")


NAMES = [
    *(f"random-{number}-{objective}" for number in (1, 2) for objective in ("energy", "edp", "edap")),
    *("xpert-area50", "xpert-area50-macs50", "xpert-area50-weights25", "xpert-window"),
]


@pytest.mark.parametrize("name", NAMES)
def test_published_problems(shared: Path, name: str) -> None:
    path = shared / "reference" / "problems" / f"{name}.json"
    optimum = json.loads(path.read_text())["optimum"]["value"]
    problem = load_problem(path)
    solution = solve(problem, "exact")
    assert solution.value == pytest.approx(optimum, rel=1e-9)
    assert solution.gap is not None
    assert solution.gap <= 1e-9


@pytest.mark.parametrize("name", ["random-1-edap", "xpert-area50", "xpert-area50-weights25"])
def test_the_gradient_comes_within_a_percent(shared: Path, name: str) -> None:
    path = shared / "reference" / "problems" / f"{name}.json"
    optimum = json.loads(path.read_text())["optimum"]["value"]
    assert solve(load_problem(path), "gradient", seed=3).value <= 1.01 * optimum
