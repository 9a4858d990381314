"""Figures of the report. Each function returns a plotly figure; the page arranges them.

Colours of text and lines are those of the light page; the page's style sheet overrides them in the dark. Whatever comes
from a file and is shown as text goes through `_safe`, because plotly reads a little HTML in its labels.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, cycle
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from xpert.design import PRECISION_FIELDS, Periphery, decisions_taken, in_order
from xpert.report import palette
from xpert.report.points import proof
from xpert.report.tables import (
    OBJECTIVE_UNITS,
    QUANTITIES,
    Quantity,
    adc_name,
    baselines,
    component_title,
    describe,
    describe_baseline,
    effect_name,
    objective_name,
)
from xpert.results import (
    AccuracyFile,
    Architecture,
    Costs,
    Epoch,
    EvaluationRecord,
    Front,
    FrontPoint,
    HomogeneousCosts,
    Precision,
    PrecisionPoint,
    Results,
    Row,
    TriedDesign,
)
from xpert.text import log_ticks, number, percent, time_in_words

_INK = "#334155"
_GRID = "#e2e8f0"
_CLEAR = "rgba(0,0,0,0)"
_AXIS = {
    "gridcolor": _GRID,
    "linecolor": _GRID,
    "zeroline": False,
    "automargin": True,
    "ticklabelstandoff": 4,
    "title": {"standoff": 10, "font": {"size": 13}},
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": _FONT, "size": 13, "color": _INK},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "margin": {"l": 8, "r": 12, "t": 36, "b": 8},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {
            "bgcolor": "#0f172a",
            "bordercolor": "#0f172a",
            "font": {"color": "#f8fafc", "family": _FONT},
            "align": "left",
            "namelength": -1,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "bargap": 0.3,
        "colorway": list(palette.SERIES),
    }
)
BY_FIELD = {quantity.field: quantity for quantity in QUANTITIES}


def _figure(height: int, **layout: object) -> go.Figure:
    return go.Figure(layout={"template": _TEMPLATE, "height": height, **layout})


def _safe(text: object) -> str:
    return html.escape(str(text), quote=False)


def _with_unit(quantity: Quantity) -> str:
    return f"{quantity.title} [{quantity.unit}]" if quantity.unit else quantity.title


def _log_axis(values: Iterable[float], title: str, room: float = 1.25) -> dict[str, Any]:
    values = list(values)
    low, high = min(values) / room, max(values) * room
    ticks, labels = log_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": labels,
        "title": {"text": title},
    }


def _cost_lines(row: Row) -> str:
    costs = [
        f"{quantity.title} {number(getattr(row.evaluation, quantity.field))} {quantity.unit}" for quantity in QUANTITIES
    ]
    if row.accuracy and row.accuracy.ni_mean is not None:
        costs.append(f"NI-accuracy {percent(row.accuracy.ni_mean)}")
    return "<br>".join(costs)


def landscape(results: Results) -> go.Figure:
    """All homogeneous designs, the searched one and the area budget: EDAP against area."""
    figure = _figure(460)
    groups: dict[str, list[Row]] = {}
    for row in results.homogeneous:
        layer = row.homogeneous
        groups.setdefault(layer.adc_type if layer else "other", []).append(row)
    colours = palette.adc_colours(groups)
    for name, rows in groups.items():
        sharing = [layer.columns_per_adc if (layer := row.homogeneous) else 0 for row in rows]
        ordered = [row for _, row in sorted(zip(sharing, rows, strict=True), key=lambda pair: pair[0])]
        figure.add_scatter(
            x=[row.evaluation.area_mm2 for row in ordered],
            y=[row.evaluation.edap for row in ordered],
            mode="lines+markers+text",
            name=f"homogeneous, {adc_name(name)}",
            line={"color": colours[name], "width": 1.5},
            marker={"size": 9},
            text=[str(share or "") for share in sorted(sharing)],
            textposition="top center",
            hovertext=[f"<b>{_safe(describe(row))}</b><br>{_cost_lines(row)}" for row in ordered],
            hoverinfo="text",
        )
    named = baselines(results)
    for name, row in named.items():
        figure.add_scatter(
            x=[row.evaluation.area_mm2],
            y=[row.evaluation.edap],
            mode="markers",
            name="best single periphery" if name == "single" else f"{name} baseline",
            marker={
                "size": 18,
                "color": _CLEAR,
                "symbol": {"typical": "circle", "best": "square", "single": "diamond"}[name],
                "line": {"color": palette.SINGLE if name == "single" else palette.BEST, "width": 2},
            },
            hovertext=f"<b>{name}: {_safe(describe_baseline(name, row))}</b><br>{_cost_lines(row)}",
            hoverinfo="text",
        )
    searched = [results.searched] if results.searched else []
    for row in searched:
        figure.add_scatter(
            x=[row.evaluation.area_mm2],
            y=[row.evaluation.edap],
            mode="markers",
            name="searched",
            marker={"size": 19, "symbol": "star", "color": palette.SEARCHED},
            hovertext=f"<b>searched</b><br>{_cost_lines(row)}",
            hoverinfo="text",
        )
    rows = [*results.homogeneous, *named.values(), *searched]
    edaps = [row.evaluation.edap for row in rows]
    areas = [row.evaluation.area_mm2 for row in rows]
    budget = results.architecture.area_budget_mm2 if results.architecture else None
    if budget:
        areas.append(budget)
        figure.add_scatter(
            x=[budget, budget],
            y=[min(edaps) / 2, max(edaps) * 2],
            mode="lines",
            name=f"area budget, {number(budget)} mm²",
            line={"color": palette.BUDGET, "dash": "dash", "width": 1.5},
            hoverinfo="name",
        )
    figure.update_xaxes(_log_axis(areas, "Area [mm²]"))
    figure.update_yaxes(_log_axis(edaps, _with_unit(BY_FIELD["edap"]), room=2))
    return figure


def breakdown(evaluations: dict[str, EvaluationRecord], field: str) -> go.Figure:
    """Area, latency or energy of several designs by component: absolute above, shares of each design below."""
    quantity = BY_FIELD[field]
    names = list(evaluations)[::-1]  # plotly counts bars from below
    labels = [_safe(name) for name in names]
    parts = {name: evaluations[name].breakdown.get(field, {}) for name in names}
    components = list(dict.fromkeys(component for name in evaluations for component in parts[name]))
    colours = palette.component_colours(components)
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.22)
    for component in components:
        values = [parts[name].get(component, 0.0) for name in names]
        shares = [value / (sum(parts[name].values()) or 1.0) for name, value in zip(names, values, strict=True)]
        for row, lengths in ((1, values), (2, [100 * share for share in shares])):
            figure.add_bar(
                y=labels,
                x=lengths,
                orientation="h",
                marker={"color": colours[component], "line": {"width": 0}},
                hovertext=[
                    f"<b>{_safe(component_title(component))}</b>, {name}<br>"
                    f"{number(value)} {quantity.unit}, {percent(share)}"
                    for name, value, share in zip(labels, values, shares, strict=True)
                ],
                hoverinfo="text",
                text=[f"{100 * share:.0f}" if row == 2 and share >= 0.08 else "" for share in shares],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"color": "white", "size": 11},
                row=row,
                col=1,
            )
    height = max(330, 130 + 50 * len(names))
    figure.update_layout(template=_TEMPLATE, height=height, barmode="stack", showlegend=False, bargap=0.28)
    figure.update_layout(margin={"t": 8})
    figure.update_xaxes(title_text=_with_unit(quantity), row=1, col=1)
    figure.update_xaxes(title_text="Share [%]", range=[0, 100], dtick=25, row=2, col=1)
    figure.update_yaxes(showgrid=False)
    return figure


def _layers_height(count: int) -> int:
    return max(240, 20 * count + 80)


def layers(evaluation: EvaluationRecord, field: str) -> go.Figure:
    """Area, latency or energy of every layer, stacked by component where the evaluation says so."""
    quantity = BY_FIELD[field]
    names = [_safe(layer.name) for layer in evaluation.layers]
    parts = [layer.breakdown.get(field, {}) for layer in evaluation.layers]
    figure = _figure(_layers_height(len(names)), barmode="stack", showlegend=False)
    if all(parts):
        components = list(dict.fromkeys(component for part in parts for component in part))
        colours = palette.component_colours(components)
        series = [(name, [part.get(name, 0.0) for part in parts], colours[name]) for name in components]
    else:
        series = [("whole layer", [getattr(layer, field) for layer in evaluation.layers], palette.SEARCHED)]
    for component, values, colour in series:
        figure.add_bar(
            x=names,
            y=values,
            marker={"color": colour, "line": {"width": 0}},
            hovertext=[
                f"<b>{name}</b>, {_safe(component_title(component))}<br>{number(value)} {quantity.unit}"
                for name, value in zip(names, values, strict=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(title_text=_with_unit(quantity))
    return figure


def layer_change(searched: EvaluationRecord, typical: EvaluationRecord, field: str) -> go.Figure | None:
    """Area, latency or energy of the layers that two designs share: from the typical to the searched one."""
    quantity = BY_FIELD[field]
    # A layer that is kept off the crossbars has no area, which a logarithmic axis cannot show.
    before = {layer.name: value for layer in typical.layers if (value := getattr(layer, field)) > 0}
    pairs = [
        (layer.name, before[layer.name], value)
        for layer in searched.layers
        if layer.name in before and (value := getattr(layer, field)) > 0
    ]
    if not pairs:
        return None
    names = [_safe(name) for name, _, _ in pairs]
    olds, news = [old for _, old, _ in pairs], [new for _, _, new in pairs]
    figure = _figure(_layers_height(len(pairs)))
    figure.add_scatter(
        x=[value for old, new in zip(olds, news, strict=True) for value in (old, new, None)],
        y=[value for name in names for value in (name, name, None)],
        mode="lines",
        line={"color": palette.TYPICAL, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for label, values, colour, symbol in (
        ("typical", olds, palette.BEST, "circle-open"),
        ("searched", news, palette.SEARCHED, "circle"),
    ):
        figure.add_scatter(
            x=values,
            y=names,
            mode="markers",
            name=label,
            marker={"size": 10, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
            hovertext=[
                f"<b>{name}</b><br>{number(old)} → {number(new)} {quantity.unit} ({number(new / old)}×)"
                for name, old, new in zip(names, olds, news, strict=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(_log_axis([*olds, *news], _with_unit(quantity)))
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


Place = tuple[float, float]

FRONT_AXES = {
    "latency": ("latency_us", "Latency [µs]"),
    "edap": ("edap", "EDAP [µJ·µs·mm²]"),
    "area": ("area_mm2", "Area [mm²]"),
}


def pareto_front(architecture: Architecture, front: Front, numbers: Sequence[int] | None = None) -> go.Figure | None:
    """A Pareto front of phase 1 with the design that it found and the homogeneous designs on the same axes.

    Args:
        architecture: Phase 1.
        front: One of its fronts.
        numbers: Of the front's points in the run, which a click on the page takes; None for points that stay.
    """
    if not front.points or front.objective not in FRONT_AXES:
        return None
    along, title = FRONT_AXES.get(front.along, ("quality", _safe(architecture.quality_name)))
    field, objective = FRONT_AXES[front.objective]
    figure = _figure(400)
    figure.add_scatter(
        x=[getattr(point, along) for point in front.points],
        y=[getattr(point, field) for point in front.points],
        mode="lines+markers",
        name="Pareto front",
        line={"color": palette.SEARCHED, "width": 2},
        marker={"size": 8, "symbol": ["circle" if _proven(point) else "circle-open" for point in front.points]},
        customdata=numbers,
        hovertext=[
            f"<b>{_numbered(number)}{proof(point.gap)}</b><br>{_point_lines(architecture, point)}"
            for point, number in zip(front.points, numbers or [None] * len(front.points), strict=True)
        ],
        hoverinfo="text",
    )
    found = [architecture.found] if architecture.found else []
    everything = [
        (getattr(design, along), getattr(design, field))
        for design in (*front.points, *architecture.homogeneous, *found)
    ]
    groups: dict[str, list[HomogeneousCosts]] = {}
    for design in architecture.homogeneous:
        groups.setdefault(design.adc_type, []).append(design)
    colours = palette.adc_colours(groups)
    for name, designs in groups.items():
        ordered = sorted(designs, key=lambda design: design.columns_per_adc)
        # Where all have one quality, two kinds share a place: each has a side of its own.
        left = len(colours) == 2 and name == next(iter(colours))
        places = [(getattr(design, along), getattr(design, field)) for design in ordered]
        figure.add_scatter(
            x=[place for place, _ in places],
            y=[place for _, place in places],
            mode="markers+text",
            name=f"homogeneous, {_safe(adc_name(name))}",
            marker={"size": 9, "color": colours[name]},
            text=_apart([str(design.columns_per_adc) for design in ordered], places, everything),
            textposition="middle left" if left else "middle right",
            hovertext=[
                f"<b>{_safe(adc_name(name))}, {design.columns_per_adc} columns per ADC</b><br>"
                f"{_point_lines(architecture, design)}"
                for design in ordered
            ],
            hoverinfo="text",
        )
    for design in found:
        figure.add_scatter(
            x=[getattr(design, along)],
            y=[getattr(design, field)],
            mode="markers",
            name="found",
            marker={"size": 17, "symbol": "star", "color": palette.SERIES[1], "line": {"width": 1, "color": _INK}},
            hovertext=f"<b>found</b><br>{_point_lines(architecture, design)}",
            hoverinfo="text",
        )
    shown = [*front.points, *architecture.homogeneous, *found]
    values = [getattr(design, along) for design in shown]
    # Sizes span decades; a predicted accuracy does not, and of a tiny network it can be below zero.
    wide = min(values) > 0 and max(values) > 3 * min(values)
    figure.update_xaxes(_log_axis(values, title) if wide else {"title": {"text": title}})
    figure.update_yaxes(_log_axis([getattr(design, field) for design in shown], objective, room=1.5))
    return figure


def fronts_of_runs(runs: Mapping[str, Results], objective: str) -> go.Figure | None:
    """Pareto fronts of several runs on common axes, and what each run found.

    Args:
        runs: By what they are called.
        objective: Of the front, `latency` (against area) or `edap` (against quality).
    """
    figure, shown = _figure(420), []
    label = ""
    for (name, results), colour in zip(runs.items(), cycle(palette.SERIES)):
        architecture = results.architecture
        front = next((one for one in architecture.fronts if one.objective == objective), None) if architecture else None
        if architecture is None or front is None or not front.points:
            continue
        along, title = FRONT_AXES.get(front.along, ("quality", _safe(architecture.quality_name)))
        label = label or title
        field, _ = FRONT_AXES[objective]
        points: list[Costs] = sorted(front.points, key=lambda point: getattr(point, along))
        found = [architecture.found] if architecture.found else []
        for group, mode, suffix, marker in (
            (points, "lines+markers", "", {"size": 8}),
            (found, "markers", ", found", {"size": 16, "symbol": "star", "line": {"width": 1, "color": _INK}}),
        ):
            figure.add_scatter(
                x=[getattr(point, along) for point in group],
                y=[getattr(point, field) for point in group],
                mode=mode,
                name=f"{_safe(name)}{suffix}",
                legendgroup=name,
                showlegend=not suffix,
                line={"color": colour, "width": 2},
                marker={"color": colour, **marker},
                hovertext=[f"<b>{_safe(name)}{suffix}</b><br>{_point_lines(architecture, point)}" for point in group],
                hoverinfo="text",
            )
        shown += [(getattr(point, along), getattr(point, field)) for point in (*points, *found)]
    if not shown:
        return None
    values = [value for value, _ in shown]
    wide = min(values) > 0 and max(values) > 3 * min(values)
    figure.update_xaxes(_log_axis(values, label) if wide else {"title": {"text": label}})
    figure.update_yaxes(_log_axis([value for _, value in shown], FRONT_AXES[objective][1], room=1.5))
    return figure


def measured_of_runs(runs: Mapping[str, Results]) -> go.Figure | None:
    """Designs of several runs that phase 2 measured: NI-accuracy against EDAP, each on its run's own images."""
    figure, costs = _figure(420), []
    for (name, results), colour in zip(runs.items(), cycle(palette.SERIES)):
        front = [entry for entry in results.precision.front if entry.edap] if results.precision else []
        if not front:
            continue
        figure.add_scatter(
            x=[entry.edap for entry in front],
            y=[None if entry.ni_accuracy is None else 100 * entry.ni_accuracy for entry in front],
            mode="lines+markers",
            name=_safe(name),
            line={"color": colour, "width": 2},
            marker={"size": 8},
            hovertext=[f"<b>{_safe(name)}</b><br>{_tried_lines(entry)}" for entry in front],
            hoverinfo="text",
        )
        costs += [entry.edap for entry in front]
    if not costs:
        return None
    figure.update_xaxes(_log_axis(costs, FRONT_AXES["edap"][1]))
    figure.update_yaxes(title_text="NI-accuracy [%]")
    return figure


