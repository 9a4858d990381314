"""The hardware model against reference rows: how far every output is off."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from xpert.design import describe
from xpert.errors import ConfigError, DataError
from xpert.hardware.reference.chips import chip_outputs, subarray_outputs
from xpert.hardware.reference.rows import REFERENCE_MODELS
from xpert.progress import Progress, Report

HOPELESS = 1e9
"""Relative error that stands for a figure which is not a number."""

_NO_MODE = {"xpertsim_network": "another simulator, whose results depend on state left over between layers"}
"""Kind of row that is known but has no model -> why."""

_NOT_COMPUTED = "the model does not compute it"
_UNDRAWN = "decided by the row's own random draw of too few inputs"


@dataclass(frozen=True)
class QuantityErrors:
    """Errors of one quantity over the rows of a kind."""

    rows: int
    """Rows compared."""
    worst: float
    """Largest relative error."""
    median: float
    """Median over rows of the largest relative error in a row."""


@dataclass(frozen=True)
class NotCompared:
    """What was left out."""

    kind: str
    """Kind of row."""
    quantity: str | None
    """Output of it; None where whole rows are left out."""
    rows: int
    """Rows in which it was left out, wholly or for some layers."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Validation:
    """The outcome of a validation."""

    kinds: dict[str, dict[str, QuantityErrors]]
    """Kind of row -> quantity -> its errors."""
    rows: int
    """Rows compared."""
    not_compared: tuple[NotCompared, ...]
    """What was left out, and why."""
    tolerance: float
    """Largest relative error that passes."""

    @property
    def worst(self) -> float:
        """Largest relative error of all; 0 where nothing was compared."""
        return max((errors.worst for kind in self.kinds.values() for errors in kind.values()), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether all that was compared is within the tolerance."""
        return self.worst <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "kinds": {
                kind: {name: vars(errors) for name, errors in quantities.items()}
                for kind, quantities in self.kinds.items()
            },
            "worst": self.worst,
            "rows": self.rows,
            "not_compared": [vars(entry) for entry in self.not_compared],
            "tolerance": self.tolerance,
            "passed": self.passed,
        }


def validate(path: Path | str, tolerance: float = 1e-6, progress: Report | None = None) -> Validation:
    """Run the model on reference rows and compare all outputs.

    Args:
        path: JSON lines, gzipped or not, each `{"id", "kind", "inputs", "outputs"}`; an output is a number, a list of
            numbers, or null where it does not apply.
        tolerance: Largest relative error that passes. Rows with random inputs are compared where the draw has so many
            bits that three standard errors of their mean stay within it.
        progress: Called with the rows done.

    Returns:
        Errors, and what was not compared: outputs that the model does not have, rows that it refuses to build.

    Raises:
        DataError: If the file is missing, empty, truncated or not of that form; the message names the line.
    """
    rows = list(_read(Path(path)))
    if not rows:
        raise DataError(f"{path}: is empty; expected one reference row per line")
    errors: dict[str, dict[str, list[float]]] = {}
    left_out: dict[tuple[str, str | None, str], int] = {}
    compared = 0

    def leave_out(kind: str, quantity: str | None, reason: str) -> None:
        key = (kind, quantity, reason)
        left_out[key] = left_out.get(key, 0) + 1

    for done, (place, row) in enumerate(rows):
        kind = row["kind"]
        if kind in _NO_MODE:
            leave_out(kind, None, _NO_MODE[kind])
        else:
            try:
                figures = _run(place, row, tolerance)
            except ConfigError as error:
                leave_out(kind, None, f"the model refuses this: {error}")
                continue
            compared += 1
            quantities = errors.setdefault(kind, {})
            for name, expected in row["outputs"].items():
                if expected is None:
                    continue
                if name not in figures:
                    leave_out(kind, name, _NOT_COMPUTED)
                    continue
                error, masked = _error(place, name, figures[name], expected)
                if masked:
                    leave_out(kind, name, _UNDRAWN)
                if error is not None:
                    quantities.setdefault(name, []).append(error)
        if progress is not None:
            progress(Progress(unit="row", done=done + 1, total=len(rows)))
    return Validation(
        kinds={
            kind: {name: QuantityErrors(len(e), float(max(e)), float(np.median(e))) for name, e in quantities.items()}
            for kind, quantities in errors.items()
        },
        rows=compared,
        not_compared=tuple(NotCompared(*key[:2], count, key[2]) for key, count in left_out.items()),
        tolerance=tolerance,
    )


def _read(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a file, each with its place for messages."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parse(f"{path}: line {number}", line)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected reference rows as JSON lines") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a file of reference rows") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is truncated or damaged: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text; expected JSON lines, gzipped or not") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(place: str, line: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise DataError(f"{place}: not JSON: {reason}") from None
    wanted = {"id": str, "kind": str, "inputs": dict, "outputs": dict}
    if not isinstance(row, dict):
        raise DataError(f"{place}: a reference row is an object with {', '.join(wanted)}, not {type(row).__name__}")
    for key, kind in wanted.items():
        if not isinstance(row.get(key), kind):
            got = f"got {row[key]!r:.40}" if key in row else "it is missing"
            raise DataError(f"{place}: {key!r} must be {'text' if kind is str else 'an object'}, {got}")
    known = [*REFERENCE_MODELS, *_NO_MODE, "subarray", "chip"]
    if row["kind"] not in known:
        raise DataError(f"{place}: unknown kind {row['kind']!r:.60}; known are {', '.join(sorted(known))}")
    return f"{place} ({row['id']})", row


def _run(place: str, row: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """The model's outputs for a row.

    Raises:
        ConfigError: If its inputs are in order, but nothing that the model would build.
        DataError: If they are not those of such a row.
    """
    kind, inputs = row["kind"], row["inputs"]
    try:
        with np.errstate(all="ignore"):
            if kind == "chip":
                return chip_outputs(inputs, tolerance)
            return subarray_outputs(inputs) if kind == "subarray" else REFERENCE_MODELS[kind](inputs)
    except KeyError as error:
        raise DataError(f"{place}: inputs: {error} is missing or has a value that the model does not know") from None
    except pydantic.ValidationError as error:
        raise ConfigError(describe(error)) from None
    except ConfigError:
        raise
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{place}: inputs: not those of a {kind} row: {reason:.120}") from None


def _error(place: str, name: str, figure: Any, expected: Any) -> tuple[float | None, bool]:
    """Largest relative error of a figure, None where nothing is comparable, and whether something was masked."""
    try:
        wanted = np.asarray(expected, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{place}: outputs: {name!r} must be a number or a list of numbers") from None
    got = np.ma.asarray(figure, dtype=np.float64)
    if got.shape != wanted.shape:
        raise DataError(f"{place}: outputs: {name!r} has shape {wanted.shape}, expected {got.shape}")
    visible = ~np.ma.getmaskarray(got)
    values, wanted = got.data[visible], wanted[visible]
    if not values.size:
        return None, True
    with np.errstate(all="ignore"):
        errors = np.where(wanted == 0, np.sign(np.abs(values)), np.abs(values - wanted) / np.abs(wanted))
    errors = np.where(np.isfinite(errors), np.minimum(errors, HOPELESS), HOPELESS)
    return float(np.max(errors)), not bool(visible.all())


__all__ = ["HOPELESS", "NotCompared", "QuantityErrors", "Validation", "validate"]
