"""Exact search: against brute force, against a MILP solver, and against published optima."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from xpert.errors import ConfigError, InfeasibleError
from xpert.solver.bounds import Cover, HalfSpace, Relaxation
from xpert.solver.exact import bound_below, find_feasible, lower_bound
from xpert.solver.graph import build_stages, make_resource, undominated, useful_options
from xpert.solver.labels import LabelSearch
from xpert.solver.problem import Choices, Problem, load_problem
from xpert.solver.solution import Record, Solution, StopSearch
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
    slack = 1e-11 * max(1.0, abs(best))
    assert lower_bound(problem, feasible[0]) <= best + slack
    value, totals = float(problem.value(feasible[0])), problem.totals(feasible[0])
    named = {name: float(totals[name]) for name in problem.minimize}
    assert bound_below(problem, value, named) <= best + slack


def with_a_binding_budget(problem: Problem) -> Problem:
    """A budget equal to some design's own figure, from both sides where it can be."""
    design = problem.random_designs(50, np.random.default_rng(0))
    design = design[problem.feasible(design)]
    assume(len(design))
    names = [name for name in problem.quantities if name not in problem.coupled]
    assume(names)
    figure = float(problem.totals(design[0])[names[0]])
    return dataclasses.replace(
        problem, at_most=problem.at_most | {names[0]: figure}, at_least=problem.at_least | {names[0]: figure}
    )


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.5, 2.0))
def test_a_bound_without_a_design_is_one_whether_there_are_designs_or_not(
    random_problem: MakeProblem, brute_force: BruteForce, seed: int, factor: float
) -> None:
    problem = random_problem(seed, max_layers=4)
    designs = problem.random_designs(50, np.random.default_rng(0))
    designs = designs[np.isfinite(problem.value(designs))]
    assume(len(designs))
    totals = {name: float(value) * factor for name, value in problem.totals(designs[0]).items()}
    value = float(np.prod([totals[name] for name in problem.minimize]))
    assume(value > 0)
    try:
        bound = bound_below(problem, value, {name: totals[name] for name in problem.minimize})
    except (InfeasibleError, ConfigError):
        return
    assert bound <= min(value, brute_force(problem)) + 1e-11 * max(1.0, value)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_a_budget_that_binds_exactly_from_both_sides(
    random_problem: MakeProblem, brute_force: BruteForce, seed: int
) -> None:
    problem = with_a_binding_budget(random_problem(seed, max_layers=4))
    solution = solve(problem, "exact")
    assert solution.value == pytest.approx(brute_force(problem), rel=1e-11, abs=1e-11)
    assert solution.gap == pytest.approx(0.0, abs=1e-11)


@pytest.mark.parametrize("minimize", [("x",), ("x", "y"), ("x", "y", "z"), ("x", "x", "y")])
def test_a_single_layer_and_identical_options(minimize: tuple[str, ...]) -> None:
    generator = np.random.default_rng(0)
    row = generator.lognormal(size=(3, 1, 1, 4))
    costs = {name: (np.tile(part, (1, 1, 3)),) for name, part in zip("xyz", row)}  # every option three times
    problem = Problem((Choices("only", (1,), tuple(range(12))),), costs, minimize)
    designs = np.stack([np.zeros((12, 1), dtype=np.int64), np.arange(12)[:, None]], axis=-1)
    solution = solve(problem, "exact")
    assert solution.value == problem.value(designs).min()
    assert solution.gap == 0.0


@pytest.mark.parametrize("minimize", [("latency",), ("energy", "latency"), ("energy", "latency", "area")])
@pytest.mark.parametrize("ties", [False, True], ids=["chain", "residual"])
def test_cp_sat_agrees_on_integer_problems(ties: bool, minimize: tuple[str, ...]) -> None:
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    generator = np.random.default_rng(len(minimize))
    inputs, leaders = ((-1, 0, 1, 0, 2), (0, 1, 0, 3, 3)) if ties else ((-1, 0, 1, 2, 3), (0, 1, 2, 3, 4))
    shapes = [(1 if source < 0 else 3, 3, 5) for source in inputs]
    names = ("energy", "latency", "area", "units")
    problem = Problem(
        tuple(Choices(f"layer{n}", (8, 16, 32), tuple("abcde")) for n in range(5)),
        {name: tuple(generator.integers(1, 12, shape).astype(float) for shape in shapes) for name in names},
        minimize,
        at_most={"area": 26.0},
        at_least={"units": 32.0},
        inputs=inputs,
        ties=leaders,
    )
    solution = solve(problem, "exact")
    assert solution.gap == pytest.approx(0.0, abs=1e-11)
    assert solution.value == cp_sat_optimum(problem, cp_model)


