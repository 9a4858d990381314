"""Every output of every reference row of a circuit, in reference mode."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import ConfigError
from xpert.hardware.reference.rows import REFERENCE_MODELS, reference_process

TOLERANCE = 1e-10
"""The rows carry 11 to 12 digits; the largest error seen is 5e-12."""


@pytest.fixture(scope="module")
def rows(shared: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name in ("technology", "modules"):
        with gzip.open(shared / "reference" / f"{name}.jsonl.gz", "rt") as file:
            for line in file:
                row = json.loads(line)
                found.setdefault(row["kind"], []).append(row)
    return found


def relative_error(ours: float, reference: float) -> float:
    return abs(ours - reference) / abs(reference) if reference else abs(ours)


@pytest.mark.parametrize("kind", sorted(REFERENCE_MODELS))
def test_every_output_of_every_row(rows: dict[str, list[dict[str, Any]]], kind: str) -> None:
    assert rows[kind]
    for row in rows[kind]:
        ours = REFERENCE_MODELS[kind](row["inputs"])
        for name, reference in row["outputs"].items():
            pairs = (
                zip(ours[name], reference, strict=True) if isinstance(reference, list) else [(ours[name], reference)]
            )
            worst = max(relative_error(a, b) for a, b in pairs)
            assert worst < TOLERANCE, f"{row['id']} {name}: {ours[name]} instead of {reference}"


def test_no_kind_is_left_out(rows: dict[str, list[dict[str, Any]]]) -> None:
    assert set(rows) == set(REFERENCE_MODELS)


def test_columns_without_active_rows_are_accepted() -> None:
    inputs = {
        "technology_node_nm": 45,
        "device_roadmap": "LSTP",
        "instances": 2,
        "adc_levels": 32,
        "given_width_m": 1e-4,
        "column_resistance_ohm": [None, 5000.0],
        "num_columns_read": 2,
        "read_voltage_V": 0.5,
        "num_reads": 1,
    }
    figures = REFERENCE_MODELS["module/sar_adc"](inputs)
    assert math.isfinite(figures["read_energy_J"])


def test_an_unknown_node_is_named() -> None:
    with pytest.raises(ConfigError, match="node_nm"):
        reference_process({"technology_node_nm": 16, "device_roadmap": "LSTP"})
