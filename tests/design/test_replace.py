"""A design, a chip or a network is changed by `replace`, which checks the result like anything that is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import ConfigError

NETWORK = Network(backbone="custom", layers=(Layer(name="one", in_channels=3, out_channels=4),))
DESIGN = Design.homogeneous(NETWORK, Chip(), Periphery())
SOURCE = Path(__file__).parents[2] / "src" / "xpert"


def test_a_field_changes_and_the_others_stay() -> None:
    changed = DESIGN.replace(name="other")
    assert changed.name == "other"
    assert changed.replace(name=DESIGN.name) == DESIGN
    assert changed.chip is DESIGN.chip


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (Periphery(), {"adc_bits": 99}, r"adc_bits: .*less than or equal to 12 \(got 99\)"),
        (Periphery(), {"adcbits": 6}, "adcbits: unknown key"),
        (Chip(), {"subarrays_per_pe": 3}, "subarrays_per_pe must be a square number"),
        (NETWORK, {"layers": ()}, "layers: "),
        (DESIGN, {"periphery": (Periphery(),) * 2}, r"periphery needs one entry per layer \(1\), got 2"),
        (DESIGN, {"chip": Chip(columns=8), "periphery": (Periphery(columns_per_adc=16),)}, "must not exceed"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused(data, changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        data.replace(**changes)


def test_nothing_goes_round_the_checks() -> None:
    # pydantic's own `model_copy(update=...)` and `model_construct` check nothing.
    pattern = re.compile(r"model_copy\(\s*update|model_construct\(")
    assert [path.name for path in SOURCE.rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))] == []
