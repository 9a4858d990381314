"""The code of the how-to pages runs, and what it registers goes through a whole search."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from xpert.experiment import SearchConfig
from xpert.experiment.pipeline import run_search

pytestmark = pytest.mark.usefixtures("own_entries")

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def run_page(name: str) -> dict[str, Any]:
    """What the Python code of a page defines."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (PAGES / name).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, name, "exec"), found)  # noqa: S102 - pages of ours
    return found


def test_a_backbone_and_a_data_set_of_ones_own_are_searched(tmp_path: Path) -> None:
    backbone, data = run_page("add-a-backbone.md"), run_page("add-a-data-set.md")
    assert [layer.name for layer in backbone["networks"].positions] == ["conv1", "conv2", "conv3", "conv4", "linear"]
    assert len(data["dataset"].validation_labels) == 20
    config = SearchConfig.parse(
        {
            "name": "own",
            "network": {"backbone": "plain4", "choices": [4, 8], "kernels": [0, 3]},
            "dataset": {"name": "halves"},
            "periphery": {"adc_types": ["sar"], "columns_per_adc": [8]},
            "architecture": {"front_points": 0, "quality": "macs"},
            "training": {"epochs": 1, "batch_size": 20, "shift": 0},
            "precision": {
                "adc_bits": [5, 6], "input_bits": [4, 6], "images": 16, "confirmation_images": 0, "chips": 1,
                "calibration_images": 16,
            },
            "evaluation": {"chips": 1},
        }
    )  # fmt: skip
    report = run_search(config, tmp_path / "run")
    assert "plain4" in report.read_text(encoding="utf-8")
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["searched"]["accuracy"]["ideal"] > 0.4
    assert json.loads((tmp_path / "run" / "design.json").read_text())["network"]["backbone"] == "plain4"