def _proven(point: FrontPoint) -> bool:
    return point.gap is not None and point.gap <= 1e-9


def _apart(labels: Sequence[str], places: Sequence[Place], everything: Sequence[Place]) -> list[str]:
    """Labels of points without those that would lie upon another: a point without one still says what it is.

    Args:
        labels: Of the points.
        places: Where they are; the second coordinate on a logarithmic axis.
        everything: All that is on the axes.
    """
    widths = [value for value, _ in everything]
    heights = [math.log(value) for _, value in everything]
    across, up = max(widths) - min(widths) or 1.0, max(heights) - min(heights) or 1.0
    kept: list[Place] = []
    shown = []
    for label, (x, y) in zip(labels, places, strict=True):
        place = x / across, math.log(y) / up
        free = all(abs(place[0] - other[0]) > 0.05 or abs(place[1] - other[1]) > 0.06 for other in kept)
        shown.append(label if free else "")
        if free:
            kept.append(place)
    return shown


def _numbered(number: int | None) -> str:
    return "" if number is None else f"point {number}, "


def _point_lines(architecture: Architecture, design: Costs) -> str:
    lines = [
        f"area {number(design.area_mm2)} mm², latency {number(design.latency_us)} µs",
        f"energy {number(design.energy_uj)} µJ, EDAP {number(design.edap)}",
        f"{_safe(architecture.quality_name)} {number(design.quality)}",
    ]
    if isinstance(design, FrontPoint):
        lines += [f"channels {' '.join(map(str, design.channels))}", _safe(" ".join(design.periphery))]
    return "<br>".join(lines)


