import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.text import duration, log_ticks, moment, number, percent, plain_number, plain_percent, seconds_of, times


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (40.0, "40"),
        (-3.0, "-3"),
        (1.23456, "1.23"),
        (12.3456, "12.3"),
        (1563.7, "1,564"),
        (0.00076123, "0.000761"),
        (99999.6, "1.00 × 10⁵"),
        (6.82e7, "6.82 × 10⁷"),
        (-6.82e7, "-6.82 × 10⁷"),
        (1.5e-9, "1.50 × 10⁻⁹"),
    ],
)
def test_numbers_have_three_digits(value: float | None, shown: str):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.0012345, "0.001234"),
        (1.5, "1.5"),
        (9999.4, "9999"),
        (12345.6, "12346"),
        (1e-4, "1.000e-04"),
        (-2.5, "-2.5"),
        (123456.0, "1.235e+05"),
    ],
)
def test_plain_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert plain_number(value) == text


def test_plain_percentages() -> None:
    assert plain_percent(0.9876) == "98.8 %"
    assert plain_percent(None) == "-"


def test_a_ratio_says_which_way_it_goes():
    assert times(2.5, lower_is_better=True) == "2.50× lower"
    assert times(0.4, lower_is_better=True) == "2.50× higher"
    assert times(2.5, lower_is_better=False) == "2.50× higher"
    assert times(0.4, lower_is_better=False) == "2.50× lower"
    assert times(None, lower_is_better=True) == "–"


def test_fractions_are_percentages():
    assert percent(0.96123) == "96.1 %"
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float | None, shown: str):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        ("2026-11-23", "23 Nov 2026"),
        ("2026-11-23T14:02:11+00:00", "23 Nov 2026, 14:02 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_dates(date: str, shown: str):
    assert moment(date) == shown


def value(label: str) -> float:
    """What a tick's label says."""
    match = re.fullmatch("(?:(.+) × )?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", label)
    if not match:
        return float(label.replace(",", ""))
    return float(match[1] or 1) * 10.0 ** int(match[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))


@given(st.floats(-12, 12), st.floats(math.log10(1.5625), 6))
def test_ticks_of_a_log_axis_are_few_inside_and_labelled_right(start: float, decades: float):
    low, high = 10.0**start, 10.0 ** (start + decades)
    ticks, labels = log_ticks(low, high)
    assert 1 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert [value(label) for label in labels] == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("1s", 1), ("30min", 1800), (" 1.5 h", 5400), ("1d", 86400), ("10y", 315576000), ("1e3s", 1000), ("1", None),
     ("h", None), ("-1s", None), ("1 m", None), ("", None)],
)  # fmt: skip
def test_times_of_people(words: str, seconds: float | None):
    assert seconds_of(words) == seconds
