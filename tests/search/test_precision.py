"""Phase 2 with an accuracy that is known by formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Design, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.objectives import objective_value
from xpert.search.precision import search_precision

SPACE = space("vgg11", (16, 32), (1, 32, 32), 10)
DESIGN = Design(network=SPACE.network([16] * 8), periphery=(Periphery(columns_per_adc=8),) * 9)
OPTIONS = [(adc, bits) for adc in (3, 4, 6) for bits in (2, 4, 8)]
ERRORS = np.array([[4.0**-adc + 4.0**-bits for adc, bits in OPTIONS]] * 9)


def accuracy_of(design: Design, sensitivity: np.ndarray) -> float:
    errors = [4.0**-entry.adc_bits + 4.0**-entry.input_bits for entry in design.periphery]
    return float(1 - np.dot(errors, sensitivity))


@settings(max_examples=4, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=9, max_size=9), st.floats(0.5, 0.999))
def test_the_result_was_measured_and_reaches_the_floor(weights: list[float], floor: float) -> None:
    sensitivity = np.array(weights)
    measured: dict[Design, float] = {}

    def accuracy(design: Design) -> float:
        measured[design] = accuracy_of(design, sensitivity)
        return measured[design]

    result = search_precision(
        DESIGN,
        options=OPTIONS,
        errors=ERRORS,
        sensitivity=sensitivity,
        objective="edap",
        accuracy=accuracy,
        floor=floor,
    )
    assert result.best.accuracy == measured[result.best.design]
    finest = accuracy_of(
        DESIGN.model_copy(update={"periphery": (Periphery(adc_bits=6, input_bits=8),) * 9}), sensitivity
    )
    assert result.best.feasible == (finest >= floor) == (result.best.accuracy >= floor)
    for entry in result.tried:
        assert entry.feasible == (entry.accuracy >= floor)
        if entry.feasible:
            assert objective_value(result.best.evaluation, "edap") <= objective_value(entry.evaluation, "edap")


def test_it_finds_the_cheapest_precisions_to_within_a_bisection_step() -> None:
    # Two layers matter and the rest do not: all 81 designs of those two can be tried.
    sensitivity = np.array([1e-9] * 7 + [1.0, 0.5])
    floor = 0.99
    result = search_precision(
        DESIGN,
        options=OPTIONS,
        errors=ERRORS,
        sensitivity=sensitivity,
        objective="edap",
        accuracy=lambda design: accuracy_of(design, sensitivity),
        floor=floor,
        rounds=20,
    )
    coarse = Periphery(columns_per_adc=8, adc_bits=3, input_bits=2)
    best = np.inf
    for first, second in itertools.product(OPTIONS, repeat=2):
        last = [coarse.model_copy(update={"adc_bits": adc, "input_bits": bits}) for adc, bits in (first, second)]
        design = DESIGN.model_copy(update={"periphery": (coarse,) * 7 + tuple(last)})
        if accuracy_of(design, sensitivity) >= floor:
            best = min(best, objective_value(evaluate(design), "edap"))
    assert objective_value(result.best.evaluation, "edap") == pytest.approx(best, rel=0.02)


def test_an_insensitive_layer_gets_less_precision_than_a_sensitive_one() -> None:
    sensitivity = np.array([1.0] + [1e-6] * 8)
    result = search_precision(
        DESIGN,
        options=OPTIONS,
        errors=ERRORS,
        sensitivity=sensitivity,
        objective="energy",
        accuracy=lambda design: accuracy_of(design, sensitivity),
        floor=0.995,
    )
    first, *rest = result.best.design.periphery
    assert first.adc_bits > 3
    assert first.input_bits > 2
    assert {(entry.adc_bits, entry.input_bits) for entry in rest} == {(3, 2)}
