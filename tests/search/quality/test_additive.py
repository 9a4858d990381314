"""The width law: by hand, as tables, and as fitted to the measurements in results/quality."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xpert.errors import ConfigError
from xpert.networks.backbones import BACKBONES
from xpert.networks.family import Family
from xpert.networks.spaces import LEFT_OUT, Space, layer_positions, space
from xpert.search.quality import QUALITIES
from xpert.search.quality.additive import (
    WidthLaw,
    additive_quality,
    is_fitted,
    is_sum,
    quality_tables,
    total_quality,
    width_law,
)

ROOT = Path(__file__).parents[3]
NAMES = ("vgg11", "vgg16", "resnet20", "resnet18")


ADDITIVE = [name for name in QUALITIES.shipped() if is_sum(name)]


def small(name: str) -> Space:
    return space(name, (16, 64, 256))


def test_by_hand() -> None:
    law = WidthLaw.parse(
        {"losses": [0.1, 0.05], "exponent": 0.5, "ceiling": 0.9, "networks": 9, "least_width": 16, "largest_width": 64}
        | {"error": 0.01, "spearman": 0.9}
    )
    assert law.losses_along(2) == pytest.approx([0.1, 0.05])
    # Depths 1/8, 3/8, 5/8, 7/8 among 1/4 and 3/4, and half of each loss.
    assert law.losses_along(4) == pytest.approx([0.05, 0.04375, 0.03125, 0.025])
    # Widths below the fitted ones follow the tangent in their logarithm: 2 + 1/2 * 2 * ln 4 at a quarter of 16.
    assert [law.shortfall(width) for width in (64, 16, 4)] == pytest.approx([1, 2, 2 + math.log(4)])
    assert law.covers([16, 64])
    assert not law.covers([15, 64])
    assert not law.covers([16, 65])


def test_a_network_by_hand() -> None:
    law = width_law("vgg16")
    channels = [16, 64, 256] * 4 + [32]
    lost = [loss * (width / 64) ** -law.exponent for loss, width in zip(law.losses, channels, strict=True)]
    vgg = space("vgg16")
    assert total_quality("width_law", vgg.network(channels)) == pytest.approx(law.ceiling - sum(lost), rel=1e-12)

    # Without its third and sixth layer: their absences in the place of their losses, the others' depth unchanged.
    assert any(law.absences)
    channels[2], channels[5] = channels[1], channels[4]
    kernels = (3, 3, 0, 3, 3, 0, *[3] * 7, 1)
    lost = [loss * (width / 64) ** -law.exponent for loss, width in zip(law.losses, channels, strict=True)]
    lost[2], lost[5] = law.absences[2], law.absences[5]
    missing = vgg.network(channels, kernels)
    assert total_quality("width_law", missing) == pytest.approx(law.ceiling - sum(lost), rel=1e-12)


def test_a_backbone_that_was_not_measured() -> None:
    # All 3x3 layers alike: 64 channels everywhere lose the one loss, whatever the projections.
    law = width_law("resnet20")
    assert len(law.losses) == 1
    networks = small("resnet20")
    network = networks.network([64] * networks.depth)
    assert total_quality("width_law", network) == pytest.approx(law.ceiling - law.losses[0])


def test_sizes() -> None:
    network = small("vgg11").network([16] * 8)
    weights = 9 * 16 * (3 + 7 * 16) + 16 * 10
    macs = 9 * 16 * (3 * 32**2 + 16 * (16**2 + 2 * 8**2 + 2 * 4**2 + 2 * 2**2)) + 16 * 10
    units = 16 * (32**2 + 16**2 + 2 * 8**2 + 2 * 4**2 + 2 * 2**2)
    expected = {"parameters": weights, "macs": macs, "relu_units": units, "log_widths": 8 * 4 + math.log2(10)}
    assert {name: total_quality(name, network) for name in expected} == pytest.approx(expected)
    assert macs == network.macs


@pytest.mark.parametrize("quality", ADDITIVE)
@pytest.mark.parametrize("name", ["vgg11", "resnet20"])
@given(data=st.data())
@settings(max_examples=4)
def test_tables_add_up(quality: str, name: str, data: st.DataObject) -> None:
    networks = small(name)
    chosen = [data.draw(st.integers(0, 2)) for _ in range(networks.depth)]
    tables, total = quality_tables(quality, networks)
    for table, source, decision in zip(tables, networks.inputs, networks.decisions, strict=True):
        into = 0 if source < 0 else chosen[networks.decisions[source]]
        total += table[into, chosen[decision] if decision >= 0 else 0, 0]
    channels = [options[index] for options, index in zip(networks.choices, chosen, strict=True)]
    assert total == pytest.approx(total_quality(quality, networks.network(channels)), rel=1e-12)


def test_kernels_and_missing_layers_count() -> None:
    for quality in ADDITIVE:
        # The width law knows no other kernels than the backbone's, but which layers are left out.
        other = 3 if quality == "width_law" else 1
        kernels = (other, 3, 0, 3, 3, other, 0, 3, 1)
        networks = space("vgg11", (16, 32), kernels=sorted({0, other, 3}))
        network = networks.network((16,) * 8, kernels)
        tables, total = quality_tables(quality, networks)
        for table, options, kernel in zip(tables, networks.kernels, kernels, strict=True):
            total += table[0, 0, options.index(kernel)]
        assert total == pytest.approx(total_quality(quality, network), rel=1e-12)
        assert total < total_quality(quality, networks.network((32,) * 8))


@pytest.mark.parametrize("quality", [name for name in ADDITIVE if name != "width_law"])
def test_missing_blocks_add_nothing(quality: str) -> None:
    networks = space("resnet20", (0, 16, 64), kernels=(1, 3))
    channels = [options[0] for options in networks.choices]
    kernels = [options[-1] for options in networks.kernels]
    network = networks.network(channels, kernels)
    assert LEFT_OUT in network.channels
    tables, total = quality_tables(quality, networks)
    for table, there in zip(tables, networks.present(channels), strict=True):
        total += table[0, 0, -1]
        assert there or table[0, 0, -1] == 0
    assert total == pytest.approx(total_quality(quality, network), rel=1e-12)
    assert total < total_quality(quality, networks.network([max(width, 16) for width in channels]))


def test_the_width_law_refuses_missing_blocks() -> None:
    networks = space("resnet20", (0, 16))
    network = networks.network([options[0] for options in networks.choices])
    assert not is_fitted(networks)
    assert is_fitted(space("resnet20", (16,)))
    for asked in (lambda: quality_tables("width_law", networks), lambda: total_quality("width_law", network)):
        with pytest.raises(ConfigError, match="give macs, parameters"):
            asked()
    total_quality("width_law", networks.network((16,) * networks.depth))


@pytest.mark.parametrize(("backbone", "sides"), [("vgg11", (1, 3)), ("vgg11", (0, 3, 5)), ("resnet20", (3, 5))])
def test_the_width_law_refuses_kernels_that_it_was_not_fitted_to(backbone: str, sides: tuple[int, ...]) -> None:
    networks = space(backbone, (16,), kernels=sides)
    other = [next((k for k in options if k not in (0, 3)), 3) for options in networks.kernels]
    network = networks.network((16,) * networks.depth, other)
    assert not is_fitted(networks)
    for asked in (lambda: quality_tables("width_law", networks), lambda: total_quality("width_law", network)):
        with pytest.raises(ConfigError, match="the width law knows 3x3 kernels"):
            asked()


@pytest.mark.parametrize("name", NAMES)
def test_no_layer_gains_from_being_narrower(name: str) -> None:
    for table in quality_tables("width_law", space(name, (8, 16, 100, 1000))).tables:
        assert (np.diff(table, axis=1) >= 0).all()


def test_unknown_quality() -> None:
    with pytest.raises(ConfigError, match=r"quality: must be a sum over layers, got 'naswot'"):
        additive_quality("naswot")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.quality import page, predictors, statistics

    return page, predictors, statistics


def test_the_shipped_law_is_the_fit_to_the_measurements(benchmark, own_entries: None) -> None:
    page, predictors, _ = benchmark
    shipped = json.loads(page.WIDTH_LAW.read_text(encoding="utf-8"))
    assert set(shipped) == set(page.SHIPPED)
    for name, passes, compared in (("vgg", page.LONG, "WITH_ABSENCES"), ("any", page.SHORT, "PREDICTORS")):
        measured = page.read(ROOT / "results" / "quality", passes)
        predictor = page.named(getattr(predictors, compared), page.SHIPPED[name])
        left_out = predictor.left_out(measured.networks, measured.accuracy)
        fitted = page.width_law(measured, predictor, left_out)
        assert WidthLaw.parse(fitted) == WidthLaw.parse(shipped[name])
        # And the library's formula is the benchmark's.
        backbone = f"vgg16 by the law of {name}"
        BACKBONES.register(Family((backbone,), lambda _, shape: layer_positions("vgg16", shape), width_law=name))
        networks = space("vgg16", (16, 512), (3, 16, 16), kernels=(0, 3))
        predicted = []
        for row in measured.networks.widths.astype(int).tolist():
            widths = [width or next(w for w in row[index::-1] if w) for index, width in enumerate(row)]
            kernels = [*(3 if width else 0 for width in row), 1]
            network = networks.network(widths, kernels).replace(backbone=backbone)
            predicted.append(total_quality("width_law", network))
        fit = predictor.fit(measured.networks, measured.accuracy)
        assert predicted == pytest.approx(predictor.predict(fit, measured.networks), abs=1e-3)


def test_correlations(benchmark) -> None:
    _, _, statistics = benchmark
    random = np.random.default_rng(0)
    for _ in range(5):
        x, y = random.integers(0, 6, (2, 15)).astype(float)
        assert statistics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
        assert statistics.kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


def test_correlation_among_pairs(benchmark) -> None:
    _, _, statistics = benchmark
    sizes = np.array([100.0, 110.0, 1000.0, 1100.0])
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    score = np.array([2.0, 1.0, 3.0, 4.0])  # wrong within the first pair of equals, right within the second
    assert statistics.kendall(score, truth, statistics.alike(sizes)) == 0.0


def test_the_ceiling_falls_with_chance(benchmark) -> None:
    _, _, statistics = benchmark
    truth = np.linspace(0.5, 0.6, 20)
    values = [statistics.ceiling(truth, deviation)[0].value for deviation in (0.0, 0.01, 0.02)]
    assert values[0] == pytest.approx(1.0)
    assert all(high > low for high, low in pairwise(values))
    assert statistics.chance(np.array([0.5, 0.6]), np.array([0.52, 0.6])) == pytest.approx(0.01)
