"""Pipelined problems: ranges of periods against trying everything."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest

from xpert.errors import InfeasibleError
from xpert.search.context import Effort, solve_tables
from xpert.search.objectives import Budgets, Goal
from xpert.search.period import PipelinedProblem, solve_pipelined
from xpert.solver.problem import Choices
from xpert.solver.strategies import solve

LAYERS, OPTIONS = 4, 5


def problem(seed: int) -> PipelinedProblem:
    """A chain of layers with one width; costs drawn, faster options larger."""
    draw = np.random.default_rng(seed)
    latency = draw.integers(1, 9, (LAYERS, OPTIONS)) * 1.0
    tables = {
        "area": draw.uniform(0.5, 1.5, (LAYERS, OPTIONS)) + 4 / latency,
        "latency": latency,
        "energy": draw.uniform(1, 2, (LAYERS, OPTIONS)),
        "leakage": draw.uniform(0.1, 0.5, (LAYERS, OPTIONS)),
    }
    return PipelinedProblem(
        layers=tuple(Choices(str(k), (1,), tuple(map(str, range(OPTIONS)))) for k in range(LAYERS)),
        costs={name: tuple(row[None, None] for row in table) for name, table in tables.items()},
        minimize=("energy", "latency", "area"),
        constants={"area": 1.0, "leakage": 0.3},
    )


def totals(posed: PipelinedProblem) -> dict[str, np.ndarray]:
    """Of all designs."""
    chosen = np.array(list(itertools.product(range(OPTIONS), repeat=LAYERS)))
    rows = {name: np.stack([np.ravel(table) for table in tables]) for name, tables in posed.costs.items()}
    taken = {name: table[np.arange(LAYERS), chosen] for name, table in rows.items()}
    latency = taken["latency"].max(axis=1)
    power = posed.constants["leakage"] + taken["leakage"].sum(axis=1)
    energy = taken["energy"].sum(axis=1) + power * latency
    area = posed.constants["area"] + taken["area"].sum(axis=1)
    return {"area": area, "latency": latency, "energy": energy, "power": 1e3 * energy / latency}


FACTORS = {"throughput": ("latency",), "edap": ("energy", "latency", "area"), "edp": ("energy", "latency")}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objective", ["throughput", "edap", "energy", "area", "edp"])
def test_the_best_of_all_designs_is_proven(seed: int, objective: str) -> None:
    posed = problem(seed)
    figures = totals(posed)
    draw = np.random.default_rng(100 + seed)
    limits = {name: float(np.quantile(figures[name], draw.uniform(0.3, 0.9))) for name in figures}
    names = {"area": "area_mm2", "latency": "latency_us", "energy": "energy_uj", "power": "power_mw"}
    for budgeted in ((), ("area",), ("latency", "energy"), ("power",), ("area", "power")):
        kept = np.all([figures[name] <= limits[name] for name in budgeted] or [np.ones(OPTIONS**LAYERS, bool)], axis=0)
        values = np.prod([figures[name] for name in FACTORS.get(objective, (objective,))], axis=0)
        goal = Goal(objective, Budgets(**{names[name]: limits[name] for name in budgeted}))
        area = {"area": limits["area"]} if "area" in budgeted else {}
        asked = PipelinedProblem(
            posed.layers, posed.costs, posed.minimize, at_most=area, constants=posed.constants, name="asked"
        )
        if not kept.any():
            with pytest.raises(InfeasibleError):
                solve_tables(asked, goal, Effort())
            continue
        found = solve_tables(asked, goal, Effort())
        assert found.feasible
        assert found.value == pytest.approx(values[kept].min(), rel=1e-9)
        assert found.lower_bound == pytest.approx(found.value, rel=1e-9)
        place = int(np.ravel_multi_index(tuple(found.design[:, 1]), (OPTIONS,) * LAYERS))
        assert kept[place]
        for name in ("area", "latency", "energy"):
            assert found.totals[name] == pytest.approx(figures[name][place], rel=1e-12)


def test_the_fastest_design_has_no_copies_that_wait() -> None:
    """Of the designs with the least period the smallest."""
    posed = problem(1)
    figures = totals(posed)
    found = solve_tables(posed, Goal("throughput"), Effort())
    fastest = figures["latency"] == figures["latency"].min()
    assert found.totals["area"] == pytest.approx(figures["area"][fastest].min(), rel=1e-12)


def test_a_bound_holds_whenever_the_search_stops() -> None:
    posed = problem(2)
    figures = totals(posed)
    best = np.min(figures["area"] * figures["energy"] * figures["latency"])
    for seconds in (0.0, 0.002, 0.01):
        found = solve_pipelined(posed, Goal("edap"), solve, seconds=seconds)
        assert found.value >= best * (1 - 1e-9)
        assert found.lower_bound is None or found.lower_bound <= best * (1 + 1e-9)
    for strategy in ("gradient", "evolution", "random"):
        given = solve_pipelined(posed, Goal("edap"), partial(solve, strategy=strategy, evaluations=300), seconds=None)
        assert given.value >= best * (1 - 1e-9)
        assert given.lower_bound is None or given.lower_bound <= best * (1 + 1e-9)


def test_a_period_that_no_layer_keeps() -> None:
    posed = problem(3)
    least = max(float(np.min(table)) for table in posed.costs["latency"])
    with pytest.raises(InfeasibleError, match=f"some layer takes {least:g} us"):
        solve_tables(posed, Goal("area", Budgets(latency_us=least / 2)), Effort())
    assert math.isclose(solve_tables(posed, Goal("area", Budgets(latency_us=least)), Effort()).totals["latency"], least)


def test_a_start_may_be_too_slow_for_a_range() -> None:
    posed = problem(4)
    slowest = np.array([[0, int(np.argmax(np.ravel(table)))] for table in posed.costs["latency"]])
    free = solve_tables(posed, Goal("throughput"), Effort())
    begun = solve_tables(posed, Goal("throughput"), Effort(), start=slowest)
    assert (begun.value, begun.lower_bound) == (free.value, free.lower_bound)
    assert solve_tables(posed, Goal("edap"), Effort(), start=free.design).value <= math.prod(
        free.totals[name] for name in ("area", "energy", "latency")
    )
