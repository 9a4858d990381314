"""Records of tabulated search problems: small random ones, and those of the reference data."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.command import printed

_STRATEGIES: dict[str, tuple[str, ...]] = {
    "exact": (),
    "gradient": ("--evaluations", "4000"),
    "evolution": ("--evaluations", "4000"),
    "random": ("--evaluations", "4000"),
}
"""With the options that bound their work, as time would not be the same twice."""

_NAMES = ("energy", "latency", "area", "units")
_OBJECTIVES = (
    ["latency"],
    ["energy"],
    ["energy", "latency"],
    ["energy", "latency", "area"],
    ["energy", "latency", "area"],
    ["area"],
)
_ANSWER = ("value", "lower_bound", "feasible", "design", "totals", "status", "evaluations")


def problems() -> dict[str, Any]:
    """Random problems: chains, graphs with skips, tied widths; those in the file stay when this draws others."""
    generator = np.random.default_rng(11)
    found = {}
    for number, objective in enumerate(_OBJECTIVES):
        while True:
            problem = _drawn(generator, objective, graph=number % 2 == 1)
            try:
                answer = _solved(problem, "exact")
            except AssertionError:  # no design meets the budgets
                continue
            if answer["feasible"]:
                break
        found[f"problem {number}, {'-'.join(objective)}"] = {"seed": 5, "problem": problem}
    return found


def solutions(given: dict[str, Any]) -> dict[str, Any]:
    """The answer of every strategy."""
    return {strategy: _solved(given["problem"], strategy, given["seed"]) for strategy in _STRATEGIES}


def _solved(problem: dict[str, Any], strategy: str, seed: int = 0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.json"
        file.write_text(json.dumps(problem), encoding="utf-8")
        return _answer(file, "--strategy", strategy, "--seed", str(seed), *_STRATEGIES[strategy])


def _answer(file: Path, *options: str) -> dict[str, Any]:
    answer = printed("solve", file, *options)
    return {key: answer[key] for key in _ANSWER}


def _drawn(generator: np.random.Generator, objective: list[str], *, graph: bool) -> dict[str, Any]:
    """A random problem in the form of a problem file, with budgets that bite."""
    count = int(generator.integers(5, 9))
    widths = [int(generator.integers(2, 5)) for _ in range(count)]
    options = [int(generator.integers(2, 5)) for _ in range(count)]
    inputs, layers = list(range(-1, count - 1)), []
    for number in range(count):
        layer: dict[str, Any] = {"name": f"layer{number}"}
        if graph and number > 1 and generator.random() < 0.4:
            inputs[number] = int(generator.integers(number))
            layer["input"] = f"layer{inputs[number]}"
        if graph and number == count - 2:
            layer["tied_to"], widths[number] = "layer1", widths[1]
        layers.append(layer | {"widths": list(range(widths[number])), "options": list("abcd"[: options[number]])})
    costs: dict[str, list[Any]] = {}
    for name in _NAMES:
        shapes = [(1 if inputs[n] < 0 else widths[inputs[n]], widths[n], options[n]) for n in range(count)]
        tables = [
            generator.integers(1, 9, shape).astype(float) if name == "units" else generator.lognormal(size=shape)
            for shape in shapes
        ]
        costs[name] = [np.round(table, 4).astype(object) for table in tables]
    costs["area"][2][0, 0, 0] = None
    budgeted = "energy" if objective == ["area"] else "area"
    return {
        "name": "drawn",
        "minimize": objective,
        "at_most": {budgeted: float(np.round(1.2 * count, 2))},
        "at_least": {"units": 4.6 * count},
        "constants": {"area": 0.25} if graph else {},
        "layers": layers,
        "costs": {name: [table.tolist() for table in tables] for name, tables in costs.items()},
    }


# Problems of the reference data

_FOLDER = Path(os.environ.get("XPERT_SHARED", Path(__file__).parents[3] / "shared")) / "reference" / "problems"
_FILES = (
    *(f"random-{number}-{objective}.json" for number in (1, 2) for objective in ("edap", "edp", "energy")),
    *(f"xpert-{name}.json" for name in ("area50", "area50-macs50", "area50-weights25", "window")),
)


def reference_problems() -> dict[str, Any]:
    """The files by name."""
    return {name: name for name in _FILES}


def reference_solution(name: str) -> dict[str, Any]:
    """The proven answer to the problem of a file."""
    return _answer(_FOLDER / name)
