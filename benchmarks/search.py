"""The search strategies: `python -m benchmarks.search [--json] [--seeds N] [--part NAME] [--problems FOLDER]`.

Five parts. `tabulated`: problems in files (given a folder, such as the published ones), some of these under tighter
budgets, and generated ones like them: worst gap and CPU time of every strategy over the seeds. `real`: VGG16, ResNet-18
and ResNet-20 on 32x32 images under area budgets of 10 to 100 mm2, the hardware model's tables in the context of the
best homogeneous design that fits.
`ablation`: least EDAP where the quality is at least that of VGG16, with channels, missing layers, ADC type and column
sharing searched alone and together, against the best homogeneous VGG16; every design in full evaluation. `fronts`:
latency against area, proven point by point, and NSGA-II's last population; how much hypervolume (on logarithmic axes)
each dominates of what the proofs leave possible, which is the staircase of each budget's optimum carried on to the next
smaller budget. `size`: problems of the size of real networks, random but for the VGG16 on the hardware model with 2,048
options a layer; `exact` with its proof, HiGHS on the same entries that no other beats where the objective is one sum,
and the heuristics when stopped at a tenth of `exact`'s time, and at all of it.

Times are CPU seconds of one thread. Baselines: a million random designs in the same run, and what the original search
reached on its own cost formulas (median of the six of seven seeds that return anything, 56 CPU s each).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from xpert.design import Chip, Design, Periphery, options_of
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.networks.spaces import LEFT_OUT, Space, space
from xpert.search.architecture import tabulate
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.quality.additive import total_quality
from xpert.search.tabulate import design_of
from xpert.solver import STRATEGIES
from xpert.solver.evolution import evolve_front
from xpert.solver.graph import build_stages
from xpert.solver.pareto import front, log_hypervolume
from xpert.solver.problem import Choices, Problem, load_problem
from xpert.solver.solution import Solution
from xpert.solver.strategies import solve

FOLDER = Path(os.environ.get("XPERT_SHARED", Path(__file__).parents[2] / "shared")) / "reference" / "problems"
ORIGINAL = {"xpert-window": (249.1, 56.3)}
"""Value and CPU seconds of the original search, by problem; measured apart, on a comparable core."""

Rows = Iterator[tuple[str, dict[str, float]]]

TIGHT = {
    "weights50-area20": ("xpert-area50-weights25", 20e6, 2.0),
    "weights25-area10": ("xpert-area50-weights25", 10e6, 1.0),
    "macs50-area10": ("xpert-area50-macs50", 10e6, 1.0),
}
"""Problems that few designs solve: one in a file, its area budget [um2], and a factor on what it asks for at least."""

EDAP = ("energy", "latency", "area")
LONGEST = 60.0
"""CPU seconds after which the part `size` stops `exact`,"""

PATIENCE = 150.0
"""and seconds by the clock, which are all that it knows, after which HiGHS stops."""

HEURISTICS = [strategy for strategy in STRATEGIES.names() if strategy != "exact"]
SHARING = (2, 4, 8, 16, 32)
OPTIONS = options_of(Periphery(), adc_type=("sar", "flash"), columns_per_adc=SHARING)
BUDGETS_MM2 = (10, 20, 50, 100)
SPACES = {"vgg16": (64, 128, 256, 512), "resnet18": (64, 128, 256, 512), "resnet20": (16, 32, 64, 128)}


def timed(task: Callable[[], Solution]) -> tuple[Solution, float]:
    """A solution, and the CPU seconds that it took."""
    start = time.process_time()
    return task(), time.process_time() - start


def compare(problem: Problem, seeds: int, optimum: float | None = None) -> dict[str, float]:
    """The optimum and its proof; worst gap and longest time of every heuristic over the seeds."""
    exact, seconds = timed(lambda: solve(problem, "exact"))
    best = exact.value if optimum is None else optimum
    row = {
        "optimum": best,
        "exact_error": exact.value / best - 1,
        "exact_gap": -1.0 if exact.gap is None else exact.gap,
        "exact_seconds": seconds,
    }
    for strategy in HEURISTICS:
        runs = [timed(lambda s=strategy, seed=seed: solve(problem, s, seed=seed)) for seed in range(seeds)]
        gaps = [run.value / best - 1 if run.feasible else np.inf for run, _ in runs]
        row[f"{strategy}_worst_gap"] = max(gaps)
        row[f"{strategy}_median_gap"] = float(np.median(gaps))
        row[f"{strategy}_seconds"] = max(spent for _, spent in runs)
    return row


def generated(count: int = 4) -> Iterator[Problem]:
    """Random chains of up to 16 layers: fast options are large, wide layers cost more; budgets that bite."""
    for seed in range(count):
        generator = np.random.default_rng(seed)
        layers, n_widths, n_options = (int(generator.integers(*bounds)) for bounds in ((8, 17), (3, 6), (10, 41)))
        widths = tuple(2**k for k in range(4, 4 + n_widths))
        shapes = [(1 if layer == 0 else n_widths, n_widths, n_options) for layer in range(layers)]
        speed = [generator.lognormal(0.0, 0.8, n_options) for _ in shapes]
        wide = np.array(widths)[None, :, None] / widths[0]
        costs = {
            name: tuple(
                generator.lognormal(0.0, 0.3, shape) * fast**power * wide ** generator.uniform(0.3, 1.0)
                for shape, fast in zip(shapes, speed)
            )
            for name, power in (("energy", 0.3), ("latency", -1.0), ("area", 1.0))
        }
        costs["weights"] = tuple(
            np.broadcast_to((np.array([3.0] if layer == 0 else widths)[:, None] * widths)[..., None], shape).copy()
            for layer, shape in enumerate(shapes)
        )
        problem = Problem(
            tuple(Choices(f"layer{n + 1}", widths, tuple(range(n_options))) for n in range(layers)),
            costs,
            [("latency",), ("energy", "latency"), ("energy", "latency", "area")][seed % 3],
            name=f"generated-{seed}",
        )
        totals = problem.totals(problem.random_designs(4000, generator))
        area = float(np.quantile(totals["area"], generator.uniform(0.05, 0.4)))
        yield dataclasses.replace(
            problem,
            at_most={"area": area},
            at_least={"weights": float(np.quantile(totals["weights"], generator.uniform(0.3, 0.8)))}
            | ({"area": 0.95 * area} if seed % 2 else {}),
        )


def tabulated(folder: Path, seeds: int) -> Rows:
    """All strategies on tabulated problems."""
    for path in sorted(folder.glob("*.json")):
        optimum = json.loads(path.read_text()).get("optimum", {}).get("value")
        row = compare(load_problem(path), seeds, optimum)
        if path.stem in ORIGINAL:
            value, seconds = ORIGINAL[path.stem]
            row |= {"baseline_gap": value / row["optimum"] - 1, "baseline_seconds": seconds}
        yield path.stem, row
    for name, (stem, area, factor) in TIGHT.items():
        if (path := folder / f"{stem}.json").exists():
            problem = load_problem(path)
            at_least = {quantity: factor * bound for quantity, bound in problem.at_least.items()}
            yield name, compare(dataclasses.replace(problem, at_most={"area": area}, at_least=at_least), seeds)
    for problem in generated():
        yield problem.name, compare(problem, seeds)


def backbone(name: str) -> Space:
    """A backbone with its usual widths to choose from."""
    return space(name, SPACES[name])


def quality(design: Design, measure: str = "relu_units") -> float:
    """What holds a network up: its ReLU units, which the published score counts, or the calibrated width law."""
    return total_quality(measure, design.network)


def homogeneous(networks: Space, budget: float | None = None) -> Design:
    """The backbone's homogeneous design with the least EDAP; within an area, or the smallest where none fits."""
    network = networks.network(networks.default_channels)
    designs = [Design.homogeneous(network, Chip(), option) for option in OPTIONS]
    areas = [objective_value(evaluate(design), "area") for design in designs]
    fitting = [design for design, area in zip(designs, areas) if budget is None or area <= budget]
    return min(
        fitting or [designs[int(np.argmin(areas))]], key=lambda design: objective_value(evaluate(design), "edap")
    )