def proof_progress(architecture: Architecture) -> go.Figure:
    """The best design so far and the bound that no design is below, as the proof goes through the space."""
    figure, unit = _figure(320), OBJECTIVE_UNITS.get(architecture.objective or "", "")
    steps = architecture.proof
    for field, name, colour, dash in (
        ("lower_bound", "no design is below", palette.BEST, "dash"),
        ("value", "best design so far", palette.SEARCHED, "solid"),
    ):
        known = [(step.regions, value) for step in steps if (value := getattr(step, field)) is not None]
        figure.add_scatter(
            x=[place for place, _ in known],
            y=[value for _, value in known],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2, "shape": "hv", "dash": dash},
            marker={"size": 5},
            hovertemplate=f"%{{x}} parts solved, {name} %{{y:.5g}}<extra></extra>",
        )
    name = objective_name(architecture.objective or "objective")
    figure.update_xaxes(title_text="Parts of the space solved")
    figure.update_yaxes(title_text=_safe(f"{name[:1].upper()}{name[1:]} [{unit}]"))
    return figure


def search_progress(architecture: Architecture) -> go.Figure:
    """Objective against step, with the best feasible one so far; and area, where it was logged, with the budget."""
    steps = architecture.trace
    fields = ["reached", *(["area_mm2"] if any(step.area_mm2 is not None for step in steps) else [])]
    figure = make_subplots(rows=len(fields), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for feasible, name, colour in ((True, "feasible", palette.SEARCHED), (False, "not feasible", palette.INFEASIBLE)):
        chosen = [step for step in steps if step.feasible == feasible]
        for row, field in enumerate(fields, 1):
            figure.add_scatter(
                x=[step.step for step in chosen],
                y=[getattr(step, field) for step in chosen],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=row == 1 and bool(chosen),
                marker={"color": colour, "size": 5, "opacity": 0.8 if feasible else 0.5},
                hovertemplate=f"step %{{x}}, {name}<br>%{{y:.4g}}<extra></extra>",
                row=row,
                col=1,
            )
    values = [step.reached if step.feasible and step.reached is not None else math.inf for step in steps]
    figure.add_scatter(
        x=[step.step for step in steps],
        y=[None if math.isinf(value) else value for value in accumulate(values, min)],
        mode="lines",
        name="best so far",
        line={"color": palette.SEARCHED, "width": 2, "shape": "hv"},
        hovertemplate="step %{x}, best so far<br>%{y:.4g}<extra></extra>",
        row=1,
        col=1,
    )
    figure.update_layout(template=_TEMPLATE, height=180 + 140 * len(fields))
    if len(fields) > 1:
        if architecture.area_budget_mm2:
            figure.add_scatter(
                x=[steps[0].step, steps[-1].step],
                y=[architecture.area_budget_mm2] * 2,
                mode="lines",
                name=f"area budget, {number(architecture.area_budget_mm2)} mm²",
                line={"color": palette.BUDGET, "dash": "dash", "width": 1.5},
                hoverinfo="name",
                row=2,
                col=1,
            )
        figure.update_yaxes(title_text="Area [mm²]", rangemode="tozero", row=2, col=1)
    objectives = [step.reached for step in steps if step.reached is not None]
    if objectives and min(objectives) > 0 and max(objectives) > 8 * min(objectives):
        figure.update_yaxes(_log_axis(objectives, ""), row=1, col=1)
    name = objective_name(architecture.objective or "objective")
    unit = OBJECTIVE_UNITS.get(architecture.objective or "", "")
    figure.update_yaxes(title_text=_safe(f"{name[:1].upper()}{name[1:]} [{unit}]"), row=1, col=1)
    figure.update_xaxes(title_text="Step", row=len(fields), col=1)
    return figure


def training_loss(training: dict[str, tuple[Epoch, ...]]) -> go.Figure:
    """Training loss against epoch."""
    figure = _figure(320)
    for (name, epochs), colour in zip(training.items(), palette.SERIES[2:] + palette.SERIES[:2], strict=False):
        figure.add_scatter(
            x=[epoch.epoch for epoch in epochs],
            y=[epoch.loss for epoch in epochs],
            name=_safe(name),
            mode="lines+markers" if len(epochs) < 30 else "lines",
            line={"color": colour, "width": 2},
            hovertemplate="epoch %{x}, loss %{y:.3g}",
        )
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Training loss", rangemode="tozero")
    return figure


def training_accuracy(training: dict[str, tuple[Epoch, ...]]) -> go.Figure:
    """Training and validation accuracy against epoch."""
    figure = _figure(320)
    for (name, epochs), colour in zip(training.items(), palette.SERIES[2:] + palette.SERIES[:2], strict=False):
        for field, label, dash in (
            ("validation_accuracy", "validation", "solid"),
            ("train_accuracy", "training", "dot"),
        ):
            points = [(epoch.epoch, getattr(epoch, field)) for epoch in epochs if getattr(epoch, field) is not None]
            if points:
                figure.add_scatter(
                    x=[epoch for epoch, _ in points],
                    y=[100 * value for _, value in points],
                    name=f"{_safe(name)}, {label}",
                    mode="lines+markers" if dash == "solid" and len(points) < 30 else "lines",
                    line={"color": colour, "width": 2, "dash": dash},
                    hovertemplate="epoch %{x}, %{y:.1f} %",
                )
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Accuracy [%]")
    return figure


def accuracy_against_precision(points: Sequence[PrecisionPoint], field: str) -> go.Figure | None:
    """NI-accuracy with one precision in all layers.

    Args:
        points: Measured precisions.
        field: Of the periphery, what goes along the axis; there is one line for each value of the others that was
            measured at two values of this one.
    """
    decisions = Periphery.decisions("precision")
    others = [name for name in decisions if name != field]
    lines: dict[tuple[int | None, ...], dict[int, float | None]] = {}
    for point in points:
        if getattr(point, field) is not None:  # the chip's own, of which the point says no number
            key = tuple(getattr(point, name) for name in others)
            lines.setdefault(key, {})[getattr(point, field)] = point.ni_accuracy
    lines = {
        key: dict(sorted(line.items()))
        for key, line in sorted(lines.items(), key=lambda pair: in_order(pair[0]))
        if len(line) > 1
    }
    if not lines:
        return None
    figure = _figure(360, showlegend=True)
    colours = sample_colorscale(
        ["#a5b4fc", "#6366f1", "#0d9488", "#f59e0b"], [(index + 1) / len(lines) for index in range(len(lines))]
    )
    for (key, line), colour in zip(lines.items(), colours, strict=True):
        figure.add_scatter(
            x=list(line),
            y=[None if accuracy is None else 100 * accuracy for accuracy in line.values()],
            name=", ".join(
                decisions[name].words.format(value)
                for name, value in zip(others, key, strict=True)
                if value is not None
            ),
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 7},
            hovertemplate="%{x} bit: %{y:.1f} %",
        )
    figure.update_xaxes(
        title_text=decisions[field].axis, tickvals=sorted({bits for line in lines.values() for bits in line})
    )
    figure.update_yaxes(title_text="NI-accuracy [%]")
    return figure


