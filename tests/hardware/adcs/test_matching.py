"""Matched comparators, references that can be set, and the subtraction of reference columns."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from xpert.design import AnalogSettings, Chip, Design, Periphery, Technology
from xpert.hardware import Evaluation, cost_tables, evaluate
from xpert.hardware.adcs.kind import Conversion
from xpert.hardware.adcs.matching import SMALLEST_SIGMA, comparator_width, matched, matched_width, mismatch, raw_sigma
from xpert.hardware.circuits import Cost, multiply_add
from xpert.hardware.technology import process_of
from xpert.networks.spaces import space

P = process_of(Technology(node_nm=32))
NONE = Cost(area=0.0, width=1e-5, height=0.0)


def asked(bits: float = 6.0, sigma: float = 0.25, trim: int = 0) -> Conversion:
    return Conversion(
        bits=bits,
        instances=1.0,
        turns=8.0,
        width=1e-5,
        column_resistance=np.array([2e3]),
        multiplicity=1.0,
        read_voltage=0.5,
        rows=64,
        r_on=20e3,
        r_off=200e3,
        sensing="current",
        offset_sigma=sigma,
        trim_bits=trim,
    )


def chip(adc_type: str = "sar", encoding: str = "offset", adc_bits: int = 6, **analog: object) -> Evaluation:
    vgg = space("vgg11")
    network = vgg.network(vgg.default_channels)
    settings = AnalogSettings.model_validate(analog)
    design = Design.homogeneous(
        network, Chip(analog=settings, encoding=encoding), Periphery(adc_type=adc_type, adc_bits=adc_bits)
    )
    return evaluate(design)


def test_pelgrom_by_hand() -> None:
    # 2.5 mV um at 32 nm; a quarter of a step of 0.5 V / 64 is 1.95 mV: 1.64 um2, 58.5 um at a gate of 28 nm.
    assert mismatch(P) == pytest.approx(2.5e-9)
    width = comparator_width(P, asked())
    assert width == pytest.approx((2.5e-9 / (0.25 * 0.5 / 64)) ** 2 / 28e-9)
    assert width * 1e6 == pytest.approx(58.5, rel=1e-2)
    # Small offsets are no smaller than a minimum transistor's.
    assert matched_width(P, 1.0) == 64e-9


def test_half_the_offset_takes_four_times_the_transistor() -> None:
    one, half, finer = (comparator_width(P, asked(*which)) for which in ((6.0, 0.25), (6.0, 0.125), (7.0, 0.25)))
    assert half == pytest.approx(4 * one)
    assert finer == pytest.approx(4 * one)
    energies = [matched(P, asked(6.0, sigma), NONE, 1.0, 6.0).energy for sigma in (0.25, 0.125, 0.0625)]
    # Gate capacitance beyond the smallest pair's: (4 w - w0) / (w - w0) with w0 a thousandth of w.
    assert energies[1] / energies[0] == pytest.approx(4, rel=5e-3)
    assert energies[2] / energies[1] == pytest.approx(4, rel=5e-3)


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_a_trim_of_three_sigma_leaves_an_even_distribution(bits: int) -> None:
    raw = raw_sigma(asked(trim=bits))
    step = 6 * raw / 2**bits
    assert step / math.sqrt(12) == pytest.approx(0.25)
    assert comparator_width(P, asked(trim=bits)) < comparator_width(P, asked())


def test_no_offset_is_the_dearest() -> None:
    """What is simulated without any offset is built as for the least that there is."""
    assert comparator_width(P, asked(sigma=0.0)) == comparator_width(P, asked(sigma=SMALLEST_SIGMA))
    for adc_type in ("sar", "flash", "ramp"):
        found = [chip(adc_type, adc_offset_sigma=sigma, adc_bits=7) for sigma in (1.0, 0.25, 0.0625, 0.0)]
        for coarse, fine in pairwise(found):
            assert fine.breakdown["energy"]["adc"] >= coarse.breakdown["energy"]["adc"]
            assert fine.area >= coarse.area
        assert found[-1].breakdown["energy"]["adc"] > found[0].breakdown["energy"]["adc"]
    assert chip(adc_range="unbounded").energy > chip(adc_range="full_scale").energy


def test_flash_pays_for_each_level() -> None:
    def more(adc_type: str) -> float:
        untrimmed, trimmed = (chip(adc_type, adc_trim_bits=bits, adc_offset_sigma=8) for bits in (0, 5))
        return float(trimmed.breakdown["area"]["adc"] - untrimmed.breakdown["area"]["adc"])

    assert more("flash") == pytest.approx(63 * more("sar"), rel=0.02)


def test_only_ranges_that_follow_a_layer_need_references() -> None:
    fixed, calibrated, learned = (chip(adc_range=name) for name in ("full_scale", "calibrated", "learned"))
    for quantity in ("area", "energy"):
        assert calibrated.breakdown[quantity]["adc"] > 1.02 * fixed.breakdown[quantity]["adc"]
        assert learned.breakdown[quantity]["adc"] == calibrated.breakdown[quantity]["adc"]
    assert calibrated.leakage_power > fixed.leakage_power
    assert calibrated.sensing_period == pytest.approx(fixed.sensing_period)


def test_pairs_have_no_reference_column() -> None:
    single, pairs = chip(), chip(encoding="differential")
    cells = [evaluation.tiles.sum() * 64 * 64 * 64 * 12 * 4 * (32e-9) ** 2 for evaluation in (single, pairs)]
    assert float(pairs.breakdown["area"]["array"]) == pytest.approx(cells[1])
    assert float(single.breakdown["area"]["array"]) == pytest.approx(cells[0] * 66 / 64)


def test_batch_norm_on_the_chip_is_a_multiplication_for_each_output() -> None:
    plain, adaptive = chip(), chip(adaptive_batch_norm=True)
    for quantity in ("area", "latency", "energy"):
        parts = plain.breakdown[quantity], adaptive.breakdown[quantity]
        assert parts[1]["digital"] > parts[0]["digital"], quantity
        assert {name for name in parts[0] if parts[0][name] != parts[1][name]} <= {"digital", "leakage"}
    vgg = space("vgg11")
    tables = [
        cost_tables(Chip(analog=AnalogSettings(adaptive_batch_norm=on)), vgg, [Periphery()]) for on in (False, True)
    ]
    assert tables[1].area_constant > tables[0].area_constant
    assert np.all(tables[1].layers[0].latency > tables[0].layers[0].latency)


def test_a_multiplier_grows_with_both_words() -> None:
    one = multiply_add(P, 16.0, 16, 1.0)
    for bits, factor in ((17.0, 16), (16.0, 17)):
        more = multiply_add(P, bits, factor, 1.0)
        assert more.area > one.area
        assert more.energy > one.energy
        assert more.latency > one.latency
    # 16 rows of 16-bit adders, 256 NANDs, 32 flip-flops.
    nand, flip_flop = 28 * 11.4 * (32e-9) ** 2, 28 * 12 * 7.6 * (32e-9) ** 2
    assert one.area == pytest.approx((9 + 1) * 256 * nand + 32 * flip_flop)
