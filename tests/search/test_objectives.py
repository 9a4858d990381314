"""The hardware model's tables as a search reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Chip, Design, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.objectives import OBJECTIVES, UNITS, Goal, objective_value
from xpert.search.precision.converters import peripheries
from xpert.search.tabulate import LEAKAGE, network_tables, space_problem

SPACE = space("vgg11", (16, 64), (1, 32, 32), 10)
OPTIONS = [Periphery(adc_type=kind, columns_per_adc=columns) for kind in ("sar", "flash") for columns in (4, 16)]
PRECISIONS = [(adc, bits) for adc in (4, 6) for bits in (3, 8)]

widths = st.lists(st.sampled_from((16, 64)), min_size=8, max_size=8)
choices = st.lists(st.integers(0, len(OPTIONS) - 1), min_size=9, max_size=9)


@settings(max_examples=10, deadline=None)
@given(widths, choices)
def test_a_design_is_the_sum_of_its_entries_in_its_own_context(channels: list[int], chosen: list[int]) -> None:
    design = Design(network=SPACE.network(channels), periphery=tuple(OPTIONS[k] for k in chosen))
    evaluation = evaluate(design)
    problem = space_problem(SPACE, Chip(), OPTIONS, evaluation.context, {}, Goal("edap"), name="test")
    indices = [*(SPACE.choices[0].index(width) for width in channels), 0]
    totals = problem.totals(np.array(list(zip(indices, chosen, strict=True))))
    for name in UNITS:
        assert float(totals[name]) == pytest.approx(objective_value(evaluation, name), rel=1e-12)
    # Leakage in excess of its lower bound is what couples energy to latency; it is never below that.
    assert float(totals[LEAKAGE]) >= 0


@settings(max_examples=10, deadline=None)
@given(choices, st.lists(st.integers(0, len(PRECISIONS) - 1), min_size=9, max_size=9))
def test_precisions_of_a_design_add_up_in_its_own_context(chosen: list[int], precisions: list[int]) -> None:
    periphery = tuple(
        OPTIONS[k].replace(adc_bits=PRECISIONS[p][0], input_bits=PRECISIONS[p][1]) for k, p in zip(chosen, precisions)
    )
    design = Design(network=SPACE.network([16, 64] * 4), periphery=periphery)
    kinds = [(entry.adc_type, entry.columns_per_adc) for entry in OPTIONS]
    tables, constants = network_tables(design, [peripheries(kinds, entry, PRECISIONS) for entry in periphery])
    evaluation = evaluate(design)
    for name in UNITS:
        entries = [row[k * len(PRECISIONS) + p] for row, k, p in zip(tables[name], chosen, precisions)]
        total = sum(entries) + constants.get(name, 0.0)
        assert total == pytest.approx(objective_value(evaluation, name), rel=1e-12)


def test_edap_is_that_of_the_evaluation() -> None:
    evaluation = evaluate(Design.homogeneous(SPACE.network([16] * 8), Chip(), OPTIONS[0]))
    assert objective_value(evaluation, "edap") == pytest.approx(evaluation.to_dict()["edap"], rel=1e-12)
    assert set(OBJECTIVES) >= {"latency", "energy", "edp", "edap"}