def effects(measured: AccuracyFile) -> go.Figure:
    """NI-accuracy with each effect alone and with all but that one; bars are 95 % confidence intervals."""
    names = [effect_name(entry.effect) for entry in measured.ablation]
    figure = _figure(150 + 42 * len(names), showlegend=True)
    for name, found, colour in (
        ("with it alone", [entry.alone for entry in measured.ablation], palette.SERIES[0]),
        ("with all others", [entry.without for entry in measured.ablation], palette.SERIES[1]),
    ):
        figure.add_scatter(
            x=[100 * entry.ni_mean for entry in found],
            y=names,
            error_x={
                "type": "data",
                "array": [100 * ((entry.ni_high or entry.ni_mean) - entry.ni_mean) for entry in found],
                "arrayminus": [
                    100 * (entry.ni_mean - (entry.ni_mean if entry.ni_low is None else entry.ni_low)) for entry in found
                ],
            },
            name=name,
            mode="markers",
            marker={"color": colour, "size": 10},
            hovertemplate="%{y}: %{x:.1f} %",
        )
    for name, value, dash in (("no effect", measured.quantised, "dot"), ("all effects", measured.ni_mean, "dash")):
        figure.add_scatter(
            x=[100 * value] * 2,
            y=[names[0], names[-1]],
            name=f"{name}, {percent(value)}",
            mode="lines",
            line={"color": palette.BUDGET, "dash": dash, "width": 1.5},
            hoverinfo="name",
        )
    figure.update_xaxes(title_text="NI-accuracy [%]")
    figure.update_yaxes(autorange="reversed")
    return figure


