"""Published macros and chips, as UIUC's benchmarking table has them.

Source: N. R. Shanbhag, S. K. Roy, H.-M. Ou, UIUC-IMC/UIUC-IMC-Benchmarking, `Benchmarking_Data.csv`, November 2024, MIT
licence (`data/silicon/LICENSE.txt`); N. R. Shanbhag, S. K. Roy, "Benchmarking in-memory computing architectures", IEEE
Open Journal of the Solid-State Circuits Society 2, 2022. The package has the rows of its non-volatile macros,
unchanged; `read_table` reads the whole table, too.

The table multiplies all figures of merit by both precisions, `B_x B_w`: an operation of so many bits counts as their
product of 1-bit operations. `Row` undoes that. Some rows break the table's own arithmetic; `CHECKS` says which.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from xpert.errors import DataError

_COLUMNS = {
    "Index": "paper",
    "Paper Title": "title",
    "Authors": "authors",
    "Journal/Conference": "venue",
    "Year": "year",
    "Tech (nm)": "node_nm",
    "Architecture": "architecture",
    "Cell Type": "cell",
    "Core Size(Kb)": "core_kb",
    "N_row": "n_rows",
    "N_col": "n_columns",
    "Supply V(V)": "supply_v",
    "B_x": "input_bits",
    "B_w": "weight_bits",
    "B_ADC": "adc_bits",
    "R_C": "read_rows",
    "R": "adc_rows",
    "C_C": "columns_per_weight",
    "C": "columns_per_adc",
    "N_ADC": "n_adcs",
    "N": "dot_product",
    "N_1b": "bit_operations",
    "B_core": "bit_macs",
    "alpha": "invocations",
    "T_core(ns)": "invocation_ns",
    "CR(GB/s)": "rate",
    "TOPS": "tops",
    "TOPS/W": "tops_per_watt",
    "E_OP1 (fJ)": "bit_operation_fj",
    "N_core": "n_cores",
    "E_col (fJ)": "column_fj",
    "E_core (pJ)": "core_pj",
    "E_mvm (pJ)": "product_pj",
    "TOPS_a": "chip_tops",
    "TOPS/mm2": "tops_per_mm2",
}
"""The table's columns that are read -> what they are called here. Their meaning is the table's `column_index.csv`."""

_TEXT = ("paper", "title", "authors", "venue", "architecture", "cell", "supply_v")
"""Columns that are no numbers."""

NEEDED = (
    *("node_nm", "n_rows", "n_columns", "input_bits", "weight_bits", "adc_bits", "read_rows", "adc_rows"),
    *("columns_per_weight", "n_adcs", "dot_product", "invocation_ns", "tops_per_watt", "tops_per_mm2"),
)
"""What a row must have to be written as a design and compared."""

_TOLERANCE = 0.05
"""Relative error that the rounding of the table's inputs may make in a check. Ours."""

_RETICLE_MM2 = 858.0
"""Largest area that a scanner exposes, 26 mm x 33 mm, and so of a die. [mm2] Source: usual reticle limit."""


@dataclass(frozen=True)
class Row:
    """A row of the table. Numbers as printed, None where the table has none; properties in SI, normalisation undone."""

    line: int
    """Line of the file."""
    text: dict[str, str]
    """What is no number, by name: paper (its index), title, authors, venue, architecture, cell, supply (with notes)."""
    numbers: dict[str, float]
    """What is, by name, in the table's units."""
    rounding: dict[str, float]
    """Half a unit of the last digit that is printed, by name."""

    @property
    def paper(self) -> str:
        """Number of the paper in the table."""
        return self.text["paper"]

    @property
    def key(self) -> str:
        """Paper and precisions, which tell rows apart: `29: 4 x 1 b`."""
        bits = (f"{self.numbers.get(name, 0):g}" for name in ("input_bits", "weight_bits"))
        return f"{self.paper}: {' x '.join(bits)} b, {self.numbers.get('node_nm', 0):g} nm"

    @property
    def missing(self) -> tuple[str, ...]:
        """What it lacks of `NEEDED`."""
        return tuple(name for name in NEEDED if name not in self.numbers)

    @property
    def precisions(self) -> float:
        """What the table multiplied figures by: both precisions."""
        return self.numbers["input_bits"] * self.numbers["weight_bits"]

    @property
    def energy_per_operation(self) -> float:
        """Energy of an operation, half a multiply-accumulate, at the row's precisions. [J]"""
        return self.precisions / (self.numbers["tops_per_watt"] * 1e12)

    @property
    def density(self) -> float:
        """Operations at the row's precisions per time and area. [1/(s m2)]"""
        return self.numbers["tops_per_mm2"] * 1e18 / self.precisions

    @property
    def core_area(self) -> float:
        """Area of a core, as throughput and density imply it. [m2]"""
        tops = self.numbers["bit_operations"] / self.numbers["invocation_ns"] * 1e-3
        return tops / self.numbers["tops_per_mm2"] * 1e-6

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the checks that it breaks."""
        return tuple(name for name, check in CHECKS.items() if check.holds(self) is False)


@dataclass(frozen=True)
class Check:
    """A rule that figures of a row obey."""

    statement: str
    """The rule, in the table's names."""
    figure: str
    """Which figure it concerns: `energy`, `density`, or none of the two."""
    stated: str
    """Figure that is printed."""
    implied: Callable[[dict[str, float]], Sequence[float]]
    """What the others imply for it: any of these."""

    def holds(self, row: Row) -> bool | None:
        """Whether a row obeys it, up to the rounding of what is printed; None where figures are missing."""
        try:
            implied = self.implied(row.numbers)
            stated = row.numbers[self.stated]
        except (KeyError, ZeroDivisionError):
            return None
        slack = row.rounding[self.stated]
        return any(abs(stated - value) <= slack + _TOLERANCE * abs(value) for value in implied)


