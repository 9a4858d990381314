"""Numbers and ratios as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits: `0.0123`, `1.23`, `11,700`, `6.82 × 10⁷`; an absent one is a dash."""
    if value is None:
        return "–"
    if value == round(value) and abs(value) < 1e5:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if not -5 < power < 5:
        return f"{mantissa} × 10{str(power).translate(_SUPERSCRIPTS)}"
    return f"{value:,.{max(0, digits - 1 - power)}f}"


def plain_number(value: float | None, digits: int = 4) -> str:
    """A number to so many significant digits in letters that every terminal has: `0.0123`, `11700`, `6.820e+07`."""
    if value is None:
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return f"{value:.{digits - 1}e}"


def percent(fraction: float | None, digits: int = 1, absent: str = "–") -> str:
    """A fraction as a percentage; an absent one is a dash."""
    return absent if fraction is None else f"{100 * fraction:.{digits}f} %"


def plain_percent(fraction: float | None, digits: int = 1) -> str:
    """As `percent`, in letters that every terminal has."""
    return percent(fraction, digits, absent="-")


def times(better: float | None, lower_is_better: bool) -> str:
    """A ratio in words, `2.64× lower`, from how many times better a design is (below 1: worse)."""
    if better is None:
        return "–"
    factor = better if better >= 1 else 1 / better
    return f"{number(factor)}× {'lower' if (better >= 1) == lower_is_better else 'higher'}"


def duration(seconds: float | None) -> str:
    """A duration: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    days = whole / 86400
    return f"{days:.3g} days" if days < 360 else f"{days / 365.25:.3g} year{'' if days < 366 else 's'}"


_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400}
"""Unit of a time -> how long it is; a year is a Julian one. [s]"""


def seconds_of(text: str) -> float | None:
    """A time such as `1s`, `30min`, `1h`, `1d` or `10y`, in seconds; None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)([a-z]+)", text.strip().replace(" ", ""))
    if match is None or match[2] not in _SECONDS:
        return None
    return float(match[1]) * _SECONDS[match[2]]


def programming_in_words(found: Mapping[str, Any]) -> str:
    """What programming a chip takes, from the fields of `xpert.results.accuracy.Programming`."""
    energy = found.get("energy_uj")
    in_cells = "energy not known" if energy is None else f"{plain_number(energy, 3)} uJ in the cells"
    return (
        f"{found['cells']} cells, {plain_number(found['pulses'], 3)} pulses, {plain_number(found['serial_s'], 3)} s "
        f"one cell after the other, {plain_number(found['parallel_s'], 3)} s with all crossbars at once, {in_cells}"
    )


def moment(date: str) -> str:
    """An ISO 8601 date as `23 Nov 2026`, with a time as `23 Nov 2026, 14:02 UTC`; anything else as it is."""
    try:
        form = "%d %b %Y" if len(date) == len("2026-11-23") else "%d %b %Y, %H:%M %Z"
        return datetime.fromisoformat(date).strftime(form).strip()
    except ValueError:
        return date


def log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """A few round values within a positive range of a logarithmic axis, and their labels."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    most = 8 if low >= 1e-4 and high < 1e5 else 5  # labels with powers of ten are long
    ticks: dict[float, str] = {}
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1,)):
        ticks = {
            step * 10.0**power: _tick(step, power)
            for power in powers
            for step in steps
            if low <= step * 10.0**power <= high
        }
        if len(ticks) <= most:
            break
    return list(ticks), list(ticks.values())


def _tick(step: float, power: int) -> str:
    if -4 <= power < 5:
        return f"{step * 10.0**power:,.6g}"
    return f"{step:g} × 10{str(power).translate(_SUPERSCRIPTS)}".removeprefix("1 × ")