def real(seeds: int) -> Rows:
    """All strategies on the hardware model's tables, half of the backbone's quality asked."""
    for name in SPACES:
        networks = backbone(name)
        for budget in BUDGETS_MM2:
            context = homogeneous(networks, budget)
            floor = 0.5 * quality(context)
            goal = Goal("edap", Budgets(area_mm2=budget))
            problem = tabulate(networks, Chip(), OPTIONS, context, goal, "relu_units", floor)
            try:
                yield f"{name}_{budget}mm2", compare(problem, seeds)
            except InfeasibleError:
                yield f"{name}_{budget}mm2", {"optimum": np.inf}


def ablation() -> Rows:
    """Least EDAP of VGG16-like networks at the quality of VGG16, by what may be searched, for two measures of it."""
    for measure in ("relu_units", "width_law"):
        for name, row in _ablation(measure):
            yield f"{measure}_{name}", row


def _ablation(measure: str) -> Rows:
    networks = backbone("vgg16")
    base = homogeneous(networks)
    kind, columns = base.periphery[0].adc_type, base.periphery[0].columns_per_adc
    floor = quality(base, measure)
    fixed = space("vgg16", [(width,) for width in networks.default_channels])
    fewer = space("vgg16", SPACES["vgg16"], kernels=(LEFT_OUT, 3))
    searched: dict[str, tuple[Space, list[Periphery]]] = {
        "channels": (networks, [base.periphery[0]]),
        "channels_and_layers": (fewer, [base.periphery[0]]),
        "adc_type": (fixed, [option for option in OPTIONS if option.columns_per_adc == columns]),
        "sharing": (fixed, [option for option in OPTIONS if option.adc_type == kind]),
        "adc_type_and_sharing": (fixed, OPTIONS),
        "channels_adc_type_and_sharing": (networks, OPTIONS),
        "all": (fewer, OPTIONS),
    }
    least = objective_value(evaluate(base), "edap")
    yield "homogeneous_vgg16", {"edap": least, "quality": floor, "ratio": 1.0}
    for name, (part, options) in searched.items():
        row = _settled(part, options, base, measure, floor)
        yield name, row | {"ratio": least / row["edap"]}


