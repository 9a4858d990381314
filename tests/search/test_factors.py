"""Shapley shares of a ratio of two designs."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest

from xpert.design import Activity, Chip, Design, Periphery
from xpert.errors import ConfigError
from xpert.hardware import REFERENCE, evaluate
from xpert.networks.spaces import space
from xpert.search.factors import QUANTITIES, _mixture, factors

SPACE = space("vgg11", (16, 32), (3, 32, 32), 10, kernels=(0, 3))
BEFORE = Design.homogeneous(SPACE.network([32] * 8), Chip(), Periphery())
PUBLISHED = Path(__file__).parents[2] / "results" / "cifar10" / "designs"


def after(chip: Chip | None = None) -> Design:
    network = SPACE.network([16] * 8, [3, 3, 0, 3, 0, 3, 3, 3, 1])
    periphery = [
        Periphery(adc_type=("sar", "flash")[i % 2], columns_per_adc=2 ** (i % 4 + 1), adc_bits=3 + i % 4, input_bits=4)
        for i in range(len(network.layers))
    ]
    return Design(chip=chip or Chip(), network=network, periphery=tuple(periphery))


def test_shares_multiply_to_the_ratio() -> None:
    found = factors(BEFORE, after())
    assert [one.name for one in found] == ["network", *Periphery().taken()]
    for quantity in QUANTITIES:
        ratio = float(getattr(evaluate(BEFORE), quantity) / getattr(evaluate(after()), quantity))
        assert math.prod(one.shares[quantity] for one in found) == pytest.approx(ratio, rel=1e-12)


def test_shares_are_means_over_all_orders() -> None:
    end = after()
    names = ["network", *Periphery().taken()]
    value = {}
    sums = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        taken: frozenset[str] = frozenset()
        for name in order:
            for key in (taken, taken | {name}):
                if key not in value:
                    value[key] = math.log(float(evaluate(_mixture(BEFORE, end, key)).edap))
            sums[name] += value[taken] - value[taken | {name}]
            taken |= {name}
    for one in factors(BEFORE, end):
        assert one.shares["edap"] == pytest.approx(math.exp(sums[one.name] / math.factorial(len(names))), rel=1e-12)
        assert one.alone["edap"] == pytest.approx(math.exp(value[frozenset()] - value[frozenset({one.name})]))
        rest = frozenset(names) - {one.name}
        assert one.last["edap"] == pytest.approx(math.exp(value[rest] - value[frozenset(names)]))


def test_what_is_the_same_has_no_share() -> None:
    for one in factors(BEFORE, BEFORE.with_values(["adc_bits"], [[4]] * len(BEFORE.periphery))):
        if one.name == "adc_bits":
            assert one.shares["edap"] > 1.01
        else:
            assert dict(one.shares) == pytest.approx(dict.fromkeys(QUANTITIES, 1.0), rel=1e-12)


def test_another_chip_is_a_factor_of_its_own() -> None:
    end = after(Chip(pes_per_tile=4))
    found = factors(BEFORE, end)
    assert found[-1].name == "chip"
    ratio = float(evaluate(BEFORE).edap / evaluate(end).edap)
    assert math.prod(one.shares["edap"] for one in found) == pytest.approx(ratio, rel=1e-12)


def test_a_layer_left_out_takes_the_periphery_before_it() -> None:
    end = after()
    names = [layer.name for layer in end.network.layers]
    mixed = _mixture(BEFORE, end, set(Periphery.decisions()))
    assert mixed.network == BEFORE.network
    latest = end.periphery[0]
    for layer, entry in zip(mixed.network.layers, mixed.periphery, strict=True):
        if layer.name in names:
            latest = end.periphery[names.index(layer.name)]
        assert entry == latest
    assert len(names) < len(mixed.network.layers)


def test_the_published_headline_factor_by_factor() -> None:
    """The figures of an independent audit of `results/cifar10`, by its own script, in reference mode."""
    typical, ours = (Design.read(PUBLISHED / f"{name}.json") for name in ("typical", "ours"))
    shares = {one.name: one.shares["edap"] for one in factors(typical, ours, REFERENCE)}
    expected = {"network": 192, "input_bits": 3.4, "adc_bits": 1.5, "columns_per_adc": 0.66, "adc_type": 1.3}
    for name, share in shares.items():
        assert share == pytest.approx(expected[name], rel=0.04)
    assert math.prod(shares.values()) == pytest.approx(861, abs=0.5)


def test_designs_that_cannot_be_mixed_are_refused() -> None:
    measured = BEFORE.replace(activity=(Activity(),) * len(BEFORE.network.layers))
    with pytest.raises(ConfigError, match="no measured activity"):
        factors(BEFORE, measured)
    other = BEFORE.network.replace(
        layers=tuple(layer.replace(name=f"other{i}") for i, layer in enumerate(BEFORE.network.layers))
    )
    with pytest.raises(ConfigError, match="no layer of the same name"):
        factors(BEFORE, BEFORE.replace(network=other))
