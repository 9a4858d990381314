"""Designs under variants of the model, and what the searched one gives away there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xpert.results.record import Positive, Record


class VariantCosts(Record):
    """A design under a variant."""

    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    edap: Positive
    """Energy times latency times area. [uJ us mm2]"""


class VariantRegret(Record):
    """What a design gives away under a variant, in the search's objective."""

    value: Positive
    """Its objective there."""

    best: Positive
    """The smallest objective known there."""

    regret: Annotated[float, Field(ge=0)]
    """`value / best - 1`."""

    channels: tuple[int, ...] = ()
    """Of the design that has it."""

    periphery: tuple[str, ...] = ()
    """Of the same, layer by layer."""


class VariantRow(Record):
    """All designs under one variant."""

    variant: str
    """Its name."""

    text: str | None = None
    """What is different."""

    costs: dict[str, VariantCosts] = Field(default_factory=dict)
    """By design, `searched` and the baselines; those that the variant has no figures for are left out."""

    refused: dict[str, str] = Field(default_factory=dict)
    """By design: why the variant has no figures for it."""

    remarks: dict[str, str] = Field(default_factory=dict)
    """By design: what of it is beyond the variant's data."""

    ratios: dict[str, Positive] = Field(default_factory=dict)
    """By baseline: how many times lower the searched design's EDAP is."""

    network_regret: VariantRegret | None = None
    """Of phase 1's design: against other networks of the same quality and their converters."""

    converter_regret: VariantRegret | None = None
    """Of the finished design: against other ADC types and column sharings."""


class RobustRow(Record):
    """Two designs of phase 1 under a variant."""

    variant: str
    """Its name."""

    robust: VariantRegret
    """Of the design with the least worst regret."""

    nominal: VariantRegret
    """Of the one that is best on the chip as it is."""


class Robust(Record):
    """A search for the least worst regret over variants."""

    worst_regret: Annotated[float, Field(ge=0)]
    """Of the design that was found."""

    lower_bound: Annotated[float, Field(ge=0)]
    """No design of the space has a smaller worst regret."""

    nominal_worst_regret: Annotated[float, Field(ge=0)]
    """Of the nominal optimum."""

    nominal_value: Positive
    """Objective of the nominal optimum on the chip as it is."""

    nominal_channels: tuple[int, ...] = ()
    nominal_periphery: tuple[str, ...] = ()
    """Of the nominal optimum, layer by layer."""

    rows: tuple[RobustRow, ...] = ()
    """By variant, in the order of the config."""


__all__ = [
    "Robust",
    "RobustRow",
    "VariantCosts",
    "VariantRegret",
    "VariantRow",
]
