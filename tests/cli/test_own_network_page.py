"""The page on searching a network of your own: its files are complete, its table is what the command prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from xpert.experiment import SearchConfig
from xpert.experiment.config import search_space

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "search-your-own-network.md"


def test_the_page(xpert: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # the page's table in one
    blocks = dict(re.findall(r"```(python|yaml|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[:3])
    (tmp_path / "mobilenet.py").write_text(blocks["python"])
    (tmp_path / "mobilenet.yaml").write_text(blocks["yaml"])
    outcome = xpert(
        "trace",
        f"{tmp_path}/mobilenet.py:MobileNet",
        "--input-shape",
        "1,32,32",
        "--argument",
        "widths=[16,24,32]",
        "--groups",
    )

    def lines(text: str) -> list[str]:
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    widths = lines(blocks["text"])
    assert lines(outcome.stdout)[-len(widths) :] == widths
    space = search_space(SearchConfig.read(tmp_path / "mobilenet.yaml"))
    assert (space.depth, sum(0 in options for options in space.choices)) == (10, 4)
