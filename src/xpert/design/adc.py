"""A user's own ADC: area, energy and latency of a converter as numbers, tables or formulas, with their source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from xpert.design._base import DataModel, shown
from xpert.design.adc_registry import ADCS
from xpert.design.formula import check_formula, evaluate_formula
from xpert.design.periphery import AdcBits, AdcType
from xpert.errors import ConfigError

LARGEST = 1e9
"""Largest figure of an ADC, in the unit of its field: far above any that is built."""

_QUANTITIES = ("bits", "node_nm")


def _figure(given: Any) -> float | str | tuple[tuple[int, float | str], ...]:
    """A figure as it is kept: a number, a formula, or a table as pairs in the order of their bits."""
    if isinstance(given, tuple):  # a table that has been read before
        given = dict(given)
    if not isinstance(given, Mapping):
        return _number_or_formula(given)
    table: dict[int, float | str] = {}
    for key, value in given.items():
        bits = int(key) if str(key).isdecimal() and len(str(key)) <= 2 else 0
        if not 1 <= bits <= 12 or bits in table:
            raise ValueError(f"the keys of a table are different ADC precisions from 1 to 12 bits, got {shown(key)}")
        table[bits] = _number_or_formula(value)
    if not table:
        raise ValueError("a table needs at least one entry, bits: value")
    return tuple(sorted(table.items()))


def _number_or_formula(given: Any) -> float | str:
    if isinstance(given, str):
        check_formula(given, _QUANTITIES)
        return given
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError("must be a number, a formula over bits and node_nm, or a table {bits: number or formula}")
    if not 0 <= given <= LARGEST:
        raise ValueError(f"must be from 0 to {LARGEST:g}")
    return float(given)


Figure = Annotated[
    float | str | tuple[tuple[int, float | str], ...],
    PlainValidator(_figure),
    PlainSerializer(lambda figure: dict(figure) if isinstance(figure, tuple) else figure),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}, {"type": "object"}]}),
]
"""A number; a formula over `bits` (ADC precision) and `node_nm` (the chip's technology node); or a table of these by
bits, which then allows no other precision."""


class Adc(DataModel):
    """An ADC of the user's own. Figures are those of one converter; energy and latency of one conversion."""

    name: AdcType
    """What `adc_type` calls it."""

    source: Annotated[str, Field(min_length=10, max_length=2000)]
    """Where the figures come from: author, title, year; for formulas what was fitted."""

    bits: tuple[AdcBits, AdcBits]
    """Smallest and largest precision for which the figures hold. [bit]"""

    nodes_nm: tuple[Annotated[float, Field(gt=0, le=1000)], Annotated[float, Field(gt=0, le=1000)]]
    """Smallest and largest technology node for which the figures hold; they change with the node only where a formula
    says so. [nm]"""

    measured: bool = True
    """Whether the figures are of silicon or extracted layout, and so taken as they are; if not, the factors that fit
    schematic figures to silicon apply to latency and energy, as to the ADCs made of circuits."""

    area_um2: Figure
    """Layout area. [um2]"""

    energy_pj: Figure
    """Energy of one conversion. [pJ]"""

    latency_ns: Figure
    """Duration of one conversion. [ns]"""

    leakage_uw: Figure = 0.0
    """Leakage power; 0 where it is part of the measured energy. [uW]"""

    replaces: AdcType | None = None
    """Kind made of circuits, as `sar`, whose costs these figures stand for wherever a layer has it: for what-ifs. Such
    an ADC is no kind of its own; how errors are spread stays as in the kind. Unset: none."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in ADCS:
            raise ValueError(f"name: {self.name} is one of the ADCs derived from their circuits; choose another")
        if self.replaces is not None and self.replaces not in ADCS:
            raise ValueError(
                f"replaces must be one of the ADCs derived from their circuits ({', '.join(ADCS.names())}), "
                f"got {shown(self.replaces)}"
            )
        for field in ("bits", "nodes_nm"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field} must be [smallest, largest], got [{low:g}, {high:g}]")
        for field in FIGURES:
            figure = getattr(self, field)
            if isinstance(figure, tuple) and not self.bits[0] <= figure[0][0] <= figure[-1][0] <= self.bits[1]:
                raise ValueError(f"{field}: a table has no entries beyond bits ({self.bits[0]} to {self.bits[1]})")
        if not self.allowed_bits:
            raise ValueError("the tables have no precision in common")
        for node_nm in self.nodes_nm:
            self.figures(node_nm)
        return self

    @property
    def allowed_bits(self) -> tuple[int, ...]:
        """Precisions for which there are figures. [bit]"""
        allowed = set(range(self.bits[0], self.bits[1] + 1))
        for field in FIGURES:
            figure = getattr(self, field)
            if isinstance(figure, tuple):
                allowed &= set(dict(figure))
        return tuple(sorted(allowed))

    def figures(self, node_nm: float) -> dict[str, dict[int, float]]:
        """Every figure at every allowed precision: field -> bits -> value in the field's unit.

        Args:
            node_nm: Technology node of the chip. [nm]

        Raises:
            ConfigError: If a formula has no value, or one out of range; the message names the field.
        """
        return {field: {bits: self._value(field, bits, node_nm) for bits in self.allowed_bits} for field in FIGURES}

    def _value(self, field: str, bits: int, node_nm: float) -> float:
        figure = getattr(self, field)
        entry = dict(figure)[bits] if isinstance(figure, tuple) else figure
        if not isinstance(entry, str):
            return entry
        try:
            value = evaluate_formula(entry, dict(zip(_QUANTITIES, (bits, node_nm), strict=True)))
        except ConfigError as error:
            raise ConfigError(f"{field}: {error}") from None
        if not 0 <= value <= LARGEST:
            raise ConfigError(
                f"{field}: must be from 0 to {LARGEST:g}, but {shown(entry)} is {value:g} at bits = {bits}, "
                f"node_nm = {node_nm:g}"
            )
        return value


FIGURES = ("area_um2", "energy_pj", "latency_ns", "leakage_uw")
"""Fields of `Adc` that are numbers, formulas or tables."""

__all__ = ["FIGURES", "LARGEST", "Adc", "Figure"]
