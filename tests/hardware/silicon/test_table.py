"""The table of published macros: what is read, what is undone, and which rows break its own arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.hardware.silicon.table import CHECKS, Row, read_table

COMPLETE = 21
"""Rows of non-volatile macros that have all that a design needs."""


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return {row.key: row for row in read_table()}


def test_the_packages_rows_are_the_tables(rows: dict[str, Row], shared: Path) -> None:
    whole = read_table(shared / "data" / "silicon" / "Benchmarking_Data.csv")
    assert len(whole) == 144
    of_memories = [row for row in whole if row.text["architecture"] == "eNVM"]
    assert [replace(row, line=0) for row in of_memories] == [replace(row, line=0) for row in rows.values()]


def test_complete_rows(rows: dict[str, Row]) -> None:
    assert len(rows) == 24
    assert sum(not row.missing for row in rows.values()) == COMPLETE
    assert rows["39: 1 x 8 b, 40 nm"].missing == ("n_rows", "n_columns", "adc_rows", "columns_per_weight")


def test_figures_are_freed_of_the_precisions(rows: dict[str, Row]) -> None:
    hermes = rows["49: 8 x 4 b, 14 nm"]  # 10.5 TOPS/W and 1.59 TOPS/mm2 in the paper
    assert 1e-12 / hermes.energy_per_operation == pytest.approx(10.5)
    assert hermes.density * 1e-18 == pytest.approx(1.59)
    assert hermes.core_area * 1e6 == pytest.approx(0.634, rel=1e-3)


def test_rows_that_break_a_rule(rows: dict[str, Row]) -> None:
    broken = {key: row.broken for key, row in rows.items() if row.broken}
    assert broken == {
        "49: 8 x 4 b, 14 nm": ("vector energy", "core size"),
        "51: 1 x 1 b, 40 nm": ("converters",),
        "41: 1 x 1 b, 40 nm": ("converters",),
        "30: 1 x 1.5 b, 130 nm": ("core size",),
        "74: 1 x 1 b, 40 nm": ("rate", "converters"),
        "108: 1 x 2 b, 40 nm": ("chip area", "converters"),
    }


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_bites(name: str, rows: dict[str, Row]) -> None:
    check, row = CHECKS[name], rows["29: 4 x 1 b, 22 nm"]
    assert check.holds(row) is True
    factor = 1e-4 if name == "chip area" else 1.2
    wrong = {**row.numbers, check.stated: row.numbers[check.stated] * factor}
    rounding = {**row.rounding, check.stated: 0.0}
    assert check.holds(replace(row, numbers=wrong, rounding=rounding)) is False
    without = {key: value for key, value in row.numbers.items() if key != check.stated}
    assert check.holds(replace(row, numbers=without)) is None


def test_rounding_breaks_nothing(rows: dict[str, Row]) -> None:
    row = rows["31: 1 x 2 b, 22 nm"]  # 0.0065 TOPS, printed as 0.01
    assert row.numbers["tops"] == 0.01
    assert CHECKS["throughput"].holds(row) is True


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the column 'Index' is missing"),
        ("a,b\n1,2\n", "line 1: the column 'Index' is missing"),
        ("{header}\n{first},1\n", "line 2: has 2 fields"),
        ("{header}\n{words}\n", r"line 2: Year: must be a number, got 'x'"),
    ],
)
def test_broken_tables(content: str, message: str, tmp_path: Path) -> None:
    package = Path(__file__).parents[3] / "src/xpert/hardware/data/silicon/envm.csv"
    header = package.read_text(encoding="utf-8").splitlines()[0]
    path = tmp_path / "table.csv"
    filled = content.format(header=header, first="1", words=",".join(["x"] * len(header.split(","))))
    path.write_text(filled, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not text"):
        read_table(path)
