"""The least worst regret on spaces that are small enough to try everything."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from xpert.design import Chip, Periphery
from xpert.errors import ConfigError
from xpert.hardware import PeripheryArrays, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.variants import NOMINAL, VARIANTS
from xpert.networks.spaces import Space, space
from xpert.search.architecture import search_architecture
from xpert.search.objectives import ENERGY_PER_OPERATION, Budgets, Goal
from xpert.search.quality.additive import Quality, additive_quality
from xpert.search.robust import RobustResult, search_robust, worst_of
from xpert.search.variants import relaxed
from xpert.workload.layers import Workload

ONE = space("vgg11", [[16]] * 8, (1, 32, 32), 10)
WIDTHS = space("vgg11", [[16, 64], *[[16]] * 6, [16, 64]], (1, 32, 32), 10)
QUALITY = additive_quality("width_law")


def kinds(*names: str) -> list[Periphery]:
    """Peripheries from words such as `sar/8`."""
    pairs = (name.split("/") for name in names)
    return [Periphery(adc_type=kind, columns_per_adc=int(share)) for kind, share in pairs]


THREE, TWO = kinds("sar/2", "sar/8", "flash/8"), kinds("sar/8", "flash/8")


@dataclass(frozen=True)
class Case:
    """A search whose designs can be enumerated."""

    space: Space
    options: list[Periphery]
    variants: tuple[str, ...]
    goal: Goal = Goal("edap")
    minimum_quality: float | None = None


CASES = {
    "adc": Case(ONE, THREE, (NOMINAL, "adc-energy*5", "adc-area*5")),
    "survey": Case(ONE, kinds("sar/4", "sar/16", "flash/8"), (NOMINAL, "survey-adcs-best", "clock-chip")),
    "without nominal": Case(ONE, kinds("sar/2", "sar/16", "flash/8"), ("adc-area*5", "adc-energy*5")),
    "latency": Case(ONE, THREE, ("survey-adcs", "clock-chip", NOMINAL), Goal("latency")),
    "budget": Case(ONE, THREE, (NOMINAL, "adc-area*5", "survey-adcs"), Goal("edp", Budgets(area_mm2=9))),
    "energy per operation": Case(WIDTHS, TWO, (NOMINAL, "adc-energy*5", "adc-area*5"), Goal(ENERGY_PER_OPERATION)),
    "widths": Case(WIDTHS, TWO, (NOMINAL, "adc-energy*5", "survey-adcs-best", "clock-chip"), minimum_quality=0.9),
}


def found(case: Case) -> RobustResult:
    """What the search finds."""
    return search_robust(
        nominal_of(case),
        case.space,
        case.options,
        case.goal,
        QUALITY,
        case.minimum_quality,
        [VARIANTS[name] for name in case.variants],
    )


@pytest.fixture(scope="module", params=list(CASES))
def searched(request: pytest.FixtureRequest) -> tuple[Case, RobustResult, float]:
    """A case, what was found, and the least worst regret of all designs."""
    case = CASES[request.param]
    result = found(case)
    return case, result, enumerated(case, result)


def enumerated(case: Case, result: RobustResult) -> float:
    """The least worst regret of all designs of a space, against the best of them under each variant."""
    least = 0.0
    if case.minimum_quality is not None:
        least = case.minimum_quality * QUALITY.measure(case.space.network(case.space.default_channels))
    names = dict.fromkeys((*case.variants, NOMINAL))
    nominal_goal = {name: relaxed(case.goal, VARIANTS[name].evaluate(nominal_of(case))) for name in names}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for channels in itertools.product(*case.space.choices):
        network = case.space.network(channels)
        if QUALITY.measure(network) < least * (1 - 1e-9):
            continue
        layers = len(network.layers)
        rows = [entry for entries in itertools.product(case.options, repeat=layers) for entry in entries]
        for name in names:
            chip = VARIANTS[name].apply(Chip())
            periphery = map_arrays(
                lambda array, layers=layers: array.reshape(-1, layers), PeripheryArrays.of(rows, chip.adcs)
            )
            evaluation = evaluate_batch(chip, Workload.from_network(network), periphery)
            values = {
                "edap": evaluation.edap * 1e18,
                "edp": evaluation.energy * evaluation.latency * 1e12,
                "latency": evaluation.latency * 1e6,
                ENERGY_PER_OPERATION: 1 / evaluation.tops_per_watt,
            }[case.goal.objective]
            columns[name].append(np.where(nominal_goal[name].budgets.met(evaluation), values, np.inf))
    figures = {name: np.concatenate(parts) for name, parts in columns.items()}
    kept = np.all([np.isfinite(values) for values in figures.values()], axis=0)
    worst = np.max([figures[name] / figures[name].min() for name in case.variants], axis=0) - 1
    # Nothing is better than the best there is.
    assert all(
        figures[name].min() <= regret.best * (1 + 1e-12) for name, regret in result.regrets.items()
    )
    return float(worst[kept].min())


def nominal_of(case: Case):
    """Phase 1's design."""
    return search_architecture(
        case.space,
        Chip(),
        case.options,
        objective=case.goal.objective,
        budgets=case.goal.budgets,
        quality=QUALITY,
        minimum_quality=case.minimum_quality,
        strategy="exact",
        seed=0,
        prove=False,
    ).design


def test_it_finds_the_least_worst_regret(searched: tuple[Case, RobustResult, float]) -> None:
    _, result, best = searched
    print(result.worst, best, worst_of(result.nominal), result.lower_bound)
    assert result.worst == pytest.approx(best, abs=1e-9)
    assert result.lower_bound <= best * (1 + 1e-9)
