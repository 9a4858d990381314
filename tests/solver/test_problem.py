"""Tabulated problems: the arithmetic, the file format, and every way to get it wrong."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.errors import ConfigError, XpertError
from xpert.solver.problem import Choices, Problem, load_problem, problem_from_dict, problem_to_dict, save_problem

TWO_LAYERS: dict[str, Any] = {
    "name": "two",
    "minimize": ["energy", "latency"],
    "at_most": {"area": 5.0},
    "at_least": {"latency": 1.0},
    "layers": [
        {"name": "first", "widths": [8, 16], "options": ["sar"]},
        {"name": "second", "widths": [10], "options": ["sar", "flash"]},
    ],
    "costs": {
        "energy": [[[[1.0], [2.0]]], [[[3.0, 4.0]], [[5.0, 6.0]]]],
        "latency": [[[[0.5], [0.25]]], [[[2.0, 1.0]], [[2.0, 1.0]]]],
        "area": [[[[1.0], [2.0]]], [[[1.0, 3.0]], [[1.0, 3.0]]]],
    },
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    data = copy.deepcopy(TWO_LAYERS)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return data


def test_by_hand() -> None:
    problem = problem_from_dict(TWO_LAYERS)
    # width 16, then flash: energy 2 + 6, latency 0.25 + 1, area 2 + 3
    design = np.array([[1, 0], [0, 1]])
    assert {name: float(total) for name, total in problem.totals(design).items()} == {
        "energy": 8.0,
        "latency": 1.25,
        "area": 5.0,
    }
    assert float(problem.value(design)) == 10.0
    assert bool(problem.feasible(design))
    assert problem.size == 4
    assert problem.describe(design) == [{"width": 16, "option": "sar"}, {"width": 10, "option": "flash"}]


def test_a_description_gives_its_design_back() -> None:
    problem = problem_from_dict(TWO_LAYERS)
    for design in problem.random_designs(8, np.random.default_rng(0)):
        assert np.array_equal(problem.design_of(problem.describe(design)), design)
    with pytest.raises(ConfigError, match=r"design\[0\]\.width: first has 8, 16 \(got 12\)"):
        problem.design_of([{"width": 12, "option": "sar"}, {"width": 10, "option": "sar"}])
    for wrong in (None, "ab", [1, 2], [{"width": [], "option": "sar"}] * 2):
        with pytest.raises(ConfigError, match="design"):
            problem.design_of(wrong)


def test_budgets_are_relative_excesses_added_up() -> None:
    problem = problem_from_dict(changed("at_most", to={"area": 4.0, "energy": 2.0}))
    totals = problem.active_totals(np.array([[1, 0], [0, 1]]))
    assert float(problem.violation(totals)) == pytest.approx(1.0 / 4.0 + 6.0 / 2.0)


def test_rounding_does_not_break_a_budget() -> None:
    layer = Choices("one", (1,), ("a",))
    table = (np.array([[[0.1]]]), np.array([[[0.2]]]))
    problem = Problem((layer, layer), {"x": table}, ("x",), at_most={"x": 0.3})
    assert 0.1 + 0.2 > 0.3
    assert bool(problem.feasible(np.zeros((2, 2), dtype=int)))


def test_constants_are_what_sums_start_from() -> None:
    problem = problem_from_dict(changed("constants", to={"energy": 2.0}))
    assert float(problem.value(np.array([[1, 0], [0, 1]]))) == 12.5


def test_a_repeated_name_is_a_power() -> None:
    problem = problem_from_dict(changed("minimize", to=["energy", "latency", "latency"]))
    assert float(problem.value(np.array([[1, 0], [0, 1]]))) == 8.0 * 1.25**2


def test_null_forbids_a_combination_in_every_quantity() -> None:
    problem = problem_from_dict(changed("costs", "area", 1, 1, 0, 1, to=None))
    design = np.array([[1, 0], [0, 1]])
    assert not bool(problem.feasible(design))
    assert all(np.isinf(total) for total in problem.totals(design).values())
    assert float(problem.violation(problem.active_totals(design))) == math.inf


def test_a_tied_layer_has_its_leaders_width() -> None:
    widths = (1, 2)
    layers = tuple(Choices(name, widths, ("a",)) for name in ("stem", "inner", "end"))
    shapes = [(1, 2, 1), (2, 2, 1), (2, 2, 1)]
    costs = {"x": tuple(np.arange(math.prod(s), dtype=float).reshape(s) for s in shapes)}
    problem = Problem(layers, costs, ("x",), ties=(0, 1, 0))
    design = np.array([[1, 0], [0, 0], [0, 0]])  # the end's own index says 0, its leader says 1
    assert float(problem.value(design)) == 1.0 + 2.0 + 1.0
    assert problem.describe(design)[2]["width"] == 2
    assert problem.size == 4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_batches_equal_loops(seed: int, batch: list[int]) -> None:
    generator = np.random.default_rng(seed)
    problem = problem_from_dict(TWO_LAYERS)
    designs = problem.random_designs(math.prod(batch), generator).reshape(*batch, 2, 2)
    values, feasible = problem.value(designs), problem.feasible(designs)
    assert values.shape == feasible.shape == tuple(batch)
    for place in itertools.product(*map(range, batch)):
        assert values[place] == problem.value(designs[place])
        assert feasible[place] == problem.feasible(designs[place])


def test_more_designs_than_fit_into_one_piece() -> None:
    problem = problem_from_dict(TWO_LAYERS)
    designs = problem.random_designs(40_000, np.random.default_rng(0))
    single = {tuple(design.ravel()): float(problem.value(design)) for design in designs[:200]}
    assert len(single) == problem.size
    assert problem.value(designs).tolist() == [single[tuple(design.ravel())] for design in designs]


@pytest.mark.parametrize("wrong", [np.zeros((3, 2), int), np.zeros((2, 2)), np.zeros(2, int)])
def test_designs_of_the_wrong_kind(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"designs must be integers \[\*batch, 2, 2\]"):
        problem_from_dict(TWO_LAYERS).value(wrong)


@pytest.mark.parametrize("wrong", [[[2, 0], [0, 0]], [[0, 1], [0, 0]], [[-1, 0], [0, 0]], [[0, 0], [0, 2]]])
def test_indices_that_do_not_exist(wrong: list[list[int]]) -> None:
    with pytest.raises(IndexError, match="layer"):
        problem_from_dict(TWO_LAYERS).value(np.array(wrong))


def test_tables_cannot_be_changed() -> None:
    problem = problem_from_dict(TWO_LAYERS)
    with pytest.raises(ValueError, match="read-only"):
        problem.costs["energy"][0][0, 0, 0] = 3.0


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    data = changed("layers", 1, "input", to=None)
    data["costs"] = {name: [tables[0], [tables[1][0]]] for name, tables in data["costs"].items()}
    data["costs"]["area"][0][0][1][0] = None
    data["constants"] = {"area": 0.5}
    data["units"] = {"area": "mm2"}
    problem = problem_from_dict(data)
    save_problem(problem, tmp_path / "problem.json")
    again = load_problem(tmp_path / "problem.json")
    assert problem_to_dict(again) == problem_to_dict(problem) | {"name": again.name}
    designs = problem.random_designs(50, np.random.default_rng(0))
    assert np.array_equal(again.value(designs), problem.value(designs))
    assert problem_to_dict(problem)["costs"]["energy"][0][0][1][0] is None


def test_ties_are_written_by_name() -> None:
    data = changed("layers", 1, to={"name": "second", "widths": [8, 16], "options": ["sar", "flash"]})
    data["layers"][1]["tied_to"] = "first"
    data["costs"] = {name: [tables[0], [tables[1][0] * 2] * 2] for name, tables in data["costs"].items()}
    problem = problem_from_dict(data)
    assert problem.ties == (0, 0)
    assert problem_to_dict(problem)["layers"][1]["tied_to"] == "first"


def test_published_files_are_read(shared: Path) -> None:
    files = sorted((shared / "reference" / "problems").glob("*.json"))
    assert len(files) >= 10
    for file in files:
        problem = load_problem(file)
        assert len(problem.layers) in {5, 13}


WRONG = {
    "not a mapping": ([1], "a mapping"),
    "unknown key": (changed("at_mots", to={}), "at_mots: unknown key"),
    "no layers": (changed("layers", to=[]), "at least one layer"),
    "no widths": (changed("layers", 0, "widths", to=[]), r"layers\[0\]\.widths: must name at least one choice"),
    "no options": (changed("layers", 1, "options", to=[]), r"layers\[1\]\.options: must name"),
    "same names": (changed("layers", 1, "name", to="first"), "two layers have the same name"),
    "unknown input": (changed("layers", 1, "input", to="third"), r"layers\[1\]\.input: no layer is called 'third'"),
    "input from ahead": (changed("layers", 0, "input", to="second"), r"layers\[0\]\.input: must be an earlier layer"),
    "own input": (changed("layers", 1, "input", to="second"), r"layers\[1\]\.input: must be an earlier layer"),
    "unknown tie": (changed("layers", 1, "tied_to", to="third"), r"layers\[1\]\.tied_to: no layer is called"),
    "tie of other widths": (
        changed("layers", 1, "tied_to", to="first"),
        r"layers\[1\]\.widths: must be those of first",
    ),
    "nothing to minimize": (changed("minimize", to=[]), "minimize: must name at least one quantity"),
    "unknown objective": (changed("minimize", to="power"), r"minimize: unknown quantity 'power' \(known: energy"),
    "unknown budget": (changed("at_most", to={"power": 1.0}), "at_most: unknown quantity 'power'"),
    "unknown constant": (changed("constants", to={"power": 1.0}), "constants: unknown quantity 'power'"),
    "budget is not finite": (changed("at_most", "area", to=math.inf), "at_most.area"),
    "budget is text": (changed("at_least", "latency", to="much"), "at_least.latency"),
    "empty window": (changed("at_least", to={"area": 6.0}), r"at_least\.area: 6 is above at_most\.area, 5"),
    "costs are no mapping": (changed("costs", to=[]), "costs"),
    "tables are no list": (changed("costs", "area", to=3.0), r"costs\.area: must be a list"),
    "a table too few": (changed("costs", "area", to=[[[[1.0], [2.0]]]]), r"costs\.area: must have one table for each"),
    "wrong shape": (changed("costs", "area", 0, to=[[[1.0]]]), r"costs\.area\[0\]: must have the shape \[1, 2, 1\]"),
    "ragged": (changed("costs", "area", 1, 0, 0, to=[1.0]), r"costs\.area\[1\]"),
    "NaN": (
        changed("costs", "area", 0, 0, 1, 0, to=math.nan),
        r"costs\.area\[0\]\[0, 1, 0\]: must be a number up to 1e\+60",
    ),
    "infinite": (changed("costs", "area", 0, 0, 1, 0, to=math.inf), r"costs\.area\[0\]\[0, 1, 0\]"),
    "text": (changed("costs", "area", 0, 0, 1, 0, to="1.0"), r"costs\.area\[0\]\[0, 1, 0\].*got '1\.0'"),
    "truth value": (changed("costs", "area", 0, 0, 1, 0, to=True), r"costs\.area\[0\]\[0, 1, 0\]"),
    "huge integer": (changed("costs", "area", 0, 0, 1, 0, to=10**400), r"costs\.area\[0\]\[0, 1, 0\]"),
}


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_named_in_one_line(tmp_path: Path, data: Any, message: str) -> None:
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=message) as caught:
        load_problem(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', "\x00", "{" * 100_000])
def test_what_is_not_a_problem_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "problem.json"
    file.write_text(text)
    with pytest.raises(XpertError, match=r"problem\.json"):
        load_problem(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(XpertError, match="no such problem file"):
        load_problem(tmp_path / "absent.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_anything_in_the_place_of_anything_is_read_or_refused(data: st.DataObject) -> None:
    broken = copy.deepcopy(TWO_LAYERS)
    place: Any = broken
    for _ in range(data.draw(st.integers(0, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        nested = [key for key in keys if isinstance(place[key], dict | list) and place[key]]
        if not nested:
            break
        place = place[data.draw(st.sampled_from(nested))]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    place[data.draw(st.sampled_from(keys))] = data.draw(json_values)
    with contextlib.suppress(ConfigError):
        problem = problem_from_dict(broken)
        assert not np.isnan(problem.value(problem.random_designs(4, np.random.default_rng(0)))).any()
