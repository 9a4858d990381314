"""`xpert solve`: a tabulated search problem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.options import Json
from xpert.progress import of_stage
from xpert.solver.registry import STRATEGIES


def solve(
    problem: Annotated[Path, typer.Argument(metavar="PROBLEM.json", help="Tabulated costs, objective and budgets.")],
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help=f"How to search: {', '.join(STRATEGIES.names())}.")
    ] = "exact",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=0, help="Limit on CPU time.")] = None,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Limit on the designs that are priced.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="SOLUTION.json", help="Go on from the design that an earlier --json gave.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Solve a tabulated search problem: choices and their costs per layer, an objective, budgets.

    `exact` proves its answer optimal; after a time limit it says how far from optimal the best design can be. The
    others are heuristics: a lower bound is computed afterwards, which says the same of theirs. If no design meets the
    budgets, `exact` says so; the others show the nearest that they found.

    Examples: **xpert solve problem.json --strategy exact --json**

    **xpert solve problem.json --strategy evolution --seed 2 --resume solution.json**
    """
    from xpert.design import read_mapping
    from xpert.solver import solve as solve_problem
    from xpert.solver.problem import load_problem

    STRATEGIES.find(strategy)  # refuses a wrong name before anything is read
    loaded = load_problem(problem)
    start = None
    if resume is not None:
        start = loaded.design_of(read_mapping(resume, "solution file").get("design"), f"{resume}: design")
    with output.progress() as progress:
        solution = solve_problem(
            loaded,
            strategy,
            seed=seed,
            seconds=seconds,
            evaluations=evaluations,
            start=start,
            progress=of_stage(strategy, progress),
        )
    figures = solution.to_dict(loaded)
    if as_json:
        output.write_json(figures)
    else:
        _show_solution(figures, [layer.name for layer in loaded.layers])
    if solution.status == "interrupted":  # the best so far was shown all the same
        raise KeyboardInterrupt
    return 0


def _show_solution(figures: dict[str, Any], layers: list[str]) -> None:
    rows = [
        [name, str(choice["width"]), str(choice["option"])]
        for name, choice in zip(layers, figures["design"], strict=True)
    ]
    output.show(output.table(figures["problem"], ["layer", "width", "option"], rows, left=3))
    value = (
        f"value {figures['value']:.10g}"
        if figures["feasible"]
        else "no design found that meets the budgets, and not known whether there is one"
    )
    gap = figures["gap"]
    proof = (
        "" if gap is None else ", proven optimal" if gap <= 1e-9 else f", at most {100 * gap:.2g} % above the optimum"
    )
    work = f"{figures['evaluations']} evaluations, {figures['seconds']:.3g} s"
    output.write(f"{figures['strategy']}: {value}{proof} ({work})\n")
