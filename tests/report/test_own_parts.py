"""Runs with the user's own ADCs, devices and processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.design import Adc, Design, load_part
from xpert.report import page, palette, plots, write_report
from xpert.results import Results


@pytest.fixture
def own_results(results: dict[str, Any]) -> dict[str, Any]:
    """The results with an ADC of the user's own in the place of flash."""
    return json.loads(json.dumps(results).replace('"adc_type": "flash"', '"adc_type": "murmann-sar-best"'))


def test_a_report_names_own_parts_and_their_sources(
    own_results: dict[str, Any],
    design: Design,
    write_run: Callable[[dict[str, Any]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "")
    run = write_run(own_results)
    data = design.model_dump(mode="json")
    data["chip"] |= {"adcs": ["murmann-sar-best"], "device": "rram-wan-2022", "technology": "lstp-28nm"}
    data["chip"]["analog"]["adaptive_batch_norm"] = True
    data["periphery"] = [
        entry | {"adc_bits": 6} | ({"adc_type": "murmann-sar-best"} if entry["adc_type"] == "flash" else {})
        for entry in data["periphery"]
    ]
    Design.parse(data).write(run / "design.json")
    html = write_report(run).read_text(encoding="utf-8")
    assert '<span class="pill murmann-sar-best">murmann-sar-best</span>' in html
    assert load_part(Adc, "murmann-sar-best").source.split(",")[0] in html
    assert "rram-wan-2022: RRAM 1T1R" in html
    assert "28 nm LSTP, 300 K" in html
    assert "measured on each chip" in html


def test_own_adcs_have_lines_and_colours_of_their_own(own_results: dict[str, Any]) -> None:
    figure = plots.landscape(Results.parse(own_results, "results.json"))
    lines = {trace.name: trace.line.color for trace in figure.data if trace.name.startswith("homogeneous")}
    assert list(lines) == ["homogeneous, SAR", "homogeneous, murmann-sar-best"]
    assert len(set(lines.values())) == 2


def test_colours_differ() -> None:
    colours = palette.adc_colours(["a", "sar", "b", "flash", "c", "d"])
    assert len(set(colours.values())) == 6
    assert palette.SEARCHED not in colours.values()
