"""Regrets: at least 0, and what enumeration says on a space that is small enough to try everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xpert.design import Chip, Design, Periphery
from xpert.hardware import Evaluation, PeripheryArrays, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.variants import MEASURED, NOMINAL, VARIANTS, Variant, variants_of
from xpert.networks.spaces import space
from xpert.search.architecture import search_architecture
from xpert.search.objectives import Budgets, Goal
from xpert.search.quality.additive import additive_quality
from xpert.search.variants import Regret, converter_regrets, network_regrets, relaxed
from xpert.workload.layers import Workload

SPACE = space("vgg11", [[16, 64], *[[16]] * 6, [16, 64]], (1, 32, 32), 10)
OPTIONS = [Periphery(adc_type=kind, columns_per_adc=share) for kind, share in (("sar", 8), ("flash", 8))]
KINDS = [("sar", 8), ("flash", 8)]
QUALITY = additive_quality("width_law")
GOAL = Goal("edap")
NAMES = [name for name in VARIANTS if name != MEASURED]


@pytest.fixture(scope="module")
def found() -> Design:
    """What phase 1 finds."""
    return search_architecture(
        SPACE,
        Chip(),
        OPTIONS,
        objective="edap",
        budgets=Budgets(),
        quality=QUALITY,
        minimum_quality=0.9,
        strategy="exact",
        seed=0,
    ).design


@pytest.fixture(scope="module")
def regrets(found: Design) -> dict[str, Regret]:
    return network_regrets(found, SPACE, OPTIONS, GOAL, QUALITY, 0.9, variants_of([found]))


def value(variant: Variant, design: Design) -> float:
    return GOAL.value(variant.evaluate(design))


@pytest.mark.parametrize("name", NAMES)
def test_a_regret_is_what_the_two_designs_cost(name: str, found: Design, regrets: dict[str, Regret]) -> None:
    regret = regrets[name]
    assert regret.regret >= 0
    assert regret.value == pytest.approx(value(VARIANTS[name], found), rel=1e-12)
    assert regret.best == pytest.approx(value(VARIANTS[name], regret.design), rel=1e-12)
    assert regret.design.chip == found.chip
    minimum = 0.9 * QUALITY.measure(SPACE.network(SPACE.default_channels))
    assert QUALITY.measure(regret.design.network) >= minimum * (1 - 1e-9)


def test_the_nominal_design_regrets_nothing_where_it_was_searched(regrets: dict[str, Regret]) -> None:
    assert regrets[NOMINAL].regret == pytest.approx(0, abs=1e-9)
    assert any(regret.regret > 0.01 for regret in regrets.values())  # and somewhere it is not the best


@pytest.mark.parametrize("name", ["survey-adcs", "reference", "adc-energy/5"])
def test_converters_are_the_best_of_all(name: str, found: Design) -> None:
    """Every assignment of two kinds to the layers, evaluated in full."""
    variant = VARIANTS[name]
    layers, chip = len(found.periphery), variant.apply(found.chip)
    chosen = np.array(list(itertools.product(range(2), repeat=layers)))
    periphery = PeripheryArrays.of([OPTIONS[index] for index in chosen.ravel()], chip.adcs)
    periphery = map_arrays(lambda array: array.reshape(chosen.shape), periphery)
    everything = evaluate_batch(chip, Workload.from_network(found.network), periphery, variant.switches).edap * 1e18
    regret = converter_regrets(found, KINDS, GOAL, [variant])[name]
    assert regret.best == pytest.approx(everything.min(), rel=1e-12)
    assert regret.value == pytest.approx(value(variant, found), rel=1e-12)


def test_a_bad_design_regrets_everywhere(found: Design) -> None:
    worst = found.replace(periphery=tuple(Periphery(columns_per_adc=64) for _ in found.periphery))
    kinds = [("sar", 4), ("sar", 8), ("flash", 4), ("flash", 8)]
    regrets = converter_regrets(worst, kinds, GOAL, variants_of([worst]))
    assert regrets.keys() == set(NAMES)
    assert all(regret.regret > 0.1 for regret in regrets.values())


def test_variants_that_refuse_a_design_are_left_out(found: Design) -> None:
    eight = found.replace(periphery=tuple(Periphery(adc_type="flash", adc_bits=8) for _ in found.periphery))
    regrets = converter_regrets(eight, KINDS, GOAL, variants_of([eight]))
    assert set(NAMES) - regrets.keys() == {"survey-adcs", "survey-adcs-best"}


def test_budgets_that_a_variant_breaks_become_what_the_design_costs_there(found: Design) -> None:
    nominal: Evaluation = VARIANTS[NOMINAL].evaluate(found)
    area = float(nominal.area) * 1e6
    tight = Goal("edap", Budgets(area_mm2=1.01 * area, least_area_mm2=0.99 * area))
    for name in ("adc-area*5", "adc-area/5"):
        there = VARIANTS[name].evaluate(found)
        assert not tight.met(there)
        assert relaxed(tight, there).met(there)
        regret = converter_regrets(found, KINDS, tight, [VARIANTS[name]])[name]
        assert regret.regret >= 0
        assert relaxed(tight, there).met(VARIANTS[name].evaluate(regret.design))
    assert relaxed(tight, nominal) == tight
