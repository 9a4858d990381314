"""One suite for all strategies: what any of them promises."""

from __future__ import annotations

import builtins
import dataclasses
import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xpert import registry
from xpert.errors import ConfigError, InfeasibleError
from xpert.progress import Progress
from xpert.solver.graph import complete, make_graph
from xpert.solver.neighbourhood import revise
from xpert.solver.polish import neighbour_totals, polish
from xpert.solver.problem import Choices, Problem, load_problem
from xpert.solver.registry import STRATEGIES
from xpert.solver.solution import Record
from xpert.solver.strategies import solve

QUANTITIES = ("energy", "latency", "area", "capacity")
HEURISTICS = [strategy for strategy in STRATEGIES.names() if strategy != "exact"]


def chain(seed: int, layers: int = 6) -> Problem:
    """A chain with a budget and a floor, and energy x latency to minimise."""
    generator = np.random.default_rng(seed)
    shapes = [(1 if layer == 0 else 2, 2, 3) for layer in range(layers)]
    return Problem(
        layers=tuple(Choices(f"layer{layer}", (8, 16), ("a", "b", "c")) for layer in range(layers)),
        costs={name: tuple(generator.lognormal(size=shape) for shape in shapes) for name in QUANTITIES},
        minimize=("energy", "latency"),
        at_most={"area": 1.2 * layers},
        at_least={"capacity": 0.8 * layers},
    )