def cp_sat_optimum(problem: Problem, cp_model: Any) -> float:
    """The optimum of an integer problem as CP-SAT finds it."""
    model = cp_model.CpModel()
    widths = [[model.new_bool_var("") for _ in layer.widths] for layer in problem.layers]
    sums: dict[str, list[Any]] = {name: [] for name in problem.quantities}
    for layer, (source, tie) in enumerate(zip(problem.inputs, problem.ties)):
        model.add_exactly_one(widths[layer])
        entries = {place: model.new_bool_var("") for place in np.ndindex(problem.shape(layer))}
        model.add_exactly_one(entries.values())
        for (entering, width, option), chosen in entries.items():
            model.add_implication(chosen, widths[tie][width])
            if source >= 0:
                model.add_implication(chosen, widths[problem.ties[source]][entering])
            for name, tables in problem.costs.items():
                sums[name].append(int(tables[layer][entering, width, option]) * chosen)
    totals = {}
    for name, parts in sums.items():
        totals[name] = model.new_int_var(0, 60, name)
        model.add(totals[name] == sum(parts))
    for name, bound in problem.at_most.items():
        model.add(totals[name] <= int(bound))
    for name, bound in problem.at_least.items():
        model.add(totals[name] >= int(bound))
    objective = totals[problem.minimize[0]]
    for name in problem.minimize[1:]:
        product = model.new_int_var(0, 60**3, "")
        model.add_multiplication_equality(product, [objective, totals[name]])
        objective = product
    model.minimize(objective)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return solver.objective_value


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from([8, 64, 4096]))
def test_bounds_in_any_direction_hold_for_all_designs_and_are_tighter_where_a_budget_is_counted(
    random_problem: MakeProblem,
    every_design: Callable[[Problem], np.ndarray],
    seed: int,
    which: int,
    bins: int,
) -> None:
    problem = dataclasses.replace(random_problem(seed, max_layers=4), coupled={})
    stages = build_stages(problem)
    designs = every_design(problem)
    designs = designs[problem.feasible(designs)]
    assume(len(designs) and len(stages.bounded))
    outcomes = np.array([stages.outcome(problem, design) for design in designs])
    weights = np.zeros(len(stages.limits))
    weights[stages.factors] = np.random.default_rng(seed).exponential(size=len(stages.factors))
    least = float((outcomes @ weights).min())
    slack = 1e-9 * max(1.0, float(np.abs(outcomes @ weights).max()))
    relaxation = Relaxation(stages, stages.unlimited)
    prices, plain = relaxation.dual(weights, Record(problem))
    assert (prices >= 0).all()
    assert plain <= least + slack
    resource = make_resource(stages, int(stages.bounded[which % len(stages.bounded)]), bins)
    if resource is not None:
        again, counted = relaxation.counting(resource).dual(weights, Record(problem), first=prices)
        assert plain - slack <= counted <= least + slack
        whole, found = LabelSearch(stages, Record(problem)).run(
            relaxation.counting(resource), weights, again, lambda: np.inf
        )
        assert whole
        assert found == pytest.approx(least, rel=1e-9, abs=slack)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_a_cover_bounds_every_outcome_and_gets_better(seed: int, factors: int) -> None:
    generator = np.random.default_rng(seed)
    powers = generator.integers(1, 3, factors).astype(float)
    outcomes = generator.lognormal(sigma=0.7, size=(60, factors))
    products = (outcomes**powers).prod(axis=1)
    gradients = powers / outcomes
    share = float((gradients / gradients.sum(axis=1, keepdims=True)).min())
    cover = Cover(powers, np.ones(factors), 0.99 * share)

    def add(weights: np.ndarray) -> int:
        cover.spaces.append(HalfSpace(weights, np.zeros(factors), float((outcomes @ weights).min())))
        return len(cover.spaces) - 1

    cover.push(0.0, tuple(add(corner) for corner in cover.corners))
    before = 0.0
    for _ in range(60):
        bound, cell = cover.worst()
        assert before * (1 - 1e-12) <= bound <= products.min() * (1 + 1e-12)
        before = bound
        # What a cell says holds for the outcomes whose gradient is in it; and every gradient is in some cell.
        found = np.zeros(len(outcomes), dtype=bool)
        for cell_bound, _, corners in cover.cells:
            weights = np.array([cover.spaces[index].weights for index in corners])
            inside = (np.linalg.solve(weights.T, gradients.T) >= -1e-9).all(axis=0)
            assert (products[inside] >= cell_bound * (1 - 1e-9)).all()
            found |= inside
        assert found.all()
        one, other = cover.longest(cell)
        middle, weights = cover.middle(one, other)
        cover.halve(cell, one, other, add(weights) if middle is None else middle)
    assert before >= (0.8 if factors < 4 else 0.1) * products.min()


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_what_a_cell_needs_is_enough(seed: int, factors: int) -> None:
    generator = np.random.default_rng(seed)
    cover = Cover(np.ones(factors), np.ones(factors), 0.05)
    for corner in cover.corners:
        cover.spaces.append(HalfSpace(corner, np.zeros(factors), float(corner.sum() * generator.uniform(0.5, 1.0))))
    cell = tuple(range(factors))
    needed = cover.needed(cell, 2.0)
    assert cover.bound(cell, needed)[0] >= 2.0 * (1 - 1e-12)
    assert cover.bound(cell, 0.99 * needed)[0] < 2.0


