"""SAR and flash ADCs and the encoder: on paper, and the flash delay against a search over all levels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Technology
from xpert.hardware import gates
from xpert.hardware.adcs.flash import _DELAY, flash_adc, flash_encoder
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import Process, process_of

ONE_COLUMN = {"width": 1e-4, "read_voltage": 0.5, "multiplicity": np.ones(1)}
CELLS = {"rows": 64.0, "r_on": 2e4, "r_off": 2e5}


@pytest.fixture(scope="module")
def p() -> Process:
    return process_of(Technology(node_nm=32))


@pytest.fixture(scope="module")
def reference() -> Process:
    return process_of(Technology(node_nm=32), switches=REFERENCE)


def test_sar_by_hand(p: Process) -> None:
    built = sar_adc(p, 5.0, 4.0, column_resistance=np.array([1000.0]), **ONE_COLUMN)
    assert built.latency == pytest.approx(6e-9)  # five bits and one step to sample
    f = 32e-9
    cell = 28 * f * 2 * 3.8 * f
    assert built.area == pytest.approx(4 * cell * (269 + 4 * 109 + 209 + 4 * 73))
    power = (1.1294 * 5 + 8.8998) * 1e-6 + 0.079449 * math.exp(-2.297 * 3)
    assert built.energy == pytest.approx(power * 6e-9)


def test_a_column_counts_as_often_as_it_is_there(p: Process) -> None:
    column, group = np.array([5e3, 2e4, 2e4, 2e4]), np.array([5e3, 2e4])
    given_ = {"width": 1e-4, "read_voltage": 0.2}
    for adc, more in ((sar_adc, {}), (flash_adc, CELLS)):
        spelled = adc(p, 6.0, 4.0, column_resistance=column, **given_, **more)
        grouped = adc(p, 6.0, 4.0, column_resistance=group, multiplicity=np.array([1.0, 3.0]), **given_, **more)
        assert spelled.energy == pytest.approx(grouped.energy, rel=1e-14)
        assert spelled.latency == grouped.latency


def test_no_current_no_fitted_power(p: Process) -> None:
    for adc, more in ((sar_adc, {}), (flash_adc, CELLS)):
        open_column = adc(p, 5.0, 4.0, column_resistance=np.array([np.inf]), **ONE_COLUMN, **more)
        short = adc(p, 5.0, 4.0, column_resistance=np.array([0.0]), **ONE_COLUMN, **more)
        assert open_column.energy == pytest.approx(1e-6 * open_column.latency)
        assert short.energy == 0


def test_a_lower_read_voltage_draws_the_current_of_a_larger_resistance(p: Process) -> None:
    at_half = sar_adc(p, 5.0, 1.0, width=1e-4, read_voltage=0.25, column_resistance=np.array([1e4]))
    doubled = sar_adc(p, 5.0, 1.0, width=1e-4, read_voltage=0.5, column_resistance=np.array([2e4]))
    assert at_half.energy == doubled.energy


def test_flash_has_a_comparator_per_level(p: Process) -> None:
    column = np.array([1e4])
    four, five = (flash_adc(p, x, 2.0, column_resistance=column, **ONE_COLUMN, **CELLS) for x in (4.0, 5.0))
    assert five.area / four.area == pytest.approx(31 / 15)
    f = 32e-9
    assert four.area == pytest.approx(2 * 15 * (57 + 49) * 28 * f * 2 * 3.8 * f)


def test_voltage_sensing_takes_one_nanosecond(p: Process) -> None:
    built = flash_adc(p, 4.0, 2.0, column_resistance=np.array([1e4]), **ONE_COLUMN, **CELLS, sensing="voltage")
    assert built.latency == 1e-9
    power = 3.692e-6 * 15 + 0.079449 * math.exp(-2.297 * 4)
    assert built.energy == pytest.approx(power * 1e-9)


def test_adcs_leak_like_their_transistors_unless_the_reference_is_asked_for(p: Process, reference: Process) -> None:
    column = np.array([1e4])
    assert sar_adc(reference, 4.0, 1.0, column_resistance=column, **ONE_COLUMN).leakage == 0
    built = flash_adc(p, 4.0, 2.0, column_resistance=column, **ONE_COLUMN, **CELLS)
    width_n, width_p = 64e-9, 64e-9 * p.pn_ratio
    off = (57 * width_n * p.ioff_n + 49 * width_p * p.ioff_p) / 2
    assert built.leakage == pytest.approx(2 * 15 * off * 0.9)


def slowest_of_all_levels(p: Process, levels: int, resistance: float, rows: float, r_on: float, r_off: float) -> float:
    """The notes' formula, level after level; resistance at 0.5 V."""
    a, b, below, above = _DELAY[p.node_nm]
    largest = (a * np.log(resistance / 1000) + b) * 1e-9
    worst = 0.0
    for level in range(0 if p.switches.flash_plateau else 1, levels - 1):
        x = (r_on / rows + (level + 1) * (r_off / rows) / levels) / resistance
        if x >= 20 or x <= 0.05:
            delay = 1e-9
        elif x <= 0.9:
            delay = largest * np.polyval(below, x)
        elif x < 1.1 and p.switches.flash_plateau:
            delay = largest
        else:
            delay = largest * np.polyval(above, x)
        worst = max(worst, delay)
    return min(max(worst, 1e-9), 10e-9)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([130, 90, 65, 45, 32]),
    st.sampled_from([REFERENCE, PHYSICAL]),
    st.integers(1, 9),
    st.floats(20, 1e6),
    st.integers(4, 10),
    st.floats(1e3, 1e6),
    st.floats(1.01, 200),
)
def test_flash_delay_equals_a_search_over_all_levels(
    node: int, switches: object, bits: int, resistance: float, row_bits: int, r_on: float, ratio: float
) -> None:
    p = replace(process_of(Technology(node_nm=node)), switches=switches)
    rows, levels = float(2**row_bits), 2**bits
    built = flash_adc(
        p,
        float(bits),
        1.0,
        column_resistance=np.array([resistance]),
        rows=rows,
        r_on=r_on,
        r_off=r_on * ratio,
        width=1e-4,
        read_voltage=0.5,
    )
    expected = slowest_of_all_levels(p, levels, resistance, rows, r_on, r_on * ratio)
    assert float(built.latency) == pytest.approx(expected, rel=1e-12)