@pytest.mark.parametrize("strategy", STRATEGIES.names())
class TestContract:
    budget = 3000

    @settings(max_examples=4)
    @given(st.integers(0, 10**6))
    def test_its_design_is_what_it_says_and_never_better_than_the_best(
        self,
        strategy: str,
        random_problem: Callable[..., Problem],
        brute_force: Callable[[Problem], float],
        seed: int,
    ) -> None:
        problem = random_problem(seed, max_layers=4)
        best = brute_force(problem)
        assume(np.isfinite(best))
        solution = solve(problem, strategy, evaluations=self.budget)
        slack = 1e-11 * max(1.0, abs(best))
        assert solution.feasible == bool(problem.feasible(solution.design))
        assert solution.value == float(problem.value(solution.design))
        assert solution.totals == {name: float(total) for name, total in problem.totals(solution.design).items()}
        if solution.feasible:
            assert solution.value >= best - slack
            assert solution.lower_bound is None or solution.lower_bound <= best + slack
        assert solution.feasible or solution.gap is None

    def test_the_same_seed_gives_the_same_search(self, strategy: str) -> None:
        first, second = (solve(chain(2), strategy, seed=5, evaluations=self.budget) for _ in range(2))
        assert np.array_equal(first.design, second.design)
        assert (first.value, first.evaluations) == (second.value, second.evaluations)
        rows = [
            [{key: value for key, value in row.items() if key != "seconds"} for row in solution.trace]
            for solution in (first, second)
        ]
        assert rows[0] == rows[1]

    def test_it_stops_when_its_designs_are_counted(self, strategy: str) -> None:
        solution = solve(chain(3, layers=8), strategy, evaluations=50)
        assert solution.status == "evaluations"
        assert solution.evaluations <= 50 + 40  # a batch that is not of complete designs is counted when it is done

    def test_it_stops_when_time_is_up(self, strategy: str) -> None:
        problem = chain(3, layers=8)
        solution = solve(problem, strategy, seconds=0.0)
        assert solution.status == "seconds"
        assert solution.design.shape == (8, 2)
        assert solution.value == float(problem.value(solution.design))

    def test_it_tells_how_far_it_is(self, strategy: str) -> None:
        reports: list[Progress] = []
        solution = solve(chain(4, layers=8), strategy, evaluations=17_000, progress=reports.append)
        assert [report.figures for report in reports if report.figures in solution.trace] == list(solution.trace)
        assert [row["step"] for row in solution.trace] == list(range(len(solution.trace)))
        for name in ("seconds", "evaluations"):
            values = [row[name] for row in solution.trace]
            assert values == sorted(values)
        found = [row["value"] for row in solution.trace if row["value"] is not None]
        assert found == sorted(found, reverse=True)
        assert not found or found[-1] >= solution.value

    def test_the_callback_stops_it_and_the_best_design_is_kept(self, strategy: str) -> None:
        problem = chain(4, layers=8)
        solution = solve(problem, strategy, progress=lambda row: True)
        assert solution.status == "stopped"
        assert solution.value == float(problem.value(solution.design))

    def test_ctrl_c_keeps_the_best_design(self, strategy: str) -> None:
        problem = chain(4, layers=8)
        seen: list[Progress] = []

        def interrupt(progress: Progress) -> None:
            seen.append(progress)
            if len(seen) == 3:
                raise KeyboardInterrupt

        solution = solve(problem, strategy, progress=interrupt)
        assert solution.status == "interrupted"
        assert solution.value == float(problem.value(solution.design))
        if seen[-1].figures["value"] is not None and solution.feasible:
            assert solution.value <= seen[-1].figures["value"]

    def test_it_goes_on_from_where_it_stopped(self, strategy: str) -> None:
        problem = chain(5, layers=8)
        best = solve(problem, "exact")
        early = solve(problem, strategy, evaluations=200)
        later = solve(problem, strategy, seed=1, evaluations=self.budget, start=early.design)
        assert not early.feasible or later.value <= early.value
        # The best design stays, even where there is no time to find another.
        kept = solve(problem, strategy, evaluations=1, start=best.design)
        assert kept.value == best.value
        assert np.array_equal(kept.design, best.design)

    def test_impossible_budgets(self, strategy: str) -> None:
        tight = dataclasses.replace(chain(1), at_most={"area": 1e-3}, at_least={})
        with pytest.raises(InfeasibleError, match=r"area budget 0\.001: the smallest design needs"):
            solve(tight, strategy, evaluations=self.budget)

    def test_budgets_that_only_together_are_impossible(self, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("xpert.solver.evolution.GENERATIONS", 5)
        problem = chain(1)
        least = solve(dataclasses.replace(problem, minimize=("area",), at_most={}), "exact").value
        tight = dataclasses.replace(problem, at_most={"area": 0.99 * least})
        with pytest.raises(InfeasibleError, match=r"the smallest design with capacity at least 4\.8 needs"):
            solve(tight, strategy)

    def test_arguments_out_of_range(self, strategy: str) -> None:
        for wrong in ({"seed": -1}, {"seconds": -1.0}, {"seconds": float("nan")}, {"evaluations": 0}):
            (name,) = wrong
            with pytest.raises(ConfigError, match=f"{name}: must be"):
                solve(chain(0), strategy, **wrong)


@pytest.mark.parametrize("strategy", HEURISTICS)
def test_heuristics_find_the_optimum_of_small_problems(
    random_problem: Callable[..., Problem], brute_force: Callable[[Problem], float], strategy: str
) -> None:
    problems = [random_problem(seed, max_layers=3) for seed in range(8)]
    best = [brute_force(problem) for problem in problems]
    feasible = [(problem, value) for problem, value in zip(problems, best) if np.isfinite(value)]
    assert len(feasible) >= 2
    for problem, value in feasible[:2]:
        assert solve(problem, strategy, evaluations=10_000).value == pytest.approx(value, rel=1e-11)


def last_of_some(problem: Problem, record: Record, seed: int) -> None:
    """A strategy from outside: random designs, one after the other."""
    for design in problem.random_designs(500, np.random.default_rng(seed)):
        record.price(design[None])
    record.step()


def test_a_strategy_from_outside_is_one_of_them(
    monkeypatch: pytest.MonkeyPatch, random_problem: Callable[..., Problem], brute_force: Callable[[Problem], float]
) -> None:
    monkeypatch.setattr(STRATEGIES, "_added", {})
    STRATEGIES.register(last_of_some, "last_of_some")
    assert STRATEGIES.names()[-1] == "last_of_some"
    problem = random_problem(4, max_layers=2)
    found = solve(problem, "last_of_some")
    assert found.strategy == "last_of_some"
    assert found.value == pytest.approx(brute_force(problem), rel=1e-11)
    assert found.evaluations == 500
    with pytest.raises(ConfigError, match="strategy: the name 'last_of_some' is taken"):
        STRATEGIES.register(STRATEGIES.find("random"), "last_of_some")


@pytest.mark.usefixtures("own_entries")
def test_installed_packages_bring_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("other_random", "xpert.solver.random:random", STRATEGIES.group),
        EntryPoint("broken", "xpert.solver.random:none", STRATEGIES.group),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])
    problem = chain(2)
    own, other = (solve(problem, name, evaluations=2000) for name in ("random", "other_random"))
    assert other.value == own.value
    assert np.array_equal(other.design, own.design)
    with pytest.raises(
        ConfigError, match=r"strategy: xpert\.solver\.random:none of xpert\.strategies cannot be loaded"
    ):
        solve(problem, "broken")


