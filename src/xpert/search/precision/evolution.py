"""Phase 2 by evolution: NSGA-II on the objective and the measured NI-accuracy, which gives their whole front."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.search.precision.session import Session, Strategy
from xpert.search.precision.strategies import Prepared, TrainedNetwork
from xpert.solver.evolution import NSGA2, DropDuplicates, ExchangeLayers, PymooProblem, RedrawChoices

POPULATION = 16
GENERATIONS = 10


class _Measured(PymooProblem):
    """The search as pymoo sees it: genes [n, 2 * layers] as in phase 1, every layer's width fixed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        highest = np.tile([0, len(session.options) - 1], session.n_layers)
        super().__init__(n_var=len(highest), n_obj=2, vtype=int, xl=0, xu=highest)

    def tied(self, x: Any) -> Any:
        """The same genes; all of them are read."""
        return x

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        # Of every layer's two genes, width and option, the second: [n, 2 * layers] -> [n, layers].
        # Accuracies are ranked, and not only judged.
        measured = [self._session.measure(row, in_full=True) for row in x[:, 1::2].astype(np.int64)]
        costs = [self._session.goal.value(entry.evaluation) for entry in measured]
        out["F"] = np.array([[np.log(cost), -entry.accuracy.mean] for cost, entry in zip(costs, measured)])


def prepare(trained: TrainedNetwork) -> Prepared:
    """The strategy for a trained network, of which it learns nothing beforehand."""
    del trained
    return Prepared(evolution())


def evolution(population: int = POPULATION, generations: int = GENERATIONS) -> Strategy:
    """The strategy.

    Args:
        population: Designs in a generation.
        generations: How many; all designs of all generations are measured.
    """

    def run(session: Session) -> None:
        operators: dict[str, Any] = {
            "sampling": _first(session, population),
            "crossover": ExchangeLayers(),
            "mutation": RedrawChoices(),
        }
        algorithm = NSGA2(pop_size=population, seed=session.seed, eliminate_duplicates=DropDuplicates(), **operators)
        algorithm.setup(_Measured(session), termination=("n_gen", generations))
        while algorithm.has_next():
            algorithm.next()

    return run


def _first(session: Session, population: int) -> NDArray[np.int64]:
    """Half designs of one precision in all layers, spread evenly over their costs, and half random ones.

    The best of the former that the session knows is among them.
    """
    uniform = np.tile(np.arange(len(session.options))[:, None], session.n_layers)
    ordered = uniform[np.argsort(session.costs(uniform, session.design), kind="stable")]
    spread = ordered[np.unique(np.linspace(0, len(ordered) - 1, max(2, population // 2)).astype(int))]
    if session.start is not None:
        spread = np.unique(np.vstack([[session.start], spread]), axis=0)
    random = np.random.default_rng(session.seed)
    rest = random.integers(0, len(session.options), (max(0, population - len(spread)), session.n_layers))
    options = np.vstack([spread, rest])
    return np.stack([np.zeros_like(options), options], axis=2).reshape(len(options), -1)


__all__ = ["GENERATIONS", "POPULATION", "evolution", "prepare"]