def fronts(seeds: int) -> Rows:
    """Latency against area at half of the backbone's quality, exact and by NSGA-II."""
    for name in SPACES:
        networks = backbone(name)
        context = homogeneous(networks)
        goal = Goal("latency", Budgets(area_mm2=1e6))
        problem = tabulate(networks, Chip(), OPTIONS, context, goal, "relu_units", 0.5 * quality(context))
        start = time.process_time()
        exact = front(problem, "area", points=24)
        seconds = time.process_time() - start
        axes = [problem.active.index("latency"), problem.active.index("area")]
        shares, spent = [], []
        proven = [(point.solution.value, point.along) for point in exact]
        possible = [(value, along) for (value, _), (_, along) in zip(proven, [*proven[1:], proven[-1]])]
        corner = (max(x for x, _ in proven), max(y for _, y in proven))
        most = log_hypervolume(possible, corner)
        for seed in range(seeds):
            start = time.process_time()
            evolved = evolve_front(problem, lambda totals, axes=axes: totals[:, axes], 2, seed)
            spent.append(time.process_time() - start)
            found = [(x, y) for x, y in problem.active_totals(evolved)[:, axes].tolist()]
            shares.append(log_hypervolume(found, corner) / most)
        yield (
            name,
            {
                "points": float(len(exact)),
                "proven_points": float(sum(point.solution.gap == 0 for point in exact)),
                "exact_seconds": seconds,
                "exact_share": log_hypervolume(proven, corner) / most,
                "evolution_least_share": min(shares),
                "evolution_median_share": float(np.median(shares)),
                "evolution_seconds": max(spent),
            },
        )


