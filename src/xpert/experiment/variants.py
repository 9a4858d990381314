"""Designs under the variants of the model, as results hold them."""

from __future__ import annotations

from collections.abc import Mapping

from xpert.design import ARCHITECTURE_FIELDS, Design
from xpert.errors import ConfigError
from xpert.hardware.variants import Variant, variants_of
from xpert.results import Robust, RobustRow, VariantCosts, VariantRegret, VariantRow
from xpert.search.objectives import PER_SI
from xpert.search.robust import RobustResult, worst_of
from xpert.search.variants import Regret


def variant_rows(
    designs: Mapping[str, Design],
    *,
    network: Mapping[str, Regret] | None = None,
    converters: Mapping[str, Regret] | None = None,
) -> tuple[VariantRow, ...]:
    """What designs cost under every variant.

    Args:
        designs: By name; the first one is what the others are compared with, in results `searched`. Where all have the
            activity of their trained networks, that is a variant, too; the others assume the chip's.
        network: Regrets of phase 1's design, by variant.
        converters: Regrets of the first design, by variant.
    """
    network, converters = network or {}, converters or {}
    return tuple(
        _costs(variant, designs).replace(
            **{
                field: _regret(regrets[variant.name])
                for field, regrets in (("network_regret", network), ("converter_regret", converters))
                if variant.name in regrets
            }
        )
        for variant in variants_of(list(designs.values()))
    )


def robust_record(result: RobustResult, nominal: Design, value: float) -> Robust:
    """A search for the least worst regret, as results hold it.

    Args:
        result: What was found.
        nominal: The design that is best on the chip as it is.
        value: Its objective there.
    """
    return Robust(
        worst_regret=result.worst,
        lower_bound=result.lower_bound,
        nominal_worst_regret=worst_of(result.nominal),
        nominal_value=value,
        nominal_channels=nominal.network.channels,
        nominal_periphery=tuple(entry.short(ARCHITECTURE_FIELDS) for entry in nominal.periphery),
        rows=tuple(
            RobustRow(variant=name, robust=_regret(regret), nominal=_regret(result.nominal[name]))
            for name, regret in result.regrets.items()
        ),
    )


def _costs(variant: Variant, designs: Mapping[str, Design]) -> VariantRow:
    costs: dict[str, VariantCosts] = {}
    refused: dict[str, str] = {}
    remarks: dict[str, str] = {}
    for name, design in designs.items():
        try:
            found = variant.evaluate(design)
        except ConfigError as error:
            refused[name] = str(error)
            continue
        area, latency, energy = (float(getattr(found, figure)) * PER_SI for figure in ("area", "latency", "energy"))
        costs[name] = VariantCosts(
            area_mm2=area, latency_us=latency, energy_uj=energy, edap=float(found.edap) * PER_SI**3
        )
        if (remark := variant.remark(design)) is not None:
            remarks[name] = remark
    first, *others = designs
    ratios = {name: costs[name].edap / costs[first].edap for name in others if {name, first} <= costs.keys()}
    told = {"refused": refused, "remarks": remarks, "ratios": ratios}
    return VariantRow(
        variant=variant.name, text=variant.text, costs=costs, **{name: value for name, value in told.items() if value}
    )


def _regret(regret: Regret) -> VariantRegret:
    return VariantRegret(
        value=regret.value,
        best=regret.best,
        regret=regret.regret,
        channels=regret.design.network.channels,
        periphery=tuple(entry.short(ARCHITECTURE_FIELDS) for entry in regret.design.periphery),
    )


__all__ = ["robust_record", "variant_rows"]
