"""Every coefficient of the hardware model says what it is and where it comes from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xpert.hardware

FOLDER = Path(xpert.hardware.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

NOT_PHYSICAL = {
    # Bounds and units of our own: how work is split, how figures are written, how rows are read.
    *("_BLOCK", "_MAX_ADDRESS_BITS", "_MOST_BITS", "_QUANTITIES", "_SI", "_TABLE_CELL", "_VECTORS"),
    *("HOPELESS", "MAX_BLOCKS", "OUTLIER", "UNITS"),
    # Mathematics, and no correction.
    *("_SQUARED_LOG", "_TOLERANCE", "STEP", "UNCALIBRATED"),
}
"""Numbers that no source could give."""


def coefficients(path: Path) -> Iterator[tuple[str, str]]:
    """Name and docstring of every module-level number or table of numbers."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        numbers = (
            part for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) in {int, float}
        )
        if any(numbers):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield ast.unparse(target), str(after.value.value) if is_text else ""  # type: ignore[union-attr]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_coefficient_has_a_source(path: Path) -> None:
    module = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    whole = any(" ".join(module.split()).count(words) for words in ("formula and constant:", "formulas and constants:"))
    for name, text in coefficients(path):
        assert text, f"{name} has no docstring"
        if name not in NOT_PHYSICAL and not whole:
            assert "Source:" in text or "DNN+NeuroSim" in text, f"{name}: {text}"


def test_there_are_coefficients() -> None:
    assert sum(len(list(coefficients(path))) for path in FILES) > 60
    known = {name for path in FILES for name, _ in coefficients(path)}
    assert known >= NOT_PHYSICAL
