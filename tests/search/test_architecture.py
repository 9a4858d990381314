"""Phase 1 on a space that is small enough to try everything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from xpert.design import Chip, Network, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import PeripheryArrays, evaluate_batch
from xpert.hardware.parts import map_arrays
from xpert.networks.spaces import space
from xpert.search.architecture import relu_units, search_architecture
from xpert.search.objectives import objective_value
from xpert.workload.layers import Workload

SPACE = space("vgg11", [[16, 64], *[[16]] * 6, [16, 64]], (1, 32, 32), 10)
OPTIONS = [Periphery(adc_type="sar", columns_per_adc=8), Periphery(adc_type="flash", columns_per_adc=8)]


def units(network: Network) -> int:
    return sum(relu_units(layer) for layer in network.layers)


def score(network: Network) -> float:
    """A stand-in that behaves as the real one: a line in the logarithm of ReLU units."""
    return 100 * math.log(units(network))


@pytest.fixture(scope="module")
def all_edaps() -> list[tuple[float, float, Network]]:
    figures = []
    for channels in itertools.product((16, 64), repeat=2):
        network = SPACE.network([channels[0], *[16] * 6, channels[1]])
        peripheries = list(itertools.product(OPTIONS, repeat=9))
        periphery = PeripheryArrays.of([entry for entries in peripheries for entry in entries])
        periphery = map_arrays(lambda array: array.reshape(-1, 9), periphery)
        batch = evaluate_batch(Chip(), Workload.from_network(network), periphery)
        figures += [(edap * 1e18, area * 1e6, network) for edap, area in zip(batch.edap, batch.area, strict=True)]
    return figures


def search(**changes):
    arguments = {
        "objective": "edap",
        "area_budget": None,
        "score": score,
        "minimum_score": None,
        "strategy": "exact",
        "seed": 0,
    } | changes
    return search_architecture(SPACE, Chip(), OPTIONS, **arguments)


def test_it_finds_the_best_of_all_designs(all_edaps: list[tuple[float, float, Network]]) -> None:
    found = search()
    assert found.value == pytest.approx(min(edap for edap, _, _ in all_edaps), rel=1e-12)
    assert found.value == pytest.approx(found.evaluation.to_dict()["edap"], rel=1e-12)
    assert found.space_size == 4 * 2**9


def test_it_keeps_to_the_budget(all_edaps: list[tuple[float, float, Network]]) -> None:
    budget = float(np.quantile([area for _, area, _ in all_edaps], 0.1))
    found = search(area_budget=budget)
    assert objective_value(found.evaluation, "area") <= budget
    best = min(edap for edap, area, _ in all_edaps if area <= budget)
    # Tables assume a context, so the very best may be missed by a little; never by more than this.
    assert best <= found.value * (1 + 1e-12)
    assert found.value <= 1.05 * best


def test_it_keeps_to_the_least_score(all_edaps: list[tuple[float, float, Network]]) -> None:
    narrow, wide = SPACE.network([16] * 8), SPACE.network([64, *[16] * 6, 16])
    backbone = score(SPACE.network(SPACE.default_channels))
    assert score(narrow) < score(wide) - 1
    found = search(minimum_score=(score(wide) - 1) / backbone)
    assert found.score is not None
    assert found.score_minimum is not None
    assert found.score >= found.score_minimum
    allowed = [edap for edap, _, network in all_edaps if score(network) >= found.score_minimum]
    assert found.value == pytest.approx(min(allowed), rel=1e-9)


def test_impossible_budget() -> None:
    with pytest.raises(InfeasibleError, match=r"area budget 0\.5 mm2: the smallest design needs \d"):
        search(area_budget=0.5)


def test_impossible_score() -> None:
    with pytest.raises(InfeasibleError, match="minimum"):
        search(minimum_score=2.0)
