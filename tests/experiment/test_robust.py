"""The architecture stage where the least worst regret is asked for."""

from __future__ import annotations

import pytest

from xpert.design import ARCHITECTURE_FIELDS, Chip, Periphery
from xpert.experiment.config import ArchitectureSettings
from xpert.experiment.stages.architecture import search_network
from xpert.hardware import evaluate
from xpert.hardware.variants import VARIANTS
from xpert.networks.spaces import space
from xpert.results import ArchitectureStage
from xpert.search.quality.additive import additive_quality

SPACE = space("vgg11", [[16]] * 8, (1, 32, 32), 10)
OPTIONS = [Periphery(columns_per_adc=share) for share in (2, 16)]


def stage(**settings) -> ArchitectureStage:
    return search_network(
        SPACE,
        Chip(),
        OPTIONS[0],
        OPTIONS,
        ArchitectureSettings(front_points=0, minimum_quality=None, **settings),
        name="robust",
        quality=additive_quality("width_law"),
        seed=0,
        progress=lambda _step: None,
    )


def test_the_stage_holds_what_robustness_costs_and_saves() -> None:
    plain, found = stage(), stage(robust=("nominal", "adc-area*5"))
    assert plain.robust is None
    assert "robust" not in plain.to_dict()
    robust = found.robust
    assert robust is not None
    assert robust.nominal_value == plain.value
    assert found.value == pytest.approx(float(evaluate(found.design).edap) * 1e18)
    assert found.lower_bound == plain.lower_bound
    assert robust.nominal_periphery == tuple(entry.short(ARCHITECTURE_FIELDS) for entry in plain.design.periphery)
    assert 0 <= robust.lower_bound <= robust.worst_regret <= robust.nominal_worst_regret
    assert [row.variant for row in robust.rows] == ["nominal", "adc-area*5"]
    for row in robust.rows:
        value = float(VARIANTS[row.variant].evaluate(found.design).edap) * 1e18
        assert row.robust.value == pytest.approx(value, rel=1e-12)
    assert robust.worst_regret == max(row.robust.regret for row in robust.rows)
    assert robust.nominal_worst_regret == max(row.nominal.regret for row in robust.rows)
    assert ArchitectureStage.parse(found.to_dict()) == found
