"""The ADC's range: by hand, and as properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xpert.analog.adc import AdcRange, choose_range, percentiles
from xpert.analog.columns import sum_histogram


def test_full_scale_by_hand() -> None:
    # 64 rows of 4-bit cells less their middle: 961 sums. 10 bits convert each; 6 bits need steps of 960 / 63.
    possible = [(-512.0, 448.0)]
    fine = choose_range(possible, possible, 10, 4)
    assert fine.steps == (1.0,)
    assert fine.limits[0][0] <= -512
    assert fine.limits[0][1] >= 448
    coarse = choose_range(possible, possible, 6, 4)
    assert coarse.steps[0] == pytest.approx(960 / 63)
    assert coarse.limits[0] == pytest.approx((-34 * 960 / 63, 29 * 960 / 63))


def test_spare_levels_widen_the_range_instead_of_refining_it() -> None:
    adc = choose_range([(-10.0, 10.0)], [(-512.0, 448.0)], 6, 4)
    assert adc.steps == (1.0,)
    assert adc.limits == ((-32.0, 31.0),)


def test_window_stays_where_sums_can_be() -> None:
    adc = choose_range([(0.0, 3.0)], [(0.0, 960.0)], 6, 4)
    assert adc.limits == ((0.0, 63.0),)


ranges = st.tuples(st.floats(-1000, 0), st.floats(0, 1000))


@given(st.lists(ranges, min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 8))
def test_range_properties(wanted: list[tuple[float, float]], bits: int, cell_bits: int) -> None:
    possible = [(math.floor(low) - 1.0, math.ceil(high) + 1.0) for low, high in wanted]
    adc = choose_range(wanted, possible, bits, cell_bits)
    assert all(step >= 1 for step in adc.steps)
    assert all((step / adc.unit).is_integer() and math.log2(step / adc.unit).is_integer() for step in adc.steps)
    for step, limits, (low, high), (bottom, top) in zip(adc.steps, adc.limits, wanted, possible):
        # Mid-tread: zero is a level, so the window can miss either end by half a step.
        assert limits[1] - limits[0] == pytest.approx(step * (2**bits - 1))
        assert limits[0] <= low + step * (0.5 + 1e-6) or limits[1] >= top
        assert limits[1] >= high - step * (0.5 + 1e-6) or limits[0] <= bottom
    finest = min(max(1, (high - low) / (2**bits - 1)) / step for step, (low, high) in zip(adc.steps, wanted))
    assert finest > 0.5 - 1e-6


@given(ranges, st.integers(1, 11))
def test_one_more_bit_never_coarsens(wanted: tuple[float, float], bits: int) -> None:
    possible = [(-1000.0, 1000.0)]
    assert choose_range([wanted], possible, bits + 1, 4).steps <= choose_range([wanted], possible, bits, 4).steps


def test_lossless() -> None:
    adc = AdcRange(bits=3, unit=1.0, exponents=(0, 0), lowest=(-4, 0))
    assert adc.limits == ((-4.0, 3.0), (0.0, 7.0))
    assert adc.lossless([-4, 0], [3, 7])
    assert not adc.lossless([-5, 0], [3, 7])
    assert not adc.lossless([-4, 0], [3, 8])
    assert not AdcRange(bits=3, unit=1.0, exponents=(0, 1), lowest=(-4, 0)).lossless([0, 0], [0, 0])


def test_percentiles_by_hand() -> None:
    counts = torch.tensor([1, 0, 98, 1])
    assert percentiles(counts, -2, 0.0) == (-2.0, 1.0)
    assert percentiles(counts, -2, 0.01) == (0.0, 0.0)
    assert percentiles(torch.zeros(4, dtype=torch.int64), -2, 0.01) == (0.0, 0.0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any), st.floats(0, 0.49))
def test_percentiles_cut_no_more_than_the_tails(counts: list[int], tail: float) -> None:
    low, high = percentiles(torch.tensor(counts), 0, tail)
    allowed = tail * sum(counts) * (1 + 1e-9)
    assert sum(counts[: int(low)]) <= allowed
    assert sum(counts[int(high) + 1 :]) <= allowed
    assert counts[int(low)] > 0
    assert counts[int(high)] > 0


def test_histogram_by_hand() -> None:
    # Codes 3 = 11b and 1 = 01b on two rows in one block: bit 0 gives g1 + g2, bit 1 gives g1.
    codes = torch.tensor([[[3, 1]]], dtype=torch.uint8)
    nominal = torch.tensor([[[[2.0], [-1.0]], [[1.0], [-3.0]]]])  # rows x slices
    counts, lowest = sum_histogram(codes, nominal, ((0, 2),), 2)
    assert lowest == -4
    found = [{lowest + i: n for i, n in enumerate(row) if n} for row in counts.tolist()]
    assert found == [{3: 1, 2: 1}, {-4: 1, -1: 1}]
