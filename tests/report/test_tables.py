from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from xpert.design import Chip, Design, Periphery
from xpert.errors import DataError
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.report import (
    comparison,
    comparison_table,
    factor_table,
    fair_text,
    robust_table,
    single_table,
    summary_table,
    variant_remarks,
    variant_table,
)
from xpert.report.tables import bar_of, component_rows, layer_rows, left_out, searched_kernels, shared_by_layers
from xpert.results import EvaluationRecord, FactorShare, Robust, VariantRow


def printed(table: Table) -> str:
    """What a pipe gets: 80 columns, no colours."""
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_ratios_are_to_the_first(results: dict[str, Any]):
    first, second = results["baselines"]["typical"]["evaluation"], results["searched"]["evaluation"]
    rows = {row["quantity"]: row for row in comparison([first, second])}
    assert list(rows) == ["area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2"]
    for name, row in rows.items():
        assert row["values"] == [first[name], second[name]]
        assert row["ratios"] == [1, second[name] / first[name]]


@pytest.mark.parametrize("value", [None, 0, -1.0, "much", float("nan"), float("inf")])
def test_an_evaluation_without_a_usable_quantity_is_refused(results: dict[str, Any], value: object):
    broken = results["searched"]["evaluation"] | {"energy_uj": value}
    with pytest.raises(DataError, match=r"evaluation 2: energy_uj"):
        comparison([results["baselines"]["typical"]["evaluation"], broken])


def test_names_of_designs_are_not_markup(results: dict[str, Any]):
    text = printed(comparison_table([results["searched"]["evaluation"]] * 2, ["a [bold]b[/bold]", "c"]))
    assert "a [bold]b[/bold]" in text
    assert "1x" in text


def test_summary_fits_80_columns_of_ascii(results: dict[str, Any]):
    text = printed(summary_table(results))
    assert text.count("\n") == 13
    assert "…" not in text
    assert text.replace("─", "-").isascii()
    lines = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    searched, ratios = results["searched"]["evaluation"], results["ratios"]
    assert lines["Area mm2"][0] == f"{searched['area_mm2']:.3g}"
    assert lines["EDAP"][3] == f"{ratios['typical']['edap']:.3g}x"
    assert lines["EDAP"][4] == "lower"
    assert lines["NI-accuracy"] == ["96.1", "%", "96.3", "%", "-"]


def test_the_single_periphery_has_a_table_of_its_own(fair_results: dict[str, Any]):
    assert single_table(fair_results | {"baselines": {}}) is None
    assert "single" not in printed(summary_table(fair_results))
    table = single_table(fair_results)
    assert table is not None
    text = printed(table)
    lines = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    row = fair_results["baselines"]["single"]
    assert lines["EDAP"][2:] == ["1.53x", "lower"]
    assert float(lines["Area mm2"][1]) == pytest.approx(row["evaluation"]["area_mm2"], rel=0.01)
    assert lines["NI-accuracy"][2:4] == ["96.0", "%"]


def test_what_the_ratios_rest_on_is_said(fair_results: dict[str, Any]):
    text = fair_text(fair_results)
    assert text.isascii()
    single, tiles, factors = text.splitlines()
    assert single == (
        "The same network with the best single periphery (flash, 4 columns per ADC, 5-bit ADC, 4-bit inputs): "
        "layer-wise EDAP is 1.53x lower, NI-accuracy +0.07 points (-0.12 to +0.26 with 95 % confidence, same images "
        "and chips)."
    )
    assert tiles == (
        "Each design in the tiles that suit it best: EDAP 41.5x lower than typical, 7.25x lower than best, 1.41x lower "
        "than single."
    )
    assert factors.endswith("(Shapley shares): network 5.25x, ADC type 0.960x, input precision 1.97x.")
    assert fair_text({}) == ""


def test_that_layer_wise_is_not_worth_it_is_said(fair_results: dict[str, Any]):
    best = fair_results["baselines"]["single"]
    found = fair_text(fair_results | {"searched": best}).splitlines()[0]
    assert found.startswith("One periphery for all layers is best here: flash, 4 columns per ADC, 5-bit ADC")
    none = fair_results | {"baselines": {}}
    assert fair_text(none).startswith("No single periphery for all layers of this network reaches the accuracy")


def test_factors_multiply_in_their_table(fair_results: dict[str, Any]):
    lines = printed(factor_table([FactorShare.parse(one) for one in fair_results["factors"]])).splitlines()
    (product,) = [line.split() for line in lines if line.split()[:1] == ["all"]]
    assert product == ["all", f"{5.25 * 0.96 * 1.97:.3g}x", f"{1.5**3:.3g}x", f"{0.9**3:.3g}x", f"{1.2**3:.3g}x"]


def test_bars_of_factors_are_logarithmic():
    assert bar_of(100, 100) == 1
    assert bar_of(10, 100) == pytest.approx(0.5)
    assert bar_of(0.5, 100) == 0
    assert bar_of(0.5, 0.9) == 0


