"""The code of the how-to pages runs, and what it registers goes through a whole search."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.design import Periphery
from xpert.experiment import SearchConfig
from xpert.experiment.pipeline import run_search

pytestmark = pytest.mark.usefixtures("own_entries")

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def run_page(name: str) -> dict[str, Any]:
    """What the Python code of a page defines."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (PAGES / name).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, name, "exec", dont_inherit=True), found)  # noqa: S102 - pages of ours
    return found


def test_what_pages_add_is_searched(tmp_path: Path) -> None:
    """A backbone, a data set, an ADC, an encoding and a strategy of each phase, in one search."""
    backbone, data = run_page("add-a-backbone.md"), run_page("add-a-data-set.md")
    assert [layer.name for layer in backbone["networks"].positions] == ["conv1", "conv2", "conv3", "conv4", "linear"]
    assert len(data["dataset"].validation_labels) == 20
    for page in ("add-an-adc.md", "add-a-strategy.md", "add-an-encoding.md"):
        run_page(page)
    config = SearchConfig.parse(
        {
            "name": "own",
            "network": {"backbone": "plain4", "choices": [4, 8], "kernels": [0, 3]},
            "dataset": {"name": "halves"},
            "chip": {"encoding": "balanced"},
            "periphery": {"adc_types": ["interleaved"], "columns_per_adc": [8]},
            "architecture": {"strategy": "climb", "front_points": 0, "quality": "macs"},
            "training": {"epochs": 1, "batch_size": 20, "shift": 0},
            "precision": {
                "strategy": "one-precision", "adc_bits": [5, 6], "input_bits": [4, 6], "images": 16,
                "confirmation_images": 0, "chips": 1, "calibration_images": 16,
            },
            "evaluation": {"chips": 1},
        }
    )  # fmt: skip
    report = run_search(config, tmp_path / "run")
    assert "plain4" in report.read_text(encoding="utf-8")
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["searched"]["accuracy"]["ideal"] > 0.4
    design = json.loads((tmp_path / "run" / "design.json").read_text())
    assert design["network"]["backbone"] == "plain4"
    assert {entry["adc_type"] for entry in design["periphery"]} == {"interleaved"}
    assert len({(entry["adc_bits"], entry["input_bits"]) for entry in design["periphery"]}) == 1


def test_the_adc_of_the_page_is_faster_and_larger(capsys: pytest.CaptureFixture[str]) -> None:
    run_page("add-an-adc.md")
    area, latency = map(float, capsys.readouterr().out.split())
    assert area > 1 > latency > 0.5


def test_the_strategy_of_the_page_comes_close(capsys: pytest.CaptureFixture[str]) -> None:
    run_page("add-a-strategy.md")
    value, bound, gap = map(float, capsys.readouterr().out.split())
    assert 0 < bound <= value
    assert gap < 0.02


def test_the_encoding_of_the_page_gives_weights_back() -> None:
    balanced = run_page("add-an-encoding.md")["Balanced"]
    for bits in (2, 5, 8):
        code = balanced(bits, min(bits, 3))
        most = 2 ** (bits - 1) - 1
        weights = np.arange(-most, most + 1)
        cells, subtracted = code.stored(weights)
        assert np.array_equal(cells - subtracted, weights)
        assert min(cells.min(), subtracted.min()) >= 0
        assert max(cells.max(), subtracted.max()) < 2**code.code_bits


def test_the_decision_of_the_page_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    run_page("add-a-decision.md")
    fields, words, options = capsys.readouterr().out.splitlines()
    assert fields == str([*Periphery.decisions("architecture"), "rows_at_once"])
    assert words == Periphery().in_words() + ", 64 rows at once"
    assert [one.rsplit("/", 1)[1] for one in literal_eval(options)] == ["16", "64"]