def test_unknown_strategy() -> None:
    with pytest.raises(ConfigError, match="strategy: must be one of exact"):
        solve(chain(0), "luck")


def test_without_pymoo_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pymoo"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="pymoo")
        return plain(name, *arguments)

    monkeypatch.delitem(sys.modules, "xpert.solver.evolution", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs the package pymoo .*: pip install 'xpert-imc\[search\]'"):
        solve(chain(0), "evolution")


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("xpert-area50-macs50", "gradient"), ("random-1-edap", "gradient"), ("xpert-window", "evolution")],
)
def test_heuristics_come_within_a_percent(shared: Path, name: str, strategy: str) -> None:
    path = shared / "reference" / "problems" / f"{name}.json"
    optimum = json.loads(path.read_text())["optimum"]["value"]
    assert optimum * (1 - 1e-9) <= solve(load_problem(path), strategy, seed=3).value <= 1.01 * optimum


@pytest.mark.parametrize("strategy", ["gradient", "evolution"])
def test_heuristics_come_within_a_percent_where_few_designs_keep_the_budgets(shared: Path, strategy: str) -> None:
    problem = load_problem(shared / "reference" / "problems" / "xpert-area50-weights25.json")
    weights = 2 * problem.at_least["weights"]
    tight = dataclasses.replace(problem, at_most={"area": 20e6}, at_least={"weights": weights})
    best = solve(tight, "exact").value
    assert best * (1 - 1e-9) <= solve(tight, strategy, seed=1).value <= 1.01 * best


def test_large_neighbourhoods_lead_out_of_where_coordinate_descent_ends(shared: Path) -> None:
    problem = load_problem(shared / "reference" / "problems" / "xpert-area50-macs50.json")
    tight = dataclasses.replace(problem, at_most={"area": 10e6})
    best = solve(tight, "exact").value
    start = next(
        design
        for seed in range(20)
        if tight.feasible(
            design := polish(tight, Record(tight), tight.random_designs(1, np.random.default_rng(seed))[0])
        )
    )
    assert float(tight.value(start)) > 1.02 * best
    record = Record(tight)
    record.price(start[None])
    revise(tight, record, [start], np.random.default_rng(0))
    assert best * (1 - 1e-9) <= record.upper_bound <= 1.01 * best


def test_the_part_of_a_graph_near_a_design_is_the_designs_near_it(
    random_problem: Callable[..., Problem], every_design: Callable[[Problem], np.ndarray]
) -> None:
    for seed in range(20):
        problem = dataclasses.replace(random_problem(seed, max_layers=3), coupled={})  # of which a graph holds the sum
        generator = np.random.default_rng(seed)
        design = problem.random_designs(1, generator)[0]
        free = generator.choice(len(problem.layers), min(2, len(problem.layers)), replace=False)
        near = every_design(problem)
        for layer, tie in enumerate(problem.ties):
            near = near[(near[:, layer, 1] == design[layer, 1]) | (layer in free)]
            near = near[(near[:, layer, 0] == design[layer, 0]) | (tie in free)]
        stages = make_graph(problem).stages(design, free)
        for dim, (name, sign) in enumerate(zip(stages.quantities, stages.signs)):
            unit = np.eye(len(stages.limits))[dim : dim + 1]
            least = stages.start[dim] + complete(stages, unit, stages.unlimited)[0][0, 0, 0]
            totals = sign * problem.totals(near)[name]
            assert least == pytest.approx(float(np.where(np.isfinite(totals), totals, np.inf).min()))


def test_neighbours_are_priced_as_designs_are(random_problem: Callable[..., Problem]) -> None:
    for seed in range(30):
        problem = random_problem(seed)
        generator = np.random.default_rng(seed)
        design = problem.random_designs(1, generator)[0]
        move = tuple(map(int, generator.choice(len(problem.layers), min(2, len(problem.layers)), replace=False)))
        totals = neighbour_totals(problem, design, move)
        for index in np.ndindex(totals.shape[:-1]):
            other = design.copy()
            for layer, width, option in zip(move, index[::2], index[1::2]):
                other[problem.ties[layer], 0], other[layer, 1] = width, option
            assert totals[index] == pytest.approx(problem.active_totals(other))
