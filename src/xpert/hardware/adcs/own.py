"""ADCs of the user's own: figures that are given, not derived from a circuit."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from xpert.design import Adc
from xpert.errors import ConfigError
from xpert.hardware.adcs.column_power import sum_columns
from xpert.hardware.adcs.kind import AdcKind, Conversion
from xpert.hardware.block import Block
from xpert.hardware.circuits import Cost
from xpert.hardware.gates import Array
from xpert.hardware.technology import Process

_SI = {"area_um2": 1e-12, "energy_pj": 1e-12, "latency_ns": 1e-9, "leakage_uw": 1e-6}
"""Figure of an ADC -> its unit in SI."""

_MOST_BITS = 12
"""Highest ADC precision that a design may have. [bit]"""


def own_adc(
    p: Process,
    adc: Adc,
    bits: Array,
    instances: Array,
    *,
    width: Array,
    column_resistance: Array,
    multiplicity: Array = 1.0,
) -> Cost:
    """Cost of ADCs that are given by their figures; one read converts every column once (latency: one conversion).

    A conversion costs the same whatever the column. The area is spread over the width of the columns, as that of other
    ADCs.

    Args:
        p: Process.
        adc: The user's ADC.
        bits: ADC precision. `[*batch]` [bit]
        instances: ADCs.
        width: Imposed width. [m]
        column_resistance: Of each (group of) column; here only its shape counts. `[*batch, columns]`
        multiplicity: Columns in each group. `[*batch, columns]`

    Raises:
        ConfigError: If the ADC is asked for a precision for which it has no figures.
    """
    bits = np.asarray(bits)
    node_nm = round(p.feature * 1e9, 6)
    # Measured figures have the factors in them that fit the model to silicon: what will be multiplied is divided here.
    sensing = p.calibration.sensing_latency
    layout = p.calibration.post_layout_energy if p.switches.post_layout_energy else 1.0
    precisions = np.clip(bits.astype(np.intp), 0, _MOST_BITS)
    table = _figures(adc, node_nm, sensing, layout)  # pyright: ignore[reportArgumentType] - frozen, so it has a hash
    area, energy, latency, leakage = table[:, precisions]
    missing = np.isnan(area)
    if np.any(missing):
        allowed = ", ".join(map(str, adc.allowed_bits))
        raise ConfigError(f"adc_bits must be one of {allowed} for the ADC {adc.name!r}, got {int(bits[missing][0])}")
    area = instances * area
    return Cost(
        area=area,
        width=width,
        height=area / width,
        latency=latency,
        energy=sum_columns(np.ones(np.shape(column_resistance)), multiplicity) * energy,
        leakage=instances * leakage,
    )


@lru_cache(maxsize=256)
def _figures(adc: Adc, node_nm: float, sensing: float, layout: float) -> np.ndarray:
    """Area, energy, latency and leakage, SI; [4, bits], NaN where the ADC has no figures."""
    table = np.full((len(_SI), _MOST_BITS + 1), np.nan)
    factor = {"energy_pj": 1 / layout, "latency_ns": 1 / sensing} if adc.measured else {}
    figures = adc.figures(node_nm)
    for row, (field, unit) in enumerate(_SI.items()):
        for bits, value in figures[field].items():
            table[row, bits] = value * unit * factor.get(field, 1.0)
    table.setflags(write=False)
    return table


def own_kind(adc: Adc) -> AdcKind:
    """The kind that the user's ADC is."""
    return AdcKind(partial(_blocks, adc))


def _blocks(adc: Adc, p: Process, asked: Conversion) -> list[Block]:
    cost = own_adc(
        p,
        adc,
        asked.bits,
        asked.instances,
        width=asked.width,
        column_resistance=asked.column_resistance,
        multiplicity=asked.multiplicity,
    )
    return [Block(f"{adc.name}_adc", cost, of_columns=True)]


__all__ = ["own_adc", "own_kind"]
