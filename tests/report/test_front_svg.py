"""The picture of EDAP against NI-accuracy."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from xpert.report.front_svg import Point, front_svg

FRONTS = {"ours": [Point(1e3, 0.90), Point(2e3, 0.91)], "theirs": [Point(4e5, 0.5), Point(5e5, 0.89)]}


def drawn(text: str) -> tuple[set[str], int]:
    """Texts of a picture, and how many points it has."""
    tree = ET.fromstring(text)  # noqa: S314 (our own)
    texts = {"".join(node.itertext()).strip() for node in tree.findall(".//{*}text")}
    return texts, len(tree.findall(".//{*}g[@clip-path]/{*}use"))


def test_it_shows_the_points_and_says_what_they_are() -> None:
    texts, points = drawn(front_svg(FRONTS, target=0.9))
    assert {"ours", "theirs", "target", "NI-accuracy", "90 %", "EDAP [µJ·µs·mm²]"} <= texts
    assert points == 3  # one is too far down


def test_a_target_far_below_is_not_drawn() -> None:
    assert "target" not in drawn(front_svg(FRONTS, target=0.3))[0]


def test_the_same_figures_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = front_svg(FRONTS)
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 9.0)  # what a user prefers elsewhere
    assert front_svg(FRONTS) == text
    assert mpl.rcParams["lines.linewidth"] == 9.0


@pytest.mark.parametrize("fronts", [{}, {"none": []}, {"one": [Point(5.0, 0.7)]}])
def test_few_points_are_drawn_too(fronts: dict[str, list[Point]]) -> None:
    assert drawn(front_svg(fronts))[1] == sum(len(front) for front in fronts.values())
