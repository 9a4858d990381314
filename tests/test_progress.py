"""Reports of work under way."""

from __future__ import annotations

from typing import Any

import pytest

from xpert.progress import COUNTS, Progress


@pytest.mark.parametrize(("unit", "of"), COUNTS.items())
def test_every_count_is_found(unit: str, of: str) -> None:
    told = {"stage": "training", "loss": 0.5, unit: 3, of: 10}
    assert Progress.of(told) == Progress("training", {"loss": 0.5}, unit, 3, 10)


@pytest.mark.parametrize(
    "told",
    [{}, {"epoch": 3}, {"layer": "conv1", "layers": 4}, {"images": 3, "of": "all"}, {"column": 1, "columns": 2}],
)
def test_what_does_not_count_is_a_figure(told: dict[str, Any]) -> None:
    assert Progress.of(told) == Progress("working", told)


def test_the_first_count_is_the_count() -> None:
    told = {"measurement": 1, "measurements": 8, "of": "noise"}
    assert Progress.of(told) == Progress("working", {"of": "noise"}, "measurement", 1, 8)
    told = {"epoch": 1, "epochs": 2, "step": 3, "steps": 40}
    assert Progress.of(told) == Progress("working", {"step": 3, "steps": 40}, "epoch", 1, 2)
