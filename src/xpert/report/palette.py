"""Colours that read on white and on near-black, and stay apart for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

from plotly.colors import sample_colorscale

SEARCHED = "#0d9488"
TYPICAL = "#94a3b8"
BEST = "#64748b"
SINGLE = "#a855f7"
BUDGET = "#e11d48"
INFEASIBLE = "#8792a2"
_ADC = {"sar": "#3b82f6", "flash": "#f59e0b"}
SHARES = {"area_mm2": "#8b5cf6", "latency_us": "#3b82f6", "energy_uj": "#f59e0b"}
SERIES = ("#3b82f6", "#f59e0b", "#0d9488", "#a855f7", "#e11d48", "#84a32b", "#0ea5e9", "#78716c")

_COMPONENTS = {
    "array": "#8b5cf6",
    "adc": "#ef6c3b",
    "accumulation": "#f2b134",
    "buffers": "#14a38f",
    "interconnect": "#3b82f6",
    "digital": "#d66ba8",
    "other": "#94a3b8",
    "leakage": "#64748b",
    "white": "#e2e8f0",
}


def adc_colours(adc_types: Iterable[str]) -> dict[str, str]:
    """A colour for each kind of ADC; the user's own get those that stand for nothing else in the same figure."""
    spare = cycle(("#a855f7", "#84a32b", "#0ea5e9", "#78716c"))
    return {name: _ADC.get(name) or next(spare) for name in adc_types}


def component_colours(names: list[str]) -> dict[str, str]:
    """A colour for each component of a breakdown; unknown components get what is left."""
    spare = iter(SERIES * (1 + len(names) // len(SERIES)))
    return {name: _COMPONENTS.get(name.split()[0].split("_")[0]) or next(spare) for name in names}


def layer_colours(count: int) -> list[str]:
    """A colour for each layer, from the first to the last along one scale."""
    scale = ["#4338ca", "#2563eb", "#0891b2", "#16a34a", "#ca8a04", "#ea580c", "#db2777"]
    return list(map(str, sample_colorscale(scale, [index / max(1, count - 1) for index in range(count)])))