def test_summary_says_when_the_searched_design_is_worse(results: dict[str, Any]):
    results["ratios"]["best"] |= {"edap": 0.5, "tops_per_watt": 0.25}
    text = printed(summary_table(results))
    assert "2x higher" in text.replace("2.00x", "2x")
    assert "4.00x lower" in text or "4x lower" in text


def test_summary_of_a_partial_run(results: dict[str, Any]):
    assert printed(summary_table({})).strip()
    results["baselines"] = {}
    results["searched"]["accuracy"] = None
    text = printed(summary_table(results))
    assert "typical" not in text
    assert "accuracy" not in text


def test_summary_refuses_broken_results(results: dict[str, Any]):
    del results["searched"]["evaluation"]["edap"]
    with pytest.raises(DataError, match=r"searched\.evaluation\.edap: required"):
        summary_table(results)


def test_shares_of_layers_and_the_rest_make_the_whole(results: dict[str, Any]):
    searched = EvaluationRecord.parse(results["searched"]["evaluation"], "searched")
    typical = EvaluationRecord.parse(results["baselines"]["typical"]["evaluation"], "typical")
    rows, rest = layer_rows(searched, typical), shared_by_layers(searched)
    for field in ("area_mm2", "latency_us", "energy_uj"):
        assert sum(row.shares[field] for row in rows) + rest[field] == pytest.approx(1)
    assert rest["area_mm2"] == pytest.approx(1.3 / searched.area_mm2)
    assert [row.original_channels for row in rows] == [layer.out_channels for layer in typical.layers]
    assert layer_rows(searched, None)[0].original_channels is None


def test_components_keep_their_values(results: dict[str, Any]):
    evaluations = {
        name: EvaluationRecord.parse(row["evaluation"], name)
        for name, row in (("searched", results["searched"]), ("typical", results["baselines"]["typical"]))
    }
    rows = component_rows(evaluations)
    assert rows["adc"]["energy_uj"]["typical"] == evaluations["typical"].breakdown["energy_uj"]["adc"]
    assert "area_mm2" not in rows["leakage"]


def test_kernels_and_layers_that_are_left_out_are_named(results: dict[str, Any]):
    typical = EvaluationRecord.parse(results["baselines"]["typical"]["evaluation"], "typical")
    without = typical.model_copy(update={"layers": typical.layers[:1] + typical.layers[2:]})
    assert left_out(without, typical) == [typical.layers[1].name]
    assert left_out(typical, typical) == []
    networks = space("vgg11", (8,), kernels=(0, 1, 3))
    network = networks.network((8,) * 8, (1, 3, 0, 3, 3, 3, 3, 3, 1))
    design = Design.homogeneous(network, Chip(), Periphery())
    names = [f"conv{number}" for number in (1, 2, 4, 5, 6, 7, 8)]
    assert searched_kernels(design) == dict.fromkeys(names, "3×3") | {"conv1": "1×1", "linear": "1×1"}
    assert searched_kernels(Design.homogeneous(networks.network((8,) * 8), Chip(), Periphery())) == {}


def test_blocks_that_are_left_out_are_named():
    networks = space("resnet20", (0, 8), (1, 16, 16))

    def evaluated(channels: Sequence[int]) -> EvaluationRecord:
        design = Design.homogeneous(networks.network(channels), Chip(), Periphery())
        return EvaluationRecord.parse(evaluate(design).to_dict(), "evaluation")

    typical = evaluated([8] * networks.depth)
    found = evaluated([0 if decision == 2 else 8 for decision in range(networks.depth)])
    assert left_out(found, typical) == ["block2.conv1", "block2.conv2"]


def test_the_least_worst_regret_fits_a_terminal():
    regrets = [{"value": 24.0 * (1 + regret), "best": 24.0, "regret": regret} for regret in (0.05, 0.25)]
    row = {"variant": "survey-adcs-best", "robust": regrets[0], "nominal": regrets[1]}
    worst = {"worst_regret": 0.05, "nominal_worst_regret": 0.25, "lower_bound": 0.02, "nominal_value": 24.0}
    lines = printed(robust_table(Robust.parse(worst | {"rows": [row]}))).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "survey-adcs-best 5.0 % 25.0 %" in text
    assert "worst 5.0 % 25.0 % no design below 2.0 %" in text


def test_variants_fit_a_terminal():
    costs = {name: {"area_mm2": 2, "latency_us": 3, "energy_uj": 5, "edap": 1.5e6} for name in ("searched", "typical")}
    regret = {"value": 30.0, "best": 24.0, "regret": 0.25}
    nominal = {"variant": "nominal", "costs": costs, "ratios": {"typical": 12.34, "best": 0.5}}
    odd = {"variant": "measured-activity", "costs": {}, "refused": {"searched": "no figures"}}
    rows = [VariantRow.parse(row) for row in (nominal | {"converter_regret": regret}, odd)]
    lines = printed(variant_table(rows)).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "searched vs typical vs best regret" in text
    assert "network" not in text
    assert "nominal 1.5e+06 12.3x lower 2x higher 25.0 %" in text
    assert "measured-activity - - - -" in text
    assert variant_remarks(rows) == ["measured-activity, searched: no figures"]