@pytest.mark.parametrize("strategy", ["exact", "gradient", "evolution", "random"])
@pytest.mark.parametrize("minimize", [("latency",), ("energy", "latency", "area")])
def test_stopped_early_it_keeps_its_time_and_has_a_bound(strategy: str, minimize: tuple[str, ...]) -> None:
    problem = dataclasses.replace(chain_of_many_options(30, 60), minimize=minimize)
    optimum = optimum_of_chain(minimize)
    assert optimum.gap == 0.0
    for seconds in (0.05, 0.4):
        start = time.process_time()
        solution = solve(problem, strategy, seconds=seconds)
        assert time.process_time() - start < seconds + 0.4
        assert solution.seconds < seconds + 0.4
        assert solution.value >= optimum.value * (1 - 1e-12) or not solution.feasible
        if solution.feasible:
            assert solution.lower_bound is not None
            assert 0 < solution.lower_bound <= optimum.value * (1 + 1e-12)


@functools.cache
def optimum_of_chain(minimize: tuple[str, ...]) -> Solution:
    return solve(dataclasses.replace(chain_of_many_options(30, 60), minimize=minimize), "exact")


@functools.cache
def chain_of_many_options(layers: int, options: int) -> Problem:
    """A chain in which fast options are large and wide layers cost more, under budgets on area and on weights."""
    generator = np.random.default_rng(1)
    wide = 2.0 ** np.arange(3)
    shapes = [(1 if layer == 0 else 3, 3, options) for layer in range(layers)]
    speed = [generator.lognormal(0, 0.8, options) for _ in shapes]
    costs = {
        name: tuple(
            generator.lognormal(0, 0.3, shape) * fast**power * wide[None, :, None] ** 0.8
            for shape, fast in zip(shapes, speed)
        )
        for name, power in (("energy", 0.3), ("latency", -1.0), ("area", 1.0))
    }
    costs["weights"] = tuple(
        np.broadcast_to(
            (np.array([3.0]) if shape[0] == 1 else 16 * wide)[:, None, None] * 16 * wide[None, :, None], shape
        )
        for shape in shapes
    )
    names = tuple(Choices(f"layer{n}", (16, 32, 64), tuple(range(options))) for n in range(layers))
    problem = Problem(names, costs, ("latency",))
    totals = problem.totals(problem.random_designs(1000, generator))
    return dataclasses.replace(
        problem,
        at_most={"area": float(np.quantile(totals["area"], 0.25))},
        at_least={"weights": float(np.quantile(totals["weights"], 0.6))},
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_milp_solver_agrees_on_many_options(seed: int) -> None:
    problem = chain_of_many_options(8 + seed, 20)
    assert solve(problem, "exact").value == pytest.approx(milp_optimum(problem), rel=1e-6)


def test_products_are_those_of_all_designs_with_many_options() -> None:
    problem = dataclasses.replace(chain_of_many_options(3, 12), minimize=("energy", "latency", "area"))
    widths = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    options = np.stack(np.meshgrid(*[range(12)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    designs = np.stack([np.repeat(widths, len(options), axis=0), np.tile(options, (len(widths), 1))], axis=-1)
    best = float(np.where(problem.feasible(designs), problem.value(designs), np.inf).min())
    solution = solve(problem, "exact")
    assert solution.value == pytest.approx(best, rel=1e-12)
    assert solution.gap == 0.0


def test_a_proof_that_is_stopped_may_know_already_that_a_budget_cannot_be_kept() -> None:
    problem = chain_of_many_options(12, 20)
    least = solve(dataclasses.replace(problem, minimize=("area",), at_most={}), "exact").value
    tight = dataclasses.replace(problem, at_most={"area": 0.9 * least})
    said = []
    for evaluations in range(100, 3000, 100):
        try:
            find_feasible(tight, Record(tight, evaluations=evaluations))
        except StopSearch:
            assert not said  # with more time it does not know less
        except InfeasibleError as error:
            said.append(str(error))
    assert f"area budget {0.9 * least:.6g}: the smallest design" in said[0]
    assert said[0].endswith("or more")
    with pytest.raises(InfeasibleError, match=f"needs {least:.6g}$"):
        find_feasible(tight, Record(tight))


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