def _area(x: dict[str, float]) -> Sequence[float]:
    """The density that is stated, if the chip then fits a reticle; else the least that would."""
    return (max(x["tops_per_mm2"], x["chip_tops"] / _RETICLE_MM2),)


CHECKS = {
    "energy": Check("E_OP1 = 1000 / (TOPS/W)", "energy", "bit_operation_fj", lambda x: (1000 / x["tops_per_watt"],)),
    "work": Check(
        "N_1b = 2 N N_ADC B_x B_w",
        "energy",
        "bit_operations",
        lambda x: (2 * x["dot_product"] * x["n_adcs"] * x["input_bits"] * x["weight_bits"],),
    ),
    "products": Check("B_core = N_1b / 2", "", "bit_macs", lambda x: (x["bit_operations"] / 2,)),
    "core energy": Check(
        "E_core = N_1b E_OP1 / 1000",
        "energy",
        "core_pj",
        lambda x: (x["bit_operations"] * x["bit_operation_fj"] * 1e-3,),
    ),
    "column energy": Check(
        "E_col = 1000 E_core / N_ADC", "", "column_fj", lambda x: (1e3 * x["core_pj"] / x["n_adcs"],)
    ),
    "vector energy": Check(
        "E_mvm = N_core alpha E_core",
        "",
        "product_pj",
        lambda x: (x["n_cores"] * x["invocations"] * x["core_pj"],),
    ),
    "throughput": Check(
        "TOPS = N_1b / T_core / 1000", "density", "tops", lambda x: (x["bit_operations"] / x["invocation_ns"] * 1e-3,)
    ),
    "cores": Check(
        "TOPS_a = N_core N_1b / T_core / 1000",
        "density",
        "chip_tops",
        lambda x: (x["n_cores"] * x["bit_operations"] / x["invocation_ns"] * 1e-3,),
    ),
    "rate": Check("CR = B_core / T_core", "", "rate", lambda x: (x["bit_macs"] / x["invocation_ns"],)),
    "chip area": Check("TOPS_a / (TOPS/mm2) is at most a reticle, 858 mm2", "density", "tops_per_mm2", _area),
    "converters": Check("N_ADC = N_col / C", "", "n_adcs", lambda x: (x["n_columns"] / x["columns_per_adc"],)),
    "core size": Check(
        "Core Size = N_row N_col / 1000 or / 1024",
        "",
        "core_kb",
        lambda x: tuple(x["n_rows"] * x["n_columns"] / kilo for kilo in (1000, 1024)),
    ),
}
"""The checks by name. Source: the meaning of the table's columns in its `column_index.csv`.

In the whole table of 144 rows seven of the twelve are broken: by 1 to 5 rows, `core size` by 14, `converters` by 21.
"""


def read_table(path: Path | str | None = None) -> tuple[Row, ...]:
    """The rows of a table.

    Args:
        path: A CSV file in the table's form; by default the package's, the table's non-volatile macros.

    Raises:
        DataError: If it is missing or not of that form; the message names line and column.
    """
    where = "the package's table" if path is None else str(path)
    if path is None:
        file = resources.files("xpert.hardware").joinpath("data/silicon/envm.csv")
        text = file.read_text(encoding="utf-8")
    else:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{where}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DataError(f"{where}: is not text; expected the table as CSV") from None
    lines = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(lines, [])]
    absent = [name for name in _COLUMNS if name not in header]
    if absent:
        raise DataError(f"{where}: line 1: the column {absent[0]!r} is missing")
    places = {name: header.index(column) for column, name in _COLUMNS.items()}
    return tuple(
        _row(where, lines.line_num, {name: fields[place].strip() for name, place in places.items()})
        for fields in lines
        if any(field.strip() for field in fields) and _complete(where, lines.line_num, fields, header)
    )


def _complete(where: str, line: int, fields: list[str], header: list[str]) -> bool:
    if len(fields) < len(_COLUMNS):
        raise DataError(f"{where}: line {line}: has {len(fields)} fields, expected {len(header)}")
    return True


def _row(where: str, line: int, fields: dict[str, str]) -> Row:
    text = {name: " ".join(fields[name].split()) for name in _TEXT}
    numbers, rounding = {}, {}
    for column, name in _COLUMNS.items():
        field = fields[name]
        if name in _TEXT or not field or field in ("-", "NA", "N/A"):
            continue
        try:
            numbers[name] = float(field)
        except ValueError:
            raise DataError(f"{where}: line {line}: {column}: must be a number, got {field!r:.40}") from None
        rounding[name] = 0.5 * 10.0 ** -len(field.partition(".")[2])
    return Row(line, text, numbers, rounding)


__all__ = ["CHECKS", "NEEDED", "Check", "Row", "read_table"]