def chips(measured: AccuracyFile) -> go.Figure:
    """How many of the sampled chips have which accuracy, and what is asked of them."""
    values = [100 * value for value in measured.chips]
    step = max(100 / measured.images, (max(values) - min(values)) / 40)
    figure = _figure(320, showlegend=measured.chip_yield is not None)
    figure.add_histogram(
        x=values,
        xbins={"start": min(values) - step / 2, "end": max(values) + step, "size": step},
        marker={"color": palette.SERIES[0]},
        name="chips",
        hovertemplate="%{x} %: %{y} chips",
    )
    if measured.chip_yield is not None:
        least = 100 * measured.chip_yield.accuracy
        figure.add_scatter(
            x=[least] * 2,
            y=[0, max(values.count(value) for value in values)],
            name=f"asked: {least:g} %",
            mode="lines",
            line={"color": palette.BUDGET, "dash": "dash", "width": 1.5},
            hoverinfo="name",
        )
    figure.update_xaxes(title_text="NI-accuracy of a chip [%]")
    figure.update_yaxes(title_text="Chips")
    return figure


def over_time(measured: AccuracyFile) -> go.Figure:
    """NI-accuracy some time after programming; bars are 95 % confidence intervals, and the yield where it is known."""
    rows = measured.over_time
    figure = _figure(340, showlegend=rows[0].chip_yield is not None)
    seconds = [max(row.seconds, _EARLIEST) for row in rows]
    words = [time_in_words(row.seconds) for row in rows]
    ends = [(row.ni_mean if row.ni_low is None else row.ni_low, row.ni_high or row.ni_mean) for row in rows]
    figure.add_scatter(
        x=seconds,
        y=[100 * row.ni_mean for row in rows],
        error_y={
            "type": "data",
            "array": [100 * (high - row.ni_mean) for row, (_, high) in zip(rows, ends, strict=True)],
            "arrayminus": [100 * (row.ni_mean - low) for row, (low, _) in zip(rows, ends, strict=True)],
        },
        name="mean over chips",
        mode="lines+markers",
        line={"color": palette.SERIES[0], "width": 2},
        customdata=words,
        hovertemplate="%{customdata}: %{y:.1f} %",
    )
    shares = [row.chip_yield for row in rows if row.chip_yield is not None]
    if len(shares) == len(rows):
        figure.add_scatter(
            x=seconds,
            y=[100 * one.share for one in shares],
            name=f"chips of at least {percent(shares[0].accuracy)}",
            mode="lines+markers",
            line={"color": palette.SERIES[1], "width": 2, "dash": "dot"},
            customdata=words,
            hovertemplate="%{customdata}: %{y:.1f} % of the chips",
        )
    figure.update_xaxes(title_text="Time after programming", type="log", tickvals=seconds, ticktext=words)
    figure.update_yaxes(title_text="NI-accuracy, share of chips [%]" if shares else "NI-accuracy [%]")
    return figure


