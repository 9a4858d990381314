"""The tables of `xpert evaluate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from xpert.cli import output
from xpert.text import plain_number, plain_percent

if TYPE_CHECKING:
    from xpert.results import VariantRow

HEADLINE = ("area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2")
"""Names of the headline figures in an evaluation."""

TITLES = ("area mm²", "latency µs", "energy µJ", "EDAP", "TOPS/W", "TOPS/mm²")
"""What tables call them."""

_QUANTITIES = HEADLINE[:3]
"""The figures that are sums over components, and over layers and what they share."""


def flat(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer's figures as one line: parts of its breakdown become `quantity.component`."""
    line = {key: value for key, value in layer.items() if key != "breakdown"}
    for quantity, parts in layer.get("breakdown", {}).items():
        line |= {f"{quantity}.{component}": value for component, value in parts.items()}
    return line


def show_evaluation(figures: dict[str, Any]) -> None:
    """Headline, components, layers and their mapping, on stdout.

    Args:
        figures: From `Evaluation.to_dict`.
    """
    from xpert.design import OPTIONAL_FIELDS, Periphery

    headline = [plain_number(figures[key]) for key in HEADLINE]
    output.show(output.table(figures["name"], TITLES, [headline], left=0))
    output.write(
        f"{figures['tiles']} tile{'' if figures['tiles'] == 1 else 's'}; "
        f"{plain_number(figures['frames_per_second'])} images/s, "
        f"{plain_number(figures['throughput_tops'])} TOPS; leakage power {plain_number(figures['leakage_mw'])} mW; "
        f"sensing cycle {plain_number(figures['sensing_period_ns'])} ns at most\n\n"
    )
    shares = ("area mm²", "", "latency µs", "", "energy µJ", "")
    components = _component_rows(figures)
    output.show(output.table("By component", ["component", *shares], components))
    output.show(output.table("By layer", ["layer", *shares, "of it leakage"], _layer_rows(figures)))
    decisions = {
        name: decision
        for name, decision in Periphery.decisions().items()
        if name not in OPTIONAL_FIELDS or any(name in layer for layer in figures["layers"])
    }
    titles = (decision.label.replace(" ", "\n", 1) for decision in decisions.values())
    header = ["layer", "channels", *titles, "tiles", "copies", "used", "ones"]
    output.show(output.table("Periphery, mapping and activity", header, _mapping_rows(figures, decisions), left=3))
    output.write("used: share of the tiles' cells that hold weights; ones: among input bits\n")


def show_variants(rows: Sequence[VariantRow]) -> None:
    """One design under variants of the model, on stdout.

    Args:
        rows: From `variant_rows`, of one design.
    """
    nominal = next(iter(rows[0].costs.values())).edap
    cells = []
    for row in rows:
        costs = next(iter(row.costs.values()), None)
        figures = [None if costs is None else getattr(costs, name) for name in HEADLINE[:4]]
        change = "-" if costs is None else f"{costs.edap / nominal:.3g}x"
        cells.append([row.variant, row.text or "", *map(plain_number, figures), change])
    header = ["variant", "what differs", *TITLES[:4], "× nominal"]
    output.show(output.table("Under variants of the model", header, cells, left=2))
    for row in rows:
        for words in (*row.refused.values(), *row.remarks.values()):
            output.write(f"{row.variant}: {words}\n")


def _component_rows(figures: dict[str, Any]) -> list[list[str]]:
    breakdown = figures["breakdown"]
    names = dict.fromkeys(name for parts in breakdown.values() for name in parts)
    return [[name, *_with_shares(figures, {q: breakdown[q].get(name) for q in _QUANTITIES})] for name in names]


def _layer_rows(figures: dict[str, Any]) -> list[list[str]]:
    rows = [
        [layer["name"], *_with_shares(figures, layer), plain_number(layer["leakage_energy_uj"])]
        for layer in figures["layers"]
    ]
    rest = {q: figures[q] - sum(layer[q] for layer in figures["layers"]) for q in _QUANTITIES}
    # What is not the layers' own; a pipelined chip is as fast as its slowest layer, so there latencies leave no rest.
    shared = {q: value if value > 1e-9 * figures[q] else 0.0 for q, value in rest.items()}
    if any(shared.values()):
        rows.append(["shared", *_with_shares(figures, shared), ""])
    return rows


def _with_shares(figures: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Area, latency and energy, each followed by its share of the chip's."""
    cells = []
    for quantity in _QUANTITIES:
        value = values[quantity]
        cells += [plain_number(value), plain_percent(None if value is None else value / figures[quantity])]
    return cells


def _mapping_rows(figures: dict[str, Any], periphery: Collection[str]) -> list[list[str]]:
    return [
        [
            layer["name"],
            f"{layer['in_channels']} → {layer['out_channels']}",
            *(str(layer.get(key, "-")) for key in (*periphery, "tiles", "speed_up")),
            *(plain_percent(layer[key]) for key in ("utilization", "input_bit_density")),
        ]
        if not layer.get("digital")
        else [
            layer["name"],
            f"{layer['in_channels']} → {layer['out_channels']}",
            "digital",
            *[""] * (len(periphery) + 3),
        ]
        for layer in figures["layers"]
    ]
