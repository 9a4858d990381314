"""The points of fronts on the page: their figures, and what a browser makes of a click."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.report.conftest import SEARCHED, VGG16, make_design, searched_design
from xpert.design import Design, Periphery
from xpert.hardware import evaluate
from xpert.report.page import render, write_report
from xpert.report.points import front_numbers, measured_numbers, point_rows, points_json
from xpert.report.run_files import RunFiles, read_run
from xpert.results import Point, lists_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def costs(design: Design) -> dict[str, float]:
    figures = evaluate(design).to_dict()
    return {name: figures[name] for name in ("area_mm2", "latency_us", "energy_uj", "edap")}


def phase1(number: int, channels: tuple[int, ...], sharing: int) -> tuple[Point, Design]:
    entry = Periphery(adc_type="flash", columns_per_adc=sharing)
    design = make_design("point", channels, [entry] * 14)
    point = Point.parse(
        {"number": number, "front": "phase1", "objective": "edap", "along": "quality", "gap": 0.25, "quality": 0.5}
        | costs(design)
        | {"channels": channels, "periphery": design.periphery}
    )
    return point, design


@pytest.fixture
def designs() -> list[tuple[Point, Design | None]]:
    """Two points of phase 1, and two of phase 2, the last one the run's own design."""
    narrow = tuple(min(width, 128) for width in VGG16)
    own = searched_design()
    cheap = own.replace(periphery=tuple(entry.replace(adc_bits=3) for entry in own.periphery))
    measured = [
        Point.parse(
            {"number": 3 + place, "front": "precision", "objective": "edap", "along": "NI-accuracy"}
            | {"ni_accuracy": accuracy, "ni_accuracy_interval": [accuracy - 0.01, accuracy + 0.01]}
            | costs(design)
            | {"channels": SEARCHED, "periphery": design.periphery, "weights": "state/searched.safetensors"}
            | {"as_measured": True}
        )
        for place, (design, accuracy) in enumerate(((cheap, 0.91), (own, 0.9612)))
    ]
    return [phase1(1, narrow, 4), phase1(2, SEARCHED, 8), (measured[0], cheap), (measured[1], own)]


@pytest.fixture
def run(results: dict[str, Any], designs: list[tuple[Point, Design]], write_run: Callable) -> Path:
    """The run in whose fronts these points stand."""
    fronts = [
        {
            "objective": "edap",
            "along": "quality",
            "points": [
                costs(design) | {"quality": point.quality, "gap": point.gap, "channels": point.channels}
                for point, design in designs[:2]
            ],
        }
    ]
    results["architecture"] |= {"fronts": fronts, "quality_name": "predicted accuracy"}
    front = [
        lists_of(design.periphery)
        | {name: getattr(point, name) for name in ("ni_accuracy", "energy_uj", "latency_us", "edap")}
        for point, design in designs[2:]
    ]
    results["precision"] |= {"front": front, "tried": [*front, *results["precision"]["tried"][1:]]}
    return write_run(results)


@pytest.fixture
def files(run: Path) -> RunFiles:
    return read_run(run)


def test_the_page_holds_every_point_with_its_layers(files: RunFiles, designs: list[tuple[Point, Design]]) -> None:
    data = json.loads(points_json(files, designs))
    assert list(data["points"]) == ["1", "2", "3", "4"]
    for point, design in designs:
        shown, figures = data["points"][str(point.number)], evaluate(design).to_dict()
        assert shown["costs"]["edap"] == pytest.approx(figures["edap"], rel=1e-3)
        for field in ("area_mm2", "latency_us", "energy_uj"):
            assert sum(shown["breakdown"][field].values()) == pytest.approx(figures[field], rel=2e-3)
        assert list(shown["layers"]) == [layer.name for layer in design.network.layers]
        for layer, entry in zip(design.network.layers, design.periphery, strict=True):
            channels, kind, *rest = shown["layers"][layer.name]
            assert channels == f"{layer.in_channels} → {layer.out_channels}"
            assert kind.lower() == entry.adc_type
            assert rest[:3] == [str(value) for value in (entry.columns_per_adc, entry.adc_bits, entry.input_bits)]
        assert f"--point {point.number} " in shown["command"]
    assert data["own"]["test"] == 0.9612
    assert data["own"]["ni"] == 0.9612
    assert {name for shown in data["points"].values() for name in shown["breakdown"]["area_mm2"]} <= {
        *data["components"]
    }


