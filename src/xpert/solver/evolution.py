"""Evolution: NSGA-II (Deb et al. 2002, pymoo's implementation) on the objective and the violation of the budgets.

The violation is a second objective, not a penalty: the population keeps designs on both sides of a budget's edge, where
the optimum lies, and reaches narrow windows from either side. Genes are layers: crossover exchanges a run of layers,
which keeps neighbours that fit each other together, and mutation draws single choices anew. The best designs of the
last population are polished as the gradient's are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xpert.errors import ConfigError
from xpert.solver.exact import relax
from xpert.solver.graph import Floats, Ints
from xpert.solver.neighbourhood import best_of, revise
from xpert.solver.polish import polish
from xpert.solver.problem import Problem
from xpert.solver.solution import Record

try:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.crossover import Crossover
    from pymoo.core.duplicate import DuplicateElimination
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem as PymooProblem
except ModuleNotFoundError as error:
    raise ConfigError(
        f"strategy 'evolution' needs the package pymoo ({error.name} is missing): pip install 'xpert-imc[search]'"
    ) from None

GENERATIONS = 120
POPULATION = 200

MUTATIONS = 1.5
"""Choices of a design that are drawn anew, on average."""

REVISED = 3
"""Designs, the best of the last population, that a local search goes on from: coordinate descent, then large
neighbourhoods."""

ATTEMPTS = 5
"""Matings in which a generation gathers designs that the population lacks; small problems soon have none left."""

_FORBIDDEN = 1e3
"""Violation of a design with a forbidden combination."""

Objectives = Callable[[Floats], Floats]
"""Figures to be minimised [n, objectives] of the sums of the active quantities [n, active]."""


class _Designs(PymooProblem):
    """The problem as pymoo sees it: genes [n, 2 * layers], and what a function makes of sums and violations."""

    def __init__(self, problem: Problem, record: Record, objectives: Objectives, count: int) -> None:
        self._search = problem, record, objectives
        choices = [(len(layer.widths), len(layer.options)) for layer in problem.layers]
        super().__init__(n_var=2 * len(choices), n_obj=count, vtype=int, xl=0, xu=np.array(choices).ravel() - 1)

    def tied(self, x: Any) -> Any:
        """The same genes without differences that nothing reads."""
        return self._search[0].tied(x.reshape(len(x), -1, 2)).reshape(x.shape)

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        _, record, objectives = self._search
        totals, violation = record.price(x.reshape(len(x), -1, 2).astype(np.int64))
        values = objectives(totals)
        # A forbidden design is as bad as the worst of the others; finite, so that crowding distances stay numbers.
        forbidden = ~np.isfinite(violation)
        values[forbidden] = values[~forbidden].max(axis=0, initial=0.0)
        out["F"] = np.column_stack([values, np.where(forbidden, _FORBIDDEN, violation)])


class ExchangeLayers(Crossover):
    """Two designs exchange a run of layers."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
        _, pairs, genes = X.shape
        ends = np.sort(random_state.integers(0, genes // 2 + 1, (pairs, 2)), axis=1)
        layer = np.arange(genes) // 2
        swap = (layer >= ends[:, :1]) & (layer < ends[:, 1:])
        return np.stack([np.where(swap, X[1], X[0]), np.where(swap, X[0], X[1])])


class RedrawChoices(Mutation):
    """Some choices are drawn anew."""

    def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
        anew = random_state.random(X.shape) < MUTATIONS / X.shape[1]
        X = np.where(anew, random_state.integers(0, problem.xu + 1, X.shape), X)
        return problem.tied(X)


class DropDuplicates(DuplicateElimination):
    """Designs that the population has are dropped: by hash, where pymoo's own way measures all distances."""

    def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
        seen = set() if other is None else set(map(bytes, other.get("X").astype(np.int64)))
        for index, key in enumerate(map(bytes, pop.get("X").astype(np.int64))):
            is_duplicate[index] = key in seen
            seen.add(key)
        return is_duplicate


def evolution(problem: Problem, record: Record, seed: int) -> None:
    """Evolve a population of designs.

    Args:
        problem: What to solve.
        record: Where designs are kept.
        seed: Of the first population and of all operators.

    Raises:
        ConfigError: On import, if pymoo is not installed.
    """
    relax(problem, record)
    last = _evolve(problem, record, seed, lambda totals: problem.objective(totals)[:, None], 1)
    before = record.upper_bound
    generator = np.random.default_rng(seed)
    ends = [polish(problem, record, design) for design in best_of(problem, [record.best, *last], REVISED)]
    revise(problem, record, ends, generator)
    record.step(unpolished=before if np.isfinite(before) else None)


def evolve_front(problem: Problem, objectives: Objectives, count: int, seed: int) -> Ints:
    """Designs [n, layers, 2] that trade several figures against one another: the last population's feasible ones.

    Args:
        problem: Tables and budgets; what it minimises is not read.
        objectives: The figures to be minimised.
        count: How many there are.
        seed: Of the first population and of all operators.
    """
    last = _evolve(problem, Record(problem), seed, objectives, count)
    return last[problem.feasible(last)]


def _evolve(problem: Problem, record: Record, seed: int, objectives: Objectives, count: int) -> Ints:
    """The last population [n, layers, 2] under `count` objectives and the violation of the budgets as one more."""
    first = problem.random_designs(POPULATION, np.random.default_rng(seed))
    if record.design is not None:
        first[0] = record.design
    # pymoo's annotations name its own default operators; it takes any.
    operators: dict[str, Any] = {
        "sampling": first.reshape(POPULATION, -1),
        "crossover": ExchangeLayers(),
        "mutation": RedrawChoices(),
    }
    algorithm = NSGA2(pop_size=POPULATION, seed=seed, eliminate_duplicates=DropDuplicates(), **operators)
    algorithm.mating.n_max_iterations = ATTEMPTS
    designs = _Designs(problem, record, objectives, count + 1)
    algorithm.setup(designs, termination=("n_gen", GENERATIONS))
    while algorithm.has_next():
        algorithm.next()
        record.step()
    population: Any = algorithm.pop
    return population.get("X").astype(np.int64).reshape(-1, len(problem.layers), 2)
