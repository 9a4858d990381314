"""The least worst regret on spaces that are small enough to try everything."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from xpert.design import Chip, Design, Periphery
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
QUALITY = additive_quality("width_law")


def kinds(*names: str) -> tuple[Periphery, ...]:
    """Peripheries from words such as `sar/8`."""
    pairs = (name.split("/") for name in names)
    return tuple(Periphery(adc_type=kind, columns_per_adc=int(share)) for kind, share in pairs)


TWO = kinds("sar/8", "flash/8")


EDAP = Goal("edap")


@dataclass(frozen=True)
class Case:
    """A search whose designs can be enumerated."""

    space: Space
    options: tuple[Periphery, ...]
    variants: tuple[str, ...]
    goal: Goal = EDAP
    minimum_quality: float | None = None


CASES = {
    "adc": Case(ONE, kinds("sar/2", "sar/16"), (NOMINAL, "adc-area*5")),
    "budget": Case(ONE, TWO, (NOMINAL, "survey-adcs"), Goal("edp", Budgets(area_mm2=9))),
}


@functools.cache
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
    assert all(figures[name].min() <= regret.best * (1 + 1e-12) for name, regret in result.regrets.items())
    return float(worst[kept].min())


@functools.cache
def nominal_of(case: Case) -> Design:
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
    assert result.worst == pytest.approx(best, abs=1e-9)


def test_the_bound_holds_for_every_design(searched: tuple[Case, RobustResult, float]) -> None:
    _, result, best = searched
    assert 0 <= result.lower_bound <= best * (1 + 1e-9)


def test_it_is_never_worse_than_the_nominal_optimum(searched: tuple[Case, RobustResult, float]) -> None:
    case, result, _ = searched
    assert result.worst <= worst_of(result.nominal)
    assert list(result.regrets) == list(result.nominal) == list(case.variants)
    assert result.design.chip == Chip()


def test_regrets_are_what_the_designs_cost(searched: tuple[Case, RobustResult, float]) -> None:
    case, result, _ = searched
    for name, regret in result.regrets.items():
        assert regret.regret >= 0
        assert regret.value == pytest.approx(case.goal.value(VARIANTS[name].evaluate(result.design)), rel=1e-12)
        assert regret.best == pytest.approx(case.goal.value(VARIANTS[name].evaluate(regret.design)), rel=1e-12)


def test_robustness_saves_something_and_something_is_proven() -> None:
    result = found(CASES["adc"])
    assert result.worst < 0.99 * worst_of(result.nominal)
    assert result.lower_bound > 0


def test_the_same_seed_gives_the_same_answer() -> None:
    case = CASES["budget"]
    assert found.__wrapped__(case) == found(case)


def test_what_it_cannot_do_is_refused() -> None:
    case = CASES["budget"]
    ask = (nominal_of(case), case.space, case.options, case.goal)
    variants = [VARIANTS["survey-adcs-best"]]
    with pytest.raises(ConfigError, match="needs a quality that is a sum over layers, got naswot"):
        search_robust(*ask, Quality("naswot", lambda network: 1.0), None, variants)
    eight = [Periphery(adc_type="flash", adc_bits=8)]
    with pytest.raises(ConfigError, match=r"architecture\.robust: variant survey-adcs-best: .*bits"):
        search_robust(ask[0], case.space, eight, case.goal, QUALITY, None, variants)
