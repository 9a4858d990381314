"""Tables: the comparison of designs and the design layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from xpert.design import ARCHITECTURE_FIELDS, Design, Periphery, decisions_taken
from xpert.results import (
    BASELINES,
    Accuracy,
    Architecture,
    BaselineName,
    EvaluationRecord,
    FactorShare,
    LayerCost,
    Measured,
    Results,
    Robust,
    Row,
    VariantRow,
)
from xpert.text import number, plain_percent, times


@dataclass(frozen=True)
class Quantity:
    """A figure of merit of a whole chip."""

    field: str
    """Name in an evaluation."""

    ratio: str
    """Name among the ratios of results.json."""

    title: str
    unit: str
    """Unit; empty where the title is one."""

    lower_is_better: bool = True


QUANTITIES = (
    Quantity("area_mm2", "area", "Area", "mm²"),
    Quantity("latency_us", "latency", "Latency", "µs"),
    Quantity("energy_uj", "energy", "Energy", "µJ"),
    Quantity("edap", "edap", "EDAP", "µJ·µs·mm²"),
    Quantity("tops_per_watt", "tops_per_watt", "TOPS/W", "", lower_is_better=False),
    Quantity("tops_per_mm2", "tops_per_mm2", "TOPS/mm²", "", lower_is_better=False),
)

ACCURACIES = {"ideal": "Ideal accuracy", "quantised": "Quantised accuracy", "ni_mean": "NI-accuracy"}


def adc_name(adc_type: str) -> str:
    """A kind of ADC as people write it; the user's own go by their names."""
    return {"sar": "SAR"}.get(adc_type, adc_type)


def shown_value(periphery: Periphery, field: str) -> str:
    """A field of a periphery as people write it; a dash where it is not decided."""
    value = getattr(periphery, field)
    return adc_name(value) if field == "adc_type" else "-" if value is None else str(value)


def in_words(periphery: Periphery, fields: Iterable[str]) -> str:
    """Fields of a periphery in words: `SAR, 8 columns per ADC`."""
    decisions = Periphery.decisions()
    return ", ".join(decisions[name].words.format(shown_value(periphery, name)) for name in periphery.taken(fields))


def effect_name(effect: str) -> str:
    """A non-ideal effect as people write it."""
    return effect.replace("on_off", "on/off").replace("ir_", "IR ").replace("adc", "ADC").replace("_", " ")


def describe(row: Row) -> str:
    """What a homogeneous design is made of, or the name of another."""
    layer = row.homogeneous
    if layer is None:
        return row.name
    return in_words(layer, ARCHITECTURE_FIELDS)


BASELINE_NAMES: dict[BaselineName, str] = {
    "typical": "the typical homogeneous design",
    "best": "the best homogeneous design",
    "single": "the same network with the best single periphery",
}
"""Baselines within a sentence."""


def describe_baseline(name: str, row: Row) -> str:
    """What a baseline is made of: of the best single periphery the precisions too, for they are its own."""
    layer = row.homogeneous if name == "single" else None
    return describe(row) if layer is None else in_words(layer, Periphery.decisions())


def rows_of(results: Results) -> dict[str, Row]:
    """The searched design and its baselines, as far as there are any."""
    return {**({"searched": results.searched} if results.searched else {}), **baselines(results)}


def baselines(results: Results) -> dict[BaselineName, Row]:
    """The baselines that the results hold, typical first."""
    return {name: row for name in BASELINES if (row := results.baselines.get(name))}


