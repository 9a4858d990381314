"""Designs in the organisation of tiles that suits each best."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Chip, Design, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.objectives import Budgets, Goal
from xpert.search.organisation import PES_PER_TILE, SUBARRAYS_PER_PE, best_organised, organisation_name, organisations

SPACE = space("vgg11", (16, 32, 64), (3, 32, 32), 10)


@settings(max_examples=10, deadline=None)
@given(
    widths=st.lists(st.sampled_from((16, 32, 64)), min_size=8, max_size=8),
    pes=st.sampled_from((4, 16, 25, None)),
    objective=st.sampled_from(("edap", "latency", "energy")),
)
def test_the_best_is_never_worse_than_the_own(widths: list[int], pes: int | None, objective: str) -> None:
    chip = Chip(subarrays_per_pe=None if pes is None else 4, pes_per_tile=pes)
    design = Design.homogeneous(SPACE.network(widths), chip, Periphery())
    best = best_organised(design, objective=objective)
    goal = Goal(objective)
    assert goal.value(best.evaluation) <= goal.value(evaluate(design))
    assert goal.value(best.evaluation) == min(
        goal.value(evaluate(design.replace(chip=other))) for other in organisations(chip)
    )
    assert best.evaluation.to_dict() == evaluate(best.design).to_dict()
    kept = {"subarrays_per_pe": 4, "pes_per_tile": 16}
    assert best.design.chip.replace(**kept) == chip.replace(**kept)
    assert (best.design.network, best.design.periphery) == (design.network, design.periphery)


def test_the_own_organisation_comes_first_and_once() -> None:
    for chip in (Chip(), Chip(pes_per_tile=25), Chip(subarrays_per_pe=None, pes_per_tile=None)):
        found = organisations(chip)
        assert found[0] == chip
        grid = len(SUBARRAYS_PER_PE) * len(PES_PER_TILE)
        assert len(found) == grid + (chip.pes_per_tile not in PES_PER_TILE)
        assert len(set(found)) == len(found)


def test_a_budget_binds_where_it_was_kept() -> None:
    design = Design.homogeneous(SPACE.network([16] * 8), Chip(subarrays_per_pe=1, pes_per_tile=1), Periphery())
    own = float(evaluate(design).area) * 1e6
    free = best_organised(design, objective="latency")
    assert float(free.evaluation.area) * 1e6 > own, "else the test tests nothing"
    bound = best_organised(design, Budgets(area_mm2=own), objective="latency")
    assert float(bound.evaluation.area) * 1e6 <= own
    beyond = best_organised(design, Budgets(area_mm2=0.9 * own), objective="latency")
    assert float(beyond.evaluation.latency) == pytest.approx(float(free.evaluation.latency))


def test_names() -> None:
    assert organisation_name(Chip()) == "4 subarrays per PE, 16 PEs per tile"
    assert organisation_name(Chip(subarrays_per_pe=1, pes_per_tile=1)) == "1 subarray per PE, 1 PE per tile"
    assert organisation_name(Chip(subarrays_per_pe=None, pes_per_tile=None)) == "chosen by the floorplan"
