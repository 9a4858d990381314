from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpert.design import OPTIONAL_FIELDS, Design
from xpert.errors import DataError, RunError
from xpert.hardware import evaluate
from xpert.report import chip_svg, page, palette, write_report
from xpert.report.run_files import RunFiles
from xpert.results import Results
from xpert.text import number

Write = Callable[[dict[str, Any]], Path]
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Elements of a page, and the text under every id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for name in {name for _, name in self._open if name}:
            self.text[name] = self.text.get(name, "") + data

    def tags(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves plotly's script, which is most of a page, out of tests that don't look at it."""
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "")


def rendered(results: dict[str, Any]) -> str:
    return page.render(RunFiles(Path("run"), Results.parse(results), None, None, (), ()))


def test_one_file_that_loads_nothing(results: dict[str, Any], write_run: Write):
    path = write_report(write_run(results))
    assert path.name == "report.html"
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
    assert path.stat().st_size < 8e6
    html = path.read_text(encoding="utf-8")
    shown = Page(html)
    for tag, attributes in shown.elements:
        for name in ("src", "srcset", "data", "action", "poster", "background", "xlink:href"):
            assert name not in attributes, f"<{tag} {name}=...>"
        if "href" in attributes:
            assert tag == "a"
            assert (attributes["href"] or "").startswith("#")
    assert not shown.tags("link")
    assert not shown.tags("img")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    # Should a script want more than that, the browser refuses.
    policy = [meta.get("content") or "" for meta in shown.tags("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"]


def test_plotly_comes_once(results: dict[str, Any], write_run: Write):
    html = write_report(write_run(results)).read_text(encoding="utf-8")
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, flags=re.DOTALL)
    assert sum(len(script) > 1_000_000 for script in scripts) == 1
    assert html.count('<script type="application/json" data-plot="plot-') >= 15


@pytest.mark.usefixtures("without_plotly")
def test_every_number_of_the_headline_comes_from_the_file(results: dict[str, Any]):
    values = {}
    rows = {"searched": results["searched"], **results["baselines"]}
    count = 1000
    fields = ("area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2")
    for name, row in copy.deepcopy(rows).items():
        for field in fields:
            count += 37
            row["evaluation"][field] = count / 100
            values[name, field] = f"{count / 100:.1f}"
        row["accuracy"] = {"ni_mean": count / 10_000, "ni_std": (count + 7) / 100_000, "chips": 3}
        values[name, "ni_mean"] = f"{count / 100:.1f} %"
        values[name, "ni_std"] = f"± {(count + 7) / 1000:.1f} %"
        (results["baselines"] if name != "searched" else results)[name] = row
    for name, ratios in results["ratios"].items():
        for field in ratios:
            count += 37
            ratios[field] = count / 100
            values[name, f"ratio {field}"] = f"{count / 100:.1f}×"
    results["architecture"]["area_budget_mm2"] = 55.5
    headline = Page(rendered(results)).text["headline"]
    for key, value in values.items():
        assert value in headline, key
    assert "budget 55.5 mm²" in headline
    # ... and there are no others.
    known = re.compile("|".join(re.escape(value) for value in [*values.values(), "55.5", "over 3 chips"]))
    rest = known.sub("", headline.replace("8 columns per ADC", "").replace("mm²", ""))
    assert not re.search(r"\d", rest), rest


@pytest.mark.usefixtures("without_plotly")
def test_measured_activity_is_shown(results: dict[str, Any], write_run: Write):
    page = Page(write_report(write_run(results)).read_text(encoding="utf-8"))
    text = " ".join(page.text["comparison"].split())
    typical = number(results["baselines"]["typical"]["evaluation"]["energy_uj"])
    assert f"an image takes 23.4 µJ (searched), {typical} µJ (typical);" in text
    assert "EDAP is then 3.21× lower than the typical design's." in text
    without = results | {"measured_activity": None}
    assert "an image takes" not in write_report(write_run(without)).read_text(encoding="utf-8")


@pytest.mark.usefixtures("without_plotly")
def test_variants_are_shown(results: dict[str, Any], write_run: Write):
    names = ("searched", "typical", "best")
    costs = {
        name: {"area_mm2": 2.0, "latency_us": 3.0, "energy_uj": 5.0, "edap": 30.0 * 2**place}
        for place, name in enumerate(names)
    }
    regret = {"value": 30.0, "best": 24.0, "regret": 0.25}
    rows = [
        {"variant": "nominal", "costs": costs, "ratios": {"typical": 2.0, "best": 4.0}, "network_regret": regret},
        {"variant": "odd", "costs": {}, "refused": {"searched": "no figures"}, "remarks": {"best": "beyond"}},
    ]
    page = Page(write_report(write_run(results | {"variants": rows})).read_text(encoding="utf-8"))
    text = " ".join(page.text["variants"].split())
    assert "nominal 235 30601202× lower4× lower25.0 %–" in text
    assert "odd ––– –––––––" in text
    assert "odd, searched: no figures" in text
    assert "odd, best: beyond" in text
    without = Page(write_report(write_run(results)).read_text(encoding="utf-8"))
    assert "variants" not in without.text


def test_fair_rows_are_shown(fair_results: dict[str, Any], write_run: Write):
    page = Page(write_report(write_run(fair_results)).read_text(encoding="utf-8"))

    def there(part: str, words: str) -> bool:
        return "".join(words.split()) in "".join(page.text[part].split())

    words = "flash, 4 columns per ADC, 5-bit ADC, 4-bit inputs"
    assert there("headline", f"1.53× lower EDAP than the same network with the best single periphery {words}")
    assert there("headline", "41.5× lower with each in its best tiles")
    assert there("headline", "1.41× lower with each in its best tiles")
    assert there("comparison", "NI-accuracy +0.07 points (−0.12 to +0.26 with 95 % confidence, same images and chips)")
    assert there("fair", "input precision 1.97×")
    assert there(
        "fair", "single 4 subarrays per PE, 16 PEs per tile 13 1 subarrays per PE, 64 PEs per tile 11 1.41× lower"
    )


@pytest.mark.usefixtures("without_plotly")
def test_a_run_whose_answer_is_one_periphery_says_so(fair_results: dict[str, Any], write_run: Write):
    alone = fair_results["baselines"]["single"]
    fair_results["ratios"]["single"] = dict.fromkeys(fair_results["ratios"]["single"], 1.0)
    page = Page(write_report(write_run(fair_results | {"searched": alone})).read_text(encoding="utf-8"))
    assert "one periphery for all layers is the answer" in " ".join(page.text["headline"].split())
    without = copy.deepcopy(fair_results)
    del without["baselines"]["single"], without["ratios"]["single"]
    page = Page(write_report(write_run(without)).read_text(encoding="utf-8"))
    assert "No single periphery for all layers of the searched network reaches the accuracy asked for" in (
        " ".join(page.text["comparison"].split())
    )


@pytest.mark.usefixtures("without_plotly")
def test_the_least_worst_regret_is_shown(results: dict[str, Any], write_run: Write):
    regrets = [{"value": 24.0 * (1 + regret), "best": 24.0, "regret": regret} for regret in (0.05, 0.25)]
    robust = {
        "worst_regret": 0.05,
        "nominal_worst_regret": 0.25,
        "lower_bound": 0.02,
        "nominal_value": results["architecture"]["value"] / 1.125,
        "rows": [{"variant": "odd", "robust": regrets[0], "nominal": regrets[1]}],
    }
    changed = results | {"architecture": results["architecture"] | {"robust": robust}}
    page = Page(write_report(write_run(changed)).read_text(encoding="utf-8"))
    text = " ".join(page.text["search"].split())
    assert "Its worst regret is 5.0 %, and no design of the space is below 2.0 %." in text
    assert "The nominal optimum's worst regret is 25.0 %." in text
    assert "the design found has 1.125 times the nominal optimum's objective" in text
    without = Page(write_report(write_run(results)).read_text(encoding="utf-8"))
    assert "worst regret" not in without.text["search"]


@pytest.mark.usefixtures("without_plotly")
def test_how_sure_the_precision_search_is(results: dict[str, Any], write_run: Write):
    # Two limits, each on the images and chips that it was measured on.
    results["precision"]["confirmation_floor"] = 0.955
    run = write_run(results)
    write_report(run)
    text = " ".join(Page((run / "report.html").read_text(encoding="utf-8")).text["precision"].split())
    assert "On these images, an NI-accuracy of at least 96.0 % was asked" in text
    assert (
        "The result is measured again, on other chips and other validation images, where the same limit is 95.5 %: "
        "the design taken has 96.1 % there (95.2 % to 97.0 % with 95 % confidence), -0.9 points (-1.4 to -0.4)"
    ) in text
    assert "1 cheaper design failed there" in text
    assert "Fine-tuning took it from 96.1 % to 95.8 % and was not kept" in text


def test_accuracy_by_effect_where_it_was_measured(results: dict[str, Any], write_run: Write):
    run = write_run(results)
    assert 'id="effects"' not in write_report(run).read_text()
    one = {"ni_mean": 0.9, "ni_std": 0.01, "ni_low": 0.881, "ni_high": 0.919}
    other = {"ni_mean": 0.7, "ni_std": 0.0, "ni_low": None, "ni_high": None}
    measured = {"quantised": 0.98, **one, "images": 300, "chips": [0.89, 0.91], "changes": ["adc_noise=0.5"]}
    measured["ablation"] = [
        {"effect": "ir_drop", "alone": one, "without": other},
        {"effect": "read_noise", "alone": other, "without": one},
    ]
    (run / "accuracy.json").write_text(json.dumps(measured))
    page = write_report(run).read_text()
    section = page[page.index('<section id="effects">') : page.index('<section id="made">')]
    assert "on 2 sampled chips and 300 test images" in section
    assert "set otherwise than in the design: adc_noise=0.5" in section
    assert "IR drop</th><td>90.0 %</td><td>88.1 … 91.9 %</td><td>70.0 %</td><td>–</td>" in section
    (run / "accuracy.json").write_text(json.dumps(measured | {"images": 0}))
    with pytest.raises(DataError, match=r"accuracy\.json: images: "):
        write_report(run)


def test_a_worse_design_is_not_called_better(results: dict[str, Any]):
    results["ratios"]["typical"] = dict.fromkeys(results["ratios"]["typical"], 0.5)
    results["ratios"]["best"] = dict.fromkeys(results["ratios"]["best"], 0.25)
    headline = " ".join(Page(rendered(results)).text["headline"].split())
    assert "2× higher EDAP than the typical homogeneous design" in headline
    assert "4× higher EDAP than the best homogeneous design" in headline
    assert "lower EDAP" not in headline


def _evil(value: Any, text: str) -> Any:
    """Every free text replaced; keys with a meaning and choices stay."""
    if isinstance(value, dict):
        return {
            (f"{text}{key}" if key in {"adc", "buffers", "cpu"} else key): (
                item if key in {"adc_type", "date", "schema_version"} else _evil(item, text)
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_evil(item, text) for item in value]
    return f"{text}{value}" if isinstance(value, str) else value


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "'\"><b>"])
def test_text_from_files_is_only_text(results: dict[str, Any], write_run: Write, text: str):
    def written(text: str) -> str:
        evil = _evil(results, text)
        evil["training"] = {f"{text}{name}": curve for name, curve in evil["training"].items()}
        folder = write_run(evil)
        (folder / "config.yaml").write_text(f"name: {json.dumps(text)}\n")
        design = json.loads((folder / "design.json").read_text())
        design["name"] = design["network"]["backbone"] = text
        (folder / "design.json").write_text(json.dumps(design))
        with (folder / "events.jsonl").open("a") as log:
            log.write(json.dumps({"time": "2026-11-23T15:00:00", "stage": text, "event": text}) + "\n")
        return write_report(folder).read_text(encoding="utf-8")

    harmless, html = Page(written("harmless")), written(text)
    shown = Page(html)
    assert text not in html
    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in harmless.elements]
    assert all(not name.startswith("on") for _, attributes in shown.elements for name in attributes)
    assert text in shown.text["layers"]
    assert text in shown.text["made"]


@pytest.mark.usefixtures("without_plotly")
def test_everything_has_a_text_for_those_who_cannot_see_it(results: dict[str, Any]):
    shown = Page(rendered(results))
    figures = [attributes for _, attributes in shown.elements if attributes.get("role") == "img"]
    assert len(figures) >= 18
    assert all(len(figure.get("aria-label") or "") > 20 for figure in figures)
    assert len(shown.tags("table")) == 5
    assert len(shown.tags("thead")) == 5
    assert all(header.get("scope") in {"col", "row", "colgroup"} for header in shown.tags("th"))
    targets = {attributes.get("id") for _, attributes in shown.elements}
    links = [link["href"] for link in shown.tags("a")]
    assert len(links) == 10
    assert all(link and link.removeprefix("#") in targets for link in links)


def test_a_finished_run_misses_nothing(results: dict[str, Any], write_run: Write):
    assert "This report is partial" not in write_report(write_run(results)).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"searched": None}, "the evaluation of the searched design"),
        ({"baselines": {}}, "the typical homogeneous baseline"),
        ({"baselines": {"typical": None, "best": None}, "ratios": {}}, "the best homogeneous baseline"),
        ({"homogeneous": []}, "the other homogeneous designs"),
        ({"architecture": None}, "the progress of the architecture search"),
        ({"training": {}}, "training curves"),
        ({"training": {"searched": [], "typical": []}}, "training curves"),
        ({"precision": None}, "the precision search"),
        ({"precision": {"maximum_drop": 0.01}}, "the sensitivity of the layers"),
        ({"accuracy_vs_precision": []}, "accuracy against precision"),
    ],
)
@pytest.mark.usefixtures("without_plotly")
def test_a_missing_part_is_named(results: dict[str, Any], write_run: Write, change: dict[str, Any], said: str):
    html = write_report(write_run(results | change)).read_text(encoding="utf-8")
    assert f"<li>{said}</li>" in html


@pytest.mark.usefixtures("without_plotly")
def test_accuracies_that_were_not_run_are_named(results: dict[str, Any], write_run: Write):
    results["searched"]["accuracy"] = {"ideal": 0.9, "quantised": None, "ni_mean": None, "ni_std": None, "chips": None}
    shown = Page(write_report(write_run(results)).read_text(encoding="utf-8"))
    assert "NI-accuracy" not in shown.text["headline"]
    assert "90.0 %" in shown.text["comparison"]


@pytest.mark.usefixtures("without_plotly")
def test_a_run_that_was_killed_early(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    for name in ("results.json", "design.json"):
        (folder / name).unlink()
    shown = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "headline" not in shown.text
    assert "architecture 41 s" in shown.text["made"]


@pytest.mark.usefixtures("without_plotly")
def test_a_design_without_an_evaluation_is_shown(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    (folder / "results.json").unlink()
    layers = Page(write_report(folder).read_text(encoding="utf-8")).text["layers"]
    assert "conv13" in layers
    assert "SAR" in layers


@pytest.mark.usefixtures("without_plotly")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_may_be_missing_or_wrong(results: dict[str, Any], data: st.DataObject):
    """Whatever one value is replaced by, there is a page or an error in one line."""
    changed = copy.deepcopy(results)
    place: Any = changed
    while True:
        key = data.draw(st.sampled_from(list(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    junk = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just([]) | st.just({})
    place[key] = data.draw(junk)
    try:
        ending = rendered(changed)[-8:]
    except DataError as error:
        ending = str(error)
    assert ending == "</html>\n" or "\n" not in ending


@pytest.mark.usefixtures("without_plotly")
def test_an_evaluation_of_the_hardware_model_is_understood_whole(design: Design, results: dict[str, Any]):
    found = evaluate(design).to_dict()
    results["searched"]["evaluation"] = found
    parsed = Results.parse(results).searched
    assert parsed is not None
    for layer, cost in zip(parsed.evaluation.layers, found["layers"], strict=True):
        # What a layer has none of (digital work) may be left out.
        assert layer.model_dump() == {
            name: cost.get(name, field.default)
            for name, field in type(layer).model_fields.items()
            if name in cost or name not in OPTIONAL_FIELDS
        }
    names = list(found["breakdown"]["area_mm2"])
    assert len(set(palette.component_colours(names).values())) == len(names)
    shown = Page(rendered(results))
    assert number(found["area_mm2"]) in shown.text["headline"]
    assert "ADC" in shown.text["breakdowns"]


def test_a_broken_run_leaves_the_old_report(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    (folder / "report.html").write_text("old")
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    with pytest.raises(RunError, match="no such folder"):
        write_report(folder / "nowhere")


@pytest.mark.usefixtures("without_plotly")
def test_the_same_run_gives_the_same_page(results: dict[str, Any], write_run: Write):
    folder = write_run(results)
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_layers_off_the_crossbars_have_rows_of_their_own(design: Design, results: dict[str, Any]):
    """Last in the table, without periphery; tiles keep their numbers and names, in the page and in the picture."""
    network = design.network
    off = network.layers[1].name
    design = design.replace(network=network.with_digital(off), activity=None)
    evaluation = evaluate(design).to_dict()
    results["searched"]["evaluation"] = evaluation
    page = rendered(results)
    rows = re.findall(r'<tr><th scope="row"><span class="swatch".*?</tr>', page, re.DOTALL)
    assert len(rows) == len(network.layers)
    assert [off in row and "digital: off the crossbars" in row for row in rows] == [False] * (len(rows) - 1) + [True]
    names = [layer.name for layer in network.layers if layer.name != off]
    for place, name in enumerate(names, start=1):
        assert f"</span>{place}&ensp;{name}</th>" in rows[place - 1]
    picture = chip_svg(evaluation)
    for place, name in enumerate(names, start=1):
        assert f"{name} ({place})" in picture
    assert f"{off} (" not in picture
