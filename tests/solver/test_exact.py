"""Exact search: against brute force, against a MILP solver, and against published optima."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from xpert.errors import ConfigError, InfeasibleError
from xpert.solver.bounds import Proof
from xpert.solver.exact import lower_bound, outcome
from xpert.solver.graph import build_stages, complete, make_resource, undominated, useful_options
from xpert.solver.problem import Choices, Problem, load_problem
from xpert.solver.solution import Record
from xpert.solver.strategies import solve

MakeProblem = Callable[..., Problem]
BruteForce = Callable[[Problem], float]

PUBLISHED = [
    *(f"random-{number}-{objective}" for number in (1, 2) for objective in ("energy", "edp", "edap")),
    *("xpert-area50", "xpert-area50-macs50", "xpert-area50-weights25", "xpert-window"),
]


def milp_optimum(problem: Problem) -> float:
    """The optimum of an additive problem as HiGHS finds it; infinite if there is none.

    One binary for every entry of every layer's table, and one for every width of every decision. The entries of a
    layer that leave (enter) a width add up to the width's binary.
    """
    (quantity,) = problem.minimize
    count = len(problem.layers)
    sizes = [np.prod(problem.shape(layer)) for layer in range(count)]
    starts = np.cumsum([0, *sizes])
    width_starts = starts[-1] + np.cumsum([0, *(len(layer.widths) for layer in problem.layers)])
    total = int(width_starts[-1])
    rows: list[tuple[np.ndarray, np.ndarray, float, float]] = []  # columns, coefficients, lower, upper
    upper = np.ones(total)
    for layer in range(count):
        shape = problem.shape(layer)
        index = starts[layer] + np.arange(sizes[layer]).reshape(shape)
        upper[index[~np.isfinite(problem.costs[quantity][layer])]] = 0.0
        sides = [(index.transpose(1, 0, 2), problem.ties[layer])]
        if problem.inputs[layer] >= 0:
            sides.append((index, problem.ties[problem.inputs[layer]]))
        for side, decision in sides:
            for width, entries in enumerate(side):
                columns = np.append(entries.ravel(), width_starts[decision] + width)
                rows.append((columns, np.append(np.ones(entries.size), -1.0), 0.0, 0.0))
        rows.append((index.ravel(), np.ones(index.size), 1.0, 1.0))
    for sign, budgets in ((1, problem.at_most), (-1, problem.at_least)):
        for name, bound in budgets.items():
            costs = np.concatenate([table.ravel() for table in problem.costs[name]])
            left = bound - problem.constants.get(name, 0.0)
            limits = (-np.inf, left) if sign > 0 else (left, np.inf)
            rows.append((np.arange(starts[-1]), np.where(np.isfinite(costs), costs, 0.0), *limits))
    places = np.concatenate([np.full(len(columns), row) for row, (columns, *_) in enumerate(rows)])
    matrix = coo_array(
        (np.concatenate([row[1] for row in rows]), (places, np.concatenate([row[0] for row in rows]))),
        shape=(len(rows), total),
    )
    objective = np.zeros(total)
    objective[: starts[-1]] = np.concatenate([table.ravel() for table in problem.costs[quantity]])
    result = milp(
        np.where(np.isfinite(objective), objective, 0.0),
        integrality=np.ones(total),
        bounds=Bounds(0.0, upper),
        constraints=LinearConstraint(matrix.tocsr(), [row[2] for row in rows], [row[3] for row in rows]),
        options={"mip_rel_gap": 0.0},
    )
    assert result.status in {0, 2}, result.message
    return float(result.fun) + problem.constants.get(quantity, 0.0) if result.status == 0 else np.inf


def larger_problem(seed: int, ties: bool) -> Problem:
    """A chain of ten layers, or a network of residual blocks with a projection; beyond brute force."""
    generator = np.random.default_rng(seed)
    widths = (8, 16, 32)
    if ties:  # a stem, a block with an identity shortcut, a block with a projection, a classifier
        names = ("stem", "1a", "1b", "2a", "2b", "skip", "last")
        inputs, leaders = (-1, 0, 1, 2, 3, 2, 4), (0, 1, 0, 3, 4, 4, 6)
    else:
        names = tuple(f"layer{n}" for n in range(10))
        inputs, leaders = tuple(range(-1, 9)), tuple(range(10))
    layers = tuple(Choices(name, widths, tuple("abcdef")) for name in names)
    shapes = [(1 if source < 0 else 3, 3, 6) for source in inputs]
    scale = np.array(widths)[None, :, None] / 8
    costs = {
        "energy": tuple(generator.lognormal(size=shape) * scale**0.5 for shape in shapes),
        "area": tuple(generator.lognormal(size=shape) * scale for shape in shapes),
        "capacity": tuple(np.broadcast_to(scale * generator.integers(1, 5), shape).copy() for shape in shapes),
    }
    problem = Problem(layers, costs, ("energy",), inputs=inputs, ties=leaders)
    totals = problem.totals(problem.random_designs(500, generator))
    return dataclasses.replace(
        problem,
        at_most={"area": float(np.quantile(totals["area"], 0.1))},
        at_least={"capacity": float(np.quantile(totals["capacity"], 0.6))},
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_it_is_brute_force(random_problem: MakeProblem, brute_force: BruteForce, seed: int) -> None:
    problem = random_problem(seed, max_layers=4)
    best = brute_force(problem)
    if np.isinf(best):
        with pytest.raises(InfeasibleError):
            solve(problem, "exact")
        return
    solution = solve(problem, "exact")
    assert solution.feasible
    assert bool(problem.feasible(solution.design))
    assert solution.value == pytest.approx(best, rel=1e-11, abs=1e-11)
    assert solution.gap == pytest.approx(0.0, abs=1e-11)


@pytest.mark.parametrize("ties", [False, True], ids=["chain", "residual"])
@pytest.mark.parametrize("seed", range(4))
def test_a_milp_solver_agrees(seed: int, ties: bool) -> None:
    problem = larger_problem(seed, ties)
    solution = solve(problem, "exact")
    assert solution.value == pytest.approx(milp_optimum(problem), rel=1e-6)  # HiGHS' own feasibility tolerance
    assert solution.gap == 0.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_optima(shared: Path, name: str) -> None:
    path = shared / "reference" / "problems" / f"{name}.json"
    solution = solve(load_problem(path), "exact")
    assert solution.value == pytest.approx(json.loads(path.read_text())["optimum"]["value"], rel=1e-9)
    assert solution.gap == 0.0


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 400))
def test_a_certificate_is_honest_wherever_the_search_was_stopped(
    random_problem: MakeProblem, brute_force: BruteForce, seed: int, evaluations: int
) -> None:
    problem = random_problem(seed, max_layers=4)
    best = brute_force(problem)
    assume(np.isfinite(best))
    solution = solve(problem, "exact", evaluations=evaluations)
    slack = 1e-11 * max(1.0, abs(best))
    if not solution.feasible:
        assert solution.lower_bound is None
        return
    assert solution.value >= best - slack
    if solution.lower_bound is not None:
        assert solution.gap is not None
        assert solution.lower_bound <= best + slack
        assert solution.gap > 1e-11 or solution.value <= best + slack
    assert solution.status == "evaluations" or solution.value <= best + slack


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_bound_for_heuristics_is_below_the_optimum(
    random_problem: MakeProblem, brute_force: BruteForce, seed: int
) -> None:
    problem = random_problem(seed, max_layers=4)
    best = brute_force(problem)
    assume(np.isfinite(best))
    designs = problem.random_designs(2000, np.random.default_rng(0))
    feasible = designs[problem.feasible(designs)]
    assume(len(feasible))
    assert lower_bound(problem, feasible[0]) <= best + 1e-11 * max(1.0, abs(best))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_counting_a_budget_only_sharpens_the_bound(random_problem: MakeProblem, seed: int, which: int) -> None:
    problem = random_problem(seed, max_layers=4)
    stages = build_stages(problem)
    assume(len(stages.bounded))
    resource = make_resource(stages, int(stages.bounded[which % len(stages.bounded)]), 64)
    assume(resource is not None)
    assert resource is not None
    plain, counted = Proof(stages, stages.unlimited).root(), Proof(stages, resource).root()
    assert (counted[: len(stages.limits)] >= plain[: len(stages.limits)] - 1e-9).all()


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_cutting_planes_that_start_from_known_prices_end_no_lower(random_problem: MakeProblem, seed: int) -> None:
    problem = random_problem(seed, max_layers=4)
    stages = build_stages(problem)
    proof = Proof(stages, stages.unlimited)
    record = Record(problem)
    _, violation = record.price(problem.random_designs(200, np.random.default_rng(0)))
    assume(np.isfinite(violation).any())
    center = outcome(stages, problem, record.best)
    prices, least = proof.tangent(center, record)
    assume(np.isfinite(least))
    proof.lead(center, prices)
    for dim in stages.bounded:
        resource = make_resource(stages, int(dim), 64)
        if resource is not None:
            assert proof.tangent(center, record, resource=resource, first=prices)[1] >= least - 1e-9 * abs(least)


def test_directions_that_are_added_have_their_own_tables(random_problem: MakeProblem) -> None:
    problem = random_problem(4)
    stages = build_stages(problem)
    proof = Proof(stages, stages.unlimited)
    directions = np.random.default_rng(0).random((9, len(stages.limits)))
    for direction in directions:
        proof.add(direction)
    tables = complete(stages, directions, stages.unlimited)
    for table, expected in zip(proof.tables, tables):
        assert np.allclose(table[..., -9:], expected)
    assert np.allclose(proof.root()[-9:], directions @ stages.start + tables[0][0, 0])


def test_the_order_of_options_and_units_of_costs_do_not_matter(random_problem: MakeProblem) -> None:
    problem = random_problem(11, max_layers=4, budgets=False)
    value = solve(problem, "exact").value
    turned = {name: tuple(table[:, :, ::-1] for table in tables) for name, tables in problem.costs.items()}
    reversed_options = tuple(dataclasses.replace(layer, options=layer.options[::-1]) for layer in problem.layers)
    assert solve(dataclasses.replace(problem, layers=reversed_options, costs=turned), "exact").value == value
    first = problem.minimize[0]
    scaled = problem.costs | {first: tuple(1000 * table for table in problem.costs[first])}
    constants = {name: value * (1000 if name == first else 1) for name, value in problem.constants.items()}
    factor = 1000.0 ** problem.minimize.count(first)
    rescaled = dataclasses.replace(problem, costs=scaled, constants=constants)
    assert solve(rescaled, "exact").value == pytest.approx(factor * value, rel=1e-12)


def test_it_names_the_budget_that_cannot_be_kept_beside_the_others() -> None:
    layers = (Choices("one", (1,), ("small", "fast")),) * 2
    costs = {
        "area": (np.array([[[1.0, 3.0]]]),) * 2,
        "speed": (np.array([[[1.0, 4.0]]]),) * 2,
    }
    possible = Problem(layers, costs, ("area",), at_most={"area": 4.0}, at_least={"speed": 5.0}, units={"area": "mm2"})
    assert solve(possible, "exact").value == 4.0
    with pytest.raises(InfeasibleError) as caught:
        solve(dataclasses.replace(possible, at_least={"speed": 8.0}), "exact")
    assert str(caught.value) == ("problem: area budget 4 mm2: the smallest design with speed at least 8 needs 6 mm2")


def test_a_product_needs_positive_factors() -> None:
    layer = Choices("one", (1,), ("a",))
    costs = {"energy": (np.array([[[0.0]]]),), "latency": (np.array([[[1.0]]]),)}
    with pytest.raises(ConfigError, match="energy can be as low as 0; a product's factors are above 0"):
        solve(Problem((layer,), costs, ("energy", "latency")), "exact")


def test_too_many_widths_alive_at_once() -> None:
    widths = tuple(range(4))
    count = 20  # ten layers that read the image, and ten that read one of them each, first come last
    layers = tuple(Choices(f"layer{n}", widths, ("a",)) for n in range(count))
    inputs = (*[-1] * 10, *range(9, -1, -1))
    costs = {"x": tuple(np.ones((1 if source < 0 else 4, 4, 1)) for source in inputs)}
    with pytest.raises(ConfigError, match=r"layers\[8\]: 262144 combinations of widths are alive at once; at most"):
        solve(Problem(layers, costs, ("x",), inputs=inputs), "exact")


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 4), st.booleans())
def test_undominated_points(seed: int, count: int, dims: int, coarse: bool) -> None:
    generator = np.random.default_rng(seed)
    points = generator.integers(0, 4, (count, dims)).astype(float) if coarse else generator.random((count, dims))
    kept = undominated(points, block=8)
    for index, point in enumerate(points):
        beats = (points <= point).all(axis=1) & (points < point).any(axis=1)
        assert not kept[index] or not beats.any()
    left = points[kept]
    assert all((left <= point).all(axis=1).any() for point in points)
    assert len(np.unique(left, axis=0)) == len(left)


def test_useful_options_are_those_that_no_other_beats() -> None:
    random = np.random.default_rng(0)
    costs = random.integers(0, 4, (2, 3, 40, 4)).astype(float)
    costs[0, 0, :5] = np.inf
    useful = useful_options(costs)
    assert not useful[0, 0, :5].any()
    for place in np.ndindex(2, 3):
        own = costs[place]
        kept = own[useful[place]]
        assert len(np.unique(kept, axis=0)) == len(kept)
        assert all((kept <= row).all(axis=1).any() for row in own)
        for option in np.flatnonzero(useful[place]):
            others = np.delete(own, option, axis=0)
            assert not ((others <= own[option]).all(axis=1) & (others < own[option]).any(axis=1)).any()