def comparison(evaluations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Evaluations side by side.

    Args:
        evaluations: What `Evaluation.to_dict()` or `xpert evaluate --json` gave, one for each design.

    Returns:
        One dict per quantity: `quantity` (its name in the evaluation), `values` (one per design) and `ratios` (value
        over the first design's value).

    Raises:
        DataError: If an evaluation lacks a quantity, or one is not positive.
    """
    parsed = [EvaluationRecord.parse(data, f"evaluation {index}") for index, data in enumerate(evaluations, 1)]
    rows = []
    for quantity in QUANTITIES:
        values = [getattr(evaluation, quantity.field) for evaluation in parsed]
        rows.append({"quantity": quantity.field, "values": values, "ratios": [value / values[0] for value in values]})
    return rows


def comparison_table(
    evaluations: Sequence[Mapping[str, Any]], names: Sequence[str], accuracies: Sequence[float | None] = ()
) -> Table:
    """`comparison` for a terminal, with the names of the designs as headers.

    Args:
        evaluations: As for `comparison`.
        names: Of the designs.
        accuracies: NI-accuracy of each, where it is known.

    Raises:
        DataError: If an evaluation lacks a quantity, or one is not positive.
    """
    table = Table("", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, name in enumerate(names):
        table.add_column(Text(name), justify="right", overflow="fold")
        if index:
            table.add_column("ratio", justify="right", style="bold")
    for quantity, row in zip(QUANTITIES, comparison(evaluations), strict=True):
        cells = [_plain_number(row["values"][0])]
        for value, ratio in zip(row["values"][1:], row["ratios"][1:], strict=True):
            cells += [_plain_number(value), f"{ratio:.3g}x"]
        table.add_row(_plain_title(quantity), *cells)
    if any(accuracy is not None for accuracy in accuracies):
        first, *others = accuracies
        cells = [plain_percent(first)]
        for accuracy in others:
            difference = None if first is None or accuracy is None else 100 * (accuracy - first)
            cells += [plain_percent(accuracy), "-" if difference is None else f"{difference:+.1f} pt"]
        table.add_row("NI-accuracy", *cells)
    return table


def summary_table(results: Mapping[str, Any]) -> Table:
    """The searched design beside its homogeneous baselines, for a terminal: plain letters, within 80 columns.

    Args:
        results: What results.json holds; baselines, ratios and accuracies may be missing.

    Returns:
        A table for `rich.console.Console().print`, with or without a terminal; without rows if nothing was evaluated.

    Raises:
        DataError: If the results are broken.
    """
    parsed = Results.parse(results)
    return _beside(parsed, [name for name in baselines(parsed) if name != "single"])


def single_table(results: Mapping[str, Any]) -> Table | None:
    """The searched design beside its own network with the best single periphery, as `summary_table`; None without."""
    parsed = Results.parse(results)
    return _beside(parsed, ["single"]) if "single" in baselines(parsed) else None


def _beside(results: Results, names: Sequence[BaselineName]) -> Table:
    beside: dict[BaselineName, Row] = {name: row for name, row in baselines(results).items() if name in names}
    table = Table("", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("searched", justify="right", style="bold")
    for title in (*beside, *(f"vs {name}" for name in beside)):
        table.add_column(title, justify="right")
    if results.searched is None:
        return table
    rows = [results.searched, *beside.values()]
    for quantity in QUANTITIES:
        values = [_plain_number(getattr(row.evaluation, quantity.field)) for row in rows]
        better = [results.ratios.get(name, {}).get(quantity.ratio) for name in beside]
        words = [_plain(times(ratio, quantity.lower_is_better)) for ratio in better]
        table.add_row(_plain_title(quantity), *values, *words)
    for field, title in ACCURACIES.items():
        values = [getattr(accuracy_of(row), field) for row in rows]
        if any(value is not None for value in values):
            table.add_row(title, *("-" if value is None else f"{100 * value:.1f} %" for value in values))
    return table


def variant_table(rows: Sequence[VariantRow]) -> Table:
    """Designs under variants of the model, for a terminal: plain letters, within 80 columns where there are three.

    Args:
        rows: Of results.json.

    Returns:
        The searched design's EDAP, how many times lower it is than the others', and its regrets, where there are any.
    """
    others = list(dict.fromkeys(name for row in rows for name in row.ratios))
    regrets = [field for field in REGRETS if any(getattr(row, field) for row in rows)]
    table = Table("EDAP under", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("searched", *(f"vs {name}" for name in others), *(f"{REGRETS[field]}\nregret" for field in regrets)):
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in rows:
        own = row.costs.get("searched")
        words = [times(row.ratios.get(name), True).replace("×", "x").replace("–", "-") for name in others]
        given = [getattr(row, field) for field in regrets]
        table.add_row(
            Text(row.variant),
            "-" if own is None else _plain_number(own.edap),
            *words,
            *(plain_percent(one and one.regret) for one in given),
        )
    return table


REGRETS = {"network_regret": "network", "converter_regret": "ADC"}
"""Regrets of a row of variants, and what they are about."""


def robust_table(robust: Robust) -> Table:
    """What a search for the least worst regret found beside the nominal optimum, for a terminal: plain letters."""
    table = Table("regret under", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("robust", "nominal optimum"):
        table.add_column(name, justify="right")
    for row in robust.rows:
        table.add_row(Text(row.variant), plain_percent(row.robust.regret), plain_percent(row.nominal.regret))
    table.add_row("worst", plain_percent(robust.worst_regret), plain_percent(robust.nominal_worst_regret), style="bold")
    table.add_row("no design below", plain_percent(robust.lower_bound), "")
    return table


def variant_remarks(rows: Sequence[VariantRow]) -> list[str]:
    """What variants could not say, or only with figures from beyond their data."""
    return [f"{row.variant}, {name}: {words}" for row in rows for name, words in {**row.refused, **row.remarks}.items()]


def _plain(words: str) -> str:
    """Words in letters that every terminal has."""
    for letter, plain in {"×": "x", "–": "-", "−": "-", "²": "2", "µ": "u", "·": "*"}.items():
        words = words.replace(letter, plain)
    return words


def fair_text(results: Mapping[str, Any]) -> str:
    """What the ratios rest on, in plain lines: the best single periphery, the best tiles, and the factors.

    Args:
        results: What results.json holds; a line is left out where it says nothing of it.

    Raises:
        DataError: If the results are broken.
    """
    parsed = Results.parse(results)
    lines = [single_text(parsed), organisation_text(parsed)]
    if parsed.factors:
        parts = ", ".join(f"{factor_title(one.name)} {number(one.edap)}×" for one in parsed.factors)
        lines.append(f"EDAP below typical, factor by factor (Shapley shares): {parts}.")
    return _plain("".join(f"{line}\n" for line in lines if line))


def single_text(results: Results) -> str:
    """What the layers' own peripheries are worth beside one for all of them, in a sentence; empty if unknown."""
    row, searched = baselines(results).get("single"), results.searched
    if searched is None or not results.organisations:
        return ""
    if row is None:
        return "No single periphery for all layers of this network reaches the accuracy asked for within the budgets."
    words = describe_baseline("single", row)
    if is_single(results):
        return f"One periphery for all layers is best here: {words}. No layer-wise choice that was measured beats it."
    ratio = results.ratios.get("single", {}).get("edap")
    return (
        f"The same network with the best single periphery ({words}): layer-wise EDAP is {times(ratio, True)}"
        f"{difference_text(results.single_difference)}."
    )


def difference_text(difference: Measured | None) -> str:
    """A paired difference of accuracies, as the end of a sentence."""
    if difference is None:
        return ""
    mean, low, high = (
        f"{100 * value:+.2f}".replace("-", "−") for value in (difference.mean, difference.low, difference.high)
    )
    return f", NI-accuracy {mean} points ({low} to {high} with 95 % confidence, same images and chips)"


def is_single(results: Results) -> bool:
    """Whether the searched design is the one of the best single periphery."""
    row, searched = results.baselines.get("single"), results.searched
    return bool(row and searched and searched.evaluation.layers == row.evaluation.layers)


def organisation_text(results: Results) -> str:
    """The ratios with every design in the tiles that suit it best, in a sentence; empty if unknown."""
    if not results.organisation_ratios:
        return ""
    parts = ", ".join(f"{times(ratio, True)} than {name}" for name, ratio in results.organisation_ratios.items())
    return f"Each design in the tiles that suit it best: EDAP {parts}."


def factor_title(name: str) -> str:
    """A factor as people write it within a line."""
    decision = Periphery.decisions().get(name)
    return name if decision is None else decision.quantity


def bar_of(share: float, largest: float) -> float:
    """Length of a factor's bar, 0 to 1, on a logarithmic scale; none below 1."""
    return max(0.0, math.log(share)) / math.log(largest) if largest > 1 else 0.0


def factor_table(shares: Sequence[FactorShare]) -> Table:
    """Factors of the ratio of two designs for a terminal; the last row is their product."""
    quantities = ("edap", "area", "latency", "energy")
    titles = ("EDAP", "area", "latency", "energy", "EDAP alone", "EDAP last")
    table = Table("factor", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right")
    for one in shares:
        values = (*(getattr(one, name) for name in quantities), one.edap_alone, one.edap_last)
        table.add_row(Text(factor_title(one.name)), *(f"{value:.3g}x" for value in values))
    table.add_row("all", *(f"{math.prod(getattr(one, name) for one in shares):.3g}x" for name in quantities), "", "")
    return table


def _plain_number(value: float) -> str:
    return f"{value:.0f}" if 1000 <= value < 1e5 else f"{value:.3g}"


def _plain_title(quantity: Quantity) -> Text:
    """Title and unit in letters that every terminal has; EDAP's unit follows from the rows above it."""
    unit = "" if quantity.field == "edap" else quantity.unit
    return Text(f"{quantity.title} {unit}".strip().replace("²", "2").replace("µ", "u"))


def architecture_tables(architecture: Architecture, design: Design) -> list[Table]:
    """What phase 1 found, for a terminal: its figures beside the best homogeneous design's, and layer by layer."""
    found = architecture.found
    summary = Table("", box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    columns = [("found", found)] if found else []
    if architecture.homogeneous:
        best = min(architecture.homogeneous, key=lambda entry: entry.edap)
        columns.append((f"best homogeneous ({best.in_words(ARCHITECTURE_FIELDS)})", best))
    for name, _ in columns:
        summary.add_column(Text(name), justify="right")
    if len(columns) == 2:
        summary.add_column("", justify="right")
    for quantity in QUANTITIES[:4]:
        values = [getattr(costs, quantity.field) for _, costs in columns]
        words = [times(values[1] / values[0], True).replace("×", "x")] if len(values) == 2 else []
        summary.add_row(_plain_title(quantity), *map(_plain_number, values), *words)
    summary.add_row(Text(architecture.quality_name), *(f"{costs.quality:.6g}" for _, costs in columns))
    layers = Table("layer", box=box.SIMPLE_HEAD, pad_edge=False)
    decisions = decisions_taken(design.periphery, "architecture")
    for name in ("channels", *(decision.label for decision in decisions.values()), "kernel", "map"):
        layers.add_column(name, justify="right")
    for layer, periphery in zip(design.network.layers, design.periphery, strict=True):
        layers.add_row(
            Text(layer.name),
            f"{layer.in_channels} > {layer.out_channels}",
            *(Text("digital" if layer.digital else shown_value(periphery, field)) for field in decisions),
            f"{layer.kernel_height}x{layer.kernel_width}",
            f"{layer.out_height}x{layer.out_width}",
        )
    return [summary, layers]


def architecture_text(architecture: Architecture) -> str:
    """How phase 1 searched, and what is proven, in a sentence or two."""
    value, bound = architecture.value, architecture.lower_bound
    words = f"{architecture.strategy or 'search'}: {objective_name(architecture.objective or 'objective')}"
    if value is not None:
        words += f" {value:.5g} {OBJECTIVE_UNITS.get(architecture.objective or '', '').replace('µ', 'u')}".rstrip()
        if bound is not None:
            gap = max(0.0, (value - bound) / abs(value))
            words += ", proven optimal" if gap <= 1e-9 else f", at most {100 * gap:.2g} % above the optimum"
            words += ", among all designs of the space"
    points = [point for front in architecture.fronts for point in front.points]
    if points:
        proven = sum(point.gap is not None and point.gap <= 1e-9 for point in points)
        words += f"; Pareto fronts of {len(points)} points, {proven} of them proven"
    return words.replace("²", "2").replace("·", "*")


@dataclass(frozen=True)
class LayerRow:
    """A layer in the table of layers."""

    cost: LayerCost
    original_channels: int | None
    """Output channels of the same layer in the typical baseline, if it has one."""

    shares: dict[str, float]
    """Share of the chip's area, latency and energy, by field name."""


SHARED = ("area_mm2", "latency_us", "energy_uj")


def layer_rows(evaluation: EvaluationRecord, typical: EvaluationRecord | None) -> list[LayerRow]:
    """The layers of a design with their shares of the chip; those that are kept off the crossbars come last."""
    originals = {layer.name: layer.out_channels for layer in typical.layers} if typical else {}
    return [
        LayerRow(
            layer,
            originals.get(layer.name),
            {field: getattr(layer, field) / getattr(evaluation, field) for field in SHARED},
        )
        for layer in sorted(evaluation.layers, key=lambda layer: layer.digital)
    ]


def searched_kernels(design: Design | None) -> dict[str, str]:
    """Kernel of every layer, by name; of a design whose kernels are the backbone's own nothing."""
    if design is None or not design.network.kernels:
        return {}
    return {layer.name: f"{layer.kernel_height}×{layer.kernel_width}" for layer in design.network.layers}


def left_out(evaluation: EvaluationRecord, typical: EvaluationRecord) -> list[str]:
    """Layers of the typical baseline that a design does not have."""
    present = {layer.name for layer in evaluation.layers}
    return [layer.name for layer in typical.layers if layer.name not in present]


def shared_by_layers(evaluation: EvaluationRecord) -> dict[str, float]:
    """Share of the chip's area, latency and energy that belongs to no layer (global buffer, H-tree, ...)."""
    return {
        field: max(0.0, 1 - sum(getattr(layer, field) for layer in evaluation.layers) / getattr(evaluation, field))
        for field in SHARED
    }


def component_title(name: str) -> str:
    """A component as people write it."""
    return {"adc": "ADC"}.get(name, name.replace("_", " ").capitalize())


OBJECTIVE_UNITS = {
    "latency": "µs",
    "throughput": "µs",
    "energy": "µJ",
    "area": "mm²",
    "edp": "µJ·µs",
    "edap": "µJ·µs·mm²",
    "tops_per_watt": "pJ",
}
"""Units of the searches' objectives: those of the evaluations."""


def objective_name(name: str) -> str:
    """An objective of a search as people write it within a sentence."""
    names = {"edap": "EDAP", "edp": "EDP", "tops_per_watt": "energy per operation", "throughput": "time per image"}
    return names.get(name, name)


def budget_text(name: str, limit: float) -> str:
    """A budget of the search in words, from its name with the unit at the end."""
    quantity, _, unit = name.removeprefix("least_").rpartition("_")
    sign = "at least" if name.startswith("least_") else "at most"
    return f"{quantity} {sign} {number(limit)} {BUDGET_UNITS.get(unit, unit)}"


BUDGET_UNITS = {"mm2": "mm²", "us": "µs", "uj": "µJ", "mw": "mW"}


def component_rows(evaluations: Mapping[str, EvaluationRecord]) -> dict[str, dict[str, dict[str, float]]]:
    """Breakdowns turned round: component, then area, latency or energy, then design; each may be missing."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, evaluation in evaluations.items():
        for field in SHARED:
            for component, value in evaluation.breakdown.get(field, {}).items():
                rows.setdefault(component, {}).setdefault(field, {})[name] = value
    return rows


def accuracy_of(row: Row | None) -> Accuracy:
    """The accuracies of a row; all None where none were run."""
    return (row.accuracy if row else None) or Accuracy()
