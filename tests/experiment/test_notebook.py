"""docs/notebook.md runs from top to bottom, and its cells show something."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import xpert

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    space: dict[str, Any] = {}
    shown: list[Any] = []
    for cell in re.findall(
        r"^```\{code-cell\}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        *steps, last = ast.parse(cell).body
        value = last.value if isinstance(last, ast.Expr) else None
        if value is None:
            steps.append(last)
        exec(compile(ast.Module(steps, []), str(PAGE), "exec"), space)  # noqa: S102 (our own page)
        if value is not None:
            shown.append(eval(compile(ast.Expression(value), str(PAGE), "eval"), space))  # noqa: S307
    assert len(shown) == 10
    assert all(len(repr(one)) < 1500 for one in shown[:3])
    assert 0.5 < space["found"].mean <= 1
    assert space["why"].cause == "range"
    assert (tmp_path / "run" / "design.json").is_file()
    assert "front_edap" in space["shown"]


def test_what_is_offered_is_there() -> None:
    assert set(xpert.__all__) <= set(dir(xpert))
    assert len(xpert.__all__) >= 10
    for name in xpert.__all__:
        assert callable(getattr(xpert, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xpert.nothing


def test_tables_are_escaped_and_reprs_short() -> None:
    design = xpert.typical_design(xpert.load_preset("quickstart")).replace(name="<b>")
    evaluation = xpert.evaluate(design)
    for one in (design, evaluation):
        assert len(repr(one)) < 200
        table = one._repr_html_()
        assert "<b>" not in table
        assert table.count("<tr>") == len(design.network.layers) + 1