_EARLIEST = 1.0
"""What stands for a read at once on a logarithmic axis. [s]"""


def precision_search(
    precision: Precision,
    chosen: EvaluationRecord | None,
    field: str,
    numbers: Mapping[tuple[float, float | None], int] | None = None,
) -> go.Figure | None:
    """Designs that the precision search measured: NI-accuracy against energy, latency or EDAP.

    Args:
        precision: Phase 2.
        chosen: Evaluation of its result.
        field: Cost along the axis.
        numbers: By EDAP and NI-accuracy, the numbers of points in the run, which a click on the page takes.
    """
    numbers = numbers or {}
    quantity = BY_FIELD[field]
    tried = [entry for entry in precision.tried if getattr(entry, field) and entry.ni_accuracy is not None]
    if not tried:
        return None
    layers = chosen.on_crossbars if chosen else ()
    decided = {name: tuple(getattr(layer, name) for layer in layers) for name in PRECISION_FIELDS}
    taken = [entry for entry in tried if entry.precisions == decided]
    kept = [entry for entry in tried if entry.feasible]
    figure = _figure(400)
    for name, entries, marker in (
        (
            "accuracy too low",
            [entry for entry in tried if not entry.feasible],
            {"color": palette.INFEASIBLE, "size": 8, "opacity": 0.6},
        ),
        ("accuracy kept", kept, {"color": palette.SEARCHED, "size": 8}),
        ("chosen", taken[:1], {"color": palette.SERIES[1], "size": 17, "symbol": "star"}),
    ):
        places = [numbers.get((entry.edap or 0.0, entry.ni_accuracy)) for entry in entries]
        if entries:
            figure.add_scatter(
                x=[getattr(entry, field) for entry in entries],
                y=[100 * (entry.ni_accuracy or 0.0) for entry in entries],
                mode="markers",
                name=name,
                marker={
                    **marker,
                    "line": {"color": _INK, "width": [1.5 if number else 0 for number in places]},
                },
                customdata=places,
                hovertext=[
                    f"<b>{_numbered(number)}{name}</b><br>{_tried_lines(entry)}"
                    for entry, number in zip(entries, places, strict=True)
                ],
                hoverinfo="text",
            )
    costs = [getattr(entry, field) for entry in tried]
    floor = precision.floor
    if floor is not None:
        figure.add_scatter(
            x=[min(costs) / 1.25, max(costs) * 1.25],
            y=[100 * floor] * 2,
            mode="lines",
            name=f"least allowed, {percent(floor)}"
            + (f", of all but {precision.percentile:g} % of the chips" if precision.percentile else ""),
            line={"color": palette.BUDGET, "dash": "dash", "width": 1.5},
            hoverinfo="name",
        )
    figure.update_xaxes(_log_axis(costs, _with_unit(quantity)))
    figure.update_yaxes(title_text="NI-accuracy [%]")
    return figure


