"""Random search problems of every kind, and the plain way to solve them, for all tests of the search."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from xpert.solver.problem import Choices, Problem

NAMES = ("energy", "latency", "area", "units")


def make_problem(seed: int, *, max_layers: int = 5, budgets: bool = True) -> Problem:
    """A small problem: a chain, a graph with skips, or one with tied widths; any objective; budgets that bite.

    Costs are real or integer, some negative where the objective allows it; some combinations are forbidden.
    """
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, max_layers + 1))
    kind = generator.integers(3)  # 0: chain, 1: any earlier layer feeds a layer, 2: and widths are tied
    widths = [int(generator.integers(1, 4)) for _ in range(count)]
    options = [int(generator.integers(1, 5)) for _ in range(count)]
    inputs, ties = list(range(-1, count - 1)), list(range(count))
    for layer in range(1, count):
        if kind > 0:
            inputs[layer] = int(generator.integers(-1, layer))
        leaders = [other for other in range(layer) if ties[other] == other]
        if kind == 2 and generator.random() < 0.4:
            ties[layer] = int(generator.choice(leaders))
            widths[layer] = widths[ties[layer]]
    names = NAMES[: generator.integers(1, 5)]
    factors = int(generator.integers(1, min(3, len(names)) + 1))
    minimize = tuple(map(str, generator.choice(names, factors, replace=generator.random() < 0.2)))
    integer = generator.random() < 0.4
    costs: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for name, layer in itertools.product(names, range(count)):
        shape = (1 if inputs[layer] < 0 else widths[inputs[layer]], widths[layer], options[layer])
        table = generator.integers(1, 7, shape).astype(float) if integer else generator.lognormal(size=shape)
        if generator.random() < 0.2 and (factors == 1 or name not in minimize):
            table -= 2.0
        costs[name].append(table)
    if generator.random() < 0.3:
        for table in costs[names[0]]:
            table[generator.random(table.shape) < 0.15] = np.inf
    problem = Problem(
        layers=tuple(
            Choices(f"layer{n}", tuple(range(w)), tuple("abcd"[:o])) for n, (w, o) in enumerate(zip(widths, options))
        ),
        costs={name: tuple(tables) for name, tables in costs.items()},
        minimize=minimize,
        inputs=tuple(inputs),
        ties=tuple(ties),
        constants={name: float(generator.exponential()) for name in names if generator.random() < 0.3},
        coupled=_coupled(names, costs, generator),
        name="random",
    )
    at_most, at_least = {}, {}
    totals = problem.totals(problem.random_designs(200, generator))
    for name in names if budgets else ():
        values = totals[name][np.isfinite(totals[name])]
        side = generator.random() if len(values) else 1.0
        if side < 0.35:
            at_most[name] = float(np.quantile(values, 0.6 * generator.random()))
        elif name in problem.coupled:  # no lower budget
            continue
        elif side < 0.6:
            at_least[name] = float(np.quantile(values, 0.4 + 0.6 * generator.random()))
        elif side < 0.75:
            start = 0.8 * generator.random()
            at_least[name] = float(np.quantile(values, start))
            at_most[name] = float(np.quantile(values, start + 0.2 * generator.random()))
    return dataclasses.replace(problem, at_most=at_most, at_least=at_least)


def _coupled(
    names: tuple[str, ...], costs: dict[str, list[np.ndarray]], generator: np.random.Generator
) -> dict[str, tuple[str, str, float]]:
    """Now and then the first quantity gets the product of two others, which may be the same one, or itself."""
    if generator.random() >= 0.25:
        return {}
    one, other = map(str, generator.choice(names, 2))
    least = {name: sum(float(table[np.isfinite(table)].min(initial=0.0)) for table in costs[name]) for name in names}
    return {names[0]: (one, other, 0.5 * least[other])} if least[one] >= 0 and least[other] >= 0 else {}


def all_designs(problem: Problem) -> np.ndarray:
    """Every design of a small problem."""
    free = [range(len(layer.widths) if problem.ties[n] == n else 1) for n, layer in enumerate(problem.layers)]
    widths = np.array(list(itertools.product(*free)))
    options = np.array(list(itertools.product(*[range(len(layer.options)) for layer in problem.layers])))
    designs = np.empty((len(widths), len(options), len(problem.layers), 2), dtype=np.int64)
    designs[..., 0], designs[..., 1] = widths[:, None], options[None]
    return problem.tied(designs.reshape(-1, len(problem.layers), 2))


def best_of_all(problem: Problem) -> float:
    """The best feasible value; infinite if there is none."""
    designs = all_designs(problem)
    return float(np.where(problem.feasible(designs), problem.value(designs), np.inf).min())


@pytest.fixture(scope="session")
def random_problem() -> Callable[..., Problem]:
    """Makes a small problem from a seed; see `make_problem`."""
    return make_problem


@pytest.fixture(scope="session")
def every_design() -> Callable[[Problem], np.ndarray]:
    """Lists all designs of a small problem."""
    return all_designs


@pytest.fixture(scope="session")
def brute_force() -> Callable[[Problem], float]:
    """Finds the best feasible value of a small problem by looking at all designs; infinite if there is none."""
    return best_of_all