def _settled(networks: Space, options: list[Periphery], start: Design, measure: str, floor: float) -> dict[str, float]:
    """The best design of exact searches, each in the context of the last one's design, until that stays.

    The largest tile sets the pitch of the H-tree for all layers, so every set of options that fit into one tile is
    searched on its own.
    """
    chip, found = Chip(), {}
    pitches = {o: float(evaluate(Design.homogeneous(start.network, chip, o)).context.pitch[..., 0]) for o in options}
    for pitch in sorted(set(pitches.values())):
        allowed = [option for option in options if pitches[option] <= pitch]
        context = Design.homogeneous(start.network, chip, allowed[-1])
        for _ in range(6):
            problem = tabulate(networks, chip, allowed, context, Goal("edap"), measure, floor)
            solution = solve(problem, "exact")
            design = design_of(networks, chip, allowed, solution.design)
            seen = design in found
            found[design] = solution.gap
            if seen:
                break
            context = design
    best = min(found, key=lambda design: objective_value(evaluate(design), "edap"))
    evaluation = evaluate(best)
    return {
        "edap": objective_value(evaluation, "edap"),
        "quality": quality(best, measure),
        "area_mm2": objective_value(evaluation, "area"),
        "latency_us": objective_value(evaluation, "latency"),
        "energy_uj": objective_value(evaluation, "energy"),
        "gap_in_context": -1.0 if found[best] is None else found[best],
    }


SIZES: dict[str, dict[str, Any]] = {
    "edap12-50": {"layers": 12, "options": 50, "minimize": EDAP, "budgets": ("loss", "weights")},
    "edap24-50": {"layers": 24, "options": 50, "minimize": EDAP, "budgets": ("loss", "weights")},
    "edap16-2048": {"layers": 16, "widths": 4, "options": 2048, "minimize": EDAP, "budgets": ("area", "weights")},
    "latency70-50": {"layers": 70, "options": 50, "minimize": ("latency",), "budgets": ("area", "weights")},
    "latency60-500": {"layers": 60, "options": 500, "minimize": ("latency",), "budgets": ("area", "weights")},
    "energy100-1000": {
        "layers": 100,
        "widths": 2,
        "options": 1000,
        "minimize": ("energy",),
        "budgets": ("area", "loss", "weights"),
    },
    "latency80-500-residual": {
        "layers": 80,
        "options": 500,
        "minimize": ("latency",),
        "budgets": ("area", "loss"),
        "residual": True,
    },
    "edp60-2000": {
        "layers": 60,
        "widths": 2,
        "options": 2000,
        "minimize": ("energy", "latency"),
        "budgets": ("area", "weights"),
    },
    "edap121-500-residual": {
        "layers": 121,
        "options": 500,
        "minimize": EDAP,
        "budgets": ("area", "loss", "weights"),
        "residual": True,
    },
    "edap150-1000": {"layers": 150, "widths": 2, "options": 1000, "minimize": EDAP, "budgets": ("loss", "weights")},
}
"""Problems of the part `size`: see `sized`."""


