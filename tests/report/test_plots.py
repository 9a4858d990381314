from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from xpert.report import plots
from xpert.results import Architecture, PrecisionPoint, Results


@pytest.fixture
def parsed(results: dict[str, Any]) -> Results:
    return Results.parse(results)


def named(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_landscape_shows_all_designs_and_the_budget(parsed: Results):
    traces = named(plots.landscape(parsed))
    assert list(traces) == [
        "homogeneous, SAR",
        "homogeneous, flash",
        "typical baseline",
        "best baseline",
        "searched",
        "area budget, 40 mm²",
    ]
    sar = [row for row in parsed.homogeneous if row.homogeneous and row.homogeneous.adc_type == "sar"]
    assert traces["homogeneous, SAR"].text == ("2", "4", "8", "16", "32")
    assert traces["homogeneous, SAR"].y == tuple(row.evaluation.edap for row in sar)
    assert parsed.searched is not None
    assert traces["searched"].x == (parsed.searched.evaluation.area_mm2,)
    assert traces["area budget, 40 mm²"].x == (40, 40)


@pytest.mark.parametrize("field", ["area_mm2", "latency_us", "energy_uj"])
def test_breakdowns_add_up(parsed: Results, field: str):
    row, base = parsed.searched, parsed.baselines["typical"]
    assert row is not None
    assert base is not None
    figure = plots.breakdown({"searched": row.evaluation, "typical": base.evaluation}, field)
    absolute = [trace for trace in figure.data if trace.xaxis == "x"]
    shares = [trace for trace in figure.data if trace.xaxis == "x2"]
    for index, name in enumerate(absolute[0].y):
        evaluation = {"searched": row, "typical": base}[name].evaluation
        assert sum(trace.x[index] for trace in absolute) == pytest.approx(getattr(evaluation, field))
        assert sum(trace.x[index] for trace in shares) == pytest.approx(100)


@pytest.mark.parametrize("field", ["area_mm2", "latency_us", "energy_uj"])
def test_layers_add_up_with_and_without_components(results: dict[str, Any], field: str):
    with_parts = Results.parse(results)
    for layer in results["searched"]["evaluation"]["layers"]:
        del layer["breakdown"]
    without = Results.parse(results)
    assert with_parts.searched is not None
    assert without.searched is not None
    costs = [getattr(layer, field) for layer in with_parts.searched.evaluation.layers]
    stacked = plots.layers(with_parts.searched.evaluation, field)
    assert len(stacked.data) > 4
    assert [sum(values) for values in zip(*(trace.y for trace in stacked.data))] == pytest.approx(costs)
    plain = plots.layers(without.searched.evaluation, field)
    assert [list(trace.y) for trace in plain.data] == [costs]


def test_change_needs_layers_of_the_same_name(parsed: Results):
    searched, typical = parsed.searched, parsed.baselines["typical"]
    assert searched is not None
    assert typical is not None
    figure = plots.layer_change(searched.evaluation, typical.evaluation, "energy_uj")
    assert figure is not None
    assert named(figure)["typical"].x == tuple(layer.energy_uj for layer in typical.evaluation.layers)
    renamed = typical.evaluation.model_copy(update={"layers": ()})
    assert plots.layer_change(searched.evaluation, renamed, "energy_uj") is None


def test_best_so_far_only_falls_and_counts_feasible_steps_only(parsed: Results):
    assert parsed.architecture is not None
    figure = plots.search_progress(parsed.architecture)
    best = named(figure)["best so far"].y
    trace = parsed.architecture.trace
    first = next(index for index, step in enumerate(trace) if step.feasible)
    assert first > 0
    assert best[:first] == (None,) * first
    assert best[first] == trace[first].objective
    assert list(best[first:]) == sorted(best[first:], reverse=True)
    feasible = [step.objective for step in trace if step.feasible and step.objective]
    assert best[-1] == min(feasible)


def test_a_trace_without_areas_has_one_panel(results: dict[str, Any]):
    results["architecture"]["trace"] = [
        {"step": step, "value": 1e-3 / (step + 1), "evaluations": 8} for step in range(9)
    ]
    architecture = Results.parse(results).architecture
    assert architecture is not None
    figure = plots.search_progress(architecture)
    assert "area budget, 40 mm²" not in named(figure)
    assert figure.layout.yaxis.title.text == "Latency [µs]"
    assert named(figure)["best so far"].y == tuple(1e-3 / (step + 1) for step in range(9))


def test_accuracy_along_both_axes():
    cross = [
        PrecisionPoint(adc_bits=adc, input_bits=bits, ni_accuracy=0.9 + 0.01 * (adc + bits - 8))
        for adc, bits in ((3, 8), (4, 8), (6, 8), (6, 2), (6, 4))
    ]
    along_adc = plots.accuracy_against_precision(cross, "adc_bits")
    along_inputs = plots.accuracy_against_precision(cross, "input_bits")
    assert along_adc is not None
    assert along_inputs is not None
    assert {name: trace.x for name, trace in named(along_adc).items()} == {"8-bit inputs": (3, 4, 6)}
    assert {name: trace.x for name, trace in named(along_inputs).items()} == {"6-bit ADC": (2, 4, 8)}
    assert named(along_inputs)["6-bit ADC"].y == pytest.approx((90.0, 92.0, 96.0))
    assert plots.accuracy_against_precision(cross[:1], "adc_bits") is None


def test_precision_search_marks_the_chosen_design_and_the_floor(parsed: Results):
    assert parsed.precision is not None
    assert parsed.searched is not None
    figure = plots.precision_search(parsed.precision, parsed.searched.evaluation, "edap")
    assert figure is not None
    traces = named(figure)
    assert traces["chosen"].x == (parsed.searched.evaluation.edap,)
    assert traces["least allowed, 96.0 %"].y == (96.0, 96.0)
    assert len(traces["accuracy kept"].x) + len(traces["accuracy too low"].x) == len(parsed.precision.tried)
    assert min(traces["accuracy kept"].y) >= 96.0 > max(traces["accuracy too low"].y)


@pytest.mark.parametrize("field", ["error", "loss"])
def test_sensitivity_has_a_cell_for_every_layer_and_option(parsed: Results, field: str):
    assert parsed.precision is not None
    figure = plots.sensitivity(parsed.precision, field)
    assert figure is not None
    (cells,) = figure.data
    assert len(cells.z) == 14
    assert [len(row) for row in cells.z] == [16] * 14
    first = parsed.precision.sensitivity[0]
    assert 10 ** cells.z[0][0] == pytest.approx(getattr(first, field))


def test_an_error_of_zero_is_drawn_as_the_smallest(results: dict[str, Any]):
    results["precision"]["sensitivity"][0]["error"] = 0.0
    precision = Results.parse(results).precision
    assert precision is not None
    figure = plots.sensitivity(precision, "error")
    assert figure is not None
    smallest = min(cell.error for cell in precision.sensitivity if cell.error)
    assert figure.data[0].z[0][0] == pytest.approx(math.log10(smallest))


@pytest.mark.parametrize("make", [plots.training_loss, plots.training_accuracy])
def test_training_curves_of_both_networks(parsed: Results, make: Callable[..., Any]):
    figure = make(parsed.training)
    assert {name.split(",")[0] for name in named(figure)} == {"searched", "typical"}
    assert all(len(trace.x) == 24 for trace in figure.data)


def test_a_front_shows_qualities_of_any_sign() -> None:
    costs = {"area_mm2": 2.0, "latency_us": 3.0, "energy_uj": 4.0, "edap": 24.0}
    points = [costs | {"quality": value, "gap": gap} for value, gap in ((-0.5, 0.0), (0.5, 0.1))]
    architecture = Architecture.model_validate(
        {
            "fronts": [{"objective": "edap", "along": "quality", "points": points}],
            "found": costs | {"quality": 0.1},
            "homogeneous": [costs | {"quality": 0.2, "adc_type": "sar", "columns_per_adc": 8}],
        }
    )
    figure = plots.pareto_front(architecture, architecture.fronts[0])
    assert figure is not None
    assert [list(trace.x) for trace in figure.data] == [[-0.5, 0.5], [0.2], [0.1]]
    assert figure.layout.xaxis.type != "log"
    assert list(figure.data[0].marker.symbol) == ["circle", "circle-open"]


def test_the_proof_shows_bound_and_best_design():
    steps = [{"regions": 0, "value": 9.0}, {"regions": 3, "value": 9.0, "lower_bound": 4.0}]
    steps += [{"regions": 7, "value": 8.0, "lower_bound": 6.0}, {"regions": 9, "value": 8.0, "lower_bound": 8.0}]
    figure = plots.proof_progress(Architecture.parse({"objective": "edap", "proof": steps}))
    traces = named(figure)
    assert (traces["best design so far"].x, traces["best design so far"].y) == ((0, 3, 7, 9), (9.0, 9.0, 8.0, 8.0))
    assert (traces["no design is below"].x, traces["no design is below"].y) == ((3, 7, 9), (4.0, 6.0, 8.0))
    assert figure.layout.yaxis.title.text == "EDAP [µJ·µs·mm²]"


def test_labels_on_one_place_are_left_out():
    def design(kind: str, sharing: int, edap: float) -> dict[str, Any]:
        costs = {"area_mm2": 1.0, "latency_us": 1.0, "energy_uj": 1.0, "edap": edap, "quality": 0.5}
        return {"adc_type": kind, "columns_per_adc": sharing} | costs

    point = {"area_mm2": 1.0, "latency_us": 1.0, "energy_uj": 1.0, "edap": 50.0, "quality": 0.9, "gap": 0.0}
    homogeneous = [
        design(kind, 2**place, edap)
        for kind in ("sar", "flash")
        for place, edap in enumerate((100.0, 101.0, 300.0, 5000.0), 1)
    ]
    front = {"objective": "edap", "along": "quality", "points": [point]}
    architecture = Architecture.parse({"fronts": [front], "homogeneous": homogeneous})
    figure = plots.pareto_front(architecture, architecture.fronts[0])
    assert figure is not None
    kinds = {name: trace for name, trace in named(figure).items() if name.startswith("homogeneous")}
    assert [trace.text for trace in kinds.values()] == [("2", "", "8", "16")] * 2
    assert [trace.textposition for trace in kinds.values()] == ["middle left", "middle right"]
    # Every point is there, and says what it is when pointed at.
    assert all("4 columns per ADC" in trace.hovertext[1] for trace in kinds.values())
