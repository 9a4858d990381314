"""Pareto fronts and ratios: against all designs, and an evolved front against the exact one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.errors import ConfigError, InfeasibleError
from xpert.progress import Progress
from xpert.solver.evolution import evolve_front
from xpert.solver.pareto import front, hypervolume, log_hypervolume
from xpert.solver.problem import Choices, Problem
from xpert.solver.ratio import minimize_ratio
from xpert.solver.strategies import solve


def chain(seed: int, layers: int = 4, options: int = 3) -> Problem:
    """A chain in which speed costs area."""
    generator = np.random.default_rng(seed)
    widths = (8, 16)
    shapes = [(1 if layer == 0 else 2, 2, options) for layer in range(layers)]
    speed = [generator.lognormal(size=shape) for shape in shapes]
    scale = np.array([1.0, 2.0])[None, :, None]
    return Problem(
        layers=tuple(Choices(f"layer{n}", widths, tuple("abcdefgh"[:options])) for n in range(layers)),
        costs={
            "energy": tuple(generator.lognormal(size=shape) for shape in shapes),
            "latency": tuple(1.0 / part for part in speed),
            "area": tuple(part * scale + 0.1 for part in speed),
            "quality": tuple(np.broadcast_to(scale * generator.integers(1, 4), shape) for shape in shapes),
        },
        minimize=("latency",),
        constants={"area": 0.5},
    )


def everything(problem: Problem) -> np.ndarray:
    grid = np.indices([n for c in problem.layers for n in (len(c.widths), len(c.options))])
    return grid.reshape(len(grid), -1).T.reshape(-1, len(problem.layers), 2)


def best_pairs(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """The pairs, less is better, that no other one equals or beats in both, y falling."""
    kept: list[tuple[float, float]] = []
    for pair in sorted(zip(x.tolist(), y.tolist())):
        if not kept or pair[1] < kept[-1][1]:
            kept.append(pair)
    return kept[::-1]


@settings(max_examples=5)
@given(st.integers(0, 10**6), st.booleans())
def test_the_whole_front_is_that_of_all_designs(seed: int, quality: bool) -> None:
    problem = dataclasses.replace(chain(seed, layers=3), minimize=("energy", "latency") if quality else ("latency",))
    along, sign = ("quality", -1.0) if quality else ("area", 1.0)
    designs = everything(problem)
    expected = best_pairs(sign * problem.totals(designs)[along], problem.value(designs))
    points = front(problem, along, at_least=quality, points=None)
    assert [(sign * point.along, point.solution.value) for point in points] == [
        pytest.approx(pair, rel=1e-9) for pair in expected
    ]
    assert all(point.solution.gap == pytest.approx(0.0, abs=1e-11) for point in points)


def test_a_front_of_some_budgets_keeps_them_and_is_part_of_the_whole() -> None:
    problem = chain(3, layers=3)
    whole = {(point.along, point.solution.value) for point in front(problem, "area", points=None)}
    reports: list[Progress] = []
    some = front(problem, "area", points=5, progress=reports.append)
    assert 2 <= len(some) <= 5
    assert len(some) < len(whole)
    assert reports[-1].total == 5
    for point in some:
        assert point.along <= point.budget * (1 + 1e-12)
        assert any(
            point.along == pytest.approx(x, rel=1e-9) and point.solution.value == pytest.approx(y, rel=1e-9)
            for x, y in whole
        )
    assert [point.along for point in some] == sorted((point.along for point in some), reverse=True)


def test_a_front_within_budgets_that_nothing_keeps() -> None:
    with pytest.raises(InfeasibleError, match="area budget"):
        front(dataclasses.replace(chain(0), at_most={"area": 0.1}), "area")


def test_hypervolume_by_hand() -> None:
    assert hypervolume([(1.0, 3.0), (2.0, 1.0), (2.5, 2.0)], (4.0, 4.0)) == 1.0 * 1.0 + 2.0 * 3.0
    assert hypervolume([(5.0, 1.0)], (4.0, 4.0)) == 0.0
    assert log_hypervolume([(1.0, 1.0)], (np.e, np.e)) == pytest.approx(1.0)


def test_an_evolved_front_covers_nearly_what_the_exact_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpert.solver.evolution.GENERATIONS", 40)
    problem = dataclasses.replace(chain(5, layers=5), at_most={"energy": 8.0, "area": 1e9})

    def both(totals: np.ndarray) -> np.ndarray:
        return totals[:, [problem.active.index("latency"), problem.active.index("area")]]

    evolved = evolve_front(problem, both, 2, seed=0)
    assert bool(problem.feasible(evolved).all())
    found = both(problem.active_totals(evolved))
    exact = [(point.solution.value, point.along) for point in front(problem, "area", points=30)]
    corner = found.max(axis=0) * 1.1
    share = log_hypervolume(found.tolist(), corner.tolist()) / log_hypervolume(exact, corner.tolist())
    assert 0.95 < share < 1.05  # thirty budgets leave some of the exact front out


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_the_least_ratio_is_that_of_all_designs(seed: int) -> None:
    problem = dataclasses.replace(chain(seed, layers=3), at_most={"area": 6.0})
    designs = everything(problem)
    totals = problem.totals(designs)
    ratios = np.where(problem.feasible(designs), totals["energy"] / totals["quality"], np.inf)
    if np.isinf(ratios).all():
        return
    found = minimize_ratio(problem, "energy", "quality", solve)
    assert found.value == pytest.approx(ratios.min(), rel=1e-9)
    assert found.totals["energy"] / found.totals["quality"] == found.value
    assert found.lower_bound is not None
    assert ratios.min() * (1 - 1e-8) <= found.lower_bound <= ratios.min() * (1 + 1e-12)


def test_a_ratio_needs_a_positive_denominator() -> None:
    problem = chain(0)
    costs = dict(problem.costs) | {"quality": tuple(table - 5 for table in problem.costs["quality"])}
    with pytest.raises(ConfigError, match="quality can be as low as"):
        minimize_ratio(dataclasses.replace(problem, costs=costs), "energy", "quality", solve)
