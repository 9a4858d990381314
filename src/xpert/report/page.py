"""The report: one HTML file that needs no network."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from xpert import text
from xpert.design import PRECISION_FIELDS, Design, decisions_taken
from xpert.errors import ConfigError
from xpert.files import write_atomically
from xpert.hardware.programming import programming_cost
from xpert.report import palette, plots, tables
from xpert.report.chip_drawing import draw_chip, h_tree, scale_bar, slot_lines
from xpert.report.points import Designs, front_numbers, measured_numbers, point_rows, points_json
from xpert.report.run_files import Event, RunFiles, read_run
from xpert.results import BASELINES, Results, Row

_PLOT_CONFIG = {
    "displaylogo": False,
    "modeBarButtons": [["zoom2d", "resetScale2d", "toImage"]],
    "toImageButtonOptions": {"format": "svg"},
}


def write_report(run: Path | str, designs: Designs = ()) -> Path:
    """Write `report.html` into a run folder, from the files that are there.

    An unfinished run gives a report of what it has, with a list of what is missing.

    Args:
        run: The run folder.
        designs: The points of its fronts as designs; see `xpert.experiment.points`.

    Returns:
        Where the report is.

    Raises:
        RunError: If `run` is not a run folder, or cannot be written to.
        DataError: If one of its files is broken.
    """
    files = read_run(run)
    path = files.folder / "report.html"
    write_atomically(path, render(files, designs))
    return path


def render(files: RunFiles, designs: Designs = ()) -> str:
    """The page of a run, as HTML; with the points of its fronts, if these are given."""
    results = files.results
    beside = tables.baselines(results)
    rows = tables.rows_of(results)
    searched = results.searched.evaluation if results.searched else None
    typical = beside["typical"].evaluation if "typical" in beside else None
    drawings = {name: drawing for name, row in rows.items() if (drawing := draw_chip(row.evaluation))}
    shown = _figures(results, rows, designs) | _of_accuracy(files)
    return template("report.html.j2").render(
        plotly_js=get_plotlyjs(),
        name=results.name or files.folder.resolve().name,
        files=files,
        results=results,
        searched=results.searched,
        baselines=beside,
        rows=rows,
        tables=tables,
        decisions=decisions_taken(
            [*(searched.layers if searched else ()), *(files.design.periphery if files.design else ())]
        ),
        palette=palette,
        layer_rows=tables.layer_rows(searched, typical) if searched else [],
        kernels=tables.searched_kernels(files.design),
        left_out=tables.left_out(searched, typical) if searched and typical else [],
        shared_by_layers=tables.shared_by_layers(searched) if searched else {},
        components=tables.component_rows({name: row.evaluation for name, row in rows.items()}),
        layer_colours=palette.layer_colours(max((len(row.evaluation.layers) for row in rows.values()), default=0)),
        drawings=drawings,
        slot_lines=slot_lines,
        h_tree=h_tree,
        largest=max((max(drawing.width, drawing.height) for drawing in drawings.values()), default=1.0),
        bar=scale_bar(max((drawing.width for drawing in drawings.values()), default=1.0)),
        figures=shown,
        accuracy_figures={name: field for field in PRECISION_FIELDS if (name := f"accuracy_{field}") in shown},
        figures_of=plots.BY_FIELD,
        points=point_rows(files, designs),
        points_json=points_json(files, designs) if designs else "",
        facts=_facts(files.design) if files.design else {},
        stages=_stages(files.events),
        missing=_missing(files),
    )


@cache
def template(name: str) -> jinja2.Template:
    """A page to be filled in, one of `templates/`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xpert.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=text.number,
        percent=text.percent,
        times=text.times,
        duration=text.duration,
        moment=text.moment,
        plot=_plot,
    )
    return environment.get_template(name)


def _plot(figure: go.Figure, name: str) -> str:
    """A figure as HTML, safe as it is: its place, and what the page's script draws there when it comes into view."""
    drawing = json.loads(str(figure.to_json())) | {"config": _PLOT_CONFIG}
    held = json.dumps(drawing, separators=(",", ":")).replace("<", "\\u003c")  # nothing in it ends the script
    height = figure.layout.height
    return (
        f'<div id="plot-{name}" class="plotly-graph-div" style="height:{height}px;width:100%"></div>'
        f'<script type="application/json" data-plot="plot-{name}">{held}</script>'
    )


def figures(run: RunFiles) -> dict[str, go.Figure]:
    """The figures of a run's report, by name, as far as the run has them."""
    return _figures(run.results, tables.rows_of(run.results), ()) | _of_accuracy(run)


def _figures(results: Results, rows: dict[str, Row], designs: Designs) -> dict[str, go.Figure]:
    """All figures that the results allow, by name."""
    found: dict[str, go.Figure | None] = {}
    if results.homogeneous:
        found["landscape"] = plots.landscape(results)
    searched = results.searched.evaluation if results.searched else None
    typical = rows["typical"].evaluation if "typical" in rows else None
    for field in tables.SHARED:
        evaluations = {name: row.evaluation for name, row in rows.items() if row.evaluation.breakdown.get(field)}
        if evaluations:
            found[f"breakdown_{field}"] = plots.breakdown(evaluations, field)
        if searched and searched.layers:
            found[f"layers_{field}"] = plots.layers(searched, field)
            if typical:
                found[f"change_{field}"] = plots.layer_change(searched, typical, field)
    if results.architecture and results.architecture.proof:
        found["proof"] = plots.proof_progress(results.architecture)
    elif results.architecture and results.architecture.trace:
        found["progress"] = plots.search_progress(results.architecture)
    if results.architecture:
        for front in results.architecture.fronts:
            found[f"front_{front.objective}"] = plots.pareto_front(
                results.architecture, front, front_numbers(designs, front)
            )
    if any(results.training.values()):
        found["loss"] = plots.training_loss(results.training)
        found["training_accuracy"] = plots.training_accuracy(results.training)
    for field in PRECISION_FIELDS:
        found[f"accuracy_{field}"] = plots.accuracy_against_precision(results.accuracy_vs_precision, field)
    if results.precision:
        numbers = measured_numbers(designs)
        found["precision_energy"] = plots.precision_search(results.precision, searched, "energy_uj", numbers)
        found["precision_edap"] = plots.precision_search(results.precision, searched, "edap", numbers)
        for field in ("error", "loss"):
            found[f"sensitivity_{field}"] = plots.sensitivity(results.precision, field)
    return {name: figure for name, figure in found.items() if figure is not None}


