"""`xpert solve`."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from xpert.solver import STRATEGIES

PROBLEM: dict[str, Any] = {
    "name": "two layers",
    "minimize": ["energy", "latency"],
    "at_most": {"area": 6},
    "layers": [
        {"name": "one", "widths": [64, 128], "options": ["sar/8", "flash/2"]},
        {"name": "two", "widths": [64], "options": ["sar/8", "flash/2", "flash/8"]},
    ],
    "costs": {
        "area": [[[[1, 3], [2, 5]]], [[[1, 4, 2]], [[2, 6, 3]]]],
        "energy": [[[[3, 4], [6, 7]]], [[[2, 3, 4]], [[5, 6, 7]]]],
        "latency": [[[[9, 2], [9, 3]]], [[[8, 1, 2]], [[8, 2, 3]]]],
    },
}


def cheapest() -> tuple[float, list[dict[str, Any]]]:
    """The optimum by brute force."""
    one, two = PROBLEM["layers"]
    found = []
    for width, first, second in product(range(2), range(2), range(3)):
        sums = {
            name: tables[0][0][width][first] + tables[1][width][0][second] for name, tables in PROBLEM["costs"].items()
        }
        if sums["area"] <= 6:
            design = [
                {"width": one["widths"][width], "option": one["options"][first]},
                {"width": 64, "option": two["options"][second]},
            ]
            found.append((sums["energy"] * sums["latency"], design))
    return min(found, key=lambda entry: entry[0])


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(PROBLEM))
    return path


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_every_strategy_answers(xpert: Callable, problem: Path, strategy: str) -> None:
    outcome = xpert("solve", problem, "--strategy", strategy, "--seed", "1", "--seconds", "2", "--json")
    assert outcome.code == 0
    assert outcome.stderr == ""
    figures = json.loads(outcome.stdout)
    assert {"value", "lower_bound", "gap", "design", "seconds", "feasible"} <= set(figures)
    value, design = cheapest()
    assert figures["feasible"] is True
    assert figures["value"] == value  # twelve designs: even chance finds the best
    assert figures["design"] == design
    if strategy == "exact":
        assert figures["gap"] <= 1e-9
        assert figures["lower_bound"] == pytest.approx(value)


def test_exact_is_the_default_and_the_table_says_that_it_is_proven(xpert: Callable, problem: Path) -> None:
    value, design = cheapest()
    text = xpert("solve", problem).stdout
    assert f"exact: value {value:g}, proven optimal" in text
    for name, choice in zip(("one", "two"), design, strict=True):
        assert any(line.split() == [name, str(choice["width"]), choice["option"]] for line in text.splitlines())


def test_it_goes_on_from_an_earlier_answer(xpert: Callable, refusal: Callable, problem: Path, tmp_path: Path) -> None:
    value, design = cheapest()
    answer = tmp_path / "answer.json"
    answer.write_text(xpert("solve", problem, "--json").stdout)
    # One evaluation is spent on the design to go on from; a random one alone would not do.
    outcome = xpert("solve", problem, "--strategy", "random", "--evaluations", "1", "--resume", answer, "--json")
    figures = json.loads(outcome.stdout)
    assert (figures["value"], figures["design"], figures["status"]) == (value, design, "evaluations")
    design[0]["option"] = "sar/9"
    answer.write_text(json.dumps({"design": design}))
    message = refusal("solve", problem, "--resume", answer)
    assert message == f"{answer}: design[0].option: one has sar/8, flash/2 (got 'sar/9')"
    answer.write_text("{}")
    assert refusal("solve", problem, "--resume", answer) == (
        f"{answer}: design: must be a list with one choice for each of the 2 layers"
    )


def test_a_strategy_from_outside(
    xpert: Callable, refusal: Callable, problem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STRATEGIES, "_added", {})
    assert refusal("solve", problem, "--strategy", "luck") == (
        f"strategy: must be one of {', '.join(STRATEGIES.names())} (got 'luck')"
    )
    STRATEGIES.register("luck", STRATEGIES.find("random"))
    figures = json.loads(xpert("solve", problem, "--strategy", "luck", "--json").stdout)
    assert (figures["strategy"], figures["value"]) == ("luck", cheapest()[0])


def test_budgets_that_nothing_meets(refusal: Callable, tmp_path: Path) -> None:
    path = tmp_path / "tight.json"
    path.write_text(json.dumps(PROBLEM | {"at_most": {"area": 1.5}}))
    message = refusal("solve", path)
    assert "area" in message
    assert "1.5" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimize": "charm"}, "minimize: unknown quantity 'charm' (known: area, energy, latency)"),
        ({"colour": 1}, "colour: unknown key"),
        ({"layers": []}, "layers: a problem has at least one layer"),
        ({"costs": {"area": []}}, ""),
        ({"at_most": {"area": "small"}}, "at_most.area: "),
        (
            {"costs": PROBLEM["costs"] | {"area": [[[[1, None], [2, "x"]]], [[[1, 4, 2]], [[2, 6, 3]]]]}},
            "costs.area[0]",
        ),
    ],
    ids=str,
)
def test_broken_problems(refusal: Callable, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(PROBLEM | changes))
    assert refusal("solve", path).startswith(f"{path}: {message}")


def test_the_shared_problems_are_solved_to_their_known_optimum(xpert: Callable, shared: Path) -> None:
    path = shared / "reference" / "problems" / "xpert-area50.json"
    figures = json.loads(xpert("solve", path, "--json").stdout)
    assert figures["value"] == pytest.approx(json.loads(path.read_text())["optimum"]["value"], rel=1e-9)
    assert figures["gap"] <= 1e-9
