"""docs/tutorial.md: its files are written, its quick commands run, and the output is what the page shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def edited(text: str, change: str) -> str:
    """A text after a change: lines that begin with - give way to those with +, the others say where."""
    lines = change.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    assert text.count(old) == 1, old
    return text.replace(old, new)


def shown_in_order(shown: str, output: str) -> None:
    """Every line of what a page shows is in the output, after the one before; `...` stands for anything."""
    rest = iter([line.rstrip() for line in output.splitlines()])
    for line in shown.splitlines():
        assert line == "..." or line.rstrip() in rest, f"not in the output: {line}\n{output}"


def test_the_tutorial_is_true(xpert: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    output, counts = "", dict.fromkeys(("sh", "text", "diff", "yaml"), 0)
    for kind, body in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind not in counts:
            continue  # `console` has what takes minutes
        counts[kind] += 1
        first, rest = body.split("\n", 1)
        if kind == "yaml":
            Path(first.removeprefix("# ")).write_text(body)
        elif kind == "diff":
            path = Path(first.removeprefix("# "))
            path.write_text(edited(path.read_text(), rest))
        elif kind == "text":
            shown_in_order(body, output)
        elif first.startswith("cp "):
            shutil.copy(*first.split()[1:])
        else:
            done = xpert(*first.split()[1:])
            assert done.code == 0, done.stderr
            output = done.stdout + done.stderr
    assert counts == {"sh": 9, "text": 7, "diff": 6, "yaml": 1}