def test_the_run_s_own_design_is_marked(files: RunFiles, designs: list[tuple[Point, Design]]) -> None:
    rows = [row for group in point_rows(files, designs).values() for row in group]
    assert [row.taken for row in rows] == [False, False, False, True]
    assert [*point_rows(files, designs)] == [
        "Phase 1: EDAP against predicted accuracy",
        "Phase 2: EDAP against NI-accuracy",
    ]
    assert rows[0].proof == "at most 25.0 % above the optimum"


def test_points_of_figures_have_the_numbers_of_the_list(files: RunFiles, designs: list[tuple[Point, Design]]) -> None:
    assert files.results.architecture is not None
    (front,) = files.results.architecture.fronts
    assert front_numbers(designs, front) == [1, 2]
    assert front_numbers(designs[1:], front) is None
    assert set(measured_numbers(designs).values()) == {3, 4}
    page = render(files, designs)
    assert re.search(r'"customdata":\[1,2\]', page)
    assert re.search(r'"customdata":\[[null,]*4[null,]*\]', page)


def test_a_point_that_was_not_recorded_whole_is_listed(files: RunFiles, designs: list[tuple[Point, Design]]) -> None:
    older = [(designs[0][0], None), *designs[1:]]
    page = render(files, older)
    assert 'data-point="1"' not in page
    assert 'data-point="2"' in page
    assert "were not recorded whole" in page
    assert "1" not in json.loads(points_json(files, older))["points"]


def test_names_cannot_end_the_script(files: RunFiles, designs: list[tuple[Point, Design]]) -> None:
    point, design = designs[0]
    layers = (design.network.layers[0].replace(name="</script><b>"), *design.network.layers[1:])
    named = design.replace(network=design.network.replace(layers=layers))
    text = points_json(files, [(point, named)])
    assert "<" not in text
    assert "</script><b>" in json.loads(text)["points"]["1"]["layers"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_point_that_is_clicked(run: Path, designs: list[tuple[Point, Design]]) -> None:
    path = write_report(run, designs)

    def seen(fragment: str, script: str = "") -> str:
        """The page after its scripts, and one more that puts what it says into the title."""
        page = run / "looked-at.html"
        page.write_text(path.read_text().replace("</body>", f"<script>{script}</script></body>"))
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
            "--dump-dom", f"file://{page}{fragment}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        return done.stdout

    def panel(html: str) -> str:
        return re.sub(r"<[^>]+>", " ", html.split('<div id="point" aria-live="polite">')[1].split("</section>")[0])

    shown = panel(seen("#point-3"))
    assert "Point 3" in shown
    assert "xpert pick" in shown
    assert "with which its accuracy was measured" in shown
    assert "91.0 %" in shown

    click = (
        'addEventListener("load", () => { const front = document.getElementById("plot-front_edap"); draw(front); front'
        '.emit("plotly_click", { points: [{ customdata: 2 }] });'
        'document.title = csv(document.querySelector("#comparison table")); });'
    )
    html = seen("", click)
    assert "Point 2" in panel(html)
    assert html.count("No weights of this run fit") == 2  # in the script, and in the panel
    title = html.split("<title>")[1].split("</title>")[0]
    assert title.startswith('Quantity,searched,"typical SAR, 8 columns per ADC",')
    assert html.count('class="take"') > 10


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_everything_in_the_page_can_be_clicked(run: Path, designs: list[tuple[Point, Design]]) -> None:
    """At three widths nothing is cut, all buttons give files, figures come into view, and paper has all of them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra `browser`)")
    path = write_report(run, designs)
    assert path.stat().st_size < 6 << 20
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        for width, scheme in ((1400, "light"), (390, "dark"), (700, "light")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.goto(path.as_uri())
            assert page.evaluate("drawn.size < plots().length / 2")
            page.evaluate("plots().forEach(draw)")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            beyond = page.evaluate("plots().filter(p => p.getBoundingClientRect().right > innerWidth + 1).length")
            assert beyond == 0
        for summary in page.query_selector_all("main summary"):
            summary.click()
        endings = set()
        for button in page.query_selector_all("main button.take"):
            if button.inner_text() == "copy":
                button.click()
                continue
            with page.expect_download() as download:
                button.click()
            file = Path(download.value.path())
            ending = download.value.suggested_filename.rpartition(".")[2]
            endings.add(ending)
            if ending == "svg":
                assert ElementTree.parse(file).getroot().tag.endswith("svg")  # noqa: S314 (our own)
            else:
                assert len(list(csv.reader(file.read_text().splitlines()))) > 1
        assert endings == {"csv", "svg"}
        page.goto("about:blank")
        page.goto(path.as_uri())
        assert page.pdf(format="A4").startswith(b"%PDF")
        assert page.evaluate("drawn.size === plots().length")
        assert said == []
        browser.close()