def sized(
    name: str,
    seed: int,
    *,
    layers: int,
    options: int,
    minimize: tuple[str, ...],
    budgets: tuple[str, ...],
    widths: int = 3,
    residual: bool = False,
) -> Problem:
    """A random network: options trade speed for area and energy, wider layers cost more and lose less.

    Budgets are at the quarter of random designs (area), 0.6 of that (loss), and such that 40 % of the widths keep it
    (weights).
    """
    generator = np.random.default_rng(seed)
    inputs, ties = _blocks(layers) if residual else (list(range(-1, layers - 1)), list(range(layers)))
    wide = 2.0 ** np.arange(widths)
    speed = [generator.lognormal(0.0, 0.8, options) for _ in range(layers)]
    shapes = [(1 if source < 0 else widths, widths, options) for source in inputs]

    def drawn(power: float, growth: float) -> tuple[np.ndarray, ...]:
        return tuple(
            generator.lognormal(0.0, 0.3, shape)
            * fast**power
            * (wide**growth)[None, :, None]
            * (wide[: shape[0]] ** 0.5)[:, None, None]
            for shape, fast in zip(shapes, speed)
        )

    costs = {"energy": drawn(0.3, 0.8), "latency": drawn(-1.0, 0.5), "area": drawn(1.0, 0.9)}
    costs["loss"] = tuple(
        generator.lognormal(0.0, 0.05, shape)
        * (generator.lognormal(0.0, 0.7, options) / fast**0.7)
        * (wide**-0.5)[None, :, None]
        for shape, fast in zip(shapes, speed)
    )
    costs["weights"] = tuple(
        np.broadcast_to(
            ((np.array([3.0]) if shape[0] == 1 else 16 * wide)[:, None] * 16 * wide)[..., None], shape
        ).copy()
        for shape in shapes
    )
    used = {*minimize, *budgets}
    choices = [Choices(f"layer{n}", tuple((16 * wide).tolist()), tuple(range(options))) for n in range(layers)]
    problem = Problem(
        tuple(choices),
        {quantity: tables for quantity, tables in costs.items() if quantity in used},
        minimize,
        inputs=tuple(inputs),
        ties=tuple(ties),
        name=name,
    )
    totals = problem.totals(problem.random_designs(3000, generator))
    return dataclasses.replace(
        problem,
        at_most={
            quantity: factor * float(np.quantile(totals[quantity], 0.25))
            for quantity, factor in (("area", 1.0), ("loss", 0.6))
            if quantity in budgets
        },
        at_least={"weights": float(np.quantile(totals["weights"], 0.6))} if "weights" in budgets else {},
    )