def _of_accuracy(files: RunFiles) -> dict[str, go.Figure]:
    """Of accuracy.json."""
    measured = files.accuracy
    found: dict[str, go.Figure] = {}
    if measured is None:
        return found
    if len(measured.chips) >= _POPULATION:
        found["chips"] = plots.chips(measured)
    if measured.over_time:
        found["over_time"] = plots.over_time(measured)
    if measured.ablation:
        found["effects"] = plots.effects(measured)
    return found


_POPULATION = 10
"""Chips from which their distribution is drawn."""


def _weights_in_words(design: Design) -> str:
    """How weights are held: `8-bit weights in 2 slices`, or `weights of 4 to 8 bits in 1 to 2 slices`."""
    codes = [design.chip.code_of(entry.weight_bits, entry.cell_bits) for entry in design.periphery]
    bits, slices = ((min(row), max(row)) for row in zip(*((code.weight_bits, code.slices) for code in codes)))
    held = f"{slices[0]}" if slices[0] == slices[1] else f"{slices[0]} to {slices[1]}"
    if bits[0] == bits[1]:
        return f"{bits[0]}-bit weights in {held} slices"
    return f"weights of {bits[0]} to {bits[1]} bits in {held} slices"


def _facts(design: Design) -> dict[str, str]:
    """The chip and the network in a few words each."""
    chip, device, network = design.chip, design.chip.device, design.network
    access = f" {device.access.upper()}" if device.cell in {"rram", "pcm"} else ""
    resistances = ""
    if device.cell != "sram":
        resistances = f", {text.number(device.r_on_ohm / 1e3)} / {text.number(device.r_off_ohm / 1e3)} kΩ on / off"
    process = chip.technology.process
    tiles = "chosen by the mapping"
    if chip.subarrays_per_pe is not None:
        tiles = f"{chip.subarrays_per_pe} subarrays per PE, {chip.pes_per_tile} PEs per tile"
    made_of = network.source.source if network.source else network.backbone
    return {
        "Network": f"{made_of}, {len(network.on_crossbars)} layers on crossbars, "
        f"{text.number(network.macs / 1e6)} million MACs per image",
        "Input": f"{' × '.join(map(str, network.input_shape))}, {network.num_classes} classes",
        "Technology": f"{process.name if process else f'{chip.technology.node_nm} nm {chip.technology.roadmap}'}, "
        f"{chip.technology.temperature_k} K",
        "Cell": f"{f'{device.name}: ' if device.name else ''}{device.cell.upper()}{access}, {device.cell_bits} bit"
        + resistances,
        "Crossbar": f"{chip.rows} × {chip.columns}, {_weights_in_words(design)}"
        + (" of two columns" if chip.weight_code.paired else ""),
        "Tile": tiles,
        **{f"ADC {adc.name}": adc.source for adc in chip.adcs},
        "Execution": f"{chip.execution.replace('_', ' ')}, {chip.mapping} mapping, one clock per {chip.clock}",
        **_programming(design),
        **({"Batch norm": "measured on each chip"} if chip.analog.adaptive_batch_norm else {}),
    }


def _programming(design: Design) -> dict[str, str]:
    """What programming costs, where the device says it."""
    try:
        found = programming_cost(design)
    except ConfigError:
        return {}
    return {"Programming": text.programming_in_words(found.to_dict())}


def _stages(events: tuple[Event, ...]) -> dict[str, float]:
    """Seconds between the first and the last event of each stage; the stage `run` is all of them."""
    spans: dict[str, tuple[float, float]] = {}
    for event in events:
        if event.stage == "run":
            continue
        now = event.time.timestamp()
        first, last = spans.get(event.stage, (now, now))
        spans[event.stage] = (min(first, now), max(last, now))
    return {stage: last - first for stage, (first, last) in spans.items()}


def _missing(files: RunFiles) -> list[str]:
    """What an unfinished run has not brought yet."""
    results = files.results
    precision, architecture = results.precision, results.architecture
    parts = {
        "the evaluation of the searched design": results.searched,
        "the NI-accuracy of the searched design": tables.accuracy_of(results.searched).ni_mean is not None,
        **{f"the {name} homogeneous baseline": results.baselines.get(name) for name in BASELINES if name != "single"},
        "the best single periphery": results.baselines.get("single") or not (precision and precision.single),
        "the other homogeneous designs": results.homogeneous,
        "the progress of the architecture search": architecture and architecture.trace,
        "training curves": any(results.training.values()),
        "accuracy against precision": results.accuracy_vs_precision,
        "the precision search": precision and precision.tried,
        "the sensitivity of the layers": precision and precision.sensitivity,
    }
    return [*(f"the file {name}" for name in files.absent), *(name for name, part in parts.items() if not part)]
