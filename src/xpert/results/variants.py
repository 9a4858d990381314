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


__all__ = ["VariantCosts", "VariantRegret", "VariantRow"]
