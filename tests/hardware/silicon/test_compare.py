"""Published macros as designs, and the model beside them."""

from __future__ import annotations

import hashlib
import json
import math
from statistics import median

import pytest

from xpert.design import Design
from xpert.hardware import evaluate
from xpert.hardware.silicon.compare import HALVES, SiliconValidation, validate_silicon
from xpert.hardware.silicon.macros import FIGURES, macro_figures, published_macros
from xpert.hardware.silicon.table import read_table


@pytest.fixture(scope="module")
def found() -> SiliconValidation:
    return validate_silicon()


def test_every_complete_row_is_modelled(found: SiliconValidation) -> None:
    keys = {row.key for row in read_table() if not row.missing}
    modelled = {entry.macro.key for entry in found.comparisons}
    assert keys <= modelled
    assert len(keys) >= 18
    assert len(modelled) == len(keys) + 6


def test_macros_are_designs(found: SiliconValidation) -> None:
    for entry in found.comparisons:
        design = entry.macro.design
        assert Design.parse(json.loads(design.model_dump_json())) == design
        assert 0 < entry.figures.area < float(evaluate(design).area)


def test_what_the_rows_need(found: SiliconValidation) -> None:
    chips = {entry.macro.key: entry.macro.design.chip for entry in found.comparisons}
    rows = [chips[row.key] for row in read_table() if not row.missing]
    assert sum(chip.read_rows < chip.rows for chip in rows) == 17
    assert sum(chip.weight_bits == 1 for chip in rows) == 10
    assert {28, 40, 55} & {chip.technology.node_nm for chip in rows} == {40, 55}
    assert sum(chip.device.cell == "mram" for chip in rows) == 2
    assert chips["49: 8 x 4 b, 14 nm"].input_coding == "pulse_width"


def test_halves_are_fixed_and_keep_papers_together() -> None:
    halves: dict[str, set[str]] = {}
    for macro in published_macros():
        halves.setdefault(macro.paper, set()).add(macro.half)
        assert macro.half == ("held out" if hashlib.sha256(macro.paper.encode()).hexdigest()[0] >= "8" else "fitting")
    assert all(len(half) == 1 for half in halves.values())
    assert {half for of_paper in halves.values() for half in of_paper} == set(HALVES)


def test_medians_are_of_what_counts(found: SiliconValidation) -> None:
    for half, figures in found.medians.items():
        for name, of_half in figures.items():
            values = [
                math.log2(macro_figures(entry.macro).figure(name) / entry.macro.published[name])
                for entry in found.comparisons
                if entry.macro.half == half and name in entry.macro.published and name not in entry.macro.left_out
            ]
            assert of_half.macros == len(values)
            assert of_half.median == median(map(abs, values))
            assert of_half.worst == max(map(abs, values))
    shift, left = found.fitted["energy"]
    assert shift == -found.medians["fitting"]["energy"].signed
    held_out = [
        entry.counted["energy"]
        for entry in found.comparisons
        if entry.macro.half == "held out" and "energy" in entry.counted
    ]
    assert left == median(abs(value + shift) for value in held_out)


def test_every_macro_says_what_is_assumed_and_why_it_differs(found: SiliconValidation) -> None:
    for entry in found.comparisons:
        macro = entry.macro
        assert macro.assumed, macro.key
        assert macro.comment, macro.key
        assert set(macro.published) <= set(FIGURES)
        assert all(math.isfinite(value) for value in entry.doublings.values())
    outliers = [entry.macro.name for entry in found.comparisons if entry.outliers]
    assert sorted(name for names in found.comments.values() for name in names) == sorted(outliers)


def test_figures_that_break_their_own_rule_do_not_count(found: SiliconValidation) -> None:
    entry = next(entry for entry in found.comparisons if entry.macro.paper == "108")
    assert "density" in entry.doublings
    assert set(entry.counted) == {"energy"}


def test_plain_data(found: SiliconValidation) -> None:
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(data["macros"]) == len(found.comparisons)
    assert data["medians"]["held out"]["energy"].keys() == {"macros", "median", "signed", "worst"}
    first = data["macros"][0]["figures"]["energy"]
    assert math.log2(first["model"] / first["published"]) == pytest.approx(first["log2_ratio"])