def _blocks(layers: int) -> tuple[list[int], list[int]]:
    """What feeds each layer, and whose width it shares, in a network of residual blocks of two convolutions."""
    inputs, ties, lead, last = [-1], [0], 0, 0
    in_stage = max(2, (layers - 1) // 10)
    for block in range((layers - 1) // 2):
        first = len(inputs)
        if block and block % in_stage == 0:
            lead = first + 1
        inputs += [last, first]
        ties += [first, lead]
        last = first + 1
    return inputs + [last] * (layers - len(inputs)), ties + list(range(len(ties), layers))


def milp_seconds(problem: Problem, seconds: float) -> tuple[float, float, float]:
    """What HiGHS finds and proves of a sum on the entries that no other beats, and its CPU time.

    Args:
        problem: With one quantity to minimise.
        seconds: By the clock, after which it stops.
    """
    stages = build_stages(problem)
    parts = [(layer, step, *np.nonzero(np.isfinite(step.barred))) for layer, step in enumerate(stages.steps)]
    states = max(len(step.costs) for step in stages.steps)
    costs = np.concatenate([step.costs[state, entry] for _, step, state, entry in parts])
    leaves = np.concatenate([layer * states + state for layer, _, state, _ in parts])
    enters = np.concatenate(
        [(layer + 1) * states + step.following[state, entry] for layer, step, state, entry in parts]
    )
    count, nodes = len(costs), len(parts) * states
    # A path: what enters a state leaves it; one unit leaves the first, and the last is free.
    inner = enters < nodes
    flow = coo_array(
        (
            np.concatenate([np.ones(count), -np.ones(int(inner.sum()))]),
            (np.concatenate([leaves, enters[inner]]), np.concatenate([np.arange(count), np.flatnonzero(inner)])),
        ),
        shape=(nodes, count),
    )
    balance = np.zeros(nodes)
    balance[0] = 1.0
    constraints = [LinearConstraint(flow.tocsr(), balance, balance)]
    constraints += [
        LinearConstraint(costs[:, dim][None], -np.inf, stages.limits[dim] - stages.start[dim]) for dim in stages.bounded
    ]
    start = time.process_time()
    result = milp(
        costs[:, stages.factors[0]],
        integrality=np.ones(count),
        bounds=Bounds(0.0, 1.0),
        constraints=constraints,
        options={"mip_rel_gap": 0.0, "time_limit": seconds},
    )
    spent = time.process_time() - start
    return (np.inf if result.fun is None else float(result.fun)), float(result.mip_dual_bound), spent


def vgg16_with_many_options() -> Problem:
    """VGG16 on the hardware model, 2,048 peripheries a layer, under budgets on area, ReLU units and mean precision.

    Precisions lose accuracy, of which the tables know nothing; bits of ADCs and inputs, added up, stand for it here.
    """
    options = options_of(
        Periphery(),
        adc_type=("sar", "flash"),
        columns_per_adc=(1, 2, 4, 8, 16, 32, 64, 128),
        adc_bits=range(1, 9),
        input_bits=range(1, 17),
    )
    networks = backbone("vgg16")
    context = homogeneous(networks)
    goal = Goal("edap", Budgets(area_mm2=40.0))
    problem = tabulate(networks, Chip(), options, context, goal, "relu_units", 0.5 * quality(context))
    bits = tuple(
        np.broadcast_to([float(own.adc_bits + own.input_bits) for own in options], table.shape)
        for table in problem.costs["area"]
    )
    return dataclasses.replace(
        problem,
        costs=dict(problem.costs) | {"bits": bits},
        at_least=dict(problem.at_least) | {"bits": 11.0 * len(bits)},
        name="vgg16-2048",
    )


def size() -> Rows:
    """Problems of the size of real networks: the proof, HiGHS, and heuristics that are stopped early."""
    for name, kind in SIZES.items():
        yield name, _sized_row(sized(name, 1, **kind), 0.0)
    start = time.process_time()
    problem = vgg16_with_many_options()
    yield problem.name, _sized_row(problem, time.process_time() - start)


def _sized_row(problem: Problem, tables: float) -> dict[str, float]:
    exact, seconds = timed(lambda: solve(problem, "exact", seconds=LONGEST))
    row = {
        "value": exact.value,
        "exact_gap": np.inf if exact.gap is None else exact.gap,
        "exact_seconds": seconds,
        "tables_seconds": tables,
    }
    if len(problem.minimize) == 1:
        found, proven, spent = milp_seconds(problem, PATIENCE)
        row |= {"highs_error": found / exact.value - 1, "highs_gap": found / proven - 1, "highs_seconds": spent}
        row["times_highs"] = spent / seconds
    for share in (0.1, 1.0):
        for strategy in ("gradient", "evolution"):
            early = solve(problem, strategy, seconds=share * seconds)
            row[f"{strategy}_gap_at_{share:g}"] = early.value / exact.value - 1 if early.feasible else np.inf
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of every heuristic (default 10)")
    parser.add_argument("--part", choices=["tabulated", "real", "ablation", "fronts", "size"], help="one part only")
    parser.add_argument("--problems", type=Path, default=FOLDER, help="folder of tabulated problems")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], Rows]] = {
        "tabulated": lambda: tabulated(arguments.problems, arguments.seeds),
        "real": lambda: real(arguments.seeds),
        "ablation": ablation,
        "fronts": lambda: fronts(arguments.seeds),
        "size": size,
    }
    chosen = {name: part for name, part in parts.items() if arguments.part in {None, name}}
    if arguments.json:
        figures = {
            part: {name: {key: v if np.isfinite(v) else None for key, v in row.items()} for name, row in rows()}
            for part, rows in chosen.items()
        }
        print(json.dumps({"numpy": np.__version__, "seeds": arguments.seeds, "figures": figures}))
        return
    for part, rows in chosen.items():
        print(part)
        for name, row in rows():
            print(f"  {name:28} " + "  ".join(f"{key} {value:.6g}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