def _tried_lines(entry: TriedDesign) -> str:
    decisions = Periphery.decisions()
    lists = [
        f"<br>{decisions[name].label} {' '.join('-' if value is None else str(value) for value in row)}"
        for name, row in entry.precisions.items()
        if any(value is not None for value in row)
    ]
    partly = entry.images is not None and entry.ni_accuracy_interval is None
    seen = f", estimated from {entry.images} images" if partly else ""
    return (
        f"NI-accuracy {percent(entry.ni_accuracy)}{seen}<br>energy {number(entry.energy_uj)} µJ, latency "
        f"{number(entry.latency_us)} µs<br>EDAP {number(entry.edap)}{''.join(lists)}"
    )


def sensitivity(precision: Precision, field: str) -> go.Figure | None:
    """Output `error` of every layer at every precision, or the `loss` that it is predicted to cause, as a heat map."""
    fields = [name for name in PRECISION_FIELDS if name in decisions_taken(precision.sensitivity)]
    cells = {
        (str(cell.layer), cell.values(fields)): value
        for cell in precision.sensitivity
        if (value := getattr(cell, field)) is not None
    }
    if not cells:
        return None
    *others, last = fields
    decisions = Periphery.decisions()

    def in_words(fields: Sequence[str], option: Sequence[Any]) -> str:
        pairs = zip(fields, option, strict=True)
        return ", ".join(decisions[name].words.format(value) for name, value in pairs if value is not None)

    title = {"error": "noise / signal power", "loss": "predicted loss [nat]"}[field]
    names = list(dict.fromkeys(name for name, _ in cells))
    options = sorted({option for _, option in cells}, key=in_order)
    errors = [[cells.get((name, option)) for option in options] for name in names]
    smallest = min((error for error in cells.values() if error > 0), default=1.0)
    largest = max(smallest, *cells.values())
    ticks, labels = log_ticks(smallest * (1 - 1e-9), largest * (1 + 1e-9))
    figure = _figure(24 * len(names) + 130, margin={"t": 8})
    figure.add_heatmap(
        # The last decision along the axis, in groups of the others.
        x=[[in_words(others, option[:-1]) for option in options], [str(option[-1] or "-") for option in options]],
        y=[_safe(name) for name in names],
        z=[[None if error is None else math.log10(max(error, smallest)) for error in row] for row in errors],
        text=[
            [
                f"<b>{_safe(name)}</b><br>{in_words(fields, option)}<br>{title} {number(error)}"
                for option, error in zip(options, row, strict=True)
            ]
            for name, row in zip(names, errors, strict=True)
        ],
        hoverinfo="text",
        colorscale="Viridis",
        xgap=1,
        ygap=1,
        colorbar={
            "title": {"text": title, "side": "right", "font": {"size": 13}},
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": labels,
            "thickness": 14,
            "outlinewidth": 0,
        },
    )
    by = " and ".join(decisions[field].quantity for field in others)
    figure.update_xaxes(title_text=f"{decisions[last].label}, by {by}", showgrid=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return figure
