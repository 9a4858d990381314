"""`xpert validate`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.hardware.reference.rows import REFERENCE_MODELS

KIND = "module/h_tree"


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    """Some reference rows of one kind."""
    with gzip.open(shared / "reference" / "modules.jsonl.gz", "rt") as lines:
        found = [row for row in map(json.loads, lines) if row["kind"] == KIND]
    assert KIND in REFERENCE_MODELS
    return found[:5]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_rows_that_agree(xpert: Callable, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl.gz", rows)
    outcome = xpert("validate", path, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    assert found["rows"] == 5
    assert found["worst"] <= 1e-6
    assert found["not_compared"] == []
    assert found["kinds"][KIND]["area_m2"]["rows"] == 5
    assert {"rows", "worst", "median"} == set(found["kinds"][KIND]["area_m2"])
    table = xpert("validate", path).stdout
    assert f"\n {KIND}" in table
    assert "5 rows compared" in table.splitlines()[-1]
    assert "within 1e-06" in table.splitlines()[-1]


def test_an_error_beyond_the_tolerance_is_exit_code_1(
    xpert: Callable, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    wrong = json.loads(json.dumps(rows))
    wrong[2]["outputs"]["area_m2"] *= 1.01
    path = write(tmp_path / "rows.jsonl.gz", wrong)
    outcome = xpert("validate", path, "--json")
    assert outcome.code == 1
    assert outcome.stderr == ""
    found = json.loads(outcome.stdout)
    assert found["worst"] == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert found["kinds"][KIND]["area_m2"]["median"] <= 1e-6
    assert xpert("validate", path).code == 1
    assert xpert("validate", path, "--tolerance", "0.02").code == 0


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bnot gzip", b"nonsense\n", b"[1]\n", b'{"id": "a"}\n', b"\xff\xfe"])
def test_broken_files(refusal: Callable, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(content)
    assert refusal("validate", path).startswith(f"{path}: ")
    assert refusal("validate", tmp_path).startswith(f"{tmp_path}: is a folder")


def test_rows_that_the_model_would_not_build(xpert: Callable, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    refused = [row | {"inputs": row["inputs"] | {"technology_node_nm": 16}} for row in rows]
    outcome = xpert("validate", write(tmp_path / "rows.jsonl.gz", refused))
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "the model refuses this: node_nm" in outcome.stdout
    assert outcome.stdout.endswith("Nothing was compared.\n")
    outcome = xpert("validate", write(tmp_path / "rows.jsonl.gz", [*refused, *rows]))
    assert outcome.stdout.splitlines()[-1].startswith("5 rows compared; worst error")


def test_published_macros(xpert: Callable, refusal: Callable, tmp_path: Path) -> None:
    outcome = xpert("validate", "--silicon")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "Median |log2(model / published)|, held out: energy" in outcome.stdout
    assert outcome.stdout.endswith("No parameter of the model was fitted to these macros.\n")
    data = json.loads(xpert("validate", "--silicon", "--json").stdout)
    assert len(data["macros"]) >= 24
    assert data["medians"].keys() == {"fitting", "held out"}
    assert refusal("validate") == "give a file of reference rows or --silicon"
    both = refusal("validate", tmp_path / "rows.jsonl.gz", "--silicon")
    assert both == "give a file of reference rows or --silicon, not both: macros come with the package"