def test_the_slowest_column_sets_the_delay_and_absent_ones_do_not() -> None:
    p = process_of(Technology(node_nm=130))
    cells = {"rows": 16.0, "r_on": 2e5, "r_off": 2e6}

    def delay(*resistances: float, multiplicity: tuple[float, ...] | None = None) -> float:
        weights = np.ones(len(resistances)) if multiplicity is None else np.array(multiplicity)
        columns = np.array(resistances)
        return float(
            flash_adc(
                p, 5.0, 1.0, column_resistance=columns, multiplicity=weights, width=1e-4, read_voltage=0.5, **cells
            ).latency
        )

    quick, slow = 5e4, 5e3
    assert delay(quick) < delay(slow)
    assert delay(quick, slow) == delay(slow)
    assert delay(quick, slow, multiplicity=(3.0, 0.0)) == delay(quick)
    assert delay(np.inf) == 1e-9


@pytest.mark.parametrize(("node", "roadmap"), [(32, "HP"), (22, "LSTP"), (7, "LSTP")])
def test_where_there_is_no_fit_a_comparison_takes_the_least_time(node: int, roadmap: str) -> None:
    p = process_of(Technology(node_nm=node, roadmap=roadmap))
    built = flash_adc(p, 5.0, 1.0, column_resistance=np.array([1e4]), **ONE_COLUMN, **CELLS)
    assert built.latency == 1e-9


def test_encoder_counts_all_its_gates_in_the_delay_unless_the_reference_is_asked_for(
    p: Process, reference: Process
) -> None:
    whole = flash_encoder(p, 4.0, 4.0, width=1e-4)
    short = flash_encoder(reference, 4.0, 4.0, width=1e-4)
    assert whole.latency > short.latency


def test_encoder_is_as_high_as_its_levels(p: Process) -> None:
    built = flash_encoder(p, 4.0, 1.0, width=1e-4)
    assert built.height == pytest.approx(15 * gates.standard_inverter(p).height)
    wide = flash_encoder(p, 4.0, 1.0, width=1e-7)
    assert wide.width > 1e-7, "a column narrower than an encoder is widened"


def test_memory_of_the_flash_delay_does_not_grow_with_the_levels(p: Process) -> None:
    """A batch of designs of very different precision is evaluated at once."""
    bits = np.arange(1.0, 11.0)
    batch = flash_adc(p, bits, 1.0, column_resistance=np.full((10, 1), 3e3), **ONE_COLUMN, **CELLS)
    assert np.shape(batch.latency) == (10,)
    assert np.all(np.diff(batch.energy / batch.latency) > 0)
