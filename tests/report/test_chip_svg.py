"""The picture of a chip: every area in it is the model's."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict

import pytest

from xpert.design import Chip, Design, Layer, Network, Periphery
from xpert.errors import DataError
from xpert.hardware import evaluate
from xpert.report import chip_svg
from xpert.report.palette import component_colours

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def figures() -> dict:
    """Two layers with tiles of different sizes; one's name is not for markup."""
    layers = (
        Layer(name="<first> & more", in_channels=64, out_channels=300, in_height=4, in_width=4),
        Layer(name="second", in_channels=300, out_channels=20, in_height=4, in_width=4),
    )
    periphery = (Periphery(adc_type="flash", columns_per_adc=4), Periphery(columns_per_adc=32))
    return evaluate(
        Design(network=Network(backbone="custom", layers=layers), chip=Chip(), periphery=periphery)
    ).to_dict()


def parse(figures: dict) -> ET.Element:
    return ET.fromstring(chip_svg(figures))  # noqa: S314 - our own


def _shared(figures: dict) -> float:
    return figures["area_mm2"] - sum(layer["area_mm2"] for layer in figures["layers"])


def test_areas_are_to_scale(figures: dict) -> None:
    root = parse(figures)
    drawn, legend = root.findall(f"{SVG}g")

    def size(rect: ET.Element) -> float:
        return float(rect.attrib["width"]) * float(rect.attrib["height"])

    rects = [(rect, rect.attrib["fill"]) for rect in drawn.iter(f"{SVG}rect")]
    areas = {name: value for name, value in figures["breakdown"]["area_mm2"].items() if value}
    assert areas["white_space"] > 0
    colours = component_colours(list(areas))
    by_fill: defaultdict[str, float] = defaultdict(float)
    for rect, fill in rects:
        by_fill[fill] += size(rect)
    tiles, spare = by_fill.pop("none"), by_fill.pop("url(#spare)", 0.0)
    assert set(by_fill) == set(colours.values())
    # Slots are drawn as white space, on which all but the strip below them lies.
    slots = next(rect for rect, fill in rects if fill == colours["white_space"])
    bottom = float(slots.attrib["height"])
    strip = sum(size(rect) for rect, _ in rects if float(rect.attrib["y"]) > bottom - 0.01)
    by_fill[colours["white_space"]] -= sum(by_fill.values()) - size(slots) - strip + spare
    per_mm2 = tiles / (figures["area_mm2"] - areas["white_space"] - _shared(figures))
    for name, colour in colours.items():
        assert by_fill[colour] / per_mm2 == pytest.approx(areas[name], rel=0.02, abs=2e-3)
    texts = [text.text or "" for text in legend.iter(f"{SVG}text")]
    assert [text for text in texts if text.endswith("%")] == [
        f"{100 * value / figures['area_mm2']:.1f} %" for value in areas.values()
    ]
    bound = figures["area_mm2"] - areas["white_space"]
    assert f"{100 * (figures['area_mm2'] / bound - 1):.1f} % above the bound: tiles and shared" in texts


def test_every_tile_says_what_it_is(figures: dict) -> None:
    root = parse(figures | {"name": "a < b"})
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert titles[0].startswith("a < b: ")
    tiles = [title for title in titles if "tile of" in title]
    assert len(tiles) == figures["tiles"]
    assert tiles[0].startswith("<first> & more (1): tile of ")
    assert {"in a slot", "in 1/4 of a slot"} == {re.search(r"in (a|1/\d+ of a) slot", title)[0] for title in tiles}
    assert "flash, 4 columns per ADC, 6-bit ADC, 8-bit inputs" in tiles[0]


def test_what_cannot_be_drawn(figures: dict) -> None:
    with pytest.raises(DataError, match="1 to 5000 tiles can be drawn"):
        chip_svg(figures | {"layers": [layer | {"tiles": 4000} for layer in figures["layers"]]})
    with pytest.raises(DataError, match=r"a floorplan \(slot_mm2\)"):
        chip_svg(figures | {"slot_mm2": None})
    with pytest.raises(DataError, match="area_mm2"):
        chip_svg({"name": "no evaluation"})
